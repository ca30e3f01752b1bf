"""Programs that run patch by patch: halos by gradients, outputs as before, bytes as predicted and as replayed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import fxcost
from fxcost.cost import Cost
from fxcost.errors import ModelError
from fxcost.integrate.patched import patched
from fxcost.passes._patch_setting import Setting, cuts, setting_of
from fxcost.passes._patch_sweep import Candidate, Grid, Sweep
from fxcost.passes._patch_tiles import stage_of
from fxcost.passes.patch import frontier
from fxcost.passes.patch_check import check_patches
from tests.support.reordered import exported

GRIDS = [Grid(2, 2), Grid(3, 2), Grid(1, 3), Grid(4), Grid(2, cached=True), Grid(5, cached=True)]
GRIDS += [Grid(2, 2, cached=True), Grid(3, 4, cached=True), Grid(1, 3, cached=True)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def whole_numbers(model: nn.Module) -> nn.Module:
    """The model in float64 with small integers for weights: sums are exact, whatever their order."""
    for parameter in model.parameters():
        parameter.data = torch.randint(-3, 4, parameter.shape).double()
    return model.double().eval()


def image(*shape: int) -> Tensor:
    """An input of small integers."""
    return torch.randint(-5, 6, shape).double()


def subject(model: nn.Module, x: Tensor) -> tuple[Any, Cost, Setting]:
    """A program, its cost, and the setting of its patches; without patches the peak is the measured one."""
    program = exported(model, x)
    cost = fxcost.analyze(program, check=False)
    setting = setting_of(cost.graph, cost.facts, {})
    assert setting.peak == fxcost.measure_peak(program, (x,)).values
    return program, cost, setting


def all_stages(setting: Setting, grids: Sequence[Grid]) -> list[Candidate]:
    """Every stage between two cuts."""
    places = set(cuts(setting))
    return [c for g in grids for stop in places - {0} for c in Sweep(setting, stop, g).candidates(places)]


def check(program: Any, cost: Cost, setting: Setting, stages: Sequence[Candidate], x: Tensor, *, exact: bool) -> None:
    """Prediction, replay and real run agree byte for byte; the outputs are those of the program as it was."""
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    outside = [setting.alive[k] for k in range(setting.size) if k not in inside]
    predicted = max([setting.start, *outside, *(stage.peak for stage in stages)])
    written = [stage_of(setting, stage) for stage in stages]
    assert check_patches(setting, written) == predicted
    module = patched(program, [node.name for node in cost.graph.nodes], written, [tuple(x.shape)])
    assert fxcost.measure_peak(module, (x,)).values == predicted
    with torch.no_grad():
        before, after = program.module()(x.clone()), module(x.clone())
    assert before.shape == after.shape
    if exact:
        assert torch.equal(before, after)
    else:
        torch.testing.assert_close(after, before, rtol=1e-11, atol=1e-9)


class Branches(nn.Module):
    """A residual, a concatenation, a gate over the whole map and two resolutions that are read later."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.down, self.side = nn.Conv2d(8, 4, 3, padding=1, stride=2), nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """From a map to one of half its size."""
        stem = self.norm(self.stem(x)).relu_()
        inner = self.first(stem) + stem
        down = self.down(torch.cat([inner, self.side(stem)], 1))
        pooled = F.max_pool2d(inner, 2)
        gated: Tensor = down * torch.sigmoid(down.mean((2, 3), keepdim=True)) + pooled
        return gated.add_(1)


def test_every_stage_of_a_graph_with_branches() -> None:
    x = image(1, 2, 16, 18)
    program, cost, setting = subject(whole_numbers(Branches()), x)
    found = all_stages(setting, GRIDS[:1] + GRIDS[3:5])
    assert any(len(stage.outputs) == 2 for stage in found)
    for stage in random.Random(0).sample(found, 9):
        check(program, cost, setting, [stage], x, exact=False)


WINDOWS = st.tuples(
    st.sampled_from(["conv", "conv", "same", "max", "average", "pad", "relu", "relu_", "residual", "branch"]),
    st.integers(1, 4),  # kernel
    st.integers(1, 3),  # stride
    st.integers(0, 2),  # padding
    st.integers(1, 2),  # dilation
    st.booleans(),
)


class Drawn(nn.Module):
    """Windows one after the other; what does not fit the map is left out."""

    def __init__(self, steps: Sequence[tuple[str, int, int, int, int, bool]], size: tuple[int, int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.joins: list[str] = []
        x = torch.zeros(1, 2, *size)
        for kind, kernel, stride, padding, dilation, flag in steps:
            layer = self.layer(kind, kernel, stride, padding, dilation, flag)
            try:
                made = layer(x)
            except RuntimeError:
                continue
            if min(made.shape[2:]) < 5:
                continue
            if kind == "branch":
                made = torch.cat([made, x], 1)[:, :2] if made.shape[2:] == x.shape[2:] else made
            self.layers.append(layer)
            self.joins.append(kind)
            x = made

    def layer(self, kind: str, kernel: int, stride: int, padding: int, dilation: int, flag: bool) -> nn.Module:
        """The module of a step."""
        narrow = min(padding, kernel // 2)
        makers: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(2, 2, kernel, stride, padding, dilation, bias=flag),
            "same": lambda: nn.Conv2d(2, 2, kernel, 1, "same", dilation),
            "max": lambda: nn.MaxPool2d(kernel, stride, narrow, dilation, ceil_mode=flag),
            "average": lambda: nn.AvgPool2d(kernel, stride, narrow, ceil_mode=flag, count_include_pad=dilation == 1),
            "pad": lambda: nn.ZeroPad2d((padding, 0, stride - 1, 1)),
            "relu": nn.ReLU,
            "relu_": lambda: nn.ReLU(inplace=True),
            "residual": lambda: nn.Conv2d(2, 2, 3, 1, 1),
            "branch": lambda: nn.Conv2d(2, 2, 3, 1, dilation, dilation),
        }
        return makers[kind]()

    def forward(self, x: Tensor) -> Tensor:
        """Residuals add what they read, branches are joined with it."""
        x = x * 1
        for kind, layer in zip(self.joins, self.layers, strict=True):
            made = layer(x)
            if kind == "residual":
                x = made + x
            elif kind == "branch":
                x = torch.maximum(F.relu(made), x)
            else:
                x = made
        return x * 1


@settings(max_examples=8, deadline=None)
@given(
    st.lists(WINDOWS, min_size=2, max_size=7),
    st.tuples(st.integers(11, 31), st.integers(11, 31)),
    st.integers(1, 2),
    st.integers(0, 999),
)
def test_drawn_programs(steps: list[Any], size: tuple[int, int], batch: int, seed: int) -> None:
    """Any stage of a drawn program: halos hold what is needed, outputs are equal, peaks are measured."""
    torch.manual_seed(seed)
    model = whole_numbers(Drawn(steps, size))
    x = image(batch, 2, *size)
    program, cost, setting = subject(model, x)
    found = all_stages(setting, GRIDS)
    averages = any(kind == "average" for kind, *_ in steps)
    for stage in random.Random(seed).sample(found, min(4, len(found))):
        check(program, cost, setting, [stage], x, exact=not averages)


@settings(max_examples=10, deadline=None)
@given(st.lists(WINDOWS.filter(lambda w: w[0] in {"conv", "same", "pad"}), min_size=1, max_size=5), st.integers(14, 40))
def test_halos_are_what_gradients_reach(steps: list[Any], size: int) -> None:
    """The rows and columns of the input that a patch's results depend on, found by the gradient of their sum.

    A tile is a rectangle without gaps: where windows step over rows (stride beyond the kernel, dilation) it may hold more.
    """
    dense = all(kind == "pad" or (dilation == 1 and stride <= kernel) for kind, kernel, stride, _, dilation, _ in steps)
    model = Drawn(steps, (size, size + 3)).double().eval()
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
    x = torch.ones(1, 2, size, size + 3, dtype=torch.double)
    _, cost, setting = subject(model, x)
    stage = next(iter(Sweep(setting, setting.size, Grid(3, 2)).candidates({0})), None)
    if stage is None:
        return
    written = stage_of(setting, stage)
    first = cost.graph.inputs[0].id
    for patch in written.patches:
        moving = x.clone().requires_grad_()
        box = patch.stores[0].box
        model(moving)[..., slice(*box.rows), slice(*box.columns)].sum().backward()
        assert moving.grad is not None
        reached = moving.grad.sum((0, 1)).numpy() > 0
        rows, columns = np.flatnonzero(reached.any(1)), np.flatnonzero(reached.any(0))
        [read] = [r.box for call in patch.calls for r in call.reads if r.value == first and r.box]
        exact = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
        if dense:
            assert (read.rows, read.columns) == exact
        for (low, high), (least, most) in zip((read.rows, read.columns), exact, strict=True):
            assert low <= least
            assert most <= high


def test_a_plan_of_several_stages_runs_at_its_peak() -> None:
    layers = [nn.Conv2d(2, 16, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(16, 4, 3, 2, 1), nn.BatchNorm2d(4)]
    layers += [nn.Conv2d(4, 24, 1), nn.ReLU6(inplace=True), nn.Conv2d(24, 24, 3, 2, 1, groups=24), nn.Conv2d(24, 6, 1)]
    x = image(1, 2, 40, 44)
    program, cost, setting = subject(whole_numbers(nn.Sequential(*layers)), x)
    plans = frontier(setting, GRIDS)
    assert plans[-1].peak < setting.peak / 2
    assert any(len(plan.stages) > 1 for plan in plans)
    for plan in plans:
        check(program, cost, setting, plan.stages, x, exact=False)


class Wide(nn.Module):
    """A stem that patches make small, then three branches that widen: one after the other, or all of them first."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv2d(2, 12, 3, 1, 1), nn.Conv2d(12, 2, 3, 2, 1)
        self.widen = nn.ModuleList(nn.Conv2d(2, 10, 3, 1, 1) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Conv2d(10, 1, 3, 1, 1) for _ in range(3))
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """As people write it: what is wide is made first."""
        x = self.down(F.relu(self.stem(x), inplace=self.inplace))
        wide = [layer(x) for layer in self.widen]
        return torch.cat([layer(each) for layer, each in zip(self.narrow, wide, strict=True)], 1)


