"""Formulas of time and energy: sums of `max(work / rate, traffic / rate)`, exact until the last division.

Amounts (operations, bytes) are integer expressions; rates are floats, operations or bytes per second, or per joule. A
value is a float at a point; as text and as a sympy expression the formula stays symbolic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from fxcost.errors import ModelError, OutsideDomain, SpecError
from fxcost.ir.evaluate import compiled
from fxcost.ir.expr import ZERO, Expr, as_expr, substitute, total
from fxcost.ir.predicate import Compare, decide, replace_symbols

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Residence:
    """Data stays on chip where `need_bytes` (the arena, and all weights where they are meant) fit into `level`."""

    level: str
    need_bytes: Expr
    capacity_bytes: int

    def __str__(self) -> str:
        return f"{self.need_bytes} <= {self.capacity_bytes}"

    @property
    def predicate(self) -> Compare:
        """The condition as a comparison."""
        return Compare("<=", self.need_bytes, as_expr(self.capacity_bytes))

    def holds(self, env: Mapping[str, int]) -> bool | None:
        """True or False where `env` and the symbols' ranges settle it, else None."""
        return decide(replace_symbols(self.predicate, env))


@dataclass(frozen=True)
class Load:
    """`amount / rate` seconds or joules; `rate` is what one second or one joule is enough for.

    `what` is products, other, activations or weights; `level` the memory that serves the bytes. A load counts only where
    `inside` holds and `outside` does not: data is served by the nearest level in which it stays.
    """

    amount: Expr
    rate: float
    what: str = ""
    level: str = ""
    inside: Residence | None = None
    outside: Residence | None = None

    @property
    def conditions(self) -> tuple[Residence, ...]:
        """The conditions that decide whether the load counts."""
        return tuple(c for c in (self.inside, self.outside) if c is not None)

    def counts(self, held: Mapping[Residence, bool]) -> bool:
        """True where the load counts, given which conditions hold."""
        return (self.inside is None or held[self.inside]) and not (self.outside is not None and held[self.outside])

    def settled(self) -> Load | None:
        """The load without conditions that are certain; None when it never counts."""
        inside, outside = self.inside, self.outside
        certain_in = None if inside is None else inside.holds({})
        certain_out = None if outside is None else outside.holds({})
        if certain_in is False or certain_out is True:
            return None
        return replace(self, inside=None if certain_in else inside, outside=None if certain_out is False else outside)

    def bound(self, env: Mapping[str, Expr | int]) -> Load:
        """The load with sizes put in."""

        def there(place: Residence | None) -> Residence | None:
            return None if place is None else replace(place, need_bytes=substitute(place.need_bytes, env))

        return replace(
            self, amount=substitute(self.amount, env), inside=there(self.inside), outside=there(self.outside)
        )


Loads = tuple[Load, ...]


@dataclass(frozen=True)
class Term:
    """`count * (max(compute, memory) + fixed)`."""

    compute: Loads = ()
    memory: Loads = ()
    fixed: float = 0.0
    count: int = 1

    @property
    def loads(self) -> Loads:
        """Every load of the term."""
        return self.compute + self.memory

    def with_loads(self, change: Callable[[Load], Load | None]) -> Term:
        """The same term with every load changed, or left out."""

        def changed(parts: Loads) -> Loads:
            return tuple(new for part in parts if (new := change(part)) is not None)

        return replace(self, compute=changed(self.compute), memory=changed(self.memory))


@dataclass(frozen=True)
class RateConstraint:
    """`formula OP limit` with OP one of <= < >= >, the limit in the formula's unit, exactly."""

    formula: RateFormula
    op: str
    limit: Fraction

    def __str__(self) -> str:
        return f"{self.formula.name} {self.op} {float(self.limit):g} {self.formula.unit}"

    def __bool__(self) -> bool:
        raise ModelError(f"the constraint {self} is no truth value; pass it to solve, or compare numbers at a point")


