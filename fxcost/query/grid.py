"""Grids of sizes: every combination of the values of some symbols, taken slice by slice, never as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

from fxcost.errors import SpecError, nearest
from fxcost.ir.evaluate import over_arrays
from fxcost.ir.expr import Expr, as_expr, substitute
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo, check_point

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_VALUES = 1 << 24
"""Values of one symbol that are given one by one; a range may be of any length."""

MAX_POINTS = 1 << 62
"""Positions in a grid are counted in 64 bits."""

_INT64 = 1 << 62


@dataclass(frozen=True)
class Axis:
    """The values of one symbol: a range, or as many as are listed."""

    name: str
    values: range | Array

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        if isinstance(self.values, range):
            first, last = self.values[0], self.values[-1]
            return min(first, last), max(first, last)
        return int(self.values.min()), int(self.values.max())

    def take(self, positions: Array) -> Array:
        """The values at these positions; Python integers where 64 bits do not hold them."""
        import numpy as np

        if not isinstance(self.values, range):
            return np.asarray(self.values[positions])
        first, step = self.values.start, self.values.step
        wide = max(abs(first), abs(self.values[-1]), abs(step)) >= _INT64
        return np.asarray(first + step * (positions.astype(object) if wide else positions))


@dataclass(frozen=True)
class Grid:
    """Points: the axes' values in every combination, the last axis fastest; `ties` follow from them.

    `fixed` holds the symbols that are one size everywhere, `symbols` the range of each.
    """

    axes: tuple[Axis, ...]
    ties: Mapping[str, Expr]
    fixed: Mapping[str, int]
    symbols: Mapping[str, SymbolInfo]

    @staticmethod
    def of(
        symbols: Iterable[SymbolInfo],
        over: Mapping[str, Iterable[int]],
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
    ) -> Grid:
        """Check what is asked for.

        Raises SpecError for an unknown symbol, one that is given twice, a tie to something that is not swept, an empty
        axis, values that are no integers, or more points than can be counted.
        """
        known = {s.name: s for s in symbols}
        axes = tuple(_axis(name, values) for name, values in over.items())
        if not axes:
            raise SpecError("sweep over nothing: name at least one symbol and its sizes, {'H': range(64, 513, 32)}")
        names = {axis.name for axis in axes}
        for name in (*names, *(tie or ())):
            if name not in known:
                raise SpecError(f"the model has no symbol {name!r}{nearest(name, known)}")
            if name in (at or {}):
                raise SpecError(f"{name} is both swept and given" if name in names else f"{name} is given and tied")
        fixed = check_point(known.values(), at or {})
        ties = {name: _tied(name, text, names, fixed) for name, text in (tie or {}).items()}
        grid = Grid(axes, ties, fixed, known)
        if grid.size > MAX_POINTS:
            raise SpecError(f"a grid of {grid.size:,} points: at most {MAX_POINTS:,} can be counted; use larger steps")
        return grid

    @property
    def shape(self) -> tuple[int, ...]:
        """Values by axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of points."""
        return prod(self.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """Symbols that vary: swept ones, then tied ones."""
        return (*(axis.name for axis in self.axes), *self.ties)

    def substitution(self) -> dict[str, Expr | int]:
        """What every symbol that is not swept becomes: a number, or an expression in the swept ones."""
        return {**self.fixed, **self.ties}

    def columns(self) -> Callable[[int, int], dict[str, Array]]:
        """A function of (start, stop) that gives the sizes of these points by symbol."""
        import numpy as np

        swept = tuple(axis.name for axis in self.axes)
        follow = {name: over_arrays(tied, swept) for name, tied in self.ties.items()}

        def between(start: int, stop: int) -> dict[str, Array]:
            places = np.unravel_index(np.arange(start, min(stop, self.size)), self.shape)
            found = {axis.name: axis.take(place) for axis, place in zip(self.axes, places, strict=True)}
            return found | {name: tied(*found.values()) for name, tied in follow.items()}

        return between

    def within_ranges(self, columns: Mapping[str, Array]) -> Array:
        """Where every size is one that its symbol may take."""
        import numpy as np

        inside = np.ones(next(iter(columns.values())).shape, dtype=bool)
        for name, column in columns.items():
            info = self.symbols[name]
            inside &= np.asarray(column >= info.min, dtype=bool)
            if info.max is not None:
                inside &= np.asarray(column <= info.max, dtype=bool)
            if info.multiple_of > 1:
                inside &= np.asarray(column % info.multiple_of == 0, dtype=bool)
        return inside


def _axis(name: str, values: Iterable[int]) -> Axis:
    import numpy as np

    if not isinstance(values, range):
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise SpecError(f"{name}={values!r}: expected the sizes to sweep over, such as range(64, 513, 32)")
        listed = list(islice(values, MAX_VALUES + 1))
        if len(listed) > MAX_VALUES:
            raise SpecError(f"{name} lists more than {MAX_VALUES:,} sizes; give them as a range")
        strange = next((v for v in listed if isinstance(v, bool) or not hasattr(v, "__index__")), None)
        if strange is not None:
            raise SpecError(f"{name}={strange!r}: sizes are integers")
        exact = [v.__index__() for v in listed]
        wide = any(abs(v) >= _INT64 for v in exact)
        values = np.array(exact, dtype=object if wide else np.int64)
    if not len(values):
        raise SpecError(f"{name} takes no size: {f'{values} is' if isinstance(values, range) else 'the list is'} empty")
    return Axis(name, values)


def _tied(name: str, text: str, swept: set[str], fixed: Mapping[str, int]) -> Expr:
    if name in swept:
        raise SpecError(f"{name} is both swept and tied")
    tied = parse_expr(text, where=f"tie {name}={text}") if isinstance(text, str) else as_expr(text)
    strange = tied.symbols - swept - fixed.keys()
    if strange:
        raise SpecError(f"tie {name}={text}: {', '.join(sorted(strange))} is neither swept nor given")
    return substitute(tied, fixed)
