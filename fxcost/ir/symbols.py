"""Named dimensions: the symbols of a graph, with their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import Range


@dataclass(frozen=True)
class SymbolInfo:
    """A symbol with its range (`max` None is unbounded) and the size it was traced with.

    `kind` is `size` for a dimension of an input and `data` for a count that only the data decides (an unbacked size).
    `multiple_of` restricts the values to multiples; `hint` is the size the model was traced at, None for `data`.
    """

    name: str
    min: int = 1
    max: int | None = None
    multiple_of: int = 1
    hint: int | None = None
    kind: str = "size"

    @property
    def range(self) -> Range:
        """(min, max) for interval arithmetic."""
        return (self.min, self.max)

    def __str__(self) -> str:
        text = f"{self.name} >= {self.min}" if self.max is None else f"{self.min} <= {self.name} <= {self.max}"
        return text + (f", a multiple of {self.multiple_of}" if self.multiple_of > 1 else "")


def ranges_of(symbols: Iterable[SymbolInfo]) -> dict[str, Range]:
    """Ranges by name, for `bounds`, `decide` and `prove`."""
    return {s.name: s.range for s in symbols}


def check_point(symbols: Iterable[SymbolInfo], env: Mapping[str, object]) -> dict[str, int]:
    """Return `env` as integers, or raise SpecError: unknown symbol, not an integer, outside the stated range."""
    known = {s.name: s for s in symbols}
    point: dict[str, int] = {}
    for name, value in env.items():
        info = known.get(name)
        if info is None:
            raise SpecError(f"the model has no symbol {name!r}{nearest(name, known)}")
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise SpecError(f"{name} must be an integer, found {value!r}")
        number = value.__index__()
        outside = number < info.min or (info.max is not None and number > info.max)
        if outside or number % info.multiple_of:
            raise SpecError(f"{name}={number} is outside its range: {info}")
        point[name] = number
    return point