@dataclass(frozen=True)
class RateFormula:
    """A sum of terms; `unit` is what its value is measured in, `name` what it is called in constraints and proofs.

    `missing` names the figures that the machine does not state: with any, the value is a lower bound. `only` are sizes at
    which alone the formula holds, of a graph that was captured there and whose totals are fitted.
    """

    terms: tuple[Term, ...]
    name: str = field(default="", compare=False)
    missing: tuple[str, ...] = field(default=(), compare=False)
    only: Mapping[str, int] = field(default_factory=dict, compare=False)

    unit: ClassVar[str] = ""

    @classmethod
    def of(cls, terms: Iterable[Term]) -> Self:
        """The formula in as few terms as possible, without conditions that are certain."""
        return cls(merged(term.with_loads(Load.settled) for term in terms))

    @cached_property
    def symbols(self) -> frozenset[str]:
        """Names of all symbols in the formula."""
        return frozenset().union(*(amount.symbols for amount in self._amounts))

    @property
    def states_nothing(self) -> bool:
        """True when no term has anything to add up."""
        return not any(term.loads or term.fixed for term in self.terms)

    @cached_property
    def conditions(self) -> tuple[Residence, ...]:
        """The conditions on which loads of the formula depend."""
        return tuple(dict.fromkeys(c for term in self.terms for load in term.loads for c in load.conditions))

    @cached_property
    def _amounts(self) -> tuple[Expr, ...]:
        return amounts_of(self.terms)

    def at(self, env: Mapping[str, int]) -> float:
        """The value at a point; raises ModelError naming the symbols that `env` lacks."""
        self._check(env)
        here = Values.of(self._amounts, env)
        return here.divided(lambda: sum(here.of_term(term) for term in self.terms))

    def bind(self, env: Mapping[str, Expr | int]) -> Self:
        """The formula with numbers or expressions put in for symbols."""
        self._check(env)
        return replace(
            self.of(term.with_loads(lambda load: load.bound(env)) for term in self.terms),
            name=self.name,
            missing=self.missing,
            only=self.only,
        )

    def _check(self, env: Mapping[str, Expr | int]) -> None:
        for name, size in self.only.items():
            asked = env.get(name, size)
            if isinstance(asked, int) and asked != size:
                raise OutsideDomain(
                    f"{self.name or 'this formula'} at {name}={asked}: it is that of {name}={size}, where the nodes were "
                    "captured; give all sizes (at=...), and the model is captured anew there"
                )

    def __call__(self, **env: int) -> float | Self:
        """A float when every symbol is given, else the formula in the rest."""
        return self.at(env) if self.symbols <= env.keys() else self.bind(env)

    # -- constraints ---------------------------------------------------------------------------------------------
    def __le__(self, limit: object) -> RateConstraint:
        return self.against("<=", limit)

    def __lt__(self, limit: object) -> RateConstraint:
        return self.against("<", limit)

    def __ge__(self, limit: object) -> RateConstraint:
        return self.against(">=", limit)

    def __gt__(self, limit: object) -> RateConstraint:
        return self.against(">", limit)

    def against(self, op: str, limit: object) -> RateConstraint:
        """`formula OP limit` as a constraint; raises SpecError for what is no finite number."""
        if isinstance(limit, bool) or not isinstance(limit, int | float | Fraction):
            raise SpecError(f"{self.name or 'a formula'} {op} {limit!r}: expected a number in {self.unit}")
        try:
            exact = (
                Fraction(repr(limit)) if isinstance(limit, float) else Fraction(limit)
            )  # 0.05 is meant, not its bits
        except ValueError as error:
            raise SpecError(f"{self.name} {op} {limit!r}: expected a finite number") from error
        return RateConstraint(self, op, exact)

    # -- for people ----------------------------------------------------------------------------------------------
    def __str__(self) -> str:
        return " + ".join(_term_text(term) for term in self.terms) or "0.0"

    @property
    def expr(self) -> Any:
        """The formula as a sympy expression with float rates."""
        import sympy

        from fxcost.ir.sympy_bridge import to_sympy

        def fits(place: Residence) -> Any:
            return sympy.Le(to_sympy(place.need_bytes), place.capacity_bytes)

        def one(load: Load) -> Any:
            plain = to_sympy(load.amount) / sympy.Float(load.rate)
            conditions = [fits(load.inside)] if load.inside else []
            conditions += [sympy.Not(fits(load.outside))] if load.outside else []
            return sympy.Piecewise((plain, sympy.And(*conditions)), (0, True)) if conditions else plain

        def value(parts: Loads) -> Any:
            return sympy.Add(*(one(load) for load in parts))

        def whole(term: Term) -> Any:
            if term.compute and term.memory:
                larger = sympy.Max(value(term.compute), value(term.memory), evaluate=False)
            else:
                larger = value(term.loads)
            return term.count * (larger + term.fixed)

        return sympy.Add(*(whole(term) for term in self.terms))


