"""Where sums of sizes are not negative, for every value of one symbol: one by one up to a limit, by classes beyond.

Beyond the limit the values of the symbol are split into residue classes on which every floor is exact. There a size is a
polynomial in the steps k >= 0 of the class, and a sum whose coefficients are all non-negative is so for every k.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fxcost.ir.evaluate import over_arrays
from fxcost.ir.expr import Expr
from fxcost.ir.predicate import Predicate, decide
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.classes import period_of, polynomial
from fxcost.query.solve import holds_at, intervals
from fxcost.query.spans import Span

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LIMIT = 4096
"""Values that are looked at one by one."""

_EXACT_FLOAT = float(2**53)


@dataclass(frozen=True)
class Mask:
    """A set of values: a boolean for each of those up to the limit, and for each residue class beyond it."""

    near: Array
    far: Array

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.near & other.near, self.far & other.far)

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.near | other.near, self.far | other.far)

    def __invert__(self) -> Mask:
        return Mask(~self.near, ~self.far)

    def __bool__(self) -> bool:
        return bool(self.near.any() or self.far.any())

    def __len__(self) -> int:
        return int(self.near.sum() + self.far.sum())


@dataclass(frozen=True)
class Line:
    """The values of a symbol: `near` one by one, then residue classes `first + j`, `first + j + period`, ... for all j.

    `period` is 0 where no value lies beyond the limit.
    """

    info: SymbolInfo
    near: Array
    first: int
    period: int

    @staticmethod
    def of(info: SymbolInfo, amounts: Iterable[Expr]) -> Line:
        """The values in the symbol's range, with classes on which the amounts are polynomials."""
        import numpy as np

        step = info.multiple_of
        low = -(-max(info.min, 1) // step) * step
        last = low + (LIMIT - 1) * step
        near = np.arange(low, min(last, info.max if info.max is not None else last) + 1, step)
        if info.max is not None and info.max <= last:
            return Line(info, near, 0, 0)
        return Line(info, near, last + step, period_of(amounts, info.name, last + step, step))

    @property
    def classes(self) -> int:
        """How many residue classes there are beyond the limit; one of no known period where none was found."""
        if not self.first:
            return 0
        return max(1, self.period // self.info.multiple_of)

    def mask(self, near: Any, far: Any) -> Mask:
        """A set from booleans or single values."""
        import numpy as np

        return Mask(np.broadcast_to(near, self.near.shape).copy(), np.broadcast_to(far, (self.classes,)).copy())

    def where(self, guard: Predicate) -> Mask:
        """Where a predicate holds; beyond the limit where that is certain for all values."""
        beyond = decide(guard, {self.info.name: (self.first, self.info.max)}) if self.first else False
        return self.mask(holds_at(guard, self.info.name, self.near), beyond is True)

    def example(self, wanted: Mask) -> int:
        """A value of the set: one of the largest class beyond the limit, else one in its middle."""
        import numpy as np

        if wanted.far.any():
            return self.first + int(np.flatnonzero(wanted.far)[0]) * self.info.multiple_of
        inside = np.flatnonzero(wanted.near)
        return int(self.near[inside[len(inside) // 2]])

    def only(self, value: int) -> Mask:
        """The set of one value, or of its class."""
        found = self.mask(False, False)
        if self.first and value >= self.first:
            found.far[(value - self.first) // self.info.multiple_of % self.classes] = True
        else:
            found.near[(value - int(self.near[0])) // self.info.multiple_of] = True
        return found

    def contains(self, mask: Mask, value: int) -> bool:
        """True when the value is in the set."""
        return bool(mask & self.only(value))

    def intervals(self, mask: Mask) -> tuple[Span, ...]:
        """Closed intervals of the values of a set; beyond the limit only where every class is in it."""
        found = intervals(self.near[mask.near], self.info.multiple_of)
        if self.classes and mask.far.all():
            if found and found[-1][1] == self.near[-1]:
                found[-1] = (found[-1][0], self.info.max)
            else:
                found.append((self.first, self.info.max))
        return tuple(found)


@dataclass(frozen=True)
class Growth:
    """Amounts along a line; rows say how often each of them is in a sum."""

    line: Line
    amounts: tuple[Expr, ...]

    def holds(self, at_least: Sequence[Sequence[int]], above: Sequence[Sequence[int]]) -> Mask:
        """Where all sums of `at_least` are zero or more and all of `above` are more than zero."""
        found = self.line.mask(True, bool(self.line.period))
        for rows, strict in ((at_least, False), (above, True)):
            for part in range(0, len(rows), 256):
                found &= self._holds(rows[part : part + 256], strict)
        return found

    def _holds(self, rows: Sequence[Sequence[int]], strict: bool) -> Mask:
        near = _product(rows, self._near)
        inside = (near > 0 if strict else near >= 0).all(axis=0)
        if not self.line.period:
            return self.line.mask(inside, False)
        beyond = []
        for coefficients in self._far:
            sums = _product(rows, coefficients)
            good = (sums >= 0).all(axis=1)
            beyond.append(bool((good & (sums[:, 0] > 0) if strict else good).all()))
        return self.line.mask(inside, beyond)

    def largest(self, rows: Sequence[Sequence[int]], where: Mask) -> list[int]:
        """Rows whose largest is, everywhere in the set, the largest of all rows; as few as are easily found."""
        import numpy as np

        found: set[int] = set()
        if where.near.any():
            found |= set(_product(rows, self._near[:, where.near]).argmax(axis=0).tolist())
        for coefficients, wanted in zip(self._far, where.far, strict=False):
            if not wanted:
                continue
            sums = _product(rows, coefficients)
            order = np.lexsort(sums.T)  # by the highest power first
            top = int(order[-1])
            found.add(top)
            found |= {int(i) for i in np.flatnonzero(~(sums[top] - sums >= 0).all(axis=1))}
        return sorted(found)

    def rulers(self, where: Mask) -> dict[int, Mask]:
        """For which values of a set each amount is the largest, the first of equal ones; classes where that is proven."""
        import numpy as np

        first = np.argmax(self._near, axis=0)
        tops = [self._top(coefficients) for coefficients in self._far] or [-1] * self.line.classes
        found = {}
        for i in range(len(self.amounts)):
            mask = self.line.mask(first == i, np.array([top == i for top in tops], dtype=bool)) & where
            if mask:
                found[i] = mask
        return found

    @staticmethod
    def _top(coefficients: Array) -> int:
        """The row that is at least every other in all coefficients, -1 where there is none."""
        import numpy as np

        best = np.flatnonzero((coefficients >= coefficients.max(axis=0)).all(axis=1))
        return int(best[0]) if best.size else -1

    @cached_property
    def _near(self) -> Array:
        """The amounts at every near value, a row each."""
        import numpy as np

        name = self.line.info.name
        return np.array([_along(amount, name, self.line.near) for amount in self.amounts])

    @cached_property
    def _far(self) -> tuple[Array, ...]:
        """For each class, the coefficients of every amount by powers of the steps k >= 0."""
        import numpy as np

        if not self.line.period:
            return ()
        found = []
        for place in range(self.line.classes):
            start = self.line.first + place * self.line.info.multiple_of
            parts = [polynomial(a, self.line.info.name, start, self.line.period) for a in self.amounts]
            rows = [part or () for part in parts]
            width = max(len(row) for row in rows)
            found.append(np.array([row + (0,) * (width - len(row)) for row in rows], dtype=object))
        return tuple(found)


def _along(amount: Expr, name: str, values: Array) -> Array:
    import numpy as np

    return np.asarray(over_arrays(amount, (name,))(values))


def _product(rows: Sequence[Sequence[int]], columns: Array) -> Array:
    """Exact sums: in float64 where no partial sum can pass 2**53, else in Python integers."""
    import numpy as np

    counts = np.array(rows, dtype=np.int64)
    largest = float(np.abs(columns).max(initial=0)) * float(np.abs(counts).sum(axis=1).max(initial=0))
    if largest < _EXACT_FLOAT:
        return np.asarray(counts.astype(float) @ columns.astype(float))
    return np.asarray(counts.astype(object) @ columns.astype(object))
