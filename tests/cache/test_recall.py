"""A model that was captured before is analysed without torch, and says the same to the last byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fxcost
from fxcost.cache import question as questions
from fxcost.cache import reads
from fxcost.cache.folder import folder_of
from fxcost.ir.text import print_graph
from fxcost.ops import registry
from tests.support.commands import MODELS, Ran, run

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import sys
from fxcost.cache import question
question.sources = lambda: "these"  # files may be edited while tests run
sys.modules["torch"] = None  # whoever imports it fails
from fxcost.cli import main
main()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own; edits of sources while it runs do not count, nor cost rules of other tests."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FXCOST_CACHE", str(folder))
    monkeypatch.setattr(questions, "sources", lambda: "these")
    monkeypatch.setattr(reads, "changed_since_start", lambda: None)
    ours = {op: rule for op, rule in registry.all_rules().items() if op not in questions.own_rules()}
    monkeypatch.setattr(registry, "_RULES", ours)
    return folder


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def anew(*arguments: str) -> Ran:
    """A command in a process of its own, which fails if it loads torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def model_file(folder: Path, name: str = "mine.py", width: int = 4, head: str = "") -> str:
    (folder / name).write_text(
        f"{head}\nfrom torch import nn\n\ndef make():\n    return nn.Sequential(nn.Linear(8, {width}), nn.ReLU())\n"
    )
    return f"{folder / name}:make"


@pytest.mark.parametrize(
    ("model", "specs", "more"),
    [
        ("Twice", ["N,8,H,W"], ["--at", "N=1,H=32,W=48", "--target", "h100-sxm", "--json"]),
        ("Masked", ["i64[N,S]", "mask=f32[N,S]"], ["--by", "node", "--csv"]),
    ],
)
def test_a_recalled_report_is_the_same_to_the_last_byte(
    model: str, specs: list[str], more: list[str], cache: Path
) -> None:
    monkeyed = [f"{MODELS}:{model}", *(word for spec in specs for word in ("-i", spec)), *more]
    first = run("report", *monkeyed)
    assert (first.code, first.err) == (0, "")
    assert len(entries(cache)) == 1
    second = anew("report", *monkeyed)
    assert (second.code, second.out, second.err) == (0, first.out, "")


def test_other_questions_of_the_same_capture_are_answered_too() -> None:
    asked = [f"{MODELS}:Twice", "-i", "N,8,H,W"]
    assert run("report", *asked).code == 0
    for words in (
        ["query", *asked, "macs"],
        ["report", *asked, "--accounting", "fused"],
        ["solve", *asked, "peak_memory <= 1MB", "--for", "H", "--tie", "W=H", "--at", "N=1"],
        ["explain", *asked, "head"],
    ):
        found = anew(*words)
        assert (found.code, found.err) == (0, ""), words
        assert found.out == run(*words, "--no-cache").out


