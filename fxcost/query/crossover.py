"""Where a model turns from memory-bound to compute-bound, as exact integer thresholds in one symbol.

An op is compute-bound where `sum of operations / peak >= sum of bytes / bandwidth`, both as in the roofline. With rates as
fractions and multiplied out this compares two integer expressions, so thresholds and ties are exact, and `query.solve`
proves them. Which level serves the bytes may depend on the sizes: every combination of these conditions is a comparison
of its own, on the sizes for which it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import gcd, lcm

from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import ZERO, Expr, as_expr, substitute, total
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate
from fxcost.ir.prove import nonnegative_reason
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes._rates import Load, Loads, RateFormula, Residence
from fxcost.passes.estimate import Sides
from fxcost.query.classes import sign_beyond
from fxcost.query.quantity import Constraint, Quantity
from fxcost.query.shown import Shown
from fxcost.query.solve import solve, substitution
from fxcost.query.spans import Span, contains, intersection, spans_text, union

NEAR = 1024
"""Sizes that are settled apart from the rest."""


@dataclass(frozen=True)
class Answer:
    """Sizes for which a comparison holds, how that was found, and the proof."""

    spans: tuple[Span, ...]
    method: str
    proof: str


@dataclass(frozen=True)
class Question:
    """What is asked: the symbol, what the others are, and where the formulas hold."""

    wrt: str
    symbols: Sequence[SymbolInfo]
    domain: tuple[Predicate, ...] = ()
    standing: Standing = Standing.EXACT
    at: Mapping[str, int] = field(default_factory=dict)
    tie: Mapping[str, str] = field(default_factory=dict)
    _known: dict[tuple[Expr, Expr], Answer] = field(default_factory=dict, repr=False, compare=False)

    def under(self, guards: tuple[Predicate, ...]) -> Question:
        """The question where these hold as well."""
        if set(guards) <= set(self.domain):
            return self
        return replace(self, domain=tuple(dict.fromkeys(self.domain + guards)), _known={})

    @property
    def info(self) -> SymbolInfo:
        """The symbol that is asked about."""
        return next(s for s in self.symbols if s.name == self.wrt)

    def value(self, formula: RateFormula, size: int) -> float:
        """A formula at a size of the symbol."""
        return formula.at(point_at(self.wrt, size, self.fixed))

    @property
    def fixed(self) -> dict[str, Expr | int]:
        """What every other symbol is: a number, or an expression in the one; raises SpecError where one is left open."""
        return substitution({s.name: s for s in self.symbols}, self.wrt, self.at, self.tie)

    @property
    def given(self) -> dict[str, int | str]:
        """What the other symbols are: numbers, or expressions in the one."""
        return {**self.at, **self.tie}

    def where(self, left: Expr, right: Expr, names: tuple[str, str] = ("", "")) -> Answer:
        """Where `left <= right`, the method and the proof; `names` say in the proof what the sides are.

        Spans count in steps of the symbol: where it is a multiple of 32, the span (1, 3) is 32, 64 and 96. Small sizes
        are settled apart: differences of sides seldom grow from the first size on, and mostly do so soon. A cost that is
        compared with a number mostly grows from the first size on.
        """
        key = (left, right)
        if key not in self._known:
            limited = left.constant is not None or right.constant is not None
            ranges = [self.info] if limited else list(self._ranges())
            parts = [self._solved(left, right, names, info) for info in ranges]
            self._known[key] = Answer(
                union(*(part.spans for part in parts)),
                ", ".join(dict.fromkeys(part.method for part in parts)),
                "; ".join(dict.fromkeys(part.proof for part in parts)),
            )
        return self._known[key]

    def _ranges(self) -> Iterator[SymbolInfo]:
        info, last = self.info, max(self.info.min, 1) + NEAR * self.info.multiple_of
        if info.max is not None and info.max <= last:
            yield info
        else:
            yield replace(info, max=last)
            yield replace(info, min=last + 1)

    def _solved(self, left: Expr, right: Expr, names: tuple[str, str], info: SymbolInfo) -> Answer:
        certain = self._certain(left, right, names, info)
        if certain is not None:
            return certain
        symbols = [info if s.name == info.name else s for s in self.symbols]
        sides = (self._named(value, name, symbols) for value, name in zip((left, right), names, strict=True))
        found = solve([Constraint(next(sides), "<=", next(sides))], self.wrt, symbols, self.at, self.tie)
        step = info.multiple_of
        spans = tuple((low // step, None if high is None else high // step) for low, high in found.set)
        return Answer(spans, found.method, found.proof)

    def _certain(self, left: Expr, right: Expr, names: tuple[str, str], info: SymbolInfo) -> Answer | None:
        """All sizes of a range or none, where that is proven at once; None where it is not, or for two constants."""
        if info.max is not None or left.constant is not None or right.constant is not None:
            return None  # small ranges are quickly looked through; of a single side it is soon known whether it grows
        rest = substitute(right - left, self.fixed)
        if rest.constant is not None or rest.symbols != {self.wrt}:
            return None
        known = sign_beyond(rest, self.wrt, -(-info.min // info.multiple_of) * info.multiple_of, info.multiple_of)
        for value, sign, holds in ((rest, "<=", True), (-1 - rest, ">", False)):
            if known is None:
                reason = nonnegative_reason(value, {self.wrt: info.range})
            else:
                reason = "polynomials on residue classes" if (known > 0) is holds else None
            if reason is not None:
                proof = f"{names[0]} {sign} {names[1]} for every {self.wrt} >= {info.min:,} ({reason})"
                spans = self._solved(ZERO, ZERO, names, info).spans if holds else ()
                return Answer(spans, "proof for all sizes", proof)
        return None

    def _named(self, value: Expr, name: str, symbols: Sequence[SymbolInfo]) -> Quantity:
        return Quantity(name, "", value, self.standing, self.domain, tuple(symbols))


@dataclass(frozen=True)
class Crossover(Shown):
    """Where memory binds, where compute does, and where both take equally long, for one op or the whole network.

    Spans are closed intervals of `wrt`; what lies in none of them is outside the domain, or beyond what was looked at.
    `unknown` says which figure is missing where there can be no answer; `aside` what is left out of the memory time. The
    symbol goes in steps of `step`; `sides` are what is compared.
    """

    name: str
    target: str
    wrt: str
    memory: tuple[Span, ...] = ()
    compute: tuple[Span, ...] = ()
    ties: tuple[Span, ...] = ()
    given: Mapping[str, int | str] = field(default_factory=dict)
    method: str = ""
    proof: str = ""
    standing: Standing = Standing.EXACT
    unknown: str = ""
    aside: tuple[str, ...] = ()
    step: int = 1
    sides: Sides = field(default=Sides((), ()), repr=False, compare=False)

    @property
    def thresholds(self) -> tuple[int, ...]:
        """The sizes at which another side begins to bind; equal times count as compute."""
        bound = [(span[0], "memory") for span in self.memory]
        bound = sorted(bound + [(span[0], "compute") for span in (*self.compute, *self.ties)])
        return tuple(low for (low, side), (_, before) in zip(bound[1:], bound, strict=False) if side != before)

    def binds(self, size: int) -> str:
        """`compute` (equal times, too), `memory`, or `unknown` at a size."""
        if any(contains(span, size) for span in (*self.compute, *self.ties)):
            return "compute"
        return "memory" if any(contains(span, size) for span in self.memory) else "unknown"

    def __str__(self) -> str:
        if self.unknown:
            return f"unknown: {self.unknown}"
        sides = (("memory-bound for", self.memory), ("compute-bound for", self.compute), ("equal for", self.ties))
        parts = [f"{side} {spans_text(self.wrt, spans)}" for side, spans in sides if spans]
        return "; ".join(parts) or f"no {self.wrt} lies in the domain"


def crossover(
    name: str, target: str, compute: Loads, memory: Loads, question: Question, aside: Iterable[str] = ()
) -> Crossover:
    """Compare two sides, each a sum of loads, for every size of the symbol.

    Raises SpecError when the symbol is unknown, or another one is left open.
    """
    spans: dict[str, list[Span]] = {"memory": [], "compute": [], "ties": []}
    said: list[str] = []
    methods: list[str] = []
    for held, region in regions([*compute, *memory], question):
        slow, fast = _scaled(compute, memory, held)
        no_less = question.where(fast, slow, ("memory time", "compute time"))
        no_more = question.where(slow, fast, ("compute time", "memory time"))
        spans["ties"] += intersection(intersection(no_less.spans, no_more.spans), region)
        # Strictly, by themselves: where ties are not known beyond what was tried, neither side is taken for proven.
        spans["compute"] += intersection(question.where(fast + 1, slow, ("memory time", "compute time")).spans, region)
        spans["memory"] += intersection(question.where(slow + 1, fast, ("compute time", "memory time")).spans, region)
        where = " and ".join(condition_text(c, holds) for c, holds in held.items())
        answer = no_less if no_less.spans else no_more
        said.append((f"where {where}: " if where else "") + answer.proof)
        methods.append(answer.method)
    step = question.info.multiple_of

    def sizes(side: str) -> tuple[Span, ...]:
        return tuple((low * step, None if high is None else high * step) for low, high in union(spans[side]))

    return Crossover(
        name=name,
        target=target,
        wrt=question.wrt,
        memory=sizes("memory"),
        compute=sizes("compute"),
        ties=sizes("ties"),
        given=question.given,
        method=", ".join(dict.fromkeys(methods)),
        proof="; ".join(dict.fromkeys(said)),
        standing=question.standing,
        aside=tuple(aside),
        step=step,
    )


def compare_sides(name: str, target: str, sides: Sides, question: Question, in_memory: Question) -> Crossover:
    """The crossover of two sides of an estimate; `in_memory` is asked where the arena decides what stays on chip."""
    certain = [m.reason for m in sides.missing if m.place is None or m.place.inside is None]
    if certain:
        return _unknown(name, target, question, "; ".join(dict.fromkeys(certain)), sides)
    parts = (*sides.compute, *sides.memory)
    strange = frozenset().union(*(e.symbols for p in parts for e in (p.amount, *(c.need_bytes for c in p.conditions))))
    strange -= {s.name for s in question.symbols}
    if strange:
        return _unknown(name, target, question, f"the data decides {', '.join(sorted(strange))}: give a size", sides)
    if any(load.conditions for load in parts):
        question = in_memory
    aside = tuple(dict.fromkeys(m.reason for m in sides.missing))
    return replace(crossover(name, target, sides.compute, sides.memory, question, aside), sides=sides)


def _unknown(name: str, target: str, question: Question, reason: str, sides: Sides) -> Crossover:
    return Crossover(name, target, question.wrt, given=question.given, unknown=reason, sides=sides)


def regions(loads: Iterable[Load], question: Question) -> Iterator[tuple[dict[Residence, bool], tuple[Span, ...]]]:
    """Every truth of the conditions that some size has, with these sizes."""
    conditions = tuple(dict.fromkeys(c for load in loads for c in load.conditions))
    where: dict[tuple[Residence, bool], tuple[Span, ...]] = {}
    for condition in conditions:
        need, capacity = condition.need_bytes, as_expr(condition.capacity_bytes)
        where[condition, True] = question.where(need, capacity).spans
        where[condition, False] = question.where(capacity + 1, need).spans
    everything = question.where(ZERO, ZERO).spans
    for truth in product((True, False), repeat=len(conditions)):
        region = everything
        for condition, holds in zip(conditions, truth, strict=True):
            region = intersection(region, where[condition, holds])
        if region:
            yield dict(zip(conditions, truth, strict=True)), region


def _scaled(compute: Loads, memory: Loads, held: Mapping[Residence, bool]) -> tuple[Expr, Expr]:
    """Both sides in a unit of time in which every load is an integer: amount / rate, multiplied out."""
    active = [[load for load in side if load.counts(held)] for side in (compute, memory)]
    pace = {load: 1 / Fraction(load.rate) for side in active for load in side}
    common = lcm(*(p.denominator for p in pace.values()))
    whole = {load: int(p * common) for load, p in pace.items()}
    shared = gcd(*whole.values()) or 1
    slow, fast = (total(load.amount * (whole[load] // shared) for load in side) for side in active)
    return slow, fast


def point_at(wrt: str, size: int, others: Mapping[str, Expr | int]) -> dict[str, int]:
    """Every symbol where the one has a size: the others are numbers, or follow it."""
    point = {wrt: size}
    return point | {name: v if isinstance(v, int) else evaluate(v, point) for name, v in others.items()}


def condition_text(condition: Residence, holds: bool) -> str:
    """Whether a level serves the data, in words."""
    return f"data {'stays' if holds else 'does not stay'} in {condition.level}"


def check_question(question: Question) -> None:
    """Raise SpecError unless every symbol but the one is given or tied."""
    known = {s.name: s for s in question.symbols}
    if question.wrt not in known:
        raise SpecError(f"the model has no symbol {question.wrt!r}; it has {', '.join(known) or 'none'}")
    substitution(known, question.wrt, question.at, question.tie)
