"""Timelines: the blocks alive at each step add up to its bytes, and the highest step is the peak."""

from __future__ import annotations

from pathlib import Path

import pytest

import fxcost
from fxcost.passes.memory_plan_check import check_plan

DATA = Path(__file__).resolve().parent.parent / "data"


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("resnet18", {"N": 2, "H": 97, "W": 65}),
        ("mobilenet_v2", {"N": 1, "H": 64, "W": 64}),
        ("tiny_llama", {"N": 1, "S": 9}),
    ],
)
@pytest.mark.parametrize("inputs", ["freed", "held", "excluded"])
def test_blocks_alive_add_up_to_the_bytes_of_every_step(name: str, at: dict[str, int], inputs: str) -> None:
    cost = fxcost.analyze(DATA / f"{name}.mlir", inputs=inputs)
    found = cost.schedule(at)
    for line, peak in zip(found.timelines().values(), (found.traced_peak, found.peak), strict=True):
        for place, step in enumerate(line.steps):
            assert sum(life.bytes for life in line.alive(place)) == step.bytes, step.node
        assert line.peak == peak


def test_the_highest_step_is_the_owner_of_the_peak() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    at = {"N": 1, "H": 224, "W": 224}
    line = cost.schedule(at).timelines()["traced"]
    assert line.highest is not None
    owner = cost.peak_owner(**at)
    assert line.steps[line.highest].node == owner.node
    assert {(life.value, life.bytes) for life in line.alive(line.highest)} == set(owner.alive)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_a_schedule_is_packed_at_its_peak(name: str) -> None:
    """Offsets without a byte lost, as the checker of plans sees them."""
    found = fxcost.analyze(DATA / f"{name}.mlir").schedule({"N": 1, "H": 96, "W": 96})
    plan = found.plan()
    assert plan.optimal
    assert plan.height == found.peak
    assert check_plan(plan.buffers, plan.offsets) == (found.peak,)
