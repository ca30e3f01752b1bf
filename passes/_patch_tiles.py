"""A stage in plain numbers: every call of every patch with its boxes, borders and divisors."""

from __future__ import annotations

import numpy as np

from fxcost.ir.patches import Box, Part, Patch, PatchedStage, Range, Read, Store, TileCall
from fxcost.ops.locality import Axis, Local
from fxcost.passes._patch_setting import Setting
from fxcost.passes._patch_sweep import Candidate, Cut, Grid, Span, TileNode, last_readers, part


def stage_of(setting: Setting, found: Candidate) -> PatchedStage:
    """The stage that a candidate stands for."""
    grid = found.grid
    patches = tuple(_patch(setting, found, row, column) for row in range(grid.rows) for column in range(grid.columns))
    return PatchedStage(found.first, found.stop, grid.rows, grid.columns, found.outputs, patches)


def _patch(setting: Setting, found: Candidate, row: int, column: int) -> Patch:
    calls = tuple(_call(setting, node, row, column, found.grid) for node in found.nodes)
    made = {setting.graph.nodes[call.node].results[0].id: call for call in calls}
    stores = []
    for value, after in zip(found.outputs, found.store_after, strict=True):
        shape = setting.shapes[value]
        box = Box(_at(part(shape.rows, found.grid.rows), row), _at(part(shape.columns, found.grid.columns), column))
        stores.append(Store(after, value, made[value].made if found.grid.cached else box))
    return Patch(calls, tuple(stores))


def _at(span: Span, index: int) -> Range:
    return int(span[0][index]), int(span[1][index])


def _call(setting: Setting, tile: TileNode, row: int, column: int, grid: Grid) -> TileCall:
    node, local = setting.graph.nodes[tile.position], setting.local[tile.position]
    assert isinstance(local, Local)
    at = (row, column)
    box = Box(*(_at(cut.span, i) for cut, i in zip(tile.cut, at, strict=True)))
    made = Box(*(_at(span, i) for span, i in zip(tile.made, at, strict=True)))
    reads = tuple(
        Read(index, operand, box if index in local.moving else None) for index, operand in enumerate(node.operands)
    )
    pads = [(int(cut.front[i]), int(cut.behind[i])) for cut, i in zip(tile.cut, at, strict=True)]
    own = [not bool(explicit[i]) for explicit, i in zip(tile.explicit, at, strict=True)]
    if local.form == "border":
        own = [False, False]
    counts = None
    if local.average and not local.divisor:
        tallies = tuple(
            _tally(axis, _at(span, i), setting_size, counted=local.counted)
            for axis, span, i, setting_size in zip(
                local.axes, tile.made, at, _operand_sizes(setting, node.operands[local.moving[0]]), strict=True
            )
        )
        plain = all(n == axis.kernel for tally, axis in zip(tallies, local.axes, strict=True) for n in tally)
        counts = None if plain else (tallies[0], tallies[1])
    joined, parts, kept = _kept(setting, tile, grid, row, column) if grid.cached else (None, (), ())
    return TileCall(
        tile.position,
        reads,
        made,
        (*((0, 0) if own[0] else pads[0]), *((0, 0) if own[1] else pads[1])),
        (pads[0][0] if own[0] else 0, pads[1][0] if own[1] else 0),
        local.fill,
        counts,
        joined,
        parts,
        kept,
    )


def _kept(
    setting: Setting, tile: TileNode, grid: Grid, row: int, column: int
) -> tuple[Box | None, tuple[Part, ...], tuple[Box, ...]]:
    """The joined tile, what it takes of other patches, and what this one keeps: columns first, rows second."""
    here = Box(_at(tile.need[0], row), _at(tile.need[1], column))
    kept = tuple(box for box in _boxes(tile, row, column) if box.area)
    if here == Box(_at(tile.made[0], row), _at(tile.made[1], column)):
        return None, (), kept
    parts = []
    if column:
        left, _ = _boxes(tile, row, column - 1)
        if left.area:
            parts.append(Part(row * grid.columns + column - 1, 0, left, last=True))
    if row:
        until = last_readers(tile.need[1], tile.made[1])
        for other in range(column + 1):
            beside, above = _boxes(tile, row - 1, other)
            wanted = above & here
            if wanted.area:
                index = 1 if beside.area else 0
                parts.append(Part((row - 1) * grid.columns + other, index, wanted, last=until[other] == column))
    return here, tuple(parts), kept


def _boxes(tile: TileNode, row: int, column: int) -> tuple[Box, Box]:
    """What a patch keeps of a value: columns for the patch to the right, rows for those below."""
    rows, columns = _at(tile.made[0], row), _at(tile.made[1], column)
    right, below = ((0, 0) for _ in range(2))
    if column + 1 < len(tile.need[1][0]):
        right = int(tile.need[1][0][column + 1]), columns[1]
    if row + 1 < len(tile.need[0][0]):
        below = int(tile.need[0][0][row + 1]), rows[1]
    return Box(rows, (min(right), right[1])), Box((min(below), below[1]), columns)


def _operand_sizes(setting: Setting, operand: str) -> tuple[int, int]:
    shape = setting.shapes[operand]
    return shape.rows, shape.columns


def _tally(axis: Axis, made: Range, size: int, *, counted: bool) -> tuple[int, ...]:
    """Elements that each window's average divides by along one axis."""
    low, high = (-axis.before, size + axis.after) if counted else (0, size)
    starts = [place * axis.stride - axis.before for place in range(*made)]
    return tuple(min(start + axis.kernel, high) - max(start, low) for start in starts)


def touched(axis: Axis, cut: Cut, made: Span) -> int:
    """Distinct rows of an operand that all patches' windows look at, each patch by itself."""
    if axis.dilation == 1 and axis.kernel >= axis.stride:
        return int((cut.span[1] - cut.span[0]).sum())
    taps = np.arange(axis.kernel) * axis.dilation
    found = 0
    for first, stop, low, high in zip(*made, *cut.span, strict=True):
        places = (np.arange(first, stop)[:, None] * axis.stride - axis.before + taps[None, :]).ravel()
        found += len(np.unique(places[(places >= low) & (places < high)]))
    return found
