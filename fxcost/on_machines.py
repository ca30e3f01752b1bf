"""A model on described hardware: latency, energy, what fits and what binds. A base of `Cost`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.formulas import Formulas
from fxcost.ir.graph import Standing
from fxcost.passes._rates import RateFormula
from fxcost.passes.totals import Totals
from fxcost.query.constraint_text import RATE_UNITS
from fxcost.query.explain import find_nodes
from fxcost.query.fit import FitAnswer, answer
from fxcost.query.quantity import Quantity
from fxcost.query.regions import total_over_regions

if TYPE_CHECKING:
    from fxcost.ir.expr import Expr
    from fxcost.passes.estimate import Estimate
    from fxcost.passes.fits import Fits
    from fxcost.query.arena import ArenaAnswer
    from fxcost.query.crossover import Crossover, Question
    from fxcost.query.latency_pieces import LatencyPiece
    from fxcost.target import Target


@dataclass(frozen=True)
class OnMachines(Formulas):
    """Formulas, and what a machine makes of them."""

    def on(self, target: str | Target, dtype: str | None = None, at: Mapping[str, int] | None = None) -> Estimate:
        """Latency, energy and fit on a machine; formulas without `at`, numbers with it."""
        from fxcost.passes.estimate import estimate
        from fxcost.target import load_target

        machine = load_target(target) if isinstance(target, str) else target
        here, within = (self, None) if at is None else self._within(self._point(at))
        found = estimate(here.graph, here.facts, machine, dtype, within)
        if here.samples is None:
            return found
        only = {s.name: s.hint for s in here.graph.symbols if s.name in here.samples.names and s.hint is not None}
        rates: dict[str, Any] = {name: getattr(found, name) for name in RATE_UNITS}
        for name, rate in rates.items():
            rates[name] = replace(rate, only=only) if isinstance(rate, RateFormula) else rate
        return replace(found, **rates)

    def rate(self, name: str, target: str | Target, dtype: str | None = None) -> RateFormula:
        """A latency or the energy on a machine as a formula: lecture, bound, roofline, calibrated or energy."""
        if name not in RATE_UNITS:
            raise UnknownName(f"there is no estimate {name!r}{nearest(name, RATE_UNITS)}")
        formula = getattr(self.on(target, dtype), name)
        if not isinstance(formula, RateFormula):
            where = target if isinstance(target, str) else target.name
            raise SpecError(f"{name}: {where} states too little for it, or the model has no open size")
        return formula

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

    def arena(
        self,
        target: str | Target,
        at: Mapping[str, int] | None = None,
        *,
        padding: str = "explicit",
        time_limit: float = 60.0,
    ) -> ArenaAnswer:
        """What a microcontroller's runtime allocates for the model in int8, by part; with `at`, where buffers lie.

        The target names the runtime: `stm32h743:tflite-micro` (`tflm` for short), `:cmsis-nn`, `:tinyengine`. `padding`
        is `explicit`, a copy where torch pads as the TensorFlow Lite format cannot, or `same`, for a model that was
        trained with that format's own padding. Raises SpecError where the runtime's arena is not known.
        """
        from fxcost.passes.arena import Arenas
        from fxcost.query.arena import arena_answer

        here, within = (self, None) if at is None else self._within(self._point(at))
        machine = here.on(target).target
        if padding not in ("explicit", "same"):
            raise SpecError(f"padding={padding!r} is not one of explicit, same{nearest(padding, ('explicit', 'same'))}")
        known = here.facts.under(target=machine)[Arenas]
        found = known.found if padding == "explicit" else known.trained

        def quantity(name: str, size: Expr) -> Quantity:
            standing = here.graph.standing.combine(Standing.LOWER) if found and found.unknown else here.graph.standing
            return Quantity(name, "bytes", size, standing, here.graph.domain, here._sizes)

        return arena_answer(machine, found, quantity, within, time_limit)

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
        return self._sided(target, wrt, at, tie, dtype, nodes)[1]

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
    ) -> tuple[Question, tuple[Crossover, ...]]:
        """What is asked, and where each side binds, for the network and its ops or for the nodes named."""
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
        return question, tuple(
            compare_sides(name, estimate.target.name, estimate.sides(group), question, in_memory)
            for name, group in wanted
        )
