"""Formulas of time and energy: sums of `max(work / rate, traffic / rate)`, exact until the last division.

Amounts (operations, bytes) are integer expressions; rates are floats, operations or bytes per second, or per joule. A
value is a float at a point; as text and as a sympy expression the formula stays symbolic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from fxcost.errors import ModelError
from fxcost.ir.evaluate import compiled
from fxcost.ir.expr import ZERO, Expr, as_expr, substitute, total
from fxcost.ir.predicate import Compare, decide

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Load:
    """`amount / rate` seconds or joules; `rate` is what one second or one joule is enough for."""

    amount: Expr
    rate: float


Loads = tuple[Load, ...]


@dataclass(frozen=True)
class Term:
    """`count * (max(compute, memory + streamed) + fixed)`.

    `streamed` are loads of weights that count only while the weights do not stay on chip; `resident` those that count
    in their place when they do.
    """

    compute: Loads = ()
    memory: Loads = ()
    streamed: Loads = ()
    resident: Loads = ()
    fixed: float = 0.0
    count: int = 1

    @property
    def loads(self) -> Loads:
        """Every load of the term."""
        return self.compute + self.memory + self.streamed + self.resident

    @property
    def has_memory(self) -> bool:
        """True when the term moves bytes."""
        return bool(self.memory or self.streamed or self.resident)

    def settled(self, stays: bool) -> Term:
        """The term where the weights certainly stay on chip, or certainly do not."""
        weights = self.resident if stays else self.streamed
        memory = loads(*((part.amount, part.rate) for part in self.memory + weights))
        return replace(self, memory=memory, streamed=(), resident=())

    def with_loads(self, change: Callable[[Loads], Loads]) -> Term:
        """The same term with every list of loads changed."""
        return replace(
            self,
            compute=change(self.compute),
            memory=change(self.memory),
            streamed=change(self.streamed),
            resident=change(self.resident),
        )


@dataclass(frozen=True)
class Residence:
    """Weights stay on chip where `need_bytes` (all weights and the arena) fit into `capacity_bytes` of `level`."""

    level: str
    need_bytes: Expr
    capacity_bytes: int

    def __str__(self) -> str:
        return f"{self.need_bytes} <= {self.capacity_bytes}"


@dataclass(frozen=True)
class RateFormula:
    """A sum of terms; `unit` is what its value is measured in."""

    terms: tuple[Term, ...]
    residence: Residence | None = None

    unit: ClassVar[str] = ""

    @classmethod
    def of(cls, terms: Iterable[Term], residence: Residence | None = None) -> Self:
        """The formula in as few terms as possible, without the condition where it is certain."""
        if residence is not None:
            certain = decide(Compare("<=", residence.need_bytes, as_expr(residence.capacity_bytes)))
            if certain is not None:
                return cls(merged(term.settled(certain) for term in terms))
        found = merged(terms)
        return cls(found, residence if any(term.streamed or term.resident for term in found) else None)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of all symbols in the formula."""
        return frozenset().union(*(amount.symbols for amount in self._amounts))

    @property
    def states_nothing(self) -> bool:
        """True when no term has anything to add up."""
        return not any(term.loads or term.fixed for term in self.terms)

    @cached_property
    def _amounts(self) -> tuple[Expr, ...]:
        found = dict.fromkeys(load.amount for term in self.terms for load in term.loads)
        return tuple(found if self.residence is None else found | {self.residence.need_bytes: None})

    def at(self, env: Mapping[str, int]) -> float:
        """The value at a point; raises ModelError naming the symbols that `env` lacks."""
        names = tuple(sorted(self.symbols))
        missing = [name for name in names if name not in env]
        if missing:
            raise ModelError(f"no value given for {', '.join(missing)}; give every symbol of the formula")
        values = compiled(self._amounts, names)(*(env[name] for name in names))
        amount = dict(zip(self._amounts, values, strict=True))
        fits = self.residence is not None and amount[self.residence.need_bytes] <= self.residence.capacity_bytes

        def value(parts: Loads) -> float:
            return sum(amount[part.amount] / part.rate for part in parts)

        def whole(term: Term) -> float:
            moved = value(term.memory) + value(term.resident if fits else term.streamed)
            return term.count * (max(value(term.compute), moved) + term.fixed)

        try:
            return float(sum(whole(term) for term in self.terms))
        except OverflowError as error:
            raise ModelError("the sizes are too large: an amount of work exceeds 1e308") from error

    def bind(self, env: Mapping[str, int]) -> Self:
        """The formula in the symbols that `env` leaves open."""

        def bound(loads: Loads) -> Loads:
            return tuple(Load(substitute(load.amount, env), load.rate) for load in loads)

        residence = self.residence
        if residence is not None:
            residence = replace(residence, need_bytes=substitute(residence.need_bytes, env))
        return self.of([term.with_loads(bound) for term in self.terms], residence)

    def __call__(self, **env: int) -> float | Self:
        """A float when every symbol is given, else the formula in the rest."""
        return self.at(env) if self.symbols <= env.keys() else self.bind(env)

    # -- for people ----------------------------------------------------------------------------------------------
    def __str__(self) -> str:
        return " + ".join(self._term_text(term) for term in self.terms) or "0.0"

    def _term_text(self, term: Term) -> str:
        memory = _sum_text(term.memory)
        if self.residence is None:
            memory = _sum_text(term.settled(stays=False).memory)
        elif term.streamed or term.resident:
            there, away = _sum_text(term.resident) or "0", _sum_text(term.streamed) or "0"
            weights = f"({there} if {self.residence} else {away})"
            memory = f"{memory} + {weights}" if memory else weights
        sides = [side for side in (_sum_text(term.compute), memory) if side]
        parts = [f"max({sides[0]}, {sides[1]})" if len(sides) == 2 else "".join(sides)]
        parts = [part for part in (*parts, repr(term.fixed) if term.fixed else "") if part]
        text = " + ".join(parts) or "0"
        return text if term.count == 1 else f"{term.count}*({text})"

    @property
    def expr(self) -> Any:
        """The formula as a sympy expression with float rates."""
        import sympy

        from fxcost.ir.sympy_bridge import to_sympy

        def value(loads: Loads) -> Any:
            return sympy.Add(*(to_sympy(load.amount) / sympy.Float(load.rate) for load in loads))

        def memory(term: Term) -> Any:
            if self.residence is None:
                return value(term.memory + term.streamed)
            fits = sympy.Le(to_sympy(self.residence.need_bytes), self.residence.capacity_bytes)
            return value(term.memory) + sympy.Piecewise((value(term.resident), fits), (value(term.streamed), True))

        def whole(term: Term) -> Any:
            if not term.compute:
                larger = memory(term)
            elif not term.has_memory:
                larger = value(term.compute)
            else:
                larger = sympy.Max(value(term.compute), memory(term), evaluate=False)
            return term.count * (larger + term.fixed)

        return sympy.Add(*(whole(term) for term in self.terms))


