"""Pictures of a report: bars by module and memory over the steps. What they draw is what the report counts."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.query.sampled import crossover_formulas, crossover_sizes
from fxcost.report.arrange import SORTS
from fxcost.report.curves import draw_comparison
from fxcost.report.live_memory import draw_memory
from fxcost.report.module_bars import PANELS, bars, draw_modules
from fxcost.report.pictures import figure, save, titled, written_out
from fxcost.report.roofline import roofline_picture
from tests.support.commands import DATA, Ran, run, shell

POINT = {"N": 1, "H": 224, "W": 224}


@pytest.fixture(scope="module")
def mobilenet() -> Cost:
    return fxcost.analyze(DATA / "mobilenet_v2.mlir")


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_bars_are_parts_of_the_whole(depth: int, mobilenet: Cost) -> None:
    for top in (None, 2):
        found = bars(replace(mobilenet.summary(POINT, depth=depth), top=top))
        for panel, metrics in SORTS.items():
            if panel in PANELS:
                whole = sum(mobilenet.total(metric).at(POINT) for metric in metrics)
                assert sum(bar.values[panel] for bar in found) == whole, panel
    assert len({bar.name for bar in found}) == len(found)


def test_too_many_bars_are_refused(mobilenet: Cost) -> None:
    with pytest.raises(SpecError, match=r"bars cannot be read: give a smaller --depth, or --top"):
        bars(replace(mobilenet.summary(POINT, depth=9), fold=False))


def test_bars_are_drawn_with_their_names_and_numbers(mobilenet: Cost, tmp_path: Path) -> None:
    path = tmp_path / "bars.svg"
    draw_modules(mobilenet.summary(POINT, depth=2), path)
    text = path.read_text()
    for label in (
        "features.12-13 x2",
        "45.4 M (15.1 %)",
        "MACs: 301 MMAC",
        "the network itself",
        "at N=1, H=224, W=224",
    ):
        assert label in text
    again = tmp_path / "again.svg"
    draw_modules(mobilenet.summary(POINT, depth=2), again)
    assert again.read_bytes() == path.read_bytes()


def test_memory_is_drawn_with_the_owner_of_the_peak(mobilenet: Cost, tmp_path: Path) -> None:
    path = tmp_path / "memory.svg"
    summary = mobilenet.summary(POINT)
    draw_memory(summary, path)
    assert "peak 9.63 MB at features.2.conv.0.1 (batch_norm_3)" in path.read_text()
    assert max(size for _, size in summary.live) == mobilenet.peak_memory.at(POINT)
    with pytest.raises(SpecError, match="needs a size for every symbol"):
        draw_memory(replace(summary, owner=None), tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


def test_the_report_draws_both(tmp_path: Path) -> None:
    modules, memory = tmp_path / "modules.png", tmp_path / "memory.pdf"
    ran = run("report", DATA / "tiny_llama.mlir", "--plot-modules", modules, "--plot-memory", memory)
    assert (ran.code, ran.err) == (0, "")
    assert modules.read_bytes().startswith(b"\x89PNG\r\n")
    assert memory.read_bytes().startswith(b"%PDF")
    ran = run("report", DATA / "tiny_llama.mlir", "--plot-modules", tmp_path / "modules.txt")
    assert ran == Ran(2, "", f"fxcost: cannot draw {tmp_path}/modules.txt: a picture ends in .png, .svg, .pdf\n")


def test_names_with_dollars_are_shown_as_they_are(tmp_path: Path) -> None:
    made, axes = figure(4, 3)
    axes.set_title("a$b_c$d\\alpha")
    axes.plot([1, 1000], [1, 1000], label="$x$")
    axes.set_xscale("log")
    axes.legend()
    save(made, tmp_path / "names.svg")
    text = (tmp_path / "names.svg").read_text()
    assert all(name in text for name in ("a$b_c$d\\alpha", "$x$"))
    assert text.count("<tspan") >= 4, "powers of ten are typeset: ten, and a raised number"


def test_names_of_any_length_and_any_characters(tmp_path: Path) -> None:
    name = "/a/path/of/many/folders" * 9 + "/日本語\x1b[31m.py:factory"
    made, axes = figure(4, 3)
    axes.set_title(titled(name))
    axes.set_ylabel("\x00 bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(made, tmp_path / "names.png")
        save(made, tmp_path / "names.svg")
    text = ElementTree.fromstring((tmp_path / "names.svg").read_bytes()).itertext()
    assert "\\x00 bytes" in "".join(text)
    assert len(titled(name)) <= 64
    assert titled("torchvision:mobilenet_v2") == "torchvision:mobilenet_v2"


def test_no_picture_has_a_box_for_a_character(mobilenet: Cost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the font cannot draw is written out, along axes and in legends, too; an SVG keeps the characters."""
    odd = "层\t\U0001f600"
    graph = mobilenet.graph
    nodes = [replace(n, module=n.module.replace("features", odd), name=f"{n.name}{odd}") for n in graph.nodes]
    cost = fxcost.analyze(replace(graph, name=f"model {odd}", nodes=tuple(nodes)))
    summary = cost.summary(POINT, targets=["t4"], depth=2)
    draw_modules(summary, tmp_path / "modules.svg")
    text = "".join(ElementTree.fromstring((tmp_path / "modules.svg").read_bytes()).itertext())
    assert "层" in text
    assert written_out("a…²×µ≥\n层\t") == "a…²×µ≥\n\\u5c42\\t"
    monkeypatch.setattr("fxcost.report.pictures._quiet", nullcontext)  # a missing glyph is an error here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_modules(summary, tmp_path / "modules.png")
        draw_memory(summary, tmp_path / "memory.png")
        roofline_picture(summary.model, summary.estimates["t4"], tmp_path / "roofline.png")
        draw_comparison(cost.compare(mobilenet, at={"N": 1}, tie={"W": "H"}), tmp_path / "comparison.pdf")


