"""A stretch of a graph that runs patch by patch: which rows and columns of which value every call reads and makes.

Rows and columns are those of the whole value, so a box says where a tile lies in it. The data is plain numbers: the pass
that chooses patches writes it, what predicts memory and what rewrites a program read it.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[int, int]
"""First and one past the last."""


@dataclass(frozen=True)
class Box:
    """Rows and columns of a value."""

    rows: Range
    columns: Range

    def __and__(self, other: Box) -> Box:
        """What lies in both; of no places where nothing does."""
        spans = zip((self.rows, self.columns), (other.rows, other.columns), strict=True)
        rows, columns = ((max(a[0], b[0]), max(min(a[1], b[1]), a[0], b[0])) for a, b in spans)
        return Box(rows, columns)

    @property
    def area(self) -> int:
        """Places in it."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


@dataclass(frozen=True)
class Read:
    """The part of an operand that a call reads; operands that every patch reads whole have no box."""

    operand: int
    value: str
    box: Box | None


@dataclass(frozen=True)
class Part:
    """A box of what the same call kept in an earlier patch: its `index`-th box; `last` where none needs it afterwards."""

    patch: int
    index: int
    box: Box
    last: bool


@dataclass(frozen=True)
class TileCall:
    """One call of a node for one patch.

    reads    operands by position
    made     what the call makes of its result
    border   rows above and below, columns left and right that are laid around the tile before the call, as its own
             buffer: the padding of the whole map, as far as this patch touches its border
    padding  rows and columns of padding that the operator itself lays around both sides
    fill     value of the border; None is the smallest that the element type has
    counts   elements per window by row and by column, where an average divides by other than its whole window
    joined   the tile that later calls read, where parts that other patches kept come before what is made
    parts    what the joined tile takes of other patches
    kept     boxes of the tile that patches to the right and below need again
    """

    node: int
    reads: tuple[Read, ...]
    made: Box
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    padding: tuple[int, int] = (0, 0)
    fill: float | None = 0.0
    counts: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    joined: Box | None = None
    parts: tuple[Part, ...] = ()
    kept: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Store:
    """After the call `after` a value's box goes to its place in the whole value."""

    after: int
    value: str
    box: Box


@dataclass(frozen=True)
class Patch:
    """The calls of one patch in order, and what of it is stored."""

    calls: tuple[TileCall, ...]
    stores: tuple[Store, ...]


@dataclass(frozen=True)
class PatchedStage:
    """Nodes `first` until before `stop` run once for every patch; `outputs` are the values that are put together."""

    first: int
    stop: int
    rows: int
    columns: int
    outputs: tuple[str, ...]
    patches: tuple[Patch, ...]
