"""Repeated blocks of a module tree folded into one row, `0-11` standing for twelve: every level still adds up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fxcost.ir.expr import total
from fxcost.query.breakdown import ModuleRow

_NUMBERED = re.compile(r"(.*?)([0-9]+)")
MOST_RANGES = 3
"""Ranges of numbers in a label; what follows is left out."""

Shape = tuple[object, ...]


def folded(tree: ModuleRow) -> ModuleRow:
    """The tree with numbered siblings of the same formulas, all the way down, as one row with the sum of them.

    `copies` says how many. They stand where the first of them does; siblings in between stay where they are.
    """
    children = [folded(child) for child in tree.children]
    groups: dict[object, list[ModuleRow]] = {}
    for child in children:
        groups.setdefault(_alike(child), []).append(child)
    return replace(tree, children=tuple(_together(tree.path, alike) for alike in groups.values()))


def _alike(row: ModuleRow) -> object:
    """What siblings must share to be folded; a name without a number is shared by none."""
    named = _NUMBERED.fullmatch(_name(row))
    return (named[1], _shape(row)) if named and row.copies == 1 else row.path


def _shape(row: ModuleRow) -> Shape:
    inner = tuple((_name(child), _shape(child)) for child in row.children)
    return (row.calls, row.copies, tuple(row.metrics.items()), tuple(row.own.items()), inner)


def _name(row: ModuleRow) -> str:
    return row.path.rpartition(".")[2]


def _together(parent: str, rows: Sequence[ModuleRow]) -> ModuleRow:
    if len(rows) == 1:
        return rows[0]
    stem = (_NUMBERED.fullmatch(_name(rows[0])) or [""] * 2)[1]
    label = stem + ranges_text(int(_name(row)[len(stem) :]) for row in rows)
    return replace(_times(rows[0], len(rows)), path=f"{parent}.{label}" if parent else label)


def _times(row: ModuleRow, count: int) -> ModuleRow:
    return replace(
        row,
        copies=row.copies * count,
        metrics={name: count * value for name, value in row.metrics.items()},
        own={name: count * value for name, value in row.own.items()},
        children=tuple(_times(child, count) for child in row.children),
    )


def ranges_text(numbers: Iterable[int]) -> str:
    """`0-3,5` for 0, 1, 2, 3 and 5; the first few ranges of many."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [str(low) if low == high else f"{low}-{high}" for low, high in ranges[:MOST_RANGES]]
    return ",".join([*shown, *(["..."] if len(ranges) > MOST_RANGES else [])])


def rest_of(parent: ModuleRow, rows: Sequence[ModuleRow]) -> ModuleRow:
    """One row that stands for many: the sum of them."""
    modules = sum(row.copies // parent.copies for row in rows)
    path = f"({modules:,} more)"
    sums = {name: total(row.metrics[name] for row in rows) for name in parent.metrics}
    return ModuleRow(f"{parent.path}.{path}" if parent.path else path, 1, sums)
