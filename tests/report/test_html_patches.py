"""Patches on a page follow its sizes: peaks and MACs by the page's own sweep are Python's, for any stages at any sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fxcost
from fxcost.cost import Cost
from fxcost.passes._patch_setting import Setting, cuts, setting_of
from fxcost.passes._patch_sweep import Candidate, Grid, Sweep
from fxcost.passes.patch import Plan, lower_bound
from fxcost.passes.patch_plan import stages_of
from fxcost.pipeline import Facts
from fxcost.report.html.document import Page
from tests.integrate.test_patched import Wide
from tests.support.commands import DATA
from tests.support.pages import Node, node

GRIDS = [Grid(2, 2), Grid(3), Grid(1, 2), Grid(4, cached=True), Grid(3, 2, cached=True)]


@pytest.fixture(scope="module")
def nodejs() -> Iterator[Node]:
    with node() as running:
        yield running


class Tangled(nn.Module):
    """Every kind of window: gaps, unequal paddings, averages, in-place writes, a concatenation, a gate, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 5, 2, 1, dilation=2)
        self.thin, self.wise = nn.Conv2d(6, 4, 1, stride=2), nn.Conv2d(6, 6, (3, 5), 1, "same", groups=6)
        self.join, self.norm = nn.Conv2d(12, 6, 3, 1, 1), nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Two maps, the second one of half the size."""
        stem = F.relu(self.norm(self.stem(F.pad(x, (0, 1, 1, 0)))), inplace=True)
        wise = self.wise(stem).sigmoid_()
        both = self.join(torch.cat([stem, wise], 1)) + stem
        pooled = F.avg_pool2d(both, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        small = F.max_pool2d(self.norm(both), 3, 2, 1, ceil_mode=True) + pooled
        return small * both.mean((2, 3), keepdim=True), self.thin(both)


@cache
def cost_of(name: str, accounting: str) -> Cost:
    if name == "tangled":
        return fxcost.analyze(Tangled().eval(), "N,3,H=24..,W=24..", accounting=accounting)
    return fxcost.analyze(DATA / f"{name}.mlir", accounting=accounting, activations="int8")


def some_plans(setting: Setting, rng: random.Random) -> list[tuple[Candidate, ...]]:
    """Plans of one stage, or of one behind another, of every grid."""
    places = list(cuts(setting))
    found: list[tuple[Candidate, ...]] = []
    for grid in GRIDS:
        stages = [s for stop in rng.sample(places[1:], 4) for s in Sweep(setting, stop, grid).candidates(set(places))]
        chosen = rng.sample(stages, min(3, len(stages)))
        found += [(stage,) for stage in chosen]
        found += [(one, other) for one in chosen for other in chosen if one.stop <= other.first][:1]
    return found


def page_with(cost: Cost, at: Mapping[str, int], plans: Sequence[tuple[Candidate, ...]]) -> Page:
    """A page whose plans are these, whether they are good or not."""
    setting = setting_of(cost.graph, cost.facts, at)
    choices = tuple(stages_of(setting, Plan(0, 0, stages)) for stages in plans)
    found = cost.patch(at, grids=[(2, 2)], cached=False)
    patches = replace(found, order=(), setting=setting, frontier=tuple((0, 0) for _ in plans), choices=choices)
    return cost.to_html(at=at, summary=replace(cost.summary(at), patches=patches))


def counted(setting: Setting, stages: Sequence[Candidate]) -> tuple[int, int] | None:
    """Peak and MACs of a plan at another point by the sweep; None where it cannot be cut there."""
    found = []
    for stage in stages:
        here = list(Sweep(setting, stage.stop, stage.grid).candidates({stage.first}))
        if not here:
            return None
        found += here
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    outside = [k for k in range(setting.size) if k not in inside]
    peak = max([setting.start, *(setting.alive[k] for k in outside), *(stage.peak for stage in found)])
    return peak, sum(setting.macs[k] for k in outside) + sum(stage.macs for stage in found)


@pytest.mark.parametrize("accounting", ["eager", "inplace", "fused"])
@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 64), ("tangled", 40)])
def test_peaks_follow_the_sizes(nodejs: Node, name: str, size: int, accounting: str) -> None:
    cost, rng = cost_of(name, accounting), random.Random(5)
    start = {"N": 1, "H": size, "W": size}
    plans = some_plans(setting_of(cost.graph, cost.facts, start), rng)
    ats = [start, *({"N": rng.randint(1, 3), "H": rng.randint(24, 150), "W": rng.randint(24, 150)} for _ in range(3))]
    ats.append({"N": 10**9, "H": 224, "W": 97})  # bytes past 2**53
    impossible = 0
    for at, answer in zip(ats, nodejs.at(page_with(cost, start, plans), ats, _chosen(accounting)), strict=True):
        setting, found = setting_of(cost.graph, cost.facts, at), answer["patches"]
        assert (int(found["plainPeak"]), int(found["plainMacs"])) == (setting.peak, setting.total_macs)
        assert int(found["bound"]) == lower_bound(setting)
        for stages, shown in zip(plans, found["plans"], strict=True):
            expected = counted(setting, stages)
            impossible += expected is None
            assert ("reason" in shown) == (expected is None)
            assert expected is None or (int(shown["peak"]), int(shown["macs"])) == expected, (at, stages)
    assert impossible < len(plans) * len(ats)


def test_a_plan_in_another_order_follows_too(nodejs: Node) -> None:
    cost = fxcost.analyze(Wide(inplace=True).eval(), "1,2,H=24..,W=24..")
    at = {"H": 48, "W": 48}
    found = cost.patch(at, grids=[(4, 4)], cached=False, overhead=0.3)
    assert found.order
    page = cost.to_html(at=at, summary=replace(cost.summary(at), patches=found))
    ats = [at, {"H": 57, "W": 101}, {"H": 24, "W": 300}]
    graph = found.setting.graph
    for point, answer in zip(ats, nodejs.at(page, ats), strict=True):
        expected = counted(setting_of(graph, Facts(graph, cost.options), point), found.plan.stages)
        assert (int(answer["patches"]["plans"][-1]["peak"]), int(answer["patches"]["plans"][-1]["macs"])) == expected
    first = nodejs.at(page, [at])[0]["patches"]["plans"][-1]
    assert (int(first["peak"]), int(first["macs"])) == (found.peak, found.macs)


def test_where_another_graph_runs_it_is_said(nodejs: Node) -> None:
    """Plans of a graph that was captured anew for their point are known at that point alone."""
    cost = cost_of("mobilenet_v2", "eager")
    at = {"N": 1, "H": 64, "W": 64}
    found = cost.patch(at, grids=[(2, 2)], cached=False)
    nodes = tuple(replace(node) for node in cost.graph.nodes)
    elsewhere = replace(found, setting=replace(found.setting, graph=replace(cost.graph, nodes=nodes)))
    page = cost.to_html(at=at, summary=replace(cost.summary(at), patches=elsewhere))
    [answer] = nodejs.at(page, [at])
    assert answer["patches"] == {"why": "another graph runs at these sizes"}


def _chosen(accounting: str) -> int:
    return ("eager", "inplace", "fused").index(accounting)
