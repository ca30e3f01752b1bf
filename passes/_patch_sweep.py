"""Halos and memory of a stage cut into patches: one sweep from its end towards the input gives every stage that ends there.

The stage's results are cut into rows x columns parts, part i of a size S being [i*S//n, (i+1)*S//n). Going backwards,
what a patch needs of a value is the hull of what its readers need; clipped at the map's border, the rest is padding.
Rows and columns never mix, so they are two vectors; bytes are their outer product. With `cached`, patches keep what the
patch to their right and those below need again, instead of computing it twice, as StreamNet does: columns of their own
rows for the one, rows of their own columns for the others (line buffers, piece by piece).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np

from fxcost.ops.locality import Axis, Local
from fxcost.passes._patch_setting import Numbers, Setting, Shape

BORDER, RUN, JOIN, KEEP = range(4)
"""Moments of one call: its border is laid around the tile, it runs, kept parts join it, parts are kept for later."""
MOMENTS = 4

Span = tuple[Numbers, Numbers]
"""First and one past the last for every strip along one axis."""
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Piece = tuple[int, Numbers, Numbers]
"""Alive from one moment until another one of each patch, both included, with bytes of each patch."""


@dataclass(frozen=True)
class Grid:
    """How a stage is cut: strips of rows, strips of columns; `cached` keeps halos."""

    rows: int
    columns: int = 1
    cached: bool = False

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns}" + (", halos kept" if self.cached else "")


@dataclass(frozen=True)
class Cut:
    """One axis of what one call reads: the operand's range, and padding in front of it and behind it."""

    span: Span
    front: Numbers
    behind: Numbers


@dataclass(frozen=True)
class TileNode:
    """One node of a stage: what it makes and needs along rows and columns, by patch strip.

    need     what later calls of the same patch read of the result (with the part that is put together)
    made     what the call makes: as `need`, without what patches above and to the left kept
    cuts     of each moving operand; `explicit` says along each axis where its padding is a border of its own
    """

    position: int
    need: tuple[Span, Span]
    made: tuple[Span, Span]
    cut: tuple[Cut, Cut]
    explicit: tuple[Flags, Flags]
    stored: bool


@dataclass(frozen=True)
class Candidate:
    """A stage from node `first` to before `stop` with its peak bytes and MACs; `nodes` are in order of execution."""

    first: int
    stop: int
    grid: Grid
    peak: int
    macs: int
    nodes: tuple[TileNode, ...] = field(repr=False)
    outputs: tuple[str, ...] = ()
    store_after: tuple[int, ...] = ()


@dataclass
class _Tile:
    """What is known of a block of tiles so far: its largest tile, when it was last used, the piece it has been given."""

    bytes: Numbers
    end: Numbers
    piece: Piece | None = None


def part(size: int, count: int) -> Span:
    """The parts of one axis."""
    edges = np.arange(count + 1, dtype=np.int64) * size // count
    return edges[:-1], edges[1:]


def hull(one: Span | None, other: Span) -> Span:
    """The smallest ranges with both in them."""
    return other if one is None else (np.minimum(one[0], other[0]), np.maximum(one[1], other[1]))


def cut_of(axis: Axis, made: Span, size: int, *, closed: bool = False) -> Cut | None:
    """What results `made` need of an operand; None where some patch would read padding alone.

    `closed` takes what lies between taps at the border, too: no strip then begins before the one in front of it.
    """
    first, stop = axis.needs(*made)
    inside = np.maximum(first, 0), np.minimum(stop, size)
    if not closed and (axis.dilation > 1 or axis.stride > axis.reach):  # taps may step over the border's first elements
        for strip in np.flatnonzero((first < 0) | (stop > size)):
            inside[0][strip], inside[1][strip] = _reached(axis, int(made[0][strip]), int(made[1][strip]), size)
    if (inside[0] >= inside[1]).any():
        return None
    return Cut(inside, inside[0] - first, stop - inside[1])


def _reached(axis: Axis, first: int, stop: int, size: int) -> tuple[int, int]:
    """First and one past the last element of the map that some tap of results [first, stop) looks at."""
    places = np.arange(first, stop)[:, None] * axis.stride - axis.before + np.arange(axis.kernel) * axis.dilation
    inside = places[(places >= 0) & (places < size)]
    return (int(inside.min()), int(inside.max()) + 1) if inside.size else (0, 0)


