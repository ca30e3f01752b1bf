"""How large a formula may be: limits that the reader of text imposes and that `verify` checks in every graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fxcost.ir.expr import Expr
from fxcost.ir.predicate import Compare, Predicate

MAX_NESTING: Final = 50
"""Divisions, remainders and maxima inside one another: what every recursive function over expressions can take."""
MAX_DIGITS: Final = 300
"""Digits of a number, written or computed."""
MAX_EXPONENT: Final = 64
"""Largest exponent after `**`."""
MAX_REGIONS: Final = 20
"""Graphs inside one another."""
MAX_VARIANTS: Final = 1_000
"""Graphs beside the main one, for regions where symbols are one."""
MAX_LISTS: Final = 50
"""Lists inside one another in an attribute."""

_LIMIT = 10**MAX_DIGITS


def nesting(value: Expr, known: dict[Expr, int]) -> int:
    """How many divisions, remainders, maxima and minima lie inside one another; `known` remembers between calls."""
    pending = [value]
    while pending:
        current = pending[-1]
        inner = [arg for atom in current.atoms() for arg in atom.args]
        missing = [arg for arg in inner if arg not in known]
        if missing:
            pending.extend(missing)
        else:
            known[current] = 1 + max(known[arg] for arg in inner) if inner else 0
            pending.pop()
    return known[value]


def depth(predicate: Predicate) -> int:
    """How many conjunctions and disjunctions lie inside one another."""
    return 0 if isinstance(predicate, Compare) else 1 + max(map(depth, predicate.parts), default=0)


def oversized(values: Iterable[int]) -> bool:
    """True when a number has more than MAX_DIGITS digits."""
    return any(not -_LIMIT < value < _LIMIT for value in values)
