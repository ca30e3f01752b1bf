"""Cost: what a captured model costs, and every question one can ask it. Made by `fxcost.api.analyze`, torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxcost.errors import Infeasible, ModelError, SpecError, UnknownName, UnknownOps, nearest
from fxcost.ir.expr import Expr, const
from fxcost.ir.graph import Graph, Standing
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo, check_point
from fxcost.passes._rates import RateConstraint, RateFormula
from fxcost.passes.cost import Costs
from fxcost.passes.liveness import Liveness, Owner, owner
from fxcost.passes.totals import COUNTED, IN_MEMORY, UNITS, Totals
from fxcost.pipeline import DEFAULTS, Facts, Options
from fxcost.query.breakdown import METRICS, ModuleRow, NodeRow, flatten, module_tree, node_rows, op_sums
from fxcost.query.constraint_text import RATE_UNITS
from fxcost.query.explain import Explanation, explain_node, find_nodes
from fxcost.query.fit import FitAnswer, answer, default_unknown
from fxcost.query.quantity import Constraint, Quantity, inside, may_hold, without_pinned
from fxcost.query.regions import Variant, domain_without, excluded_ones, region, total_over_regions
from fxcost.query.solve import Solution, solve
from fxcost.query.table import Table
from fxcost.report.summary import Summary

if TYPE_CHECKING:
    from fxcost.passes.estimate import Estimate, Sides
    from fxcost.passes.fits import Fits
    from fxcost.passes.schedule import BestOrder, Verdict
    from fxcost.query.compare import Comparison, ComparisonMap
    from fxcost.query.crossover import Crossover, Question
    from fxcost.query.frontier import Frontier
    from fxcost.query.grid import Grid
    from fxcost.query.latency_pieces import LatencyPiece
    from fxcost.query.orders import Orders
    from fxcost.query.pieces import Pieces
    from fxcost.query.share import Share
    from fxcost.query.sweep import Metric, Plan, Sweep
    from fxcost.schedule import Schedule
    from fxcost.target import Target


@dataclass(frozen=True)
class Origin:
    """How a cost came to be: a way to capture the model again at a point, CPU seconds by stage, the program captured.

    `nodes` says which node of the GraphModule given each node of the program comes from; empty for other models.
    """

    again: Callable[[Mapping[str, int]], Cost] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    program: Any = None
    nodes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a model costs, as formulas in its symbols. Made by `analyze`."""

    graph: Graph
    options: Options = DEFAULTS
    mode: str = "inference"
    warnings: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin, repr=False, compare=False)
    variants: tuple[Variant, ...] = ()

    # -- the model -------------------------------------------------------------------------------------------------
    @cached_property
    def facts(self) -> Facts:
        """Facts about the graph under these options."""
        return Facts(self.graph, self.options)

    @property
    def symbols(self) -> dict[str, SymbolInfo]:
        """Name -> range, multiple and the size it was traced at."""
        return {s.name: s for s in self.graph.symbols}

    @property
    def _sizes(self) -> tuple[SymbolInfo, ...]:
        """The symbols that are sizes of inputs; others are counts that only the data decides."""
        return tuple(s for s in self.graph.symbols if s.kind == "size")

    @property
    def fixed_dims(self) -> dict[str, str]:
        """Dimensions asked for as symbols that the model itself pins, each with the reason."""
        return dict(self.graph.fixed)

    @property
    def domain(self) -> tuple[str, ...]:
        """Guards under which the formulas hold, as comparisons."""
        return tuple(str(guard) for guard in self._domain)

    @cached_property
    def _excluded(self) -> tuple[str, ...]:
        return excluded_ones(self.graph) if self.variants else ()

    @cached_property
    def _domain(self) -> tuple[Predicate, ...]:
        if not self.variants:
            return self.graph.domain
        return domain_without(self.graph, (v.ones for v in self.variants), self._excluded)

    def at_point(self, point: Mapping[str, int]) -> Cost:
        """The cost whose nodes are the ones that run at a complete point: a variant where one covers it, else this."""
        for variant in self.variants:
            if variant.covers(point, self._excluded):
                return replace(self, graph=variant.graph, variants=())
        return self

    @property
    def unknown_ops(self) -> dict[str, int]:
        """Operators without a cost rule -> how often; totals are lower bounds when there are any."""
        return dict(self.facts[Costs].unknown)

    @property
    def params_by_dtype(self) -> dict[str, int]:
        """Parameter elements by element type."""
        return dict(self.facts[Totals].params_by_dtype)

    @property
    def standing(self) -> Standing:
        """Standing of the counted totals."""
        return self.graph.standing.combine(Standing.LOWER) if self.unknown_ops else self.graph.standing

    # -- quantities ------------------------------------------------------------------------------------------------
    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Every quantity by name."""
        totals = self.facts[Totals]
        special = [(v.ones, Facts(v.graph, self.options)[Totals].values) for v in self.variants]
        values = {
            name: total_over_regions(value, [(ones, found[name]) for ones, found in special], self._excluded)
            for name, value in totals.values.items()
        }
        return {name: self._quantity(name, values[name], totals) for name in UNITS}

    def _quantity(self, name: str, value: Expr, totals: Totals) -> Quantity:
        standing = self.standing if name in COUNTED else self.graph.standing
        domain = self._domain + (totals.guards if name in IN_MEMORY else ())
        symbols = tuple(s for s in self.graph.symbols if s.kind == "size" or s.name in value.symbols)
        again = self._recaptured if self.origin.again is not None else None
        return Quantity(name, UNITS[name], value, standing, domain, symbols, self.graph.pinned, again)

    def _recaptured(self, name: str, point: Mapping[str, int]) -> int:
        value = self.recapture(point).total(name).at(point)
        assert isinstance(value, int), "a capture at a point is complete there"
        return value

    def recapture(self, point: Mapping[str, int]) -> Cost:
        """Capture the model again with this point as the example size."""
        if self.origin.again is None:
            raise ModelError("a graph read from text cannot be captured again; analyse the model itself")
        return self.origin.again(point)

    def total(self, name: str) -> Quantity:
        """The quantity called `name`; raises UnknownName with the nearest names."""
        if name == "min_peak_memory":
            found = self.min_peak_memory()
            return found if isinstance(found, Quantity) else Quantity(name, "bytes", const(found), self.graph.standing)
        if name not in self.quantities:
            raise UnknownName(f"there is no quantity {name!r}{nearest(name, self.quantities)}")
        return self.quantities[name]

    def __getattr__(self, name: str) -> Quantity:
        if name in UNITS:
            return self.quantities[name]
        raise AttributeError(f"Cost has no attribute {name!r}{nearest(name, [*UNITS, *dir(type(self))])}")

    def arithmetic_intensity(self, **sizes: int) -> Fraction:
        """FLOP per byte of traffic at a point, exact."""
        names = ("flops", "read_bytes", "write_bytes", "weight_bytes")
        values = [self.total(n).at(sizes) for n in names]
        if not all(isinstance(v, int) for v in values):
            raise SpecError("arithmetic_intensity is a fraction: give every symbol a size")
        flops, *traffic = values
        return Fraction(flops, max(sum(traffic), 1))

    # -- tables ----------------------------------------------------------------------------------------------------
    @cached_property
    def nodes(self) -> tuple[NodeRow, ...]:
        """Every node with its costs as expressions."""
        return node_rows(self.graph, self.facts)

    @cached_property
    def modules(self) -> ModuleRow:
        """The tree of modules; every level adds up to its parent."""
        return module_tree(self.graph, self.nodes)

    def by_node(self) -> Table:
        """One row a node, in traced order."""
        rows = [
            {"name": r.name, "op": r.op, "module": r.module, "shape": list(map(str, r.shape)), "dtype": r.dtype}
            | {m: self._part(m, r.metrics) for m in METRICS}
            for r in self.nodes
        ]
        return Table(("name", "op", "module", "shape", "dtype", *METRICS), tuple(rows))

    def by_module(self, depth: int = 2) -> Table:
        """One row a module down to `depth` levels, parents before children; each level adds up to its parent."""
        rows = [
            {"module": r.path or self.graph.name, "level": level, "calls": r.calls}
            | {m: self._part(m, r.metrics) for m in METRICS}
            for level, r in flatten(self.modules, depth)
        ]
        return Table(("module", "level", "calls", *METRICS), tuple(rows))

    def by_op(self) -> Table:
        """One row an operator with how often it occurs."""
        rows = [
            {"op": op, "count": count} | {m: self._part(m, sums) for m in METRICS}
            for op, (count, sums) in op_sums(self.nodes).items()
        ]
        return Table(("op", "count", *METRICS), tuple(rows))

    def _part(self, metric: str, metrics: Mapping[str, Any]) -> Quantity:
        return replace(self.quantities[metric], value=metrics[metric], domain=self.graph.domain, recapture=None)

    # -- questions -------------------------------------------------------------------------------------------------
    def explain(self, name: str) -> Explanation:
        """Rule, formula, bindings, convention and source line of a node, or of the first node of a module."""
        return explain_node(self.graph, self.facts, find_nodes(self.graph, name)[0])

    def _point(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes as integers within their ranges; pinned ones may be given and are dropped."""
        return check_point(self.graph.symbols, without_pinned(sizes, self.graph.pinned))

    def peak_owner(self, **sizes: int) -> Owner:
        """Which step owns the peak at a point, and what is alive there."""
        point = self._point(sizes)
        missing = [s.name for s in self.graph.symbols if s.name not in point]
        if missing:
            raise SpecError(f"peak_owner needs a size for {', '.join(missing)}")
        here = self.at_point(point)
        return owner(here.graph, here.facts[Liveness], point)

    def solve(
        self,
        constraint: Constraint | RateConstraint | Iterable[Constraint | RateConstraint],
        wrt: str,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
    ) -> Solution:
        """Values of `wrt` that satisfy the constraint(s), exactly, with a proof; see `fxcost.query.solve`.

        Besides comparisons of quantities takes those of latency and energy: `cost.on("h100-sxm").roofline <= 0.05`.
        """
        from fxcost.query.rates import combined, solve_rate

        given = [constraint] if isinstance(constraint, Constraint | RateConstraint) else list(constraint)
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
        wrt = wrt or _one_left("pieces are", self._sizes, point, ties)
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
        metric: str = "macs",
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        target: str | Target | tuple[str | Target, str | Target] | None = None,
        names: tuple[str, str] | None = None,
    ) -> Comparison:
        """For which sizes this cost is less than another one's, exactly; see `fxcost.query.compare`.

        Two models, the same in two precisions or accountings, or with a `target`, or two, their latency or energy:
        `metric` is a quantity, or lecture, bound, roofline, calibrated or energy. Raises SpecError where more than one
        size is open, UnknownName for a metric that there is not.
        """
        from fxcost.query.compare import compare, joint_symbols

        targets = target if isinstance(target, tuple) else (target, target)
        sides = (self._side(metric, targets[0]), other._side(metric, targets[1]))
        symbols = joint_symbols(self._sizes, other._sizes)
        point, ties = check_point(symbols, at or {}), dict(tie or {})
        wrt = wrt or _one_left("a comparison is", symbols, point, ties)
        guards = self._guards(metric) + other._guards(metric)
        question = self._question(wrt, point, ties, symbols, tuple(dict.fromkeys(guards)))
        if names is None:
            names = (self.graph.name, other.graph.name)
            if names[0] == names[1]:
                names = self._apart(other, targets)
        return compare(sides[0], sides[1], question, names, metric)

    def plot_comparison(
        self, other: Cost, path: str | Path, found: Comparison, target: tuple[str | Target, str | Target] | None = None
    ) -> None:
        """Draw both costs of a comparison along its size, crossings marked; raises SpecError without matplotlib."""
        from fxcost.query.compare import sample
        from fxcost.report.curves import draw_comparison

        targets: tuple[str | Target | None, str | Target | None] = target or (None, None)
        sides = (self._side(found.metric, targets[0]), other._side(found.metric, targets[1]))
        sizes, values = sample(found, sides)
        draw_comparison(found, sizes, values, sides[0].unit, Path(path))

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

    def rate(self, name: str, target: str | Target, dtype: str | None = None) -> RateFormula:
        """A latency or the energy on a machine as a formula: lecture, bound, roofline, calibrated or energy."""
        if name not in RATE_UNITS:
            raise UnknownName(f"there is no estimate {name!r}{nearest(name, RATE_UNITS)}")
        formula = getattr(self.on(target, dtype), name)
        if not isinstance(formula, RateFormula):
            where = target if isinstance(target, str) else target.name
            raise SpecError(f"{name}: {where} states too little for it, or the model has no open size")
        return formula

    def _side(self, metric: str, target: str | Target | None) -> Quantity | RateFormula:
        if metric not in RATE_UNITS:
            return self.total(metric)
        if target is None:
            raise SpecError(f"{metric} is that on a machine: say on which (target=..., --target NAME)")
        return self.rate(metric, target)

    def _guards(self, metric: str) -> tuple[Predicate, ...]:
        if metric in RATE_UNITS:
            return self.graph.domain + self.facts[Totals].guards
        return self._domain + (self.facts[Totals].guards if metric in IN_MEMORY else ())

    def _apart(self, other: Cost, targets: tuple[str | Target | None, str | Target | None]) -> tuple[str, str]:
        """Names that tell two costs of one model apart: the machines, or the first option that differs."""
        if targets[0] != targets[1]:
            first, second = (t if isinstance(t, str) else t.name if t is not None else "" for t in targets)
            return first, second
        for option in ("activations", "weights", "accounting", "inputs"):
            mine, theirs = getattr(self.options, option), getattr(other.options, option)
            if mine != theirs:
                return f"{option} {mine or 'as they are'}", f"{option} {theirs or 'as they are'}"
        return f"{self.graph.name} (first)", f"{other.graph.name} (second)"

    def _question(
        self,
        wrt: str,
        point: Mapping[str, int],
        ties: Mapping[str, str],
        symbols: tuple[SymbolInfo, ...] | None = None,
        domain: tuple[Predicate, ...] | None = None,
    ) -> Question:
        """What is asked about `wrt`, with the other symbols given or tied; raises SpecError where one is left open."""
        from fxcost.query.crossover import Question, check_question

        symbols = symbols or self._sizes
        names = {s.name for s in symbols}
        question = Question(
            wrt,
            symbols,
            self._domain if domain is None else domain,
            self.standing,
            {n: v for n, v in point.items() if n in names and n != wrt and n not in ties},
            {n: v for n, v in ties.items() if n in names},
        )
        check_question(question)
        return question

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

    def on(self, target: str | Target, dtype: str | None = None, at: Mapping[str, int] | None = None) -> Estimate:
        """Latency, energy and fit on a machine; formulas without `at`, numbers with it."""
        from fxcost.passes.estimate import estimate
        from fxcost.target import load_target

        machine = load_target(target) if isinstance(target, str) else target
        here, within = (self, None) if at is None else self._within(self._point(at))
        return estimate(here.graph, here.facts, machine, dtype, within)

    def schedule(self, at: Mapping[str, int] | None = None, time_limit: float = 60.0, *, fold: bool = True) -> Schedule:
        """The execution order with the least peak memory at a point, with its proof or the gap that is left.

        With `fold`, nodes that depend on parameters alone count as computed before the run.
        """
        from fxcost.passes.schedule import schedule
        from fxcost.schedule import Schedule

        here, within = self._within(self._point(at or {}))
        found = schedule(here.graph, here.facts, within, time_limit, fold=fold)
        return Schedule(**vars(found), graph=here.graph, facts=here.facts, point=within, origins=self.origin.nodes)

    def best_orders(
        self,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        time_limit: float = 60.0,
        *,
        fold: bool = True,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Orders:
        """The best order as a function of `wrt`: which order for which sizes, each proven; see `fxcost.query.orders`."""
        from fxcost.query.orders import best_orders

        here, point = self._within(self._point(at or {}))
        return best_orders(here.graph, here.facts, wrt, point, tie, fold=fold, time_limit=time_limit, progress=progress)

    def _within(self, point: Mapping[str, int]) -> tuple[Cost, dict[str, int]]:
        """The cost whose nodes run at a point, and the sizes of the point that it knows: a variant has fewer symbols."""
        here = self.at_point(point)
        known = {s.name for s in here.graph.symbols}
        return here, {name: size for name, size in point.items() if name in known}

    def min_peak_memory(
        self,
        at: Mapping[str, int] | None = None,
        wrt: str | None = None,
        tie: Mapping[str, str] | None = None,
        time_limit: float = 60.0,
        **sizes: int,
    ) -> int | Quantity:
        """Bytes of the best order found: a number where all sizes are given, else a formula where it is proven best.

        Sizes may be given in `at` or by name. Raises SpecError where more than one size is left that decides the order,
        Infeasible where nothing could be proven in the time limit.
        """
        here, point = self._within(self._point({**(at or {}), **sizes}))
        if all(s.name in point for s in here._sizes):
            return here.schedule(point, time_limit).peak
        orders = here.best_orders(wrt, point, tie, time_limit)
        if orders.min_peak_memory is None:
            raise Infeasible(f"no order could be proven best: {'; '.join(orders.reasons)}")
        domain = (*here.graph.domain, *orders.proven)
        open_symbols = tuple(s for s in self.graph.symbols if s.name in orders.min_peak_memory.symbols)
        return Quantity("min_peak_memory", "bytes", orders.min_peak_memory, self.graph.standing, domain, open_symbols)

    def save(self, path: str | Path, at: Mapping[str, int] | None = None, schedule: Schedule | None = None) -> None:
        """Write the captured program as .pt2 with names of sizes and costs beside it, in a schedule's order where given.

        Parameters are in the file as they are in the captured program: without values for a model that was built without
        them. Raises ModelError where there is no program, as for IR text.
        """
        from fxcost.integrate.pt2 import save_program
        from fxcost.report.files import whole
        from fxcost.report.program import program_data

        program = self.origin.program
        if schedule is not None and program is not None:
            program = schedule.apply(program)
        data = program_data(self.graph, self.summary(at), schedule)
        with whole(Path(path)) as beside:
            save_program(program, beside, data)

    def judge_order(self, found: BestOrder, at: Mapping[str, int], time_limit: float = 60.0) -> Verdict:
        """Whether an order found at one point is best at another one, too."""
        from fxcost.passes.schedule import judge

        here, point = self._within(self._point(at))
        return judge(here.graph, here.facts, point, found, time_limit)

    def fit(
        self,
        target: str | Target,
        at: Mapping[str, int] | None = None,
        wrt: str | None = None,
        tie: Mapping[str, str] | None = None,
        dtype: str | None = None,
    ) -> FitAnswer:
        """Does it fit at a point, with what margin, and what is the largest `wrt` that does?

        Without `wrt` the question is about H (W tied to it), else S, else the first symbol. Symbols that are neither
        given nor tied are one, or as traced where the formulas do not hold for one.
        """
        wrt, ties, point = self._one_open(at, wrt, tie)
        domain = self._domain + self.facts[Totals].guards
        machine = self.on(target, dtype=dtype).target
        checks = self._checks(machine, dtype)
        return answer(machine.name, checks, self._sizes, domain, self.graph.standing, point, wrt, ties)

    def _one_open(
        self, at: Mapping[str, int] | None, wrt: str | None, tie: Mapping[str, str] | None
    ) -> tuple[str | None, dict[str, str], dict[str, int]]:
        """The symbol that a question is about, the ties, and sizes for all others: one where nothing is said of them."""
        ties = dict(tie or {})
        if wrt is None:
            wrt, ties = default_unknown(self._sizes, ties)
        point = self._point(at or {})
        domain = self._domain + self.facts[Totals].guards
        for s in self._sizes:
            if s.name not in point and s.name != wrt and s.name not in ties:
                least = max(s.min, s.multiple_of)
                point[s.name] = least if may_hold(domain, {**point, s.name: least}) else s.hint or least
        return wrt, ties, point

    def default_symbol(self, at: Mapping[str, int] | None = None, tie: Mapping[str, str] | None = None) -> str:
        """The symbol that `fit` and `crossover` ask about where none is named: H, else S, else the first one."""
        return self._one_open(at, None, tie)[0] or ""

    def crossovers(
        self,
        target: str | Target,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        dtype: str | None = None,
        nodes: Iterable[str] | None = None,
    ) -> tuple[Crossover, ...]:
        """From which size on compute binds instead of memory: exact thresholds in `wrt`, for the network and its nodes.

        Without `nodes` the whole network comes first, then every op or fused group; a name is that of a node or a module.
        What is open besides `wrt` is settled as for `fit`.
        """
        return tuple(answer for answer, _ in self._sided(target, wrt, at, tie, dtype, nodes)[1])

    def latency_pieces(
        self,
        target: str | Target,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        dtype: str | None = None,
    ) -> tuple[LatencyPiece, ...]:
        """The roofline latency along a symbol between the crossovers of its ops: in each piece a plain sum of terms."""
        from fxcost.query.latency_pieces import latency_pieces

        question, ops = self._sided(target, wrt, at, tie, dtype, None)
        return latency_pieces(ops[1:], question.fixed, question.info.multiple_of)

    def _sided(
        self,
        target: str | Target,
        wrt: str | None,
        at: Mapping[str, int] | None,
        tie: Mapping[str, str] | None,
        dtype: str | None,
        nodes: Iterable[str] | None,
    ) -> tuple[Question, tuple[tuple[Crossover, Sides], ...]]:
        """What is asked, and for the network and its ops, or for the nodes named, both sides with where each binds."""
        from fxcost.query.crossover import compare_sides

        wrt, ties, point = self._one_open(at, wrt, tie)
        if wrt is None:
            raise SpecError(f"{self.graph.name} has no symbol: ask for an estimate, which says what binds")
        fixed = {n: v for n, v in point.items() if n != wrt and n not in ties}
        here = self.at_point(fixed)
        question = here._question(wrt, fixed, ties)
        decided = {s.name: point[s.name] for s in here.graph.symbols if s.kind == "data" and s.name in point}
        estimate = here.on(target, dtype, decided)
        wanted: list[tuple[str, list[int] | None]] = [("the whole network", None)]
        if nodes is None:
            order = {node.name: position for position, node in enumerate(here.graph.nodes)}
            wanted += [(row.name, [order[row.name]]) for row in estimate.by_node()]
        else:
            position = {id(node): index for index, node in enumerate(here.graph.nodes)}
            wanted = [(name, [position[id(n)] for n in find_nodes(here.graph, name)]) for name in nodes]
        in_memory = question.under(here.facts[Totals].guards)  # where the arena decides what stays on chip
        sided = [(name, estimate.sides(group)) for name, group in wanted]
        answers = (compare_sides(name, estimate.target.name, sides, question, in_memory) for name, sides in sided)
        return question, tuple((answer, sides) for answer, (_, sides) in zip(answers, sided, strict=True))

    def crossover(
        self,
        target: str | Target,
        node: str | None = None,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        dtype: str | None = None,
    ) -> Crossover:
        """The same for one node or module, or for the whole network."""
        return self.crossovers(target, wrt, at, tie, dtype, None if node is None else [node])[0]

    def _checks(self, machine: Target, dtype: str | None) -> Fits:
        """The checks of a machine over all regions."""
        generic = self.on(machine, dtype=dtype).fits
        special = [
            (v.ones, replace(self, graph=v.graph, variants=()).on(machine, dtype=dtype).fits) for v in self.variants
        ]
        rows = tuple(
            replace(
                row,
                need_bytes=total_over_regions(
                    row.need_bytes, [(ones, found.rows[i].need_bytes) for ones, found in special], self._excluded
                ),
            )
            for i, row in enumerate(generic.rows)
        )
        return replace(generic, rows=rows)

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
            estimates=estimates,
            fits=answers,
            crossovers=crossovers,
            params_by_dtype=self.facts[Totals].params_by_dtype,
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

    def check_strict(self) -> None:
        """Raise UnknownOps when an operator has no rule."""
        if self.unknown_ops:
            listed = ", ".join(f"{op} x{n}" for op, n in self.unknown_ops.items())
            raise UnknownOps(
                f"{self.graph.name}: no cost rule for {listed}; totals are lower bounds. Add one with fxcost.rule"
            )

    def __str__(self) -> str:
        return "\n".join(f"{name} = {q} {q.unit}" for name, q in self.quantities.items())


def _one_left(what: str, symbols: Iterable[SymbolInfo], point: Mapping[str, int], ties: Mapping[str, str]) -> str:
    """The one symbol that is neither given nor tied; raises SpecError where it is not one."""
    left = [s.name for s in symbols if s.name not in point and s.name not in ties]
    if len(left) != 1:
        raise SpecError(f"{what} along one size: give or tie all but one of {', '.join(left) or 'none'}")
    return left[0]


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
