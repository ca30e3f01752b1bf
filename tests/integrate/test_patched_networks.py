"""Drawn networks patch by patch: blocks as people build them, run and measured; narrow activations are replayed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import fxcost
from fxcost.passes._patch_setting import setting_of
from fxcost.passes._patch_sweep import Grid, Sweep
from fxcost.passes._patch_tiles import stage_of
from fxcost.passes.patch_check import check_patches
from tests.integrate.test_patched import all_stages, check, image, subject, whole_numbers

CHANNELS = 4
GRIDS = [Grid(2, 2), Grid(3, 3), Grid(2, 3), Grid(3), Grid(4, cached=True), Grid(7, cached=True)]
GRIDS += [Grid(2, 2, cached=True), Grid(4, 3, cached=True), Grid(1, 4, cached=True)]
BLOCKS = ("plain", "depthwise", "inverted", "squeeze", "dense", "fork", "pyramid", "pool", "padded", "mean")
DRAWN = st.tuples(
    st.sampled_from(BLOCKS),
    st.integers(1, 5),  # kernel
    st.integers(1, 3),  # stride
    st.integers(0, 3),  # padding in front
    st.integers(0, 3),  # padding behind, where the sides differ
    st.integers(1, 3),  # dilation
    st.booleans(),
)


class Block(nn.Module):
    """One block of four channels to four; `flag` is ceil_mode, a bias, or an in-place activation."""

    def __init__(
        self, kind: str, kernel: int, stride: int, before: int, behind: int, dilation: int, flag: bool
    ) -> None:
        super().__init__()
        self.kind, self.flag, self.pads = kind, flag, (before, behind, behind, before)
        c = CHANNELS
        same = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(c, c, kernel, stride, min(before, same), dilation, bias=flag)
        self.wise = nn.Conv2d(c, c, kernel, stride, same, dilation, groups=c, bias=False)
        self.expand, self.project = nn.Conv2d(c, 3 * c, 1), nn.Conv2d(3 * c, c, 1)
        self.deep = nn.Conv2d(3 * c, 3 * c, kernel, 1, same, dilation, groups=3 * c)
        self.less, self.more = nn.Conv2d(c, 2, 1), nn.Conv2d(2, c, 1)
        self.norm = nn.BatchNorm2d(c)
        self.max = nn.MaxPool2d(kernel, stride, min(before, kernel // 2), dilation, ceil_mode=flag)
        self.mean = nn.AvgPool2d(kernel, stride, min(before, kernel // 2), ceil_mode=flag, count_include_pad=behind > 1)

    def forward(self, x: Tensor) -> Any:
        """Sizes that do not fit together raise RuntimeError; such a block is left out."""
        match self.kind:
            case "plain":
                return self.norm(self.conv(x)).relu_() if self.flag else F.relu(self.norm(self.conv(x)))
            case "depthwise":
                return F.relu6(self.wise(x), inplace=self.flag)
            case "inverted":
                made = self.project(F.hardtanh(self.deep(self.expand(x)), 0.0, 6.0, inplace=self.flag))
                return made + x if made.shape == x.shape else made
            case "squeeze":  # a global pooling: no stage goes past it
                wide = self.wise(x)
                gate = torch.sigmoid(self.more(F.relu(self.less(wide.mean((2, 3), keepdim=True)))))
                return wide * gate
            case "dense":
                return (
                    torch.cat([self.wise(x), self.conv(x)], 1)[:, :CHANNELS]
                    if self.flag
                    else self.wise(x) + self.conv(x)
                )
            case "fork":  # two branches of several layers, one of them with a shortcut to its end
                left = F.relu(self.expand(x))
                right = self.deep(left)
                return self.project(right + left) + (x if self.flag else x * 2)
            case "pyramid":  # two resolutions that meet again
                return self.wise(F.max_pool2d(x, 2)) + F.max_pool2d(self.norm(x), 2)
            case "pool":
                return self.max(x)
            case "padded":
                return F.pad(self.wise(F.pad(x, self.pads)), (0, 1, 1, 0), value=2.0 if self.flag else 0.0)
        return self.mean(x)


class Network(nn.Module):
    """Blocks one after the other; what does not fit the map is left out."""

    def __init__(self, drawn: Sequence[Any], size: tuple[int, int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        x = torch.zeros(1, CHANNELS, *size)
        for each in drawn:
            block = Block(*each).eval()
            try:
                made = block(x)
            except RuntimeError:
                continue
            if min(made.shape[2:]) >= 4 and made.shape[1] == CHANNELS:
                self.blocks.append(block)
                x = made

    def forward(self, x: Tensor) -> Tensor:
        """The input stays the caller's."""
        for block in self.blocks:
            x = block(x)
        return x.clone()


