"""A plan of patches with what it says about the model: the answer, before anything can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fxcost.ir.graph import Standing
from fxcost.ir.patches import PatchedStage
from fxcost.passes._patch_setting import Setting
from fxcost.passes._patch_tiles import stage_of
from fxcost.passes.patch import Plan, Traffic, lower_bound, traffic_of


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
    frontier     (peak, MACs) of all plans that no other beats, fewest MACs first
    bound        bytes that no order and no patches stay under: inputs, and calls that need whole maps
    certificate  among which plans this one is the best
    """

    peak: int
    macs: int
    plain_peak: int
    plain_macs: int
    stages: tuple[Stage, ...]
    frontier: tuple[tuple[int, int], ...]
    bound: int
    certificate: str
    standing: Standing
    point: Mapping[str, int]
    plan: Plan = field(repr=False, compare=False)
    setting: Setting = field(repr=False, compare=False)

    @property
    def overhead(self) -> float:
        """Share of MACs on top."""
        return self.macs / self.plain_macs - 1 if self.plain_macs else 0.0

    @cached_property
    def traffic(self) -> Traffic:
        """Bytes moved: activations, and the weights of a stage once for every patch."""
        return traffic_of(self.setting, self.plan.stages)

    @cached_property
    def written(self) -> tuple[PatchedStage, ...]:
        """Every call of every patch, with its boxes."""
        return tuple(stage_of(self.setting, stage) for stage in self.plan.stages)


def patch_plan(setting: Setting, plan: Plan, frontier: tuple[Plan, ...], certificate: str) -> PatchPlan:
    """A plan with what it says about the model."""
    nodes = setting.graph.nodes
    stages = tuple(
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
    return PatchPlan(
        plan.peak,
        plan.macs,
        setting.peak,
        setting.total_macs,
        stages,
        tuple((each.peak, each.macs) for each in frontier),
        lower_bound(setting),
        certificate,
        setting.graph.standing,
        setting.point,
        plan,
        setting,
    )