# -- crossovers ------------------------------------------------------------------------------------------------------
LAYER = "crossover DATA/resnet18.mlir --target t4 --node layer1.0.conv1"


def test_both_sides_of_a_crossover_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "sides.svg"
    ran = shell(f"{LAYER} --plot {path}")
    assert (ran.code, ran.err) == (0, "")
    assert "compute-bound for H >= 29" in ran.out
    text = path.read_text()
    # at H = 29 there are 8 x 8 positions: 2 x 576 x 64 x 64 operations on 8.1e12 a second
    assert f"H = 29: {2 * 576 * 64 * 64 / 8.1e12 * 1e9:.0f} ns" in text
    for label in (
        "layer1.0.conv1 on t4 (N=1, W=H)",
        "compute binds",
        "memory binds",
        "compute time: ",
        "memory time: ",
    ):
        assert label in text
    again = tmp_path / "again.svg"
    shell(f"{LAYER} --plot {again}")
    assert again.read_bytes() == path.read_bytes()


def test_what_is_drawn_of_a_crossover_is_what_it_answers(mobilenet: Cost) -> None:
    for found in mobilenet.crossovers("t4")[:40]:
        formulas, sizes = crossover_formulas(found), crossover_sizes(found, 4000)
        assert sizes[0] == 1
        assert sizes[-1] == 4000
        assert len(sizes) > 150
        for size in sizes:
            compute, memory = (formulas[side].at({found.wrt: size}) for side in ("compute", "memory"))
            if abs(compute - memory) > 1e-9 * max(compute, memory):
                assert found.binds(size) == ("compute" if compute > memory else "memory")


def test_each_node_gets_a_panel(tmp_path: Path) -> None:
    path = tmp_path / "panels.svg"
    assert shell(f"{LAYER} --node fc --target l4 --plot {path}").code == 0
    text = path.read_text()
    for title in ("layer1.0.conv1 on t4", "fc on t4", "layer1.0.conv1 on l4", "fc on l4"):
        assert title in text
    assert shell(f"crossover DATA/resnet18.mlir --target t4 --plot {path}").code == 0
    assert "the whole network on t4" in path.read_text()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (f"{LAYER} --plot sides.txt", "a picture ends in .png, .svg, .pdf"),
        (f"{LAYER} --plot no/such/sides.png", "there is no folder"),
        (f"{LAYER} --plot sides.png --pieces", "without --pieces"),
        (LAYER.replace("t4", "ethos-u55-256") + " --plot sides.png", "states no fp32 peak"),
        (LAYER + " --node conv1" * 6 + " --plot sides.png", "a picture of 7 answers cannot be read"),
    ],
)
def test_crossovers_that_cannot_be_drawn(
    line: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = shell(line)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert not list(tmp_path.iterdir())
