"""Patches under `inplace` and `fused`: a runtime that overwrites and fuses needs just the bytes predicted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import fxcost
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from fxcost.passes._patch_setting import Setting, setting_of
from fxcost.passes._patch_sweep import Candidate, Grid
from fxcost.passes._patch_tiles import stage_of
from fxcost.passes.patch import frontier
from tests.integrate.test_patched import Branches, all_stages, image, whole_numbers
from tests.integrate.test_patched_networks import CHANNELS, DRAWN, Network
from tests.support.overwriting import Runtime
from tests.support.reordered import exported

ACCOUNTINGS = ("inplace", "fused")
GRIDS = [Grid(2, 2), Grid(3, 2), Grid(1, 3), Grid(4)]
KEPT = [Grid(3, cached=True), Grid(2, 3, cached=True)]


def subject(program: Any, accounting: str) -> tuple[Cost, Setting]:
    cost = fxcost.analyze(program, check=False, accounting=accounting)
    return cost, setting_of(cost.graph, cost.facts, {})


def check(program: Any, setting: Setting, stages: Sequence[Candidate], x: Tensor, accounting: str) -> None:
    """The bytes held at the peak are those predicted; what comes out is what the program makes."""
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    outside = [setting.alive[k] for k in range(setting.size) if k not in inside]
    predicted = max([setting.start, *outside, *(stage.peak for stage in stages)])
    module = program.module()
    for node in [node for node in module.graph.nodes if node.op == "call_module"]:  # guards of the export
        module.graph.erase_node(node)
    runtime = Runtime(module, accounting, keeping=frozenset(s.first for s in stages if s.grid.cached))
    assert runtime.names == [node.name for node in setting.graph.nodes]
    with torch.no_grad():
        made = runtime.run({setting.graph.inputs[0].id: x}, [stage_of(setting, stage) for stage in stages])
        before = torch.utils._pytree.tree_leaves(program.module()(x.clone()))
    for one, other in zip(made, before, strict=True):
        narrow = x.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-5 if narrow else 1e-11, atol=1e-5 if narrow else 1e-9)
    assert runtime.peak == predicted


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_whole_maps_and_branches(accounting: str) -> None:
    torch.manual_seed(0)
    x = image(1, 2, 16, 18)
    program = exported(whole_numbers(Branches()), x)
    _, setting = subject(program, accounting)
    check(program, setting, [], x, accounting)
    for stage in random.Random(0).sample(all_stages(setting, GRIDS + KEPT), 16):
        check(program, setting, [stage], x, accounting)


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
@settings(max_examples=8, deadline=None)
@given(
    drawn=st.lists(DRAWN, min_size=1, max_size=4),
    size=st.tuples(st.integers(9, 27), st.integers(9, 27)),
    seed=st.integers(0, 999),
)
def test_drawn_networks(accounting: str, drawn: list[Any], size: tuple[int, int], seed: int) -> None:
    torch.manual_seed(seed)
    x = image(1, CHANNELS, *size)
    program = exported(whole_numbers(Network(drawn, size)), x)
    _, setting = subject(program, accounting)
    check(program, setting, [], x, accounting)
    found = all_stages(setting, GRIDS + KEPT)
    for stage in random.Random(seed).sample(found, min(4, len(found))):
        check(program, setting, [stage], x, accounting)


@pytest.mark.slow
@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_plans_of_mobilenet(accounting: str) -> None:
    """Plans of several stages, odd sizes."""
    torch.manual_seed(0)
    prepare_torchvision()
    torchvision = pytest.importorskip("torchvision")
    x = torch.randn(1, 3, 65, 51)
    program = exported(torchvision.models.mobilenet_v2(weights=None).eval(), x)
    _, setting = subject(program, accounting)
    plans = frontier(setting, [Grid(2, 2), Grid(3), Grid(4, 2, cached=True)], overhead=0.5)
    assert max(len(plan.stages) for plan in plans) > 1
    for plan in plans[:: max(1, len(plans) // 4)]:
        check(program, setting, plan.stages, x, accounting)
