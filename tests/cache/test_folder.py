"""The folder of a cache: what comes back, what is damaged, what is removed, and several processes at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.cache.folder import MOST_BYTES, Damaged, Entry, Folder, folder_of
from fxcost.cache.question import Question
from fxcost.cache.reads import digest
from fxcost.cache.samples import samples_data, samples_of
from fxcost.errors import SpecError
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.text_reader import read_graph
from fxcost.query.fitted import Axis, Sampled
from tests.support.commands import DATA

ENTRY = Entry("module {\n}\n", ("a warning",))


def question(name: str = "a") -> Question:
    return Question({"model": name, "specs": "()", "kwargs": "{}", "train": None})


def written(folder: Path, *names: str, most_bytes: int = MOST_BYTES) -> Folder:
    found = Folder(folder, most_bytes)
    for age, name in enumerate(names):
        found.write(question(name), ENTRY)
        os.utime(folder / f"{question(name).key}.mlir", (1e9 - age, 1e9 - age))
    return found


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = written(tmp_path / "new" / "folder", "a")
    assert folder.read(question("a")) == ENTRY
    assert folder.read(question("b")) is None
    assert Folder(tmp_path / "nowhere").read(question("a")) is None


def test_an_answer_holds_while_its_files_do(tmp_path: Path) -> None:
    source, names = tmp_path / "source.py", tmp_path / "names"
    source.write_text("one")
    names.mkdir()
    files = {str(path): digest(path) for path in (source, names, tmp_path / "absent")}
    folder = Folder(tmp_path / "cache")
    folder.write(question(), Entry("text", (), files))
    assert folder.read(question()) == Entry("text", (), files)
    for change, undo in (
        (lambda: source.write_text("two"), lambda: source.write_text("one")),
        (lambda: (names / "more").touch(), lambda: (names / "more").unlink()),
        (lambda: (tmp_path / "absent").touch(), lambda: (tmp_path / "absent").unlink()),
    ):
        change()
        assert folder.read(question()) is None
        undo()
        assert folder.read(question()) is not None
    source.unlink()
    assert folder.read(question()) is None


@given(st.data())
def test_any_damage_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = written(tmp_path_factory.mktemp("cache"), "a")
    [place] = folder.path.iterdir()
    whole = place.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        place.write_bytes(whole[:position])
    else:
        other = data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[position]))
        place.write_bytes(whole[:position] + bytes([other]) + whole[position + 1 :])
    with pytest.raises(Damaged, match=str(place)):
        folder.read(question("a"))
    [listed] = folder.entries()
    assert listed.asked == {}
    folder.write(question("a"), ENTRY)
    assert folder.read(question("a")) == ENTRY


def test_an_entry_under_another_name_is_no_answer(tmp_path: Path) -> None:
    folder = written(tmp_path, "a")
    (tmp_path / f"{question('a').key}.mlir").rename(tmp_path / f"{question('b').key}.mlir")
    with pytest.raises(Damaged, match="another question"):
        folder.read(question("b"))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    size = written(tmp_path / "one", "a").entries()[0].bytes
    folder = written(tmp_path / "many", "c", "b", "a", most_bytes=3 * size)  # a is the oldest
    assert [entry.asked["model"] for entry in folder.entries()] == ["c", "b", "a"]
    assert folder.read(question("a")) is not None, "it is the one used last, now"
    folder.write(question("d"), ENTRY)
    assert [entry.asked["model"] for entry in folder.entries()] == ["d", "a", "c"]


def test_an_entry_larger_than_the_room_is_not_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path, most_bytes=10)
    folder.write(question(), ENTRY)
    assert list(tmp_path.iterdir()) == []


def test_clearing_removes_entries_and_nothing_else(tmp_path: Path) -> None:
    folder = written(tmp_path, "a", "b")
    (tmp_path / "thesis.mlir").write_text("module {}")
    assert folder.clear() == 2
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.mlir"]
    assert Folder(tmp_path / "nowhere").clear() == 0


def test_what_a_process_left_half_written_is_removed_in_time(tmp_path: Path) -> None:
    old, fresh = (tmp_path / f".{question(name).key}.x.part" for name in ("old", "fresh"))
    old.touch()
    fresh.touch()
    os.utime(old, (1e9, 1e9))
    written(tmp_path, "a")
    assert not old.exists()
    assert fresh.exists()


WRITER = """
import sys
from tests.cache.test_folder import *
folder = Folder(Path(sys.argv[1]))
for turn in range(200):
    folder.write(question("a"), Entry("text " * turn, ("w",)))
    assert folder.read(question("a")).warnings == ("w",)
"""


def test_processes_write_the_same_entry_at_once(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
    assert [path.suffix for path in tmp_path.iterdir()] == [".mlir"]


def test_where_a_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    usual = Folder(tmp_path / "fxcost")
    for told, cache, expected in (
        ("", None, None),
        ("0", None, None),
        ("", False, None),
        ("1", False, None),
        ("", True, usual),
        ("0", True, usual),
        ("1", None, usual),
        ("/named", None, Folder(Path("/named"))),
        ("/named", True, Folder(Path("/named"))),
        ("/named", "/other", Folder(Path("/other"))),
        ("", Path("/other"), Folder(Path("/other"))),
    ):
        monkeypatch.setenv("FXCOST_CACHE", told)
        assert folder_of(cache) == expected, (told, cache)
    monkeypatch.delenv("FXCOST_CACHE")
    assert folder_of(None) is None


def test_room_is_an_amount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FXCOST_CACHE_SIZE", "1.5GB")
    assert folder_of(tmp_path) == Folder(tmp_path, 1_500_000_000)
    monkeypatch.setenv("FXCOST_CACHE_SIZE", "much")
    with pytest.raises(SpecError, match="FXCOST_CACHE_SIZE"):
        folder_of(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="is a file"):
        folder_of(tmp_path / "file")


def test_samples_come_back_equal() -> None:
    graph = read_graph(DATA / "resnet18.mlir")
    samples = Sampled((Axis("S", 2, (1, 2, 3)),), (graph, graph), (({"S": 8}, graph),), (SymbolInfo("S", 1, None, 2),))
    assert samples_of(json.loads(json.dumps(samples_data(samples))), "here") == samples
    with pytest.raises((KeyError, TypeError, ValueError)):
        samples_of({"axes": [["S"]]}, "here")
