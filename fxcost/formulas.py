"""Formulas: a captured model with its quantities as closed forms, and the tables of them. The base of `Cost`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from fxcost.errors import ModelError, SpecError, UnknownName, UnknownOps, nearest
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph, Standing, Variant
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo, check_point
from fxcost.passes.cost import Costs
from fxcost.passes.liveness import Liveness, Owner, owner
from fxcost.passes.totals import COUNTED, IN_MEMORY, SEVERAL_DEVICES, UNITS, Totals
from fxcost.passes.training import TRAINING_UNITS
from fxcost.pipeline import DEFAULTS, Facts, Options
from fxcost.query.breakdown import ModuleRow, NodeRow, flatten, metrics_of, module_tree, node_rows, op_sums
from fxcost.query.explain import Explanation, explain_node, find_nodes
from fxcost.query.fit import default_unknown
from fxcost.query.fitted import Fit, Sampled
from fxcost.query.quantity import Quantity, inside, may_hold, without_pinned
from fxcost.query.regions import domain_without, excluded_ones, total_over_regions
from fxcost.query.table import Table

if TYPE_CHECKING:
    from fxcost.query.crossover import Question

_NAMES = {**UNITS, **TRAINING_UNITS}


@dataclass(frozen=True)
class Origin:
    """How a cost came to be: a way to capture the model again at a point, CPU seconds by stage, the program captured.

    `nodes` says which node of the GraphModule given each node of the program comes from; empty for other models. A cost
    that a cache remembered has no program: `fetch` captures it. `remarks` are what there is to say about the cache.
    """

    again: Callable[[Mapping[str, int]], Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    program: Any = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    fetch: Callable[[], Any] | None = None
    remarks: tuple[str, ...] = ()

    def captured_program(self) -> Any:
        """The program, captured now where that was not needed before; None for IR text."""
        return self.fetch() if self.program is None and self.fetch is not None else self.program


@dataclass(frozen=True)
class Formulas:
    """What a model costs, as formulas in its symbols."""

    graph: Graph
    options: Options = DEFAULTS
    mode: str = "inference"
    warnings: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin, repr=False, compare=False)
    variants: tuple[Variant, ...] = ()
    samples: Sampled | None = None
    """Captures at several sizes of symbols that the graph itself has at one size only; totals are fitted on them."""

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
        return tuple(str(guard) for guard in (self._domain if self.samples is None else self.samples.domain))

    @cached_property
    def _excluded(self) -> tuple[str, ...]:
        return excluded_ones(self.graph) if self.variants else ()

    @cached_property
    def _domain(self) -> tuple[Predicate, ...]:
        if not self.variants:
            return self.graph.domain
        return domain_without(self.graph, (v.ones for v in self.variants), self._excluded)

    def at_point(self, point: Mapping[str, int]) -> Self:
        """The cost whose nodes are the ones that run at a complete point: a variant where one covers it, else this.

        Where totals are fitted the nodes are those of one size: at others the model is captured again.
        """
        for variant in self.variants:
            if variant.covers(point, self._excluded):
                return replace(self, graph=variant.graph, variants=())
        if self.samples is not None and not inside(self.graph.domain, point):
            return self.recapture(point)
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
        found = self.graph.standing
        if self.samples is not None:
            found = Standing.FITTED if found is Standing.NUMERIC else found.combine(Standing.FITTED)
        return found.combine(Standing.LOWER) if self.unknown_ops else found

    # -- quantities ------------------------------------------------------------------------------------------------
    @cached_property
    def quantities(self) -> dict[str, Quantity]:
        """Every quantity by name."""
        totals = self.facts[Totals]
        fitted = self._fitted
        special = [(v.ones, Facts(v.graph, self.options)[Totals].values) for v in self.variants]
        values = {
            name: total_over_regions(value, [(ones, found[name]) for ones, found in special], self._excluded)
            for name, value in totals.values.items()
        }
        found = {name: self._quantity(name, values[name], totals) for name in _NAMES if name in values}
        if self.samples is None:
            return found
        sizes = COUNTED | IN_MEMORY
        for name in found:
            if name not in fitted:
                found[name] = replace(found[name], standing=Standing.NUMERIC)
                continue
            fit = fitted[name]
            own = not fit.value.symbols and name not in sizes  # parameters, which no input changes
            standing = found[name].standing if own else self.standing
            domain = (*self.samples.domain, *fit.guards)
            found[name] = replace(found[name], value=fit.value, standing=standing, domain=domain)
        return found

    @cached_property
    def _fitted(self) -> Mapping[str, Fit]:
        return {} if self.samples is None else self.samples.formulas(self.options)

    def _quantity(self, name: str, value: Expr, totals: Totals) -> Quantity:
        standing = self.graph.standing
        if name in COUNTED and self.unknown_ops:
            standing = standing.combine(Standing.LOWER)
        domain = self._domain + (totals.guards if name in IN_MEMORY else ())
        symbols = tuple(s for s in self.graph.symbols if s.kind == "size" or s.name in value.symbols)
        again = self._recaptured if self.origin.again is not None else None
        return Quantity(name, _NAMES[name], value, standing, domain, symbols, self.graph.pinned, again)

    def _recaptured(self, name: str, point: Mapping[str, int]) -> int:
        value = self.recapture(point).total(name).at(point)
        assert isinstance(value, int), "a capture at a point is complete there"
        return value

    def recapture(self, point: Mapping[str, int]) -> Self:
        """Capture the model again with this point as the example size."""
        if self.origin.again is None:
            raise ModelError("a graph read from text cannot be captured again; analyse the model itself")
        return self.origin.again(point)  # type: ignore[no-any-return]

    def total(self, name: str) -> Quantity:
        """The quantity called `name`; raises UnknownName with the nearest names."""
        if name not in self.quantities and name in TRAINING_UNITS:
            raise UnknownName(f"{name} is that of a training step: analyse with mode='training' (--mode training)")
        if name not in self.quantities and name in SEVERAL_DEVICES:
            raise UnknownName(f"{name} is that of one device among several: {self.graph.name} holds no collective")
        if name not in self.quantities:
            raise UnknownName(f"there is no quantity {name!r}{nearest(name, self.quantities)}")
        return self.quantities[name]

    def __getattr__(self, name: str) -> Quantity:
        if name in UNITS or (name in TRAINING_UNITS and name in self.quantities):
            if name in SEVERAL_DEVICES and name not in self.quantities:
                raise AttributeError(f"{name} is that of one device among several: there is no collective")
            return self.quantities[name]
        if name in TRAINING_UNITS:
            raise AttributeError(f"{name} is that of a training step: analyse with mode='training'")
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
            | {m: self._part(m, r.metrics) for m in self._metrics}
            for r in self.nodes
        ]
        return Table(("name", "op", "module", "shape", "dtype", *self._metrics), tuple(rows))

    def by_module(self, depth: int = 2) -> Table:
        """One row a module down to `depth` levels, parents before children; each level adds up to its parent."""
        rows = [
            {"module": r.path or self.graph.name, "level": level, "calls": r.calls}
            | {m: self._part(m, r.metrics) for m in self._metrics}
            for level, r in flatten(self.modules, depth)
        ]
        return Table(("module", "level", "calls", *self._metrics), tuple(rows))

    def by_op(self) -> Table:
        """One row an operator with how often it occurs."""
        rows = [
            {"op": op, "count": count} | {m: self._part(m, sums) for m in self._metrics}
            for op, (count, sums) in op_sums(self.nodes).items()
        ]
        return Table(("op", "count", *self._metrics), tuple(rows))

    @property
    def _metrics(self) -> tuple[str, ...]:
        """The columns of the tables."""
        return metrics_of(self.nodes)

    def _part(self, metric: str, metrics: Mapping[str, Any]) -> Quantity:
        return replace(self.quantities[metric], value=metrics[metric], domain=self.graph.domain, recapture=None)

    # -- what is asked ---------------------------------------------------------------------------------------------
    def explain(self, name: str) -> Explanation:
        """Rule, formula, bindings, convention and source line of a node, or of the first node of a module."""
        return explain_node(self.graph, self.facts, find_nodes(self.graph, name)[0])

    def _point(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes as integers within their ranges; pinned ones may be given and are dropped."""
        return check_point(self.graph.symbols, without_pinned(sizes, self.graph.pinned))

    def _within(self, point: Mapping[str, int]) -> tuple[Self, dict[str, int]]:
        """The cost whose nodes run at a point, and the sizes of the point that it knows: a variant has fewer symbols."""
        here = self.at_point(point)
        known = {s.name for s in here.graph.symbols}
        return here, {name: size for name, size in point.items() if name in known}

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

    def peak_owner(self, **sizes: int) -> Owner:
        """Which step owns the peak at a point, and what is alive there."""
        point = self._point(sizes)
        missing = [s.name for s in self.graph.symbols if s.name not in point]
        if missing:
            raise SpecError(f"peak_owner needs a size for {', '.join(missing)}")
        here = self.at_point(point)
        return owner(here.graph, here.facts[Liveness], point)

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

    def check_strict(self) -> None:
        """Raise UnknownOps when an operator has no rule."""
        if self.unknown_ops:
            listed = ", ".join(f"{op} x{n}" for op, n in self.unknown_ops.items())
            raise UnknownOps(
                f"{self.graph.name}: no cost rule for {listed}; totals are lower bounds. Add one with fxcost.rule"
            )

    def __str__(self) -> str:
        return "\n".join(f"{name} = {q} {q.unit}" for name, q in self.quantities.items())


def one_left(what: str, symbols: Iterable[SymbolInfo], point: Mapping[str, int], ties: Mapping[str, str]) -> str:
    """The one symbol that is neither given nor tied; raises SpecError where it is not one."""
    left = [s.name for s in symbols if s.name not in point and s.name not in ties]
    if len(left) != 1:
        raise SpecError(f"{what} along one size: give or tie all but one of {', '.join(left) or 'none'}")
    return left[0]
