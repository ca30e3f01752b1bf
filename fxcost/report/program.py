"""What is kept beside a program on disk: how its sizes are called, what it costs, and the order it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fxcost.errors import FileError
from fxcost.ir.expr import total
from fxcost.ir.graph import Graph, Standing
from fxcost.ir.reader import parse_expr, parse_predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import TensorType
from fxcost.passes.schedule import BestOrder
from fxcost.passes.totals import UNITS
from fxcost.query.breakdown import METRICS
from fxcost.query.quantity import Quantity
from fxcost.report.json import document
from fxcost.report.schedule import schedule_data
from fxcost.report.summary import Summary


def program_data(graph: Graph, summary: Summary, schedule: BestOrder | None) -> dict[str, Any]:
    """Plain data: element type and sizes of every tensor input, the report, and the schedule where there is one."""
    inputs = [
        {"dtype": value.type.dtype.short, "shape": [str(size) for size in value.type.shape]}
        for value in graph.inputs
        if isinstance(value.type, TensorType)
    ]
    data: dict[str, Any] = {"inputs": inputs, "report": document(summary)}
    if schedule is not None:
        data["schedule"] = schedule_data(graph, schedule)
    return data


def stored_costs(data: Mapping[str, Any], where: str) -> dict[str, dict[str, Quantity]]:
    """The quantities in `program_data`, by node and metric, those of the whole under the empty name.

    What was analysed in parts (`outer.part`) is added up. Raises FileError where the data is damaged.
    """
    try:
        report = data["report"]
        symbols = tuple(
            SymbolInfo(str(name), int(s["min"]), None if s["max"] is None else int(s["max"]), int(s["multiple_of"]))
            for name, s in report["symbols"].items()
        )
        domain = tuple(parse_predicate(str(text), where, FileError) for text in report["domain"])
        standing = Standing(report["standing"])

        def quantity(name: str, texts: list[Any]) -> Quantity:
            value = total(parse_expr(str(text), where, FileError) for text in texts)
            return Quantity(name, UNITS[name], value, standing, domain, symbols)

        totals = {name: quantity(name, [held["expr"]]) for name, held in report["totals"].items() if name in UNITS}
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in report["nodes"]:
            rows.setdefault(str(row["name"]).partition(".")[0], []).append(row)
        costs = {
            name: {metric: quantity(metric, [part[metric]["expr"] for part in parts]) for metric in METRICS}
            for name, parts in rows.items()
        }
    except FileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{where}: what fxcost stored is damaged ({error}); write the program again") from error
    return costs | {"": totals}
