"""A plan of patches with what it says about the model: the answer, before anything can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from fxcost.ir.graph import Standing
from fxcost.ir.patches import PatchedStage
from fxcost.passes._patch_setting import Setting
from fxcost.passes._patch_tiles import stage_of
from fxcost.passes.patch import Plan, Traffic, lower_bound, traffic_of
from fxcost.passes.patch_order import Ordered


@dataclass(frozen=True)
class Stage:
    """Nodes `first` to `last`, both included, that run once for every patch of `rows` x `columns`.

    `up_to` is the module of the last one, `peak` the bytes alive at the highest moment, `macs` what all patches multiply;
    `cached` strips keep the rows that the strip below needs.
    """

    first: str
    last: str
    up_to: str
    rows: int
    columns: int
    cached: bool
    peak: int
    macs: int


@dataclass(frozen=True)
class PatchPlan:
    """A plan to run a model in patches at one point.

    peak         bytes at the highest moment, as the accounting of the cost counts
    macs         MACs of the whole run, halos computed twice included
    plain_peak, plain_macs   the same without patches
    frontier     (peak, MACs) of all plans that no other beats, fewest MACs first; `choices` are their stages
    bound        bytes that no order and no patches stay under: inputs, and calls that need whole maps
    order_bound  bytes that no order of these stages and of what is outside them stays under
    certificate  among which plans this one is the best, and what is left open
    order        nodes in the order that they run in, where it is not the traced one
    """

    peak: int
    macs: int
    plain_peak: int
    plain_macs: int
    stages: tuple[Stage, ...]
    frontier: tuple[tuple[int, int], ...]
    choices: tuple[tuple[Stage, ...], ...] = field(repr=False)
    bound: int
    order_bound: int
    certificate: str
    order: tuple[str, ...]
    standing: Standing
    point: Mapping[str, int]
    plan: Plan = field(repr=False, compare=False)
    setting: Setting = field(repr=False, compare=False)

    @property
    def overhead(self) -> float:
        """Share of MACs on top."""
        return self.macs / self.plain_macs - 1 if self.plain_macs else 0.0

    @property
    def gap(self) -> float:
        """How much lower the best plan of all could be at most, as a share of the peak."""
        return 1 - self.bound / self.peak if self.peak else 0.0

    @cached_property
    def traffic(self) -> Traffic:
        """Bytes moved: activations, and the weights of a stage once for every patch."""
        return traffic_of(self.setting, self.plan.stages)

    @cached_property
    def written(self) -> tuple[PatchedStage, ...]:
        """Every call of every patch, with its boxes."""
        return tuple(stage_of(self.setting, stage) for stage in self.plan.stages)


@dataclass(frozen=True)
class InRoom:
    """The simplest plan that keeps activations within a machine's memory; None where there is none."""

    level: str
    bytes: int
    found: PatchPlan | None


def patch_plan(found: Ordered, traced: Setting, frontier: Sequence[Plan], certificate: str) -> PatchPlan:
    """A plan with what it says about the model; `traced` is the setting of the traced order, in which the frontier is."""
    setting, plan = found.setting, found.plan
    names = tuple(node.name for node in setting.graph.nodes)
    bound = lower_bound(setting)
    moved = setting.graph is not traced.graph
    if plan.peak == bound:
        left = "no patches and no order need less"
    else:
        gap = f"{bound:,} bytes that no patches and no order stay under ({1 - bound / plan.peak:.1%} less)"
        order = "no order of these stages and the rest needs less"
        if plan.peak > found.lower:
            order = f"an order of these stages and the rest may need down to {found.lower:,} bytes"
        left = f"{order}; other patches may reach down to {gap}"
    reordered = "; what is outside the patches runs in another order than traced" * moved
    return PatchPlan(
        plan.peak,
        plan.macs,
        traced.peak,
        traced.total_macs,
        stages_of(setting, plan),
        tuple((each.peak, each.macs) for each in frontier),
        tuple(stages_of(traced, each) for each in frontier),
        bound,
        found.lower,
        f"{certificate}{reordered}; {left}",
        names if moved else (),
        setting.graph.standing,
        setting.point,
        plan,
        setting,
    )


def why_whole(setting: Setting) -> str:
    """What keeps patches from needing less than whole maps, in words."""
    position = max(range(setting.size), key=setting.alive.__getitem__, default=None)
    if position is None or setting.start >= setting.alive[position]:
        return "no patches need less: the inputs alone need as much"
    node, local = setting.graph.nodes[position], setting.local[position]
    why = f"cannot be cut: {local}" if isinstance(local, str) else "needs no less in any of these patches"
    return f"no patches need less: the peak stands at {node.name}, which {why}"


def stages_of(setting: Setting, plan: Plan) -> tuple[Stage, ...]:
    """The stages of a plan by name."""
    nodes = setting.graph.nodes
    return tuple(
        Stage(
            nodes[found.first].name,
            nodes[found.stop - 1].name,
            nodes[found.stop - 1].module,
            found.grid.rows,
            found.grid.columns,
            found.grid.cached,
            found.peak,
            found.macs,
        )
        for found in plan.stages
    )
