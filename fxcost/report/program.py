"""What is kept beside a program on disk: how its sizes are called, what it costs, and the order it is in."""

from __future__ import annotations

from typing import Any

from fxcost.ir.graph import Graph
from fxcost.ir.types import TensorType
from fxcost.passes.schedule import BestOrder
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