class LatencyFormula(RateFormula):
    """Seconds, as a formula."""

    unit = "s"


class EnergyFormula(RateFormula):
    """Joules, as a formula."""

    unit = "J"


FormulaType = TypeVar("FormulaType", bound=RateFormula)


def at_point(formula: FormulaType | None, env: Mapping[str, int]) -> float | FormulaType | None:
    """A float where `env` gives every symbol, else the formula in the rest; None stays None."""
    if formula is None:
        return None
    return formula.at(env) if formula.symbols <= env.keys() else formula.bind(env)


def loads(*pairs: tuple[Expr, float | None]) -> Loads:
    """Loads of the amounts that are not zero and whose rate is known; amounts at one rate are added."""
    by_rate: dict[float, list[Expr]] = {}
    for amount, rate in pairs:
        if rate is not None and amount is not ZERO:
            by_rate.setdefault(rate, []).append(amount)
    return tuple(Load(total(amounts), rate) for rate, amounts in by_rate.items())


def merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The same sum in fewer terms: equal ones are counted, and where only one side exists amounts are added."""
    counts: dict[Term, int] = {}
    compute: list[Load] = []
    memory: list[Load] = []
    streamed: list[Load] = []
    resident: list[Load] = []
    fixed = 0.0
    for term in terms:
        if term.compute and term.has_memory:
            key = replace(term, count=1)
            counts[key] = counts.get(key, 0) + term.count
            continue
        times = term.count
        compute += _scaled(term.compute, times)
        memory += _scaled(term.memory, times)
        streamed += _scaled(term.streamed, times)
        resident += _scaled(term.resident, times)
        fixed += term.fixed * times
    kept = [replace(term, count=count) for term, count in counts.items()]
    pooled = [
        Term(compute=_pooled(compute)),
        Term(memory=_pooled(memory), streamed=_pooled(streamed), resident=_pooled(resident), fixed=fixed),
    ]
    return (*kept, *(term for term in pooled if term.loads or term.fixed))


def _scaled(parts: Loads, times: int) -> list[Load]:
    return [Load(part.amount * times, part.rate) for part in parts]


def _pooled(parts: list[Load]) -> Loads:
    return loads(*((part.amount, part.rate) for part in parts))


def _sum_text(parts: Loads) -> str:
    return " + ".join(f"({part.amount})/{part.rate!r}" for part in parts)