def test_switches(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["query", f"{MODELS}:mlp", "-i", "N,8", "macs"]
    run(*asked, "--no-cache")
    assert entries(cache) == []
    monkeypatch.delenv("FXCOST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    run(*asked)
    assert entries(cache) == []
    run(*asked, "--cache")
    assert entries(cache) == ["fxcost"]


def test_a_recalled_cost_captures_where_that_is_needed(tmp_path: Path) -> None:
    first = fxcost.analyze(f"{MODELS}:Twice", "N,8,H,W")
    second = fxcost.analyze(f"{MODELS}:Twice", "N,8,H,W")
    assert "recall" in second.origin.seconds
    assert second.origin.program is None
    assert print_graph(second.graph, variants=second.variants) == print_graph(first.graph, variants=first.variants)
    assert second == first
    second.save(tmp_path / "a.pt2", at={"N": 1, "H": 16, "W": 16})
    assert fxcost.analyze(tmp_path / "a.pt2").macs(N=1, H=16, W=16) == first.macs(N=1, H=16, W=16)
    assert second.recapture({"N": 1, "H": 16, "W": 16}).macs(N=1, H=16, W=16) == first.macs(N=1, H=16, W=16)


def test_training_steps_are_kept_apart(cache: Path) -> None:
    forward = fxcost.analyze(f"{MODELS}:mlp", "N,8")
    step = fxcost.analyze(f"{MODELS}:mlp", "N,8", mode="training")
    assert len(entries(cache)) == 2
    again = fxcost.analyze(f"{MODELS}:mlp", "N,8", mode="training")
    assert "recall" in again.origin.seconds
    assert again.saved_activations == step.saved_activations
    assert forward.macs.value is not again.macs.value
    fxcost.analyze(f"{MODELS}:mlp", "N,8", mode="training", loss=lambda out: out.sum())
    assert len(entries(cache)) == 2, "a loss is code that has no name"


def test_live_objects_are_captured_as_ever(cache: Path) -> None:
    from torch import nn, zeros

    assert fxcost.analyze(nn.Linear(8, 4), "N,8").macs(N=3) == 3 * 32
    assert fxcost.analyze(f"{MODELS}:mlp", zeros(2, 8)).macs() == 2 * 192
    assert entries(cache) == []


# -- what makes an entry no answer -----------------------------------------------------------------------------------
def test_another_version_asks_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fxcost.analyze(f"{MODELS}:mlp", "N,8")
    for name in ("sources", "installed", "_settings"):
        monkeypatch.setattr(questions, name, lambda: "others")
        assert "recall" not in fxcost.analyze(f"{MODELS}:mlp", "N,8").origin.seconds
    assert len(entries(cache)) == 4


def test_a_setting_of_a_zoo_asks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    fxcost.analyze(f"{MODELS}:mlp", "N,8")
    monkeypatch.setenv("TIMM_FUSED_ATTN", "0")
    assert "recall" not in fxcost.analyze(f"{MODELS}:mlp", "N,8").origin.seconds


def test_an_edited_file_is_captured_anew(tmp_path: Path) -> None:
    for width in (4, 5):
        words = ["query", model_file(tmp_path, width=width), "-i", "N,8", "macs", "--at", "N=1"]
        os.utime(tmp_path / "mine.py", (1e9, 1e9))  # a time that says nothing
        first = run(*words)
        assert (first.code, first.err) == (0, "")
        assert str(8 * width) in first.out
        assert anew(*words).out == first.out


def test_what_a_file_imports_and_reads_belongs_to_it(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "part_of_mine.py").write_text("WIDTH = 4\n")
    (tmp_path / "depth.txt").write_text("2")
    (tmp_path / "deep.py").write_text(
        "from pathlib import Path\nfrom torch import nn\nfrom part_of_mine import WIDTH\n\ndef make():\n"
        "    depth = int((Path(__file__).parent / 'depth.txt').read_text())\n"
        "    return nn.Sequential(nn.Linear(8, WIDTH), *(nn.Linear(WIDTH, WIDTH) for _ in range(depth)))\n"
    )
    model = f"{tmp_path / 'deep.py'}:make"
    words = ["query", model, "-i", "N,8", "macs", "--at", "N=1"]
    first = run(*words)
    assert (first.err, "64" in first.out) == ("", True)  # 8*4 + 2*4*4
    assert anew(*words).out == first.out
    for name, text in (("part_of_mine.py", "WIDTH = 40\n"), ("depth.txt", "3")):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        changed = anew(*words)
        assert changed.code != 0, f"{name} has changed: torch is needed"
        (tmp_path / name).write_text(before)
    assert anew(*words).out == first.out


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ("import os\nos.environ.get('WIDTH')", "environ"),
        ("import sys\nsys.argv", "argv"),
        ("import subprocess\nsubprocess.run(['true'])", "starts a program"),
        (
            "import fxcost\n@fxcost.rule('mine.scan')\ndef scan(call):\n    '''None.'''\n    return fxcost.OpCost()",
            "registers a cost rule",
        ),
    ],
)
def test_what_cannot_be_known_is_said_and_not_kept(head: str, why: str, tmp_path: Path, cache: Path) -> None:
    found = run("query", model_file(tmp_path, head=head), "-i", "N,8", "macs")
    assert found.code == 0
    assert found.err.startswith("fxcost: cache: ")
    assert why in found.err
    assert entries(cache) == []


def test_a_module_loaded_before_may_have_changed_since(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_file(tmp_path, "loaded_before.py")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("loaded_before")
    cost = fxcost.analyze("loaded_before:make", "N,8")
    assert "loaded before" in " ".join(cost.origin.remarks)
    assert entries(cache) == []


# -- damage ----------------------------------------------------------------------------------------------------------
def test_a_damaged_entry_is_said_once_and_replaced(cache: Path) -> None:
    words = ["query", f"{MODELS}:mlp", "-i", "N,8", "macs"]
    first = run(*words)
    [name] = entries(cache)
    whole = (cache / name).read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole.replace(b"linear", b"lineal")):
        (cache / name).write_bytes(broken)
        again = run(*words)
        assert (again.code, again.out) == (0, first.out)
        assert again.err.count("\n") == 1
        assert "damaged" in again.err
        assert (cache / name).read_bytes() == whole
        assert anew(*words) == first


def test_a_folder_that_cannot_be_written_to_costs_a_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FXCOST_CACHE", "/dev/null/cache")
    found = run("query", f"{MODELS}:mlp", "-i", "N,8", "macs")
    assert found.code == 0
    assert "nothing can be written to /dev/null/cache" in found.err


# -- the command -------------------------------------------------------------------------------------------------------
def test_the_command_shows_and_clears(cache: Path) -> None:
    assert "0 graphs" in anew("cache").out
    run("query", f"{MODELS}:mlp", "-i", "N,8", "macs")
    shown = anew("cache")
    assert f"{MODELS}:mlp" in shown.out.replace("\n", "")
    assert "'N,8'" in shown.out
    assert '"most_bytes": 500000000' in anew("cache", "--json").out
    assert "1 entry removed" in anew("cache", "--clear").out
    assert entries(cache) == []
    assert folder_of(None) is not None
