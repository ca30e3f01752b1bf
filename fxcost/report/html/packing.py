"""Small data: text and columns of numbers that occur again are kept once and named by their position."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fxcost.ir.expr import Expr
from fxcost.passes._rates import Load, RateFormula, Residence, Term
from fxcost.passes.buffers import Case
from fxcost.report.html.javascript import Conditions, Table

T = TypeVar("T", bound=Hashable)


@dataclass
class Numbered(Generic[T]):
    """Distinct things, numbered in the order in which they are first seen."""

    _numbers: dict[T, int] = field(default_factory=dict)

    def __call__(self, thing: T) -> int:
        """The number of a thing."""
        return self._numbers.setdefault(thing, len(self._numbers))

    @property
    def things(self) -> list[T]:
        """All of them, by number."""
        return list(self._numbers)


@dataclass
class Pool:
    """What all parts of a page share: strings, and columns of integers."""

    text: Numbered[str] = field(default_factory=Numbered)
    columns: Numbered[tuple[int, ...]] = field(default_factory=Numbered)

    def column(self, numbers: Iterable[int]) -> int:
        """The number of a column."""
        return self.columns(tuple(numbers))

    def words(self, texts: Iterable[str]) -> int:
        """The number of a column of strings."""
        return self.column(self.text(text) for text in texts)


@dataclass
class Rates:
    """Formulas of time and energy as plain data over a table of amounts.

    A load is [amount, rate, inside, outside] without trailing zeros, where `inside` and `outside` are residences counted
    from one; a term [compute loads, memory loads, fixed seconds]; a formula a list of [term, count].
    """

    amounts: Table
    rates: Numbered[float] = field(default_factory=Numbered)
    residences: Numbered[Residence] = field(default_factory=Numbered)
    terms: Numbered[Term] = field(default_factory=Numbered)

    def formula(self, formula: RateFormula | None) -> list[list[int]] | None:
        """A formula; None stays None."""
        return None if formula is None else [[self.term(term), term.count] for term in formula.terms]

    def term(self, term: Term) -> int:
        """The number of a term, its count apart."""
        return self.terms(Term(term.compute, term.memory, term.fixed))

    def place(self, residence: Residence | None) -> int:
        """The number of a residence from one on; 0 for none."""
        return 0 if residence is None else self.residences(residence) + 1

    def data(self) -> dict[str, Any]:
        """Everything gathered so far."""
        terms = [[self._loads(t.compute), self._loads(t.memory), t.fixed] for t in self.terms.things]
        return {
            "terms": terms,
            "rates": self.rates.things,
            "residences": [[self.amounts(r.need_bytes), r.capacity_bytes] for r in self.residences.things],
        }

    def _loads(self, loads: Iterable[Load]) -> list[list[int]]:
        return [self._load(load) for load in loads]

    def _load(self, load: Load) -> list[int]:
        packed = [self.amount(load.amount), self.rates(load.rate), self.place(load.inside), self.place(load.outside)]
        while not packed[-1] and len(packed) > 2:
            packed.pop()
        return packed

    def amount(self, amount: Expr) -> int:
        """The number of an amount."""
        return self.amounts(amount)


def case_data(case: Case, table: Table, pool: Pool, conditions: Conditions) -> dict[str, Any]:
    """Blocks of memory under one storage condition: names, sizes, and the steps between which each lives."""
    return {
        "when": conditions(case.when),
        "block": pool.words(buffer.id for buffer in case.buffers),
        "size": pool.column(table(buffer.size) for buffer in case.buffers),
        "first": pool.column(buffer.first for buffer in case.buffers),
        "last": pool.column(buffer.last for buffer in case.buffers),
    }
