"""Pictures of a report: bars by module and memory over the steps. What they draw is what the report counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.report.arrange import SORTS
from fxcost.report.live_memory import draw_memory
from fxcost.report.module_bars import PANELS, bars, draw_modules
from tests.support.commands import DATA, Ran, run

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