def explicit_border(local: Local, axis: Axis, cut: Cut, made: Span) -> Flags:
    """Where the operator's own padding, the same on both sides, would not make just these results."""
    if local.form != "window":
        return np.zeros(len(cut.front), dtype=bool)
    length, pad = cut.span[1] - cut.span[0], cut.front
    fits = (cut.behind <= pad) & ((length + 2 * pad - axis.reach) // axis.stride + 1 == made[1] - made[0])
    if local.fill is None or local.average:
        fits &= pad * 2 <= axis.kernel
    if local.average and not local.counted and not local.divisor:
        fits &= (pad == 0) & (cut.behind == 0)
    if local.average and not local.divisor:
        fits &= cut.behind <= axis.after
    return ~np.asarray(fits, dtype=bool)


class Sweep:
    """The stages that end before node `stop`, cut by one grid; `candidates` yields those that begin at a wanted node.

    With `memory`, a sweep ends where it is sure that no longer stage keeps to so many bytes.
    """

    def __init__(self, setting: Setting, stop: int, grid: Grid, memory: int | None = None) -> None:
        self.setting, self.stop, self.grid, self.memory_limit = setting, stop, grid, memory
        self.patches = grid.rows * grid.columns
        self.need: dict[str, tuple[Span, Span]] = {}
        self.ends: dict[str, Numbers] = {}  # the last moment that each patch uses a value
        self.whole: set[str] = set()
        self.memory = np.zeros((MOMENTS * stop, self.patches), dtype=np.int64)
        self.tiles: dict[int, _Tile] = {}
        self.nodes: list[TileNode] = []
        self.outputs: list[tuple[str, int]] = []
        self.stitched = 0
        self.macs = 0
        self.floor = stop  # a stage begins here or before: memory that it writes into is its own
        self.written: dict[str, int] = {}
        self.placed: dict[int, tuple[Span, Span]] = {}  # blocks whose tile is made in its place in the whole result
        self.reason = ""

    def candidates(self, wanted: Collection[int]) -> Iterator[Candidate]:
        """Stages from the shortest on; ends, with `reason` set, where the next node cannot be cut."""
        least = min(wanted, default=0)
        for position in range(self.stop - 1, least - 1, -1):
            if not self._add(position):
                return
            if self.memory_limit is not None and self.stitched + int(self.memory.max()) > self.memory_limit:
                self.reason = "it needs more memory"  # another node in front takes none of these bytes away
                return
            if position in wanted and position <= self.floor and self.outputs:
                yield self._candidate(position)

    def _owner(self, value: str) -> str:
        while value in self.setting.base:
            value = self.setting.base[value]
        return value

    def _fails(self, reason: str) -> bool:
        self.reason = reason
        return False

    def _add(self, position: int) -> bool:
        setting, node, local = self.setting, self.setting.graph.nodes[position], self.setting.local[position]
        if isinstance(local, str):
            return self._fails(f"{node.name}: {local}")
        result = node.results[0].id
        if result in self.whole:
            return self._fails(f"{node.name}: every patch reads it whole")
        shape = setting.shapes[result]
        stored = setting.last.get(result, -1) >= self.stop
        need = self.need.get(result)
        writes = setting.written[position]
        for value in writes:  # who reads the operand afterwards reads what is written now
            if value in self.need:
                other = self.need[value]
                need = _hulls(need, other)
        if stored:
            if shape.rows < self.grid.rows or shape.columns < self.grid.columns:
                return self._fails(f"{node.name}: {shape.rows} x {shape.columns} places cannot be cut {self.grid}")
            along = part(shape.rows, self.grid.rows)
            square = (shape.rows, self.grid.rows) == (shape.columns, self.grid.columns)
            own = along, along if square else part(shape.columns, self.grid.columns)
            need = _hulls(need, own)
        if need is None:
            return self._fails(f"{node.name}: nothing reads it")
        made = need
        joined = np.zeros(self.patches, dtype=bool)
        if self.grid.cached:
            made = _both(need, _not_kept)
            joined = np.logical_or.outer(made[0][0] > need[0][0], made[1][0] > need[1][0]).ravel()
            if any((span[0] >= span[1]).any() for span in made):
                return self._fails(f"{node.name}: a patch would make nothing of it")
            if joined.any() and self._owner(result) in self.written:
                return self._fails(f"{node.name}: parts of it are kept before they are written again")
        found = self._operands(position, local, made)
        if found is None:
            return self._fails(f"{node.name}: a patch would read padding alone")
        cut, explicit = found
        self.nodes.append(TileNode(position, need, made, cut, explicit, stored))
        rows, columns = (int((span[1] - span[0]).sum()) for span in made)
        self.macs += setting.macs[position] * rows * columns // (shape.rows * shape.columns)
        owner = self._owner(result)
        for value in writes:
            self.written.setdefault(self._owner(value), position)
        if writes or stored:
            self.floor = min(self.floor, setting.defined.get(owner, -1))
        if self.floor < 0:
            return self._fails(f"{node.name}: it writes into what the caller passes, or is a view of it")
        after = max(position, self.written.get(owner, position))
        if stored:
            if any(self._owner(other) == owner for other, _ in self.outputs):
                return self._fails(f"{node.name}: two values that share memory are read later")
            self.outputs.append((result, after))
            self.stitched += self._whole_bytes(result)
            if setting.direct and not self.grid.cached and _same(need, own):
                self.placed[setting.block_of.get(result, -1 - position)] = own
        self._remember(position, result, need, made, joined, after if stored and not setting.direct else None)
        return True

    def _operands(
        self, position: int, local: Local, made: tuple[Span, Span]
    ) -> tuple[tuple[Cut, Cut], tuple[Flags, Flags]] | None:
        node, setting = self.setting.graph.nodes[position], self.setting
        result: tuple[tuple[Cut, Cut], tuple[Flags, Flags]] | None = None
        for index, operand in enumerate(node.operands):
            if index not in local.moving:
                self.whole.add(operand)
                self._use(operand, MOMENTS * position + RUN)
                continue
            shape = setting.shapes[operand]
            found = self._cuts(local, made, shape)
            if found is None:
                return None
            cut, explicit = found
            self.need[operand] = _hulls(self.need.get(operand), (cut[0].span, cut[1].span))
            bordered = (explicit[0][:, None] | explicit[1][None, :]).ravel()
            bordered &= not setting.direct
            self._use(operand, MOMENTS * position + np.where(bordered, BORDER, RUN))
            if bordered.any():
                height, width = (
                    c.span[1] - c.span[0] + np.where(e, c.front + c.behind, 0)
                    for c, e in zip(cut, explicit, strict=True)
                )
                size = setting.shapes[operand].nbytes(np.outer(height, width).ravel()) * bordered
                self._pile((MOMENTS * position + BORDER, self._moment(position, RUN), size))
            result = result or (cut, explicit)
        return result

    def _cuts(
        self, local: Local, made: tuple[Span, Span], shape: Shape
    ) -> tuple[tuple[Cut, Cut], tuple[Flags, Flags]] | None:
        """What is read along rows and columns, and where it needs a border; once where both are the same."""
        sizes = shape.rows, shape.columns
        found: list[tuple[Cut, Flags]] = []
        for axis, span, size in zip(local.axes, made, sizes, strict=True):
            if found and made[0] is made[1] and local.axes[0] == local.axes[1] and sizes[0] == sizes[1]:
                found.append(found[0])
                break
            cut = cut_of(axis, span, size, closed=self.grid.cached)
            if cut is None:
                return None
            found.append((cut, explicit_border(local, axis, cut, span)))
        (rows, above), (columns, beside) = found
        return (rows, columns), (above, beside)

    def _whole_bytes(self, value: str) -> int:
        setting, shape = self.setting, self.setting.shapes[value]
        block = setting.block_of.get(value)
        if block is not None and setting.lives[block].first >= 0 and self._owner(value) in setting.defined:
            return setting.lives[block].size
        return int(shape.nbytes(np.array(shape.rows * shape.columns)))

    def _tile_bytes(self, value: str, spans: tuple[Span, Span]) -> Numbers:
        height, width = (span[1] - span[0] for span in spans)
        return self.setting.shapes[value].nbytes(np.outer(height, width).ravel())

    def _remember(
        self,
        position: int,
        result: str,
        need: tuple[Span, Span],
        made: tuple[Span, Span],
        joined: Flags,
        store: int | None,
    ) -> None:
        """Pieces of memory of what the node makes; `joined` says which patches put kept parts beside it."""
        setting = self.setting
        end = np.maximum(self.ends.pop(result, 0), self._moment(position, RUN))
        if store is not None:
            end = np.maximum(end, self._moment(store, RUN))
        size = self._tile_bytes(result, made)
        block = setting.block_of.get(result, -1 - position)
        if block in self.placed and _same(made, self.placed[block]):
            size = size * 0
        if not joined.any():
            self._own(block, result, position, size, end)
            return
        taken, waiting, added = self._kept_bytes(result, need, made)
        last = self._moment(self.stop - 1, KEEP)
        self._pile((0, self._moment(position, JOIN), taken))
        self._pile((0, last, waiting))
        self._pile((MOMENTS * position + KEEP, last, added))
        self._pile((MOMENTS * position + JOIN, end, self._tile_bytes(result, need) * joined))
        self._own(block, result, position, size, np.where(joined, MOMENTS * position + JOIN, end))

    def _kept_bytes(
        self, result: str, need: tuple[Span, Span], made: tuple[Span, Span]
    ) -> tuple[Numbers, Numbers, Numbers]:
        """Bytes of kept parts for every patch: used there for the last time, kept through it, and kept from it on."""
        count = self.setting.shapes[result].nbytes
        above, left = overlap(need[0]), overlap(need[1])  # of a strip with the next one
        high, wide = made[0][1] - made[0][0], made[1][1] - made[1][0]
        rows = np.outer(above, wide)
        columns = np.outer(high, left)
        kept_rows, kept_columns = count(rows), count(columns)
        until = last_readers(need[1], made[1])
        last, through = np.zeros_like(kept_rows), np.zeros_like(kept_rows)
        last[:, 1:] += kept_columns[:, :-1]
        for column in range(self.grid.columns):
            last[1:, until[column]] += kept_rows[:-1, column]
            through[1:, : until[column]] += kept_rows[:-1, column, None]  # of the patches above
            through[:, column + 1 :] += kept_rows[:, column, None]  # of this row, for those below
        return last.ravel(), through.ravel(), (kept_rows + kept_columns).ravel()

    def _own(self, block: int, result: str, position: int, size: Numbers, end: Numbers) -> None:
        """Add a value to its block of tiles: the block is as large as its largest tile and lives until its last use."""
        tile = self.tiles.setdefault(block, _Tile(np.zeros(self.patches, dtype=np.int64), end))
        tile.bytes, tile.end = np.maximum(tile.bytes, size), np.maximum(tile.end, end)
        if result in self.setting.base:
            return  # a view: its memory comes with the value that it is a view of
        if tile.piece is not None:
            first, last, bytes_ = tile.piece
            self._pile((first, last, -bytes_))
        tile.piece = (MOMENTS * position + RUN, tile.end, tile.bytes)
        self._pile(tile.piece)

    def _use(self, value: str, moment: Numbers | int) -> None:
        self.ends[value] = np.maximum(self.ends.get(value, self._moment(0, BORDER)), moment)

    def _moment(self, position: int, which: int) -> Numbers:
        return np.full(self.patches, MOMENTS * position + which, dtype=np.int64)

    def _pile(self, piece: Piece) -> None:
        first, end, size = piece
        low, high = int(end.min()) + 1, int(end.max()) + 1
        self.memory[first:low] += size
        if high > low:  # patches differ in when they use it last
            low = max(first, low)
            self.memory[low:high] += size * (np.arange(low, high)[:, None] <= end)

    def levels(self, first: int) -> Numbers:
        """Bytes alive at every moment of every patch (moments x patches) of the stage that begins at node `first`."""
        setting = self.setting
        through = entering = 0
        leaving = np.zeros(MOMENTS * self.stop, dtype=np.int64)
        for index, life in enumerate(setting.lives):
            if life.first >= first or life.last < first:
                continue
            if life.last >= self.stop:
                through += life.size
                continue
            entering += life.size
            ends = [int(end[-1]) for value, end in self.ends.items() if setting.block_of.get(value) == index]
            if index in self.tiles:  # views of it
                ends.append(int(self.tiles[index].end[-1]))
            leaving[: max(ends, default=-1) + 1] += life.size
        found = self.memory[MOMENTS * first :] + (through + self.stitched)
        found[:, :-1] += entering
        found[:, -1] += leaving[MOMENTS * first :]
        return found

    def _candidate(self, first: int) -> Candidate:
        setting = self.setting
        outputs = tuple(sorted(self.outputs, key=lambda pair: setting.defined[pair[0]]))
        return Candidate(
            first,
            self.stop,
            self.grid,
            int(self.levels(first).max()),
            self.macs,
            tuple(reversed(self.nodes)),
            tuple(value for value, _ in outputs),
            tuple(after for _, after in outputs),
        )


def _hulls(one: tuple[Span, Span] | None, other: tuple[Span, Span]) -> tuple[Span, Span]:
    """The hulls along rows and columns."""
    if one is None:
        return other
    rows = hull(one[0], other[0])
    return rows, rows if one[0] is one[1] and other[0] is other[1] else hull(one[1], other[1])


def _both(spans: tuple[Span, Span], change: Callable[[Span], Span]) -> tuple[Span, Span]:
    """The same done to rows and columns; once where they are the same."""
    rows = change(spans[0])
    return rows, rows if spans[0] is spans[1] else change(spans[1])


def _not_kept(need: Span) -> Span:
    """What of every strip the strips before it do not have."""
    return np.maximum(need[0], np.concatenate([need[0][:1], need[1][:-1]])), need[1]


def overlap(need: Span) -> Numbers:
    """How much of every strip the next one needs again; nothing of the last one."""
    return np.append(np.maximum(need[1][:-1] - need[0][1:], 0), 0)


def last_readers(need: Span, made: Span) -> list[int]:
    """For every strip, the last one that needs something of what it made."""
    return [int(np.flatnonzero(need[0] < stop)[-1]) for stop in made[1]]


def _same(one: tuple[Span, Span], other: tuple[Span, Span]) -> bool:
    return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))
