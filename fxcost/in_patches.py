"""A model cut into patches: least memory for a budget of MACs, fewest MACs for one of memory. A base of `Cost`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxcost.errors import Infeasible, SpecError
from fxcost.formulas import Formulas

if TYPE_CHECKING:
    from fxcost.passes._patch_setting import Setting
    from fxcost.passes.patch_fields import Field
    from fxcost.passes.patch_plan import InRoom
    from fxcost.patching import Patches
    from fxcost.query.patch_peak import PatchedPeak
    from fxcost.query.quantity import Constraint, Quantity
    from fxcost.query.solve import Solution
    from fxcost.report.summary import Summary

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

        With `memory`, the plan of fewest MACs within so many bytes; else the plan of least peak; what is outside its
        stages runs in the best order found where that needs less than the traced one. `overhead` is the share
        of MACs allowed on top (0.2 where nothing is said, 1.0 with `memory`). `grids` are the patches to try, rows x
        columns; `cached` adds patches that keep their halos instead of computing them twice. Raises SpecError where a
        size is missing or a grid cuts nothing, Infeasible where no plan keeps to the budgets.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes._patch_sweep import Grid
        from fxcost.passes.patch import CACHED, MOST_OVERHEAD, SQUARES, STRIPS, frontier
        from fxcost.passes.patch_order import best_in_order
        from fxcost.passes.patch_plan import patch_plan, why_whole
        from fxcost.patching import Patches

        if overhead is not None and overhead < 0:
            raise SpecError(f"overhead={overhead:g}: expected a share of MACs, zero or more")
        here, point = self._within(self._point(at or {}))
        setting = setting_of(here.graph, here.facts, point)
        chosen = [*SQUARES, *STRIPS] if grids is None else [Grid(rows, columns) for rows, columns in grids]
        if cached:
            chosen += CACHED if grids is None else [Grid(rows, columns, cached=True) for rows, columns in grids]
        limit = overhead if overhead is not None else OVERHEAD if memory is None else MOST_OVERHEAD
        plans = frontier(setting, chosen, limit, progress)
        progress("the order of what is outside the patches")
        found = best_in_order(setting, here.facts, plans, memory)
        if found is None:
            raise Infeasible(
                f"no patches keep {self.graph.name} within {memory:,} bytes at up to {limit:.0%} more MACs: the least peak "
                f"found is {plans[-1].peak:,}"
            )
        certificate = (
            f"best of all plans in traced order with up to {limit:.0%} more MACs whose stages begin and end between "
            f"layers, over {len(chosen)} grids"
        )
        if memory is None and not found.plan.stages:
            certificate = f"{why_whole(found.setting)}; {certificate}"
        return Patches(**vars(patch_plan(found, setting, plans, certificate)))

    def smallest_patches(self, memory: int, at: Mapping[str, int] | None = None) -> Patches:
        """One stage of p x p patches from the input on, as MCUNetV2 runs it, with the smallest p within so many bytes.

        Raises SpecError where a size is missing, Infeasible where no p up to 16 is enough.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes._patch_sweep import Grid
        from fxcost.passes.patch import Plan, least_stage, one_stage, smallest_square
        from fxcost.passes.patch_order import in_best_order
        from fxcost.passes.patch_plan import patch_plan
        from fxcost.patching import Patches

        here, point = self._within(self._point(at or {}))
        setting = setting_of(here.graph, here.facts, point)
        if setting.peak <= memory:
            plain = Plan(setting.peak, setting.total_macs, ())
            ordered = in_best_order(setting, here.facts, plain)
            return Patches(**vars(patch_plan(ordered, setting, (plain,), "it fits without patches")))
        found = smallest_square(setting, memory)
        if found is None:
            raise Infeasible(
                f"no single stage of p x p patches, p up to 16, keeps {self.graph.name} within {memory:,} bytes"
            )
        p = found.stages[0].grid.rows
        plans = tuple(one_stage(setting, Grid(p, p), memory))
        below = least_stage(setting, Grid(p - 1, p - 1)) if p > 2 else Plan(setting.peak, setting.total_macs, ())
        needs = "cuts nothing" if below is None else f"needs {below.peak:,} bytes at least"
        certificate = f"the smallest p for one stage of p x p patches: p = {p - 1} {needs}"
        return Patches(**vars(patch_plan(in_best_order(setting, here.facts, found), setting, plans, certificate)))

    def solve_in_patches(
        self,
        constraint: Constraint,
        wrt: str,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        *,
        patches: int | None = None,
        overhead: float | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Solution:
        """Solve `peak_memory <= bytes` with one stage in patches: for `p`, the patches a side, or for a size.

        For a size, up to `patches` x `patches` are allowed; `overhead` is the largest share of MACs on top. Raises
        SpecError where the constraint is another one, a size is missing, or too many sizes would have to be tried.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes.patch import MOST_SQUARE, bound_formula
        from fxcost.query.crossover import point_at
        from fxcost.query.patch_solve import SQUARE, largest_in_patches, smallest_p
        from fxcost.query.solve import solve, substitution

        limit, strict = constraint.bound.value.constant, constraint.op == "<"
        if constraint.quantity.name != "peak_memory" or constraint.op not in {"<=", "<"} or limit is None:
            raise SpecError(f"{constraint}: patches answer peak_memory <= BYTES, a number")
        if overhead is not None and overhead < 0:
            raise SpecError(f"overhead={overhead:g}: expected a share of MACs, zero or more")
        memory = limit - strict
        if wrt == SQUARE:
            if patches is not None or tie:
                raise SpecError(
                    "the number of patches is what is asked for: give all sizes, and neither patches nor ties"
                )
            here, point = self._within(self._point(at or {}))
            return smallest_p(setting_of(here.graph, here.facts, point), memory, overhead)
        if patches is None or not 2 <= patches <= MOST_SQUARE:
            raise SpecError(f"patches={patches}: expected a number from 2 to {MOST_SQUARE}, for p x p patches")
        known = {s.name: s for s in self._sizes}
        plain = solve([self.peak_memory <= memory], wrt, self._sizes, at, tie)
        others = substitution(known, wrt, at or {}, tie or {})
        least = replace(
            self.peak_memory,
            name="what no patches stay under",
            value=bound_formula(self.graph, self.facts),
            recapture=None,
        )
        bound = solve([least <= memory], wrt, self._sizes, at, tie)

        def setting_at(size: int) -> Setting:
            here, point = self._within(point_at(wrt, size, others))
            return setting_of(here.graph, here.facts, point)

        return largest_in_patches(known[wrt], setting_at, memory, patches, overhead, plain, bound, progress)

    def patches_within(self, memory: int, at: Mapping[str, int] | None = None) -> Patches:
        """The simplest patches within so many bytes: one stage of p x p with the smallest p, else the plan of fewest MACs.

        Raises SpecError where a size is missing, Infeasible where nothing is enough.
        """
        try:
            return self.smallest_patches(memory, at)
        except Infeasible:
            return self.patch(at, memory=memory)

    def in_patches(self, summary: Summary, progress: Callable[[str], None] = lambda _: None) -> Summary:
        """A report's summary with what patches make of the peak there, and with which patches activations fit machines.

        Raises SpecError where the summary has no point.
        """
        from fxcost.query.fit import room_for_activations

        if summary.point is None:
            raise SpecError(f"patches are cut at a point: give a size for {', '.join(s.name for s in summary.symbols)}")
        plan = self.patch(summary.point, progress=progress)
        rooms = {
            name: room for name, answer in summary.fits.items() if (room := room_for_activations(answer)) is not None
        }
        tight = {name: room for name, room in rooms.items() if room[1] < plan.plain_peak}
        return replace(summary, patches=plan, patched_fits=self.fitting_patches(tight, summary.point, progress))

    def fitting_patches(
        self,
        rooms: Mapping[str, tuple[str, int]],
        at: Mapping[str, int] | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> dict[str, InRoom]:
        """By machine the simplest patches that keep to its memory: the name of a level, and bytes."""
        from fxcost.passes.patch_plan import InRoom

        found = {}
        for name, (level, room) in rooms.items():
            progress(f"looking for patches for {name}")
            try:
                found[name] = InRoom(level, room, self.patches_within(room, at))
            except Infeasible:
                found[name] = InRoom(level, room, None)
        return found

    def patched_macs(self, up_to: str, rows: int, columns: int) -> Quantity:
        """MACs of the whole run with one stage of rows x columns patches up to a node or module, as a formula in the sizes.

        Halos computed twice are in it. Raises UnknownName for a name that there is not, SpecError where the stretch up
        to there cannot be cut, has more than one result, or its branches see a value at different strides.
        """
        from fxcost.ir.expr import as_expr, total
        from fxcost.ir.predicate import Compare
        from fxcost.passes.cost import Costs
        from fxcost.passes.patch_fields import stage_macs

        if min(rows, columns) < 1:
            raise SpecError(f"{rows} x {columns} patches: expected one row and one column at least")
        graph, stop = self.graph, self._stop(up_to)
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

    def patched_peak(
        self,
        up_to: str,
        rows: int,
        columns: int,
        *,
        cached: bool = False,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
    ) -> PatchedPeak:
        """Peak bytes of the whole run with one stage of rows x columns patches up to a node or module, along one size.

        Exact at every size, as polynomials on residue classes; `wrt` is H with W tied to it where nothing is said. Raises
        UnknownName for a name that there is not, SpecError where there is no such form.
        """
        from fxcost.passes._patch_setting import setting_of
        from fxcost.passes._patch_sweep import Grid
        from fxcost.passes.patch import check_grid
        from fxcost.query.crossover import point_at
        from fxcost.query.patch_peak import peak_along
        from fxcost.query.solve import substitution

        grid = Grid(rows, columns, cached)
        check_grid(grid)
        stop = self._stop(up_to)
        wrt, ties, point = self._one_open(at, wrt, tie)
        known = {s.name: s for s in self._sizes}
        if wrt is None or wrt not in known:
            raise SpecError(f"patched_peak is along a size of the model: {', '.join(known) or 'it has none'}")
        point = {name: size for name, size in point.items() if name != wrt and name not in ties}
        others = substitution(known, wrt, point, ties)

        def setting_at(size: int) -> Setting:
            here, within = self._within(point_at(wrt, size, others))
            if here.graph is not self.graph:
                raise SpecError(f"{wrt}={size}: other nodes run there; ask at a point")
            return setting_of(here.graph, here.facts, within)

        given = "".join(f", {name} = {value}" for name, value in others.items())
        return peak_along(
            self.graph,
            self.facts,
            stop,
            grid,
            known[wrt],
            others,
            setting_at,
            f"{grid} patches up to {up_to}{given}",
        )

    def halos(self, up_to: str) -> Mapping[str, tuple[Field, Field]]:
        """Which rows and columns of every value some rows and columns of a node's or module's result need, as formulas.

        From the inputs on; raises as `patched_macs`.
        """
        from fxcost.passes.patch_fields import fields

        return fields(self.graph, self.facts, 0, self._stop(up_to))

    def _stop(self, up_to: str) -> int:
        """One past the last node of a node's or module's name; raises UnknownName with the nearest names."""
        from fxcost.query.explain import find_nodes

        inside = [k for k, node in enumerate(self.graph.nodes) if f"{node.module}.".startswith(f"{up_to}.")]
        named = [k for k, node in enumerate(self.graph.nodes) if node.name == up_to] or inside
        if not named:
            find_nodes(self.graph, up_to)  # says which names there are
        return max(named) + 1
