"""The roofline picture: what it shows is in the estimate, and it is written whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.report.roofline import COLOURS, bandwidths, peaks, points, roofline_picture
from fxcost.target import load_target
from tests.support.commands import DATA, run

AT = {"N": 1, "H": 224, "W": 224}


@pytest.fixture(scope="module")
def resnet() -> Cost:
    return fxcost.analyze(DATA / "resnet18.mlir")


def test_points_lie_on_or_under_the_roof(resnet: Cost) -> None:
    estimate = resnet.on("t4", at=AT)
    drawn, left_out = points(estimate.by_node())
    assert sum(point.seconds for point in drawn) + left_out == pytest.approx(estimate.roofline)
    for point in drawn:  # fp32 of a T4: 8.1e12 operations, 320e9 bytes a second
        assert point.rate <= min(8.1e12, point.intensity * 320e9) * (1 + 1e-9)
    assert [p.seconds for p in drawn] == sorted((p.seconds for p in drawn), reverse=True)
    # the first convolution: 118,013,952 MACs over 4 * (3 * 224**2 + 64 * 112**2 + 9408) bytes
    first = next(point for point in drawn if point.name == "conv2d")
    assert first.intensity == pytest.approx(2 * 118_013_952 / (4 * (150_528 + 802_816 + 9_408)))
    assert first.family == "conv"


def test_ceilings_are_those_that_the_ops_use(resnet: Cost) -> None:
    rows = resnet.on("mi300x", "fp16", AT).by_node()
    machine = load_target("mi300x")
    assert [c.label for c in peaks(machine, rows)] == ["fp16 1.31 P op/s", "fp32 163 T op/s"]
    assert [c.label for c in bandwidths(machine)] == ["infinity-cache 17.2 TB/s", "hbm3 5.3 TB/s"]
    assert [c.label for c in bandwidths(load_target("ethos-u55-256"))] == ["sram 4 GB/s", "flash 500 MB/s"]
    assert bandwidths(load_target("stm32h743")) == ()


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_picture_is_written(resnet: Cost, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"roofline.{ending}"
    roofline_picture("resnet18", resnet.on("t4", at=AT), path)
    assert list(tmp_path.iterdir()) == [path]
    raw = path.read_bytes()
    if ending == "png":
        assert raw.startswith(b"\x89PNG\r\n")
        return
    text = raw.decode()
    for label in ("operations per byte", "fp32 8.1 T op/s", "gddr6 320 GB/s", "resnet18 on t4 at N=1, H=224, W=224"):
        assert label in text
    assert re.search(r"conv \(20, [\d.]+ us\)", text), "families with their number of ops and their time"
    assert all(colour.lower() in text for colour in COLOURS[:5]), "five families, each in its own colour"
    roofline_picture("resnet18", resnet.on("t4", at=AT), path)
    assert path.read_bytes() == raw, "the same estimate gives the same bytes"


def test_points_above_the_lines_are_explained(resnet: Cost, tmp_path: Path) -> None:
    """Small weights stay in a T4's cache, which states no bandwidth: linear layers need little time for many bytes."""
    path, small = tmp_path / "roofline.svg", fxcost.analyze(DATA / "tiny_llama.mlir")
    estimate = small.on("t4", at=dict.fromkeys(small.symbols, 1))
    assert any(point.rate > 1.01 * point.intensity * 320e9 for point in points(estimate.by_node())[0])
    roofline_picture("llama", estimate, path)
    assert "above the lines: bytes on chip" in path.read_text()
    roofline_picture("resnet18", resnet.on("t4", at=AT), path)
    assert "above the lines" not in path.read_text()


def test_what_cannot_be_drawn_is_refused(resnet: Cost, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(SpecError, match="needs a size for every symbol"):
        roofline_picture("resnet18", resnet.on("t4"), path)
    with pytest.raises(SpecError, match=r"nothing to draw: no op has operations, bytes and a time on esp32-s3"):
        roofline_picture("resnet18", resnet.on("esp32-s3", at=AT), path)
    model = str(DATA / "resnet18.mlir")
    for line, said in (
        (["--plot", str(path)], "draws the roofline of one machine, found 0"),
        (["--target", "t4", "--target", "l4", "--plot", str(path)], "found 2"),
        (["--target", "t4", "--plot", str(tmp_path / "a.txt")], "a picture ends in .png, .svg"),
        (["--target", "t4", "--plot", str(tmp_path / "no" / "a.png")], "there is no folder"),
    ):
        ran = run("report", model, *line)
        assert (ran.code, ran.out) == (2, "")
        assert said in ran.err
    assert list(tmp_path.iterdir()) == []
    assert run("report", model, "--target", "t4", "--plot", str(path)).code == 0
    assert path.exists()