@dataclass(frozen=True)
class Values:
    """Amounts at a point; loads are divided from them, all from one evaluation."""

    amounts: Mapping[Expr, int]

    @classmethod
    def of(cls, amounts: tuple[Expr, ...], env: Mapping[str, int]) -> Values:
        """Evaluate the amounts; raises ModelError naming the symbols that `env` lacks."""
        names = tuple(sorted(frozenset().union(*(amount.symbols for amount in amounts))))
        missing = [name for name in names if name not in env]
        if missing:
            raise ModelError(f"no value given for {', '.join(missing)}; give every symbol of the formula")
        values = compiled(amounts, names)(*(env[name] for name in names))
        return cls(dict(zip(amounts, values, strict=True)))

    def counting(self, parts: Loads) -> Iterator[Load]:
        """The loads that count at this point."""
        held = {c: self.amounts[c.need_bytes] <= c.capacity_bytes for part in parts for c in part.conditions}
        return (part for part in parts if part.counts(held))

    def of_loads(self, parts: Loads) -> float:
        """Seconds or joules of the loads together."""
        return self.divided(lambda: sum(self.amounts[part.amount] / part.rate for part in self.counting(parts)))

    def of_term(self, term: Term) -> float:
        """Seconds or joules of a term."""
        return term.count * (max(self.of_loads(term.compute), self.of_loads(term.memory)) + term.fixed)

    def exactly(self, parts: Loads) -> Fraction:
        """The loads together without any rounding, for comparisons that have ties."""
        return sum((self.amounts[part.amount] / Fraction(part.rate) for part in self.counting(parts)), Fraction(0))

    @staticmethod
    def divided(value: Callable[[], float]) -> float:
        """The value; raises ModelError where it is too large for a float."""
        try:
            return float(value())
        except OverflowError as error:
            raise ModelError("the sizes are too large: an amount of work exceeds 1e308") from error


def amounts_of(terms: Iterable[Term]) -> tuple[Expr, ...]:
    """Every amount that the value of the terms depends on, each once."""
    parts = [load for term in terms for load in term.loads]
    found = dict.fromkeys(load.amount for load in parts)
    return tuple(found | {condition.need_bytes: None for load in parts for condition in load.conditions})


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


def loads(parts: Iterable[Load]) -> Loads:
    """The loads that are not zero; amounts that share everything else are added."""
    alike: dict[Load, list[Expr]] = {}
    for part in parts:
        if part.amount is not ZERO:
            alike.setdefault(replace(part, amount=ZERO), []).append(part.amount)
    return tuple(replace(key, amount=total(amounts)) for key, amounts in alike.items())


def merged(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The same sum in fewer terms: equal ones are counted, and where only one side exists amounts are added."""
    counts: dict[Term, int] = {}
    compute: list[Load] = []
    memory: list[Load] = []
    fixed = 0.0
    for term in terms:
        if term.compute and term.memory:
            key = replace(term, count=1)
            counts[key] = counts.get(key, 0) + term.count
            continue
        compute += (replace(load, amount=load.amount * term.count) for load in term.compute)
        memory += (replace(load, amount=load.amount * term.count) for load in term.memory)
        fixed += term.fixed * term.count
    kept = [replace(term, count=count) for term, count in counts.items()]
    pooled = [Term(compute=loads(compute)), Term(memory=loads(memory), fixed=fixed)]
    return (*kept, *(term for term in pooled if term.loads or term.fixed))


def _term_text(term: Term) -> str:
    sides = [side for side in (_sum_text(term.compute), _sum_text(term.memory)) if side]
    parts = [f"max({sides[0]}, {sides[1]})" if len(sides) == 2 else "".join(sides)]
    parts = [part for part in (*parts, repr(term.fixed) if term.fixed else "") if part]
    text = " + ".join(parts) or "0"
    return text if term.count == 1 else f"{term.count}*({text})"


def _sum_text(parts: Loads) -> str:
    """Loads as Python text; those under one condition stand in one conditional."""
    plain = _added(part for part in parts if not part.conditions)
    cases: dict[str, list[Load]] = {}
    for part in parts:
        if part.conditions:
            cases.setdefault(_condition_text(part), []).append(part)
    return " + ".join(
        [*([plain] if plain else []), *(f"({_added(same)} if {when} else 0)" for when, same in cases.items())]
    )


def _condition_text(load: Load) -> str:
    inside = [str(load.inside)] if load.inside else []
    outside = [f"{load.outside.need_bytes} > {load.outside.capacity_bytes}"] if load.outside else []
    return " and ".join(inside + outside)


def _added(parts: Iterable[Load]) -> str:
    by_rate: dict[float, list[Expr]] = {}
    for part in parts:
        by_rate.setdefault(part.rate, []).append(part.amount)
    return " + ".join(f"({total(amounts)})/{rate!r}" for rate, amounts in by_rate.items())
