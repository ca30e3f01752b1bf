"""Expressions in one symbol on residue classes, where all floors are exact: what holds for every size from some size on.

With s = start + period * k and k >= 0, a floor of a polynomial whose other coefficients its divisor divides is a polynomial
again, a remainder is a constant, and a maximum is the argument that is larger in every coefficient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import lcm

from fxcost.ir.expr import Atom, Expr

MOST_CLASSES = 1024
"""Residue classes at most; where more are needed nothing is claimed."""

Polynomial = tuple[int, ...]
"""Coefficients by powers of k."""


def polynomial(value: Expr, name: str, start: int, period: int) -> Polynomial | None:
    """The value at `start + period * k` as a polynomial in k >= 0; None where it is not seen to be one."""
    return _of_expression(value, name, (start, period), {})


def period_of(values: Iterable[Expr], name: str, first: int, step: int) -> int:
    """The length of a period on which every value is a polynomial from `first` on; 0 where none was found."""
    wanted = tuple(values)
    period = lcm(step, *(divisor for value in wanted for divisor in _divisors(value)))
    while period // step <= MOST_CLASSES:
        if all(polynomial(value, name, first, period) is not None for value in wanted):
            return period
        period *= 2
    return 0


def sign_beyond(value: Expr, name: str, first: int, step: int) -> int | None:
    """1 where the value is not negative at any size from `first` on, -1 where it is negative at all; None otherwise."""
    period = period_of((value,), name, first, step)
    if not period:
        return None
    found = set()
    for start in range(first, first + period, step):
        part = polynomial(value, name, start, period)
        if part is None:
            return None
        if all(c >= 0 for c in part):
            found.add(1)
        elif part[0] < 0 and all(c <= 0 for c in part):
            found.add(-1)
        else:
            return None
    return found.pop() if len(found) == 1 else None


def _divisors(value: Expr) -> Iterator[int]:
    for atom in value.atoms():
        if atom.kind in {"floordiv", "mod"}:
            yield abs(atom.args[1].constant or 1)
        for part in atom.args:
            yield from _divisors(part)


def _of_expression(
    value: Expr, name: str, line: tuple[int, int], known: dict[Atom, Polynomial | None]
) -> Polynomial | None:
    total: list[int] = [0]
    for monomial, factor in value.terms.items():
        term: Polynomial = (factor,)
        for atom, power in monomial:
            if atom not in known:
                known[atom] = _of_atom(atom, name, line, known)
            part = known[atom]
            if part is None:
                return None
            for _ in range(power):
                term = _times(term, part)
        total += [0] * (len(term) - len(total))
        for place, coefficient in enumerate(term):
            total[place] += coefficient
    while len(total) > 1 and not total[-1]:
        total.pop()
    return tuple(total)


def _of_atom(atom: Atom, name: str, line: tuple[int, int], known: dict[Atom, Polynomial | None]) -> Polynomial | None:
    if atom.kind == "symbol":
        return line if atom.name == name else None
    parts = [_of_expression(part, name, line, known) for part in atom.args]
    if any(part is None for part in parts):
        return None
    found = [part for part in parts if part is not None]
    if atom.kind in {"max", "min"}:
        best = found[0]
        for other in found[1:]:
            if _dominates(other, best):
                best = other if atom.kind == "max" else best
            elif _dominates(best, other):
                best = best if atom.kind == "max" else other
            else:
                return None
        return best
    above, by = found
    divisor = by[0]
    if len(by) > 1 or not divisor or any(c % divisor for c in above[1:]):
        return None
    if atom.kind == "floordiv":
        return (above[0] // divisor, *(c // divisor for c in above[1:]))
    return (above[0] % divisor,)


def _dominates(a: Polynomial, b: Polynomial) -> bool:
    """True when a is at least b for every k >= 0, seen from the coefficients."""
    width = max(len(a), len(b))
    return all(x >= y for x, y in zip(_padded(a, width), _padded(b, width), strict=True))


def _padded(a: Polynomial, width: int) -> Polynomial:
    return a + (0,) * (width - len(a))


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    found = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            found[i + j] += x * y
    return tuple(found)
