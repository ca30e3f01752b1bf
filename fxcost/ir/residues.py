"""Expressions with floors, as polynomials on residue classes: where all rounding is exact.

With s = low + r + L*t for a suitable L, 0 <= r < L and t >= 0, every `p//d` and `p%d` becomes a polynomial in the t's,
for p(s + d) - p(s) is a multiple of d. Coefficients are arrays over all classes at once: two symbols with L = 32 are
1,024 classes and cost about a millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

from fxcost.ir.expr import Atom, Expr, Range

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Polynomial = dict[tuple[int, ...], Array]  # coefficients by the powers of each t

_SAFE = float(2**62)


def classes(value: Expr) -> dict[str, int]:
    """For each symbol, the L on whose classes every floor inside `value` is exact; divisors must be numbers."""
    return dict(sorted(_moduli(value, 1).items()))


def _moduli(value: Expr, divisor: int) -> dict[str, int]:
    """The L on whose classes all coefficients of `value` but the constant one are integers that `divisor` divides."""
    found: dict[str, int] = {}
    for monomial, factor in value.terms.items():
        left = divisor // gcd(divisor, factor)
        for atom, _ in monomial:
            if atom.kind == "symbol":
                needed = {atom.name: left}
            else:
                by = atom.args[1].constant
                assert by, "divisors are numbers"
                # A remainder is constant on a class as soon as its quotient is exact; a quotient must divide once more.
                needed = _moduli(atom.args[0], by * (left if atom.kind == "floordiv" else 1))
            for name, modulus in needed.items():
                found[name] = lcm(found.get(name, 1), modulus)
    return found


def nonnegative_in_classes(value: Expr, ranges: Mapping[str, Range]) -> bool:
    """True when on every class all coefficients are at least 0, after using upper bounds where there are some."""
    import numpy as np

    moduli = classes(value)
    names = tuple(moduli)
    grid = _Grid(moduli, {name: ranges.get(name, (1, None)) for name in names})
    size = grid.magnitude(value)
    tops = [grid.top(name) for name in names]
    for top in tops:
        size *= 1.0 if top is None else 1.0 + float(top.max())
    grid.kind = np.int64 if size < _SAFE else object
    found = grid.polynomial(value)
    if found is None:
        return False
    inhabited: Array = np.ones((1,) * len(names), dtype=bool)
    for axis, top in enumerate(tops):
        if top is not None:
            inhabited = inhabited & (top >= 0)
            _use_top(found, axis, np.maximum(top, 0).astype(grid.kind))
    return all(bool(np.all((factor >= 0) | ~inhabited)) for factor in found.values())


def _use_top(found: Polynomial, axis: int, top: Array) -> None:
    """Where t <= top, a negative coefficient c gives c*t*m >= c*top*m: push it to the monomial with one t less."""
    import numpy as np

    for powers in sorted((p for p in found if p[axis]), key=lambda p: -p[axis]):
        _push(found, powers, axis, top, np.minimum)


def _push(found: Polynomial, powers: tuple[int, ...], axis: int, top: Array, minimum: Any) -> None:
    while powers[axis]:
        negative = minimum(found[powers], 0)
        found[powers] = found[powers] - negative
        powers = (*powers[:axis], powers[axis] - 1, *powers[axis + 1 :])
        found[powers] = found.get(powers, 0) + negative * top


class _Grid:
    """The residue classes of some symbols, one axis for each."""

    def __init__(self, moduli: Mapping[str, int], ranges: Mapping[str, Range]) -> None:
        self.moduli = moduli
        self.ranges = ranges
        self.axes = {name: axis for axis, name in enumerate(moduli)}
        self.one = (0,) * len(moduli)
        self.kind: Any = object
        self.done: dict[Atom, Polynomial | None] = {}

    def first(self, name: str) -> Array:
        """The smallest size in each class of `name`, along its axis."""
        import numpy as np

        low, modulus = self.ranges[name][0] or 0, self.moduli[name]
        kind = self.kind if abs(low) < 2**62 else object
        shape = [1] * len(self.axes)
        shape[self.axes[name]] = modulus
        return (np.arange(modulus).astype(kind) + low).reshape(shape)

    def top(self, name: str) -> Array | None:
        """The largest t in each class of `name`, negative where the class is empty; None without an upper bound."""
        high = self.ranges[name][1]
        return None if high is None else (high - self.first(name)) // self.moduli[name]

    def magnitude(self, value: Expr) -> float:
        """A bound of all coefficients on the way to `value`, in floats."""
        result = 0.0
        for monomial, factor in value.terms.items():
            term = _float(factor)
            for atom, power in monomial:
                if atom.kind == "symbol":
                    size = _float(self.ranges[atom.name][0] or 0) + 2.0 * self.moduli[atom.name]
                else:
                    size = self.magnitude(atom.args[0]) + _float(atom.args[1].constant or 0)
                term *= size**power if size < 1e30 else float("inf")
            result += term
        return result

    def polynomial(self, value: Expr) -> Polynomial | None:
        """Coefficients of `value` on every class, or None where a quotient does not come out even."""
        import numpy as np

        result: Polynomial = {self.one: np.zeros((), dtype=self.kind)}
        for monomial, factor in value.terms.items():
            term: Polynomial = {self.one: np.asarray(factor, dtype=self.kind)}
            for atom, power in monomial:
                if atom not in self.done:
                    self.done[atom] = self.atom(atom)
                part = self.done[atom]
                if part is None:
                    return None
                for _ in range(power):
                    term = _product(term, part)
            for powers, factors in term.items():
                result[powers] = result[powers] + factors if powers in result else factors
        return result

    def atom(self, atom: Atom) -> Polynomial | None:
        import numpy as np

        if atom.kind == "symbol":
            axis = self.axes[atom.name]
            linear = tuple(int(i == axis) for i in range(len(self.axes)))
            return {self.one: self.first(atom.name), linear: np.asarray(self.moduli[atom.name], dtype=self.kind)}
        inner, by = self.polynomial(atom.args[0]), atom.args[1].constant
        if inner is None or by is None:
            return None
        if any(powers != self.one and bool(np.any(factors % by != 0)) for powers, factors in inner.items()):
            return None
        if atom.kind == "mod":
            return {self.one: inner[self.one] % by}
        return {powers: factors // by for powers, factors in inner.items()}


def _float(value: int) -> float:
    return float(abs(value)) if value.bit_length() < 1000 else float("inf")


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for left_powers, left_factors in left.items():
        for right_powers, right_factors in right.items():
            powers = tuple(a + b for a, b in zip(left_powers, right_powers, strict=True))
            factors = left_factors * right_factors
            result[powers] = result[powers] + factors if powers in result else factors
    return result
