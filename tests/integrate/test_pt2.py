"""Programs on disk: names of sizes, costs and order come back; damaged files say what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fxcost
from fxcost.capture.loaders import EXTRA_FILE
from fxcost.errors import FileError, ModelError

torch.set_num_threads(1)


class Branches(nn.Module):
    """Two branches, of which the traced order runs the wrong one first: 8 -> 64 -> 8 beside 8 -> 8."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.small = nn.Linear(8, 64), nn.Linear(64, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.wide(x)
        other = torch.cat([x, x, x, x], 1).relu()[:, :8]
        result: torch.Tensor = self.narrow(wide) + self.small(other)
        return result


@pytest.fixture(scope="module")
def cost() -> Any:
    return fxcost.analyze(Branches().eval(), "N=2..64,8")


def test_names_and_ranges_of_sizes_come_back(cost: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    cost.save(path)
    again = fxcost.analyze(str(path))
    assert {s.name: (s.min, s.max) for s in again.symbols.values()} == {"N": (2, 64)}
    for name, quantity in cost.quantities.items():
        assert again.total(name).value is quantity.value, name


def test_a_scheduled_program_is_in_its_best_order_on_disk(cost: Any, tmp_path: Path) -> None:
    found = cost.schedule({"N": 4})
    assert found.peak < found.traced_peak
    path = tmp_path / "ordered.pt2"
    cost.save(path, {"N": 4}, found)
    again = fxcost.analyze(str(path))
    assert again.peak_memory(N=4) == found.peak, "its traced order is the best one now"
    program = torch.export.load(path, extra_files=(extra := {EXTRA_FILE: ""}))
    stored = json.loads(extra[EXTRA_FILE])
    assert stored["schedule"]["order"] == list(found.names)
    assert stored["schedule"]["peak"] == found.peak
    assert stored["report"]["totals"]["macs"]["value"] == 4 * (8 * 64 + 64 * 8 + 8 * 8)
    assert [n.name for n in program.graph.nodes if n.name in found.names] == list(found.names)


def test_weights_of_the_program_given_are_kept_and_give_the_same_results(tmp_path: Path) -> None:
    x = torch.randn(4, 8)
    program = torch.export.export(Branches().eval(), (x,))
    cost = fxcost.analyze(program)
    path = tmp_path / "ordered.pt2"
    cost.save(path, {}, cost.schedule({}))
    assert torch.equal(torch.export.load(path).module()(x), program.module()(x))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "7",
        '{"schema": "other"}',
        '{"schema": "fxcost-pt2/1"}',
        '{"schema": "fxcost-pt2/1", "inputs": [7]}',
    ],
)
def test_damaged_extra_data_is_one_clear_error(cost: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "damaged.pt2"
    torch.export.save(cost.origin.program, path, extra_files={EXTRA_FILE: text or "\x00"})
    with pytest.raises(FileError, match=r"fxcost\.json is damaged"):
        fxcost.analyze(str(path))


@pytest.mark.parametrize("size", ["__import__('os').system('true')", "N+", "9" * 10_000, "(" * 10_000])
def test_hostile_sizes_are_parsed_and_never_run(cost: Any, tmp_path: Path, size: str) -> None:
    data = {
        "schema": "fxcost-pt2/1",
        "inputs": [{"dtype": "f32", "shape": [size, "8"]}],
        "report": {"symbols": {"N": {"min": 1, "max": None, "multiple_of": 1}}},
    }
    path = tmp_path / "hostile.pt2"
    torch.export.save(cost.origin.program, path, extra_files={EXTRA_FILE: json.dumps(data)})
    with pytest.raises(FileError, match=r"fxcost\.json"):
        fxcost.analyze(str(path))


def test_a_graph_without_a_program_cannot_be_written(tmp_path: Path) -> None:
    cost = fxcost.analyze(Path(__file__).resolve().parent.parent / "data" / "resnet18.mlir")
    with pytest.raises(ModelError, match="read from text"):
        cost.save(tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


class Same(nn.Module):
    """Padding as TensorFlow has it: as many outputs as the input has pairs of rows, an odd one included."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        more = [max((math.ceil(size / 2) - 1) * 2 + 3 - size, 0) for size in (width, height)]
        result: torch.Tensor = self.conv(nn.functional.pad(x, [p for m in more for p in (m // 2, m - m // 2)]))
        return result


def test_rounded_quotients_of_sizes_are_written(tmp_path: Path) -> None:
    """torch.export.save has no word for math.ceil; the program that comes back runs at odd and even sizes."""
    model = Same().eval()
    sizes = torch.export.Dim.AUTO
    program = torch.export.export(model, (torch.zeros(2, 3, 33, 40),), dynamic_shapes=({0: sizes, 2: sizes, 3: sizes},))
    path = tmp_path / "same.pt2"
    fxcost.analyze(program, "N,3,H,W").save(path)
    found = torch.export.load(path)
    for shape in ((2, 3, 35, 41), (3, 3, 36, 64), (5, 3, 57, 58)):
        x = torch.randn(*shape)
        assert torch.equal(found.module()(x), model(x))
