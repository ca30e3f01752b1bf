"""The report as JSON, schema fxcost/1: expressions in Python integer syntax, values where `--at` binds every symbol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fxcost.ir.expr import Expr
from fxcost.report.crossover import crossover_data
from fxcost.report.formats import register_format
from fxcost.report.patch import report_data
from fxcost.report.summary import Summary
from fxcost.report.training import training_data

SCHEMA = "fxcost/1"


@register_format("json")
def report_json(summary: Summary) -> str:
    """Serialise everything a report knows."""
    return json.dumps(document(summary), indent=1, ensure_ascii=False)


def document(summary: Summary) -> dict[str, Any]:
    """The JSON document as plain data."""
    options = summary.options
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "versions": dict(summary.versions),
        "model": summary.model,
        "mode": summary.mode,
        "accounting": options.accounting,
        "inputs": options.inputs,
        "weights": dict(options.weights) or None,
        "activations": options.activations,
        "standing": str(summary.standing),
        "symbols": {s.name: {"min": s.min, "max": s.max, "multiple_of": s.multiple_of} for s in summary.symbols},
        "fixed_dims": dict(summary.fixed_dims),
        "domain": list(summary.domain),
        "unknown_ops": dict(summary.unknown_ops),
        "at": None if summary.at is None else dict(summary.at),
        "totals": _totals(summary),
        "params_by_dtype": dict(summary.params_by_dtype),
        "nodes": _nodes(summary),
        **training_data(summary),
        "notes": [*summary.notes, *summary.warnings],
    }
    if summary.owner is not None and summary.at is not None:
        owner = summary.owner
        found["peak_owner"] = {
            "node": owner.node,
            "module": owner.module,
            "bytes": owner.nbytes,
            "alive": [{"value": name, "bytes": size} for name, size in owner.alive],
        }
    if summary.estimates:
        found["targets"] = {
            name: estimate.to_dict() | {"crossover": crossover_data(summary.crossovers.get(name))}
            for name, estimate in summary.estimates.items()
        }
    return found | report_data(summary)


def _point(summary: Summary) -> Mapping[str, int] | None:
    """Where values are taken: the point asked for; a graph without symbols needs none."""
    return summary.at if summary.symbols else {}


def _totals(summary: Summary) -> dict[str, Any]:
    names = tuple(summary.quantities)
    values = summary.values(tuple(summary.quantities[n].value for n in names), _point(summary))
    return {
        name: {"unit": q.unit, "standing": str(q.standing), **_expression(q.value, value)}
        for (name, q), value in zip(summary.quantities.items(), values, strict=True)
    }


def _expression(value: Expr, number: int | None) -> dict[str, Any]:
    return {"expr": str(value)} | ({} if number is None else {"value": number})


def _nodes(summary: Summary) -> list[dict[str, Any]]:
    metrics = tuple(summary.nodes[0].metrics) if summary.nodes else ()
    flat = tuple(row.metrics[m] for row in summary.nodes for m in metrics)
    values = iter(summary.values(flat, _point(summary)))
    rows = []
    for row in summary.nodes:
        entry: dict[str, Any] = {
            "name": row.name,
            "op": row.op,
            "module": row.module,
            "shape": [str(size) for size in row.shape],
            "dtype": row.dtype,
            "known": row.known,
            "reads": list(row.reads),
        }
        entry |= {m: _expression(row.metrics[m], next(values)) for m in metrics}
        rows.append(entry)
    return rows


def compact(data: Mapping[str, Any]) -> str:
    """One JSON document for answers other than reports."""
    return json.dumps(data, indent=1, ensure_ascii=False)
