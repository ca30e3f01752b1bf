"""Rows of a report by node, module or operator, for the tabular formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fxcost.ir.expr import Expr
from fxcost.query.breakdown import flatten, metrics_of
from fxcost.query.table import Table
from fxcost.report.arrange import module_tree, node_list, op_list
from fxcost.report.summary import Summary


def table(summary: Summary) -> Table:
    """The breakdown that the user asked for: numbers at the point given, formulas without one."""
    head: tuple[str, ...]
    rows: list[tuple[dict[str, Any], Mapping[str, Expr]]]
    if summary.by == "node":
        head = ("name", "op", "module", "shape", "dtype")
        rows = [
            (
                {
                    "name": r.name,
                    "op": r.op,
                    "module": r.module,
                    "shape": "x".join(map(str, r.shape)),
                    "dtype": r.dtype,
                },
                r.metrics,
            )
            for r in node_list(summary)
        ]
    elif summary.by == "op":
        head = ("op", "count")
        rows = [({"op": op, "count": count}, sums) for op, count, sums in op_list(summary)]
    else:
        head = ("module", "level", "calls")
        rows = [
            (
                {
                    "module": (r.path or summary.model) + (f" x{r.copies}" if r.copies > 1 else ""),
                    "level": level,
                    "calls": r.calls * r.copies,
                },
                r.metrics,
            )
            for level, r in flatten(module_tree(summary), summary.depth)
        ]
    columns = metrics_of(summary.nodes)
    return Table((*head, *columns), tuple(_cells(summary, labels, metrics, columns) for labels, metrics in rows))


def _cells(
    summary: Summary, labels: Mapping[str, Any], metrics: Mapping[str, Expr], columns: tuple[str, ...]
) -> dict[str, Any]:
    expressions = tuple(metrics[m] for m in columns)
    values = summary.values(expressions, summary.at)
    shown = (str(e) if v is None else v for e, v in zip(expressions, values, strict=True))
    return {**labels, **dict(zip(columns, shown, strict=True))}