@pytest.mark.parametrize("inplace", [False, True])
def test_what_is_outside_the_patches_runs_in_its_best_order(inplace: bool) -> None:
    x = image(1, 2, 48, 48)
    program = exported(whole_numbers(Wide(inplace)), x)
    cost = fxcost.analyze(program, check=False)
    traced = frontier(setting_of(cost.graph, cost.facts, {}), [Grid(4, 4)], overhead=0.3)
    found = cost.patch(grids=[(4, 4)], cached=False, overhead=0.3)
    assert found.order
    assert found.peak < min(plan.peak for plan in traced if plan.macs <= found.macs) < found.plain_peak
    assert found.peak <= traced[-1].peak
    assert found.peak < cost.schedule({}).peak
    assert found.bound <= found.order_bound <= found.peak
    assert "another order than traced" in found.certificate
    module = found.apply(program)
    assert fxcost.measure_peak(module, (x,)).values == found.peak
    with torch.no_grad():
        assert torch.equal(program.module()(x), module(x))
    fewest = cost.patch(grids=[(4, 4)], cached=False, memory=found.peak)
    assert fewest.peak <= found.peak
    assert fewest.macs <= found.macs


def test_another_size_is_refused() -> None:
    x = image(1, 2, 20, 20)
    program, cost, setting = subject(whole_numbers(nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 3))), x)
    stage = next(iter(all_stages(setting, [Grid(2, 2)])))
    module = patched(program, [n.name for n in cost.graph.nodes], [stage_of(setting, stage)], [(1, 2, 20, 20)])
    with pytest.raises(ModelError, match="these patches are for an input of"):
        module(image(1, 2, 24, 20))
    with pytest.raises(ModelError, match="not the one that was analysed"):
        patched(program, ["elsewhere"], [], [(1, 2, 20, 20)])