def exactly(drawn: Sequence[Any]) -> bool:
    """Whether sums of integers stay integers: no averages, gates and norms that divide."""
    return all(kind not in {"mean", "squeeze", "plain", "pyramid"} for kind, *_ in drawn)


def run(drawn: Sequence[Any], size: tuple[int, int], batch: int, seed: int, count: int) -> None:
    """A few stages of a drawn network: predicted, replayed and measured alike, outputs as before."""
    torch.manual_seed(seed)
    model = whole_numbers(Network(drawn, size))
    x = image(batch, CHANNELS, *size)
    program, cost, setting = subject(model, x)
    chosen = random.Random(seed)
    found = all_stages(setting, chosen.sample(GRIDS, 3))
    for stage in chosen.sample(found, min(count, len(found))):
        check(program, cost, setting, [stage], x, exact=exactly(drawn))
    narrow = setting_of(cost.graph, replace(cost, options=replace(cost.options, activations="int8")).facts, {})
    for stage in chosen.sample(found, min(count, len(found))):
        [same] = [c for c in all_stages(narrow, [stage.grid]) if (c.first, c.stop) == (stage.first, stage.stop)]
        rest = [narrow.alive[k] for k in range(narrow.size) if not stage.first <= k < stage.stop]
        assert check_patches(narrow, [stage_of(narrow, same)]) == max([narrow.start, same.peak, *rest])


@settings(max_examples=5, deadline=None)
@given(
    st.lists(DRAWN, min_size=1, max_size=4),
    st.tuples(st.integers(9, 29), st.integers(9, 29)),
    st.integers(1, 2),
    st.integers(0, 999),
)
def test_drawn_networks(drawn: list[Any], size: tuple[int, int], batch: int, seed: int) -> None:
    run(drawn, size, batch, seed, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BLOCKS)
def test_every_kind_of_block(kind: str) -> None:
    for seed, (kernel, stride, dilation, flag) in enumerate(
        [(3, 1, 1, True), (3, 2, 1, False), (2, 1, 2, True), (5, 3, 1, False)]
    ):
        for batch in (1, 2):
            run(
                [(kind, kernel, stride, 1, 2, dilation, flag), ("plain", 3, 1, 1, 1, 1, True)], (23, 18), batch, seed, 3
            )


def test_kept_halos_where_taps_step_over_the_border() -> None:
    """With dilation the first patch may need less than what lies between its taps; the next one keeps to its halo."""
    x = image(1, CHANNELS, 23, 27)
    program, cost, setting = subject(whole_numbers(Network([("padded", 4, 3, 2, 3, 2, True)], (23, 27))), x)
    for grid in (Grid(4, cached=True), Grid(3, 4, cached=True)):
        [stage] = Sweep(setting, setting.size, grid).candidates({0})
        assert stage.macs == setting.total_macs  # nothing is computed twice
        check(program, cost, setting, [stage], x, exact=True)


def test_a_stage_ends_at_a_global_pooling() -> None:
    x = image(1, CHANNELS, 20, 20)
    _, cost, setting = subject(whole_numbers(Network([("squeeze", 3, 1, 1, 1, 1, True)], (20, 20))), x)
    names = [node.name for node in cost.graph.nodes]
    pooled = next(k for k, name in enumerate(names) if name.startswith("mean"))
    assert all(stage.stop <= pooled or stage.first > pooled for stage in all_stages(setting, GRIDS))
    assert any(stage.stop == pooled for stage in all_stages(setting, GRIDS))
    assert fxcost.measure_peak(cost.origin.program, (x,)).values == setting.peak
