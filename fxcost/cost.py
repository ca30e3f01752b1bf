"""Cost: what a captured model costs, and every question one can ask it. Made by `fxcost.api.analyze`, torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.formulas import one_left
from fxcost.in_orders import InOrders
from fxcost.in_patches import InPatches
from fxcost.in_training import InTraining
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import check_point
from fxcost.on_machines import OnMachines
from fxcost.passes._rates import RateConstraint, RateFormula
from fxcost.passes.liveness import Liveness, live_steps, owner
from fxcost.passes.totals import Totals
from fxcost.query.breakdown import flatten
from fxcost.query.constraint_text import RATE_UNITS
from fxcost.query.quantity import Constraint, Quantity, inside, without_pinned
from fxcost.query.regions import region
from fxcost.query.solve import Solution, solve
from fxcost.query.training import training_rows
from fxcost.report.summary import Summary

if TYPE_CHECKING:
    from fxcost.query.compare import Comparison, ComparisonMap
    from fxcost.query.frontier import Frontier
    from fxcost.query.grid import Grid
    from fxcost.query.pieces import Pieces
    from fxcost.query.share import Share
    from fxcost.query.sweep import Metric, Plan, Sweep
    from fxcost.report.html.document import Page
    from fxcost.schedule import Schedule
    from fxcost.target import Target


@dataclass(frozen=True)
class Cost(OnMachines, InOrders, InPatches, InTraining):
    """What a model costs, as formulas in its symbols. Made by `analyze`."""

    def solve(
        self,
        constraint: Constraint | RateConstraint | Iterable[Constraint | RateConstraint],
        wrt: str,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        *,
        patches: int | None = None,
        overhead: float | None = None,
    ) -> Solution:
        """Values of `wrt` that satisfy the constraint(s), exactly, with a proof; see `fxcost.query.solve`.

        Besides comparisons of quantities takes those of latency and energy: `cost.on("h100-sxm").roofline <= 0.05`.
        `peak_memory <= bytes` can be solved patch by patch: for `p`, the smallest p x p patches that fit, or for a size
        with up to `patches` a side, in both with at most the share `overhead` of MACs on top (`solve_in_patches`).
        """
        from fxcost.query.rates import combined, solve_rate

        given = [constraint] if isinstance(constraint, Constraint | RateConstraint) else list(constraint)
        if patches is not None or overhead is not None or (wrt == "p" and wrt not in self.symbols):
            if len(given) != 1 or not isinstance(given[0], Constraint):
                raise SpecError("patches answer one constraint: peak_memory <= BYTES")
            return self.solve_in_patches(given[0], wrt, at, tie, patches=patches, overhead=overhead)
        counted = [c for c in given if isinstance(c, Constraint)]
        timed = [c for c in given if isinstance(c, RateConstraint)]
        found = []
        if counted or not timed:
            found.append(solve(counted, wrt, self._sizes, at, tie))
        if timed:
            # A formula in seconds is that of this graph: where a variant runs, ask `at_point(...)` of its own.
            question = self._question(wrt, self._point(at or {}), dict(tie or {}), domain=self.graph.domain)
            in_memory = question.under(self.facts[Totals].guards)
            found += [solve_rate(c, in_memory if c.formula.conditions else question) for c in timed]
        return combined(found) if len(found) > 1 else found[0]

    def frontier(
        self,
        constraint: Constraint | Iterable[Constraint],
        wrt: tuple[str, str],
        at: Mapping[str, int] | None = None,
    ) -> Frontier:
        """The largest pairs of two sizes under constraints: neither can grow alone; see `fxcost.query.frontier`."""
        from fxcost.query.frontier import frontier

        given = [constraint] if isinstance(constraint, Constraint) else list(constraint)
        return frontier(given, wrt, self._sizes, self._point(at or {}))

    def pieces(
        self,
        metric: str = "peak_memory",
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
    ) -> Pieces:
        """Which term of a maximum rules for which size, and where the next one takes over; see `fxcost.query.pieces`."""
        from fxcost.query.pieces import pieces_along

        quantity = self.total(metric)
        point, ties = self._point(at or {}), dict(tie or {})
        wrt = wrt or one_left("pieces are", self._sizes, point, ties)
        question = self._question(wrt, point, ties)
        return pieces_along(quantity.value, question.info, question.fixed, quantity.domain)

    def share(self, module: str, metric: str = "macs") -> Share:
        """A module's share of the whole as a formula: all its calls and all modules inside it."""
        from fxcost.query.share import Share

        rows = [row for _, row in flatten(self.modules, 1 << 30)]
        found = [row for row in rows if row.path == module]
        if not found:
            raise UnknownName(f"there is no module {module!r}{nearest(module, [row.path for row in rows])}")
        return Share(module, self._part(metric, found[0].metrics), self.total(metric))

    def compare(
        self,
        other: Cost,
        metric: str | tuple[str, str] = "macs",
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        target: str | Target | tuple[str | Target, str | Target] | None = None,
        names: tuple[str, str] | None = None,
    ) -> Comparison:
        """For which sizes this cost is less than another one's, exactly; see `fxcost.query.compare`.

        Two models, the same in two precisions, accountings or orders (`in_order`), or with a `target`, or two, their
        latency or energy: `metric` is a quantity, min_peak_memory among them, or lecture, bound, roofline, calibrated or
        energy; a pair of metrics is that of this cost and that of the other. Raises SpecError where more than one size
        is open, UnknownName for a metric that there is not.
        """
        from fxcost.query.compare import compare, joint_symbols

        targets = target if isinstance(target, tuple) else (target, target)
        metrics = metric if isinstance(metric, tuple) else (metric, metric)
        symbols = joint_symbols(self._sizes, other._sizes)
        point, ties = check_point(symbols, at or {}), dict(tie or {})
        wrt = wrt or one_left("a comparison is", symbols, point, ties)
        first = self._side(metrics[0], targets[0], wrt, point, ties)
        second = other._side(metrics[1], targets[1], wrt, point, ties)
        guards = dict.fromkeys(self._guards(first) + other._guards(second))
        question = self._question(wrt, point, ties, symbols, tuple(guards))
        names = names or self._apart(other, metrics, targets)
        return compare(first, second, question, names, ", ".join(dict.fromkeys(metrics)))

    def compare_to_html(
        self,
        others: Iterable[Cost] = (),
        path: str | Path | None = None,
        *,
        metric: str = "macs",
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        targets: Iterable[str | Target] = (),
        command: str = "",
    ) -> Page:
        """A self-contained page of this cost and others along one size; written to `path` where one is given.

        Every quantity can be drawn there, on `targets` every latency and the energy as well; it opens with `metric`, and
        says what `compare` proves about it. Models may have different sizes: each follows those that it has, and `at` and
        `tie` settle all but one of all. Raises as `compare` does.
        """
        from fxcost.page import check_drawn, comparison_lines, comparison_page, lines_of, machines_of
        from fxcost.query.compare import joint_symbols, settled_of

        costs, machines = [self, *others], machines_of(targets, None)
        check_drawn(metric, machines, costs)
        symbols = reduce(joint_symbols, (cost._sizes for cost in costs))
        point, ties = check_point(symbols, at or {}), dict(tie or {})
        wrt = wrt or one_left("a comparison is", symbols, point, ties)
        sides = lines_of(costs, machines if metric in RATE_UNITS else ())
        (label, first, on), *others_ = sides
        proven = []
        for name, cost, target in others_:
            pair = joint_symbols(first._sizes, cost._sizes)
            if all(s.name != wrt for s in pair):
                proven.append(f"{label} beside {name}: neither has a size {wrt}")
                continue
            given, follows = settled_of(pair, wrt, point, ties)
            on_both = (on, target) if on and target else None
            found = first.compare(cost, metric, wrt, given, follows, on_both, (label, name))
            proven += comparison_lines(found)
        page = comparison_page(costs, metric, wrt, point, ties, machines, proven, _versions(), command)
        if path is not None:
            page.save(path)
        return page

    def compare_over(
        self,
        other: Cost,
        over: Mapping[str, Sequence[int]],
        metric: str = "macs",
        at: Mapping[str, int] | None = None,
        names: tuple[str, str] | None = None,
    ) -> ComparisonMap:
        """Which of two costs is less at every pair of sizes of two symbols, as a map."""
        from fxcost.query.compare import compare_over

        return compare_over(
            self.total(metric),
            other.total(metric),
            over,
            dict(at or {}),
            names or (self.graph.name, other.graph.name),
            metric,
        )

    def _side(
        self, metric: str, target: str | Target | None, wrt: str, point: Mapping[str, int], ties: Mapping[str, str]
    ) -> Quantity | RateFormula:
        """One side of a comparison; `point` and `ties` may name symbols that only the other side has."""
        if metric == "min_peak_memory":
            mine = {s.name for s in self._sizes}
            at = {n: v for n, v in point.items() if n in mine and n != wrt}
            return self._best_peak(at, wrt if wrt in mine else None, {n: v for n, v in ties.items() if n in mine})
        if metric not in RATE_UNITS:
            return self.total(metric)
        if target is None:
            raise SpecError(f"{metric} is that on a machine: say on which (target=..., --target NAME)")
        return self.rate(metric, target)

    def _guards(self, side: Quantity | RateFormula) -> tuple[Predicate, ...]:
        return side.domain if isinstance(side, Quantity) else self.graph.domain + self.facts[Totals].guards

    def _apart(
        self, other: Cost, metrics: tuple[str, str], targets: tuple[str | Target | None, str | Target | None]
    ) -> tuple[str, str]:
        """Names that tell two costs apart: the models, the machines, the metrics, or the first option that differs."""
        if self.graph.name != other.graph.name:
            return self.graph.name, other.graph.name
        if targets[0] != targets[1]:
            first, second = (t if isinstance(t, str) else t.name if t is not None else "" for t in targets)
            return first, second
        if metrics[0] != metrics[1]:
            return metrics
        for option in ("activations", "weights", "accounting", "inputs"):
            mine, theirs = getattr(self.options, option), getattr(other.options, option)
            if mine != theirs:
                return f"{option} {mine or 'as they are'}", f"{option} {theirs or 'as they are'}"
        if self.options.order != other.options.order:
            orders = (self.options.order, other.options.order)
            first, second = ("the traced order" if order is None else "the order given" for order in orders)
            return (first, second) if first != second else ("the first order", "the second order")
        return f"{self.graph.name} (first)", f"{other.graph.name} (second)"

    def sweep(
        self,
        over: Mapping[str, Iterable[int]],
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        metrics: Iterable[str] = ("macs", "peak_memory"),
        dtype: str | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Sweep:
        """Metrics at every combination of sizes, exact, as a table; empty cells are outside the formulas' domain.

        A metric is a quantity, `arithmetic_intensity`, or on a machine `latency:h100-sxm` (a column for each latency),
        `roofline:h100-sxm`, `energy:t4` and so on, computed in `dtype`. Raises SpecError for a grid that is empty, leaves
        a symbol open or is too large for memory (`plan_sweep` goes slice by slice), UnknownName for an unknown metric.
        """
        return self.plan_sweep(over, at, tie, metrics, dtype).table(progress)

    def plan_sweep(
        self,
        over: Mapping[str, Iterable[int]],
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        metrics: Iterable[str] = ("macs", "peak_memory"),
        dtype: str | None = None,
    ) -> Plan:
        """A sweep that has yet to run: its `slices` are evaluated one at a time, for grids of any size."""
        from fxcost.query.grid import Grid
        from fxcost.query.sweep import plan_sweep

        for name in over:
            if name in self.graph.fixed:
                raise SpecError(f"cannot sweep over {name}: {self.graph.fixed[name]}")
        grid = Grid.of(self.graph.symbols, over, without_pinned(at or {}, self.graph.pinned), tie)
        names = dict.fromkeys([metrics] if isinstance(metrics, str) else metrics)
        return plan_sweep([metric for name in names for metric in self._columns(name, grid, dtype)], grid)

    def _columns(self, name: str, grid: Grid, dtype: str | None) -> tuple[Metric, ...]:
        from fxcost.query.sweep import of_quantity, ratio
        from fxcost.query.sweep_target import Region, split_name, target_metrics

        if name == "min_peak_memory":
            raise SpecError(
                "min_peak_memory takes a search at every point and is not swept; best_orders knows it by size"
            )
        if name == "arithmetic_intensity":
            flops, *traffic = (self.quantities[n] for n in ("flops", "read_bytes", "write_bytes", "weight_bytes"))
            return (ratio(name, "FLOP/byte", flops, traffic[0] + traffic[1] + traffic[2], grid),)
        if ":" not in name:
            return (of_quantity(self.total(name), grid),)
        kinds, target = split_name(name)
        regions = [
            (frozenset[str](), self),
            *((v.ones, replace(self, graph=v.graph, variants=())) for v in self.variants),
        ]
        estimates = [Region(region(ones, self._excluded), cost.on(target, dtype)) for ones, cost in regions]
        return target_metrics(kinds, target, estimates, self._domain + self.facts[Totals].guards, grid)

    def save(self, path: str | Path, at: Mapping[str, int] | None = None, schedule: Schedule | None = None) -> None:
        """Write the captured program as .pt2 with names of sizes and costs beside it, in a schedule's order where given.

        Parameters are in the file as they are in the captured program: without values for a model that was built without
        them. Raises ModelError where there is no program, as for IR text.
        """
        from fxcost.integrate.pt2 import save_program
        from fxcost.report.files import whole
        from fxcost.report.program import program_data

        program = self.origin.captured_program()
        if schedule is not None and program is not None:
            program = schedule.apply(program)
        data = program_data(self.graph, self.summary(at), schedule)
        with whole(Path(path)) as beside:
            save_program(program, beside, data)

    def to_mlir(self, *, form: str = "generic", costs: str = "both") -> str:
        """The graph as MLIR with its costs: `form` generic or pretty; `costs` both, string, affine or none."""
        from fxcost.report.mlir import mlir_text

        totals = {name: quantity.value for name, quantity in self.quantities.items()}
        return mlir_text(self.graph, self.variants, self.nodes, totals, form=form, costs=costs)

    def to_cost_mlir(self, *, form: str = "pretty") -> str:
        """The totals as functions of the sizes in MLIR's `func` and `arith`; see `fxcost.report.cost_mlir`."""
        from fxcost.report.cost_mlir import cost_functions

        return cost_functions(self.graph.name, self.quantities, form=form)

    def to_html(
        self,
        path: str | Path | None = None,
        *,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        targets: Iterable[str | Target] = (),
        dtype: str | None = None,
        accountings: Iterable[str] | None = None,
        schedule: Schedule | None = None,
        patches: bool = False,
        summary: Summary | None = None,
        command: str = "",
    ) -> Page:
        """A self-contained page with sliders for every symbol; written to `path` where one is given.

        It opens at `at` with sizes tied as in `tie`. Machines are `targets`, computing in `dtype`; `accountings` are all
        three by default. A `schedule` of this cost is drawn beside the traced order, with `patches` what running patch by
        patch makes of the peak at `at`; `summary` is that of `at`, where there is one. In a notebook the page shows itself.
        Raises SpecError for a size, tie or schedule that is not one of this model, or a place that cannot be written to.
        """
        from fxcost.page import report_page

        if summary is None:
            summary = self.in_patches(self.summary(at, targets, dtype)) if patches else self.summary(at)
        page = report_page(self, summary, tie, targets, dtype, accountings, schedule, command)
        if path is not None:
            page.save(path)
        return page

    def summary(
        self,
        at: Mapping[str, int] | None = None,
        targets: Iterable[str | Target] = (),
        dtype: str | None = None,
        depth: int = 2,
        by: str = "module",
    ) -> Summary:
        """Everything a report shows, as one plain object; `fxcost.report.formats.render` turns it into text."""
        point = self._point(at) if at is not None else None
        complete = point is not None and all(s.name in point for s in self.graph.symbols)
        shown = point if complete else self._nominal(point)
        here = self.at_point(shown) if shown is not None else self
        estimates, answers, crossovers = {}, {}, {}
        for target in targets:
            estimate = self.on(target, dtype, shown)
            estimates[estimate.target.name] = estimate
            answers[estimate.target.name] = self.fit(target, shown, dtype=dtype)
            if here._sizes:
                crossovers[estimate.target.name] = self.crossover(target, at=shown, dtype=dtype)
        return Summary(
            model=self.graph.name,
            mode=self.mode,
            options=self.options,
            standing=self.standing,
            versions=_versions(),
            symbols=self.graph.symbols,
            inputs=tuple(str(v.type) for v in self.graph.inputs),
            fixed_dims=self.graph.fixed,
            domain=self.domain,
            unknown_ops=self.unknown_ops,
            at=point,
            point=shown,
            quantities=self.quantities,
            nodes=here.nodes,
            modules=here.modules,
            owner=owner(here.graph, here.facts[Liveness], shown) if shown is not None else None,
            live=live_steps(here.graph, here.facts[Liveness], shown) if shown is not None else (),
            estimates=estimates,
            fits=answers,
            crossovers=crossovers,
            params_by_dtype=self.facts[Totals].params_by_dtype,
            training=training_rows(here.graph, here.facts),
            notes=self.graph.notes,
            warnings=self.warnings,
            depth=depth,
            by=by,
        )

    def _nominal(self, point: Mapping[str, int] | None) -> dict[str, int] | None:
        """A point for numbers when the user gave none, or not all: the traced sizes, with a batch of one if it may be."""
        traced: dict[str, int] = {}
        for s in self.graph.symbols:
            if s.hint is None and s.name not in (point or {}):
                return None
            traced[s.name] = (point or {}).get(s.name, s.hint or 1)
        batch = {s.name: max(s.min, s.multiple_of) for s in self.graph.symbols if s.name == "N"}
        found = traced | batch | dict(point or {})
        return found if inside(self.quantities["peak_memory"].domain, found) else traced


def _versions() -> dict[str, str]:
    """Versions of fxcost and torch, read without importing either."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("fxcost", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
