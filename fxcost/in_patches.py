"""A model cut into patches: least memory for a budget of MACs, fewest MACs for one of memory. A base of `Cost`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxcost.errors import Infeasible, SpecError
from fxcost.formulas import Formulas

if TYPE_CHECKING:
    from fxcost.patching import Patches
    from fxcost.query.quantity import Quantity

OVERHEAD = 0.2
"""MACs on top that are allowed where nobody says."""


@dataclass(frozen=True)
class InPatches(Formulas):
    """Formulas, and what running patch by patch makes of the peak."""

    def patch(
        self,
        at: Mapping[str, int] | None = None,
        *,
        memory: int | None = None,
        overhead: float | None = None,
        grids: Sequence[tuple[int, int]] | None = None,
        cached: bool = True,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Patches:
        """Which stretches to run patch by patch at a point.

        With `memory`, the plan of fewest MACs within so many bytes; else the plan of least peak. `overhead` is the share
        of MACs allowed on top (0.2 where nothing is said, 1.0 with `memory`). `grids` are the patches to try, rows x
        columns; `cached` adds strips of rows that keep their halo instead of computing it twice. Raises SpecError where a
        size is missing or a grid cuts nothing, Infeasible where no plan keeps to the budgets.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes._patch_sweep import Grid
        from fxcost.passes.patch import CACHED, MOST_OVERHEAD, SQUARES, STRIPS, frontier
        from fxcost.passes.patch_plan import patch_plan
        from fxcost.patching import Patches

        if overhead is not None and overhead < 0:
            raise SpecError(f"overhead={overhead:g}: expected a share of MACs, zero or more")
        here, point = self._within(self._point(at or {}))
        setting = setting_of(here.graph, here.facts, point)
        chosen = [*SQUARES, *STRIPS] if grids is None else [Grid(rows, columns) for rows, columns in grids]
        if cached:
            chosen += CACHED if grids is None else [Grid(rows, cached=True) for rows, columns in grids if columns == 1]
        limit = overhead if overhead is not None else OVERHEAD if memory is None else MOST_OVERHEAD
        plans = frontier(setting, chosen, limit, progress)
        fitting = [plan for plan in plans if memory is None or plan.peak <= memory]
        if not fitting:
            raise Infeasible(
                f"no patches keep {self.graph.name} within {memory:,} bytes at up to {limit:.0%} more MACs: the least peak "
                f"found is {plans[-1].peak:,}"
            )
        plan = fitting[-1] if memory is None else fitting[0]
        certificate = (
            f"best of all plans in traced order with up to {limit:.0%} more MACs whose stages begin and end between "
            f"layers, over {len(chosen)} grids"
        )
        return Patches(**vars(patch_plan(setting, plan, plans, certificate)))

    def smallest_patches(self, memory: int, at: Mapping[str, int] | None = None) -> Patches:
        """One stage of p x p patches from the input on, as MCUNetV2 runs it, with the smallest p within so many bytes.

        Raises SpecError where a size is missing, Infeasible where no p up to 16 is enough.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes._patch_sweep import Grid
        from fxcost.passes.patch import Plan, one_stage, smallest_square
        from fxcost.passes.patch_plan import patch_plan
        from fxcost.patching import Patches

        here, point = self._within(self._point(at or {}))
        setting = setting_of(here.graph, here.facts, point)
        if setting.peak <= memory:
            plain = Plan(setting.peak, setting.total_macs, ())
            return Patches(**vars(patch_plan(setting, plain, (plain,), "it fits without patches")))
        found = smallest_square(setting, memory)
        if found is None:
            raise Infeasible(
                f"no single stage of p x p patches, p up to 16, keeps {self.graph.name} within {memory:,} bytes"
            )
        p = found.stages[0].grid.rows
        plans = tuple(one_stage(setting, Grid(p, p), memory))
        certificate = f"the smallest p for one stage of p x p patches: {p - 1} is not enough"
        return Patches(**vars(patch_plan(setting, found, plans, certificate)))

    def patches_within(self, memory: int, at: Mapping[str, int] | None = None) -> Patches:
        """The simplest patches within so many bytes: one stage of p x p with the smallest p, else the plan of fewest MACs.

        Raises SpecError where a size is missing, Infeasible where nothing is enough.
        """
        try:
            return self.smallest_patches(memory, at)
        except Infeasible:
            return self.patch(at, memory=memory)

    def patched_macs(self, up_to: str, rows: int, columns: int) -> Quantity:
        """MACs of the whole run with one stage of rows x columns patches up to a node or module, as a formula in the sizes.

        Halos computed twice are in it. Raises UnknownName for a name that there is not, SpecError where the stretch up
        to there cannot be cut, has more than one result, or its branches see a value at different strides.
        """
        from fxcost.ir.expr import as_expr, total
        from fxcost.ir.predicate import Compare
        from fxcost.passes.cost import Costs
        from fxcost.passes.patch_fields import stage_macs
        from fxcost.query.explain import find_nodes

        if min(rows, columns) < 1:
            raise SpecError(f"{rows} x {columns} patches: expected one row and one column at least")
        graph = self.graph
        inside = [k for k, node in enumerate(graph.nodes) if f"{node.module}.".startswith(f"{up_to}.")]
        named = [k for k, node in enumerate(graph.nodes) if node.name == up_to] or inside
        if not named:
            find_nodes(graph, up_to)  # says which names there are
        stop = max(named) + 1
        last = graph.nodes[stop - 1]
        staged = stage_macs(graph, self.facts, 0, stop, rows, columns)
        shape = graph.tensor(last.results[0].id).shape
        enough = (Compare(">=", size, as_expr(count)) for size, count in zip(shape[-2:], (rows, columns), strict=True))
        return replace(
            self.total("macs"),
            value=total([staged, *(row.macs for row in self.facts[Costs].rows[stop:])]),
            domain=(*graph.domain, *(each for each in enough if each.left.constant is None)),
            recapture=None,
        )
