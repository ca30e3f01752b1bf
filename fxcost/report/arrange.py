"""Which rows of a breakdown are shown, and in which order: repeated blocks folded, the costliest first, the rest summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, total
from fxcost.query.breakdown import ModuleRow, NodeRow, metrics_of, op_sums
from fxcost.query.fold import folded, rest_of
from fxcost.report.summary import Summary

SORTS: Mapping[str, tuple[str, ...]] = {
    "macs": ("macs",),
    "params": ("params",),
    "other_ops": ("other_ops",),
    "traffic": ("read_bytes", "write_bytes", "weight_bytes"),
}
"""What rows can be sorted by, and what that adds up."""

Row = TypeVar("Row")
Metrics = Mapping[str, Expr]


def module_tree(summary: Summary) -> ModuleRow:
    """The tree of modules as it is shown."""
    tree = folded(summary.modules) if summary.fold else summary.modules
    if summary.sort is None and summary.top is None:
        return tree
    key = _key(summary)

    def arranged(row: ModuleRow) -> ModuleRow:
        ranked = sorted(row.children, key=lambda child: -key(child.metrics))
        shown, rest = _cut(ranked, summary.top)
        kept = [arranged(child) for child in shown]
        return replace(row, children=(*kept, *([rest_of(row, rest)] if rest else [])))

    return arranged(tree)


def node_list(summary: Summary) -> Sequence[NodeRow]:
    """The nodes as they are shown: in the order of execution unless they are sorted."""
    rows = summary.nodes
    if summary.sort is None and summary.top is None:
        return rows
    key = _key(summary)
    shown, rest = _cut(sorted(rows, key=lambda row: -key(row.metrics)), summary.top)
    if not rest:
        return shown
    known = all(row.known for row in rest)
    sums = {name: total(row.metrics[name] for row in rest) for name in metrics_of(rows)}
    return [*shown, NodeRow(f"({len(rest):,} more)", "", "", 0, (), "", "", known, sums)]


def op_list(summary: Summary) -> list[tuple[str, int, Metrics]]:
    """Operators with how often they occur, as they are shown: the costliest first where that can be said."""
    found: list[tuple[str, int, Metrics]] = [(op, count, sums) for op, (count, sums) in op_sums(summary.nodes).items()]
    if summary.point is None and summary.sort is None and summary.top is None:
        return found
    key, second = _key(summary), _key(replace(summary, sort="traffic"))
    shown, rest = _cut(sorted(found, key=lambda row: (-key(row[2]), -second(row[2]))), summary.top)
    if not rest:
        return shown
    sums = {name: total(row[2][name] for row in rest) for name in metrics_of(summary.nodes)}
    return [*shown, (f"({len(rest):,} more)", sum(row[1] for row in rest), sums)]


def _cut(rows: Sequence[Row], top: int | None) -> tuple[list[Row], list[Row]]:
    """The first rows and the rest; a rest of one is no shorter than the row itself."""
    if top is None or len(rows) <= top + 1:
        return list(rows), []
    return list(rows[:top]), list(rows[top:])


def _key(summary: Summary) -> Callable[[Metrics], int]:
    names = SORTS[summary.sort or "macs"]
    point = summary.point
    if point is None:
        raise SpecError("rows are sorted by numbers: give a size for every symbol with --at")

    def key(metrics: Metrics) -> int:
        values = summary.values(tuple(metrics[name] for name in names), point)
        return sum(value or 0 for value in values)

    return key
