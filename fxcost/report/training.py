"""The part of a report about a training step: by module, for the terminal, as plain data and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.table import Table as Rows
from fxcost.query.training import COLUMNS, at_depth
from fxcost.query.units import human
from fxcost.report.summary import Summary

HEADS = ("MACs forward", "backward", "kept", "by layer", "gradients")
UNITS = ("", "", "bytes", "bytes", "bytes")


def training_section(summary: Summary) -> Iterable[RenderableType]:
    """Modules with what they keep and cost; nothing for inference."""
    if not summary.training or summary.depth == 0:
        return []
    table = Table(box=None, pad_edge=False, header_style="dim")
    for position, name in enumerate(("module", *HEADS)):
        table.add_column(name, justify="right" if position else "left", overflow="fold")
    for row in _rows(summary):
        cells = (human(row[c], unit) if row[c] else "" for c, unit in zip(COLUMNS, UNITS, strict=True))
        table.add_row(row["module"] or "(its own operations)", *cells)
    legend = Text(
        "kept: what torch holds for the backward pass, counted where it was made; by layer: inputs of convolutions, linear "
        "and norm layers, one bit for each clipped element",
        style="dim",
    )
    return [Group(Text(f"Training, {_knobs(summary)}", style="bold"), table, legend)]


def _knobs(summary: Summary) -> str:
    options = summary.options
    return f"optimizer {options.optimizer}, precision {options.precision or 'as the model is'}"


def _rows(summary: Summary) -> Iterator[dict[str, Any]]:
    point = summary.point if summary.point is not None else summary.at
    for row in at_depth(summary.training, summary.depth):
        values = summary.values(tuple(row.values[column] for column in COLUMNS), point)
        yield {"module": row.module, **dict(zip(COLUMNS, values, strict=True))}


def training_data(summary: Summary) -> dict[str, Any]:
    """A field `training`, or none for inference."""
    if not summary.training:
        return {}
    options = summary.options
    point = summary.at if summary.symbols else {}
    rows = []
    for row in summary.training:
        values = summary.values(tuple(row.values[column] for column in COLUMNS), point)
        pairs = zip(COLUMNS, values, strict=True)
        rows.append(
            {"module": row.module}
            | {c: {"expr": str(row.values[c])} | ({} if v is None else {"value": v}) for c, v in pairs}
        )
    knobs = {"optimizer": options.optimizer, "precision": options.precision, "rule": options.rule}
    return {"training": {**knobs, "modules": rows}}


def training_markdown(summary: Summary) -> list[str]:
    """A table of modules: numbers at the point asked for, formulas without one."""
    if not summary.training:
        return []
    rows = []
    for row in at_depth(summary.training, max(1, summary.depth)):
        expressions = tuple(row.values[column] for column in COLUMNS)
        values = summary.values(expressions, summary.at)
        cells = (f"`{e}`" if v is None else f"{v:,}" for e, v in zip(expressions, values, strict=True))
        rows.append({"module": row.module or "(its own operations)", **dict(zip(COLUMNS, cells, strict=True))})
    return ["", f"Training, {_knobs(summary)}:", "", Rows(("module", *COLUMNS), tuple(rows)).to_markdown().rstrip()]
