"""Comparisons of expressions: guards of a formula, conditions of an alias.

A predicate is a comparison, a conjunction or a disjunction. Negation is pushed inwards, so no other form exists.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, Range, bounds, substitute, total

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NEGATED = {"==": "!=", "!=": "==", "<=": ">", ">": "<=", "<": ">=", ">=": "<"}


@dataclass(frozen=True)
class Compare:
    """`left OP right` with OP one of == != < <= > >=."""

    op: str
    left: Expr
    right: Expr

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True)
class AllOf:
    """Every part holds; true when empty."""

    parts: tuple[Predicate, ...]

    def __str__(self) -> str:
        return " and ".join(f"({p})" for p in self.parts) or "1 == 1"


@dataclass(frozen=True)
class AnyOf:
    """Some part holds; false when empty."""

    parts: tuple[Predicate, ...]

    def __str__(self) -> str:
        return " or ".join(f"({p})" for p in self.parts) or "1 == 0"


Predicate = Compare | AllOf | AnyOf

TRUE = AllOf(())
FALSE = AnyOf(())


def negate(predicate: Predicate) -> Predicate:
    """The opposite predicate."""
    if isinstance(predicate, Compare):
        return Compare(_NEGATED[predicate.op], predicate.left, predicate.right)
    parts = tuple(negate(p) for p in predicate.parts)
    return AnyOf(parts) if isinstance(predicate, AllOf) else AllOf(parts)


def all_of(parts: Iterable[Predicate]) -> Predicate:
    """Conjunction, flattened; a part that is certainly false makes the whole false."""
    flat: dict[Predicate, None] = {}
    for part in parts:
        for piece in part.parts if isinstance(part, AllOf) else (part,):
            known = decide(piece)
            if known is False:
                return FALSE
            if known is None:
                flat[piece] = None
    return next(iter(flat)) if len(flat) == 1 else AllOf(tuple(flat))


def any_of(parts: Iterable[Predicate]) -> Predicate:
    """Disjunction, flattened; a part that certainly holds makes the whole true."""
    return negate(all_of(negate(p) for p in parts))


def holds(predicate: Predicate, env: Mapping[str, int]) -> bool:
    """Decide the predicate at a point; raises ModelError for a missing symbol."""
    if isinstance(predicate, AllOf):
        return all(holds(p, env) for p in predicate.parts)
    if isinstance(predicate, AnyOf):
        return any(holds(p, env) for p in predicate.parts)
    difference = evaluate(predicate.left - predicate.right, env)
    return bool(fits_sign(predicate.op, difference))


def decide(predicate: Predicate, ranges: Mapping[str, Range] | None = None) -> bool | None:
    """True or False when intervals settle it for every point of the ranges, else None."""
    if isinstance(predicate, AllOf | AnyOf):
        settled = [decide(p, ranges) for p in predicate.parts]
        decisive = isinstance(predicate, AnyOf)
        if decisive in settled:
            return decisive
        return None if None in settled else not decisive
    low, high = bounds(predicate.left - predicate.right, ranges)
    # The extremes of the interval: if the comparison has one value on all of it, that value is certain.
    if low is not None and low == high:
        return bool(fits_sign(predicate.op, low))
    positive, negative = low is not None and low > 0, high is not None and high < 0
    if predicate.op in {"==", "!="}:
        return (predicate.op == "!=") if positive or negative else None
    if predicate.op in {">", "<="}:
        if positive:
            return predicate.op == ">"
        return predicate.op == "<=" if high is not None and high <= 0 else None
    if negative:
        return predicate.op == "<"
    return predicate.op == ">=" if low is not None and low >= 0 else None


def fits_sign(op: str, difference: Any) -> Any:
    """`difference OP 0`, for a number or element by element for an array."""
    return _OPERATORS[op](difference, 0)


def replace_symbols(predicate: Predicate, env: Mapping[str, Expr | int]) -> Predicate:
    """Substitute symbols in every comparison; parts that this settles are dropped."""
    if isinstance(predicate, Compare):
        return Compare(predicate.op, substitute(predicate.left, env), substitute(predicate.right, env))
    parts = (replace_symbols(p, env) for p in predicate.parts)
    return all_of(parts) if isinstance(predicate, AllOf) else any_of(parts)


def comparisons(predicate: Predicate) -> Iterator[Compare]:
    """The comparisons that a predicate is made of."""
    if isinstance(predicate, Compare):
        yield predicate
    else:
        for part in predicate.parts:
            yield from comparisons(part)


def symbols_of(predicate: Predicate) -> frozenset[str]:
    """Names of the symbols that the predicate mentions."""
    if isinstance(predicate, Compare):
        return predicate.left.symbols | predicate.right.symbols
    return frozenset().union(*(symbols_of(p) for p in predicate.parts))


def indicator(predicate: Predicate) -> Expr:
    """1 where the predicate holds and 0 elsewhere, as an expression: a >= b is min(1, max(0, a - b + 1))."""
    from fxcost.ir.expr import ONE, maximum, minimum, product

    if isinstance(predicate, AllOf):
        return product(indicator(p) for p in predicate.parts)
    if isinstance(predicate, AnyOf):
        return ONE - product(ONE - indicator(p) for p in predicate.parts)
    known = decide(predicate)
    if known is not None:
        return total([int(known)])
    left, right = predicate.left, predicate.right

    def at_least(a: Expr, b: Expr) -> Expr:
        return minimum(1, maximum(0, a - b + 1))

    if predicate.op == ">=":
        return at_least(left, right)
    if predicate.op == ">":
        return at_least(left, right + 1)
    if predicate.op == "<=":
        return at_least(right, left)
    if predicate.op == "<":
        return at_least(right, left + 1)
    both = at_least(left, right) * at_least(right, left)
    return both if predicate.op == "==" else ONE - both
