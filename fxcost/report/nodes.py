"""One number a node, for tools that colour graphs: a cost, what is alive, or seconds and joules on a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.passes.estimate import Estimate, NodeTime
from fxcost.query.breakdown import METRICS
from fxcost.report.summary import Summary

UNITS: Mapping[str, str] = {
    "params": "elements",
    "macs": "MAC",
    "other_ops": "op",
    "read_bytes": "bytes",
    "write_bytes": "bytes",
    "weight_bytes": "bytes",
    "traffic": "bytes",
    "live_memory": "bytes",
    "roofline": "s",
    "energy": "J",
}
"""What a node can be coloured by. `traffic` is read, written and weight bytes together, `live_memory` what is alive while
the node runs; `roofline` and `energy` need one machine."""

_ON_MACHINE: Mapping[str, Callable[[NodeTime], object]] = {
    "roofline": lambda row: row.t_s,
    "energy": lambda row: row.energy_j,
}


def check_node_metric(name: str, machines: int) -> None:
    """Refuse a name that no node has a number of, and a machine too few or too many for it."""
    if name not in UNITS:
        raise UnknownName(f"nodes have no metric {name!r}{nearest(name, UNITS)}")
    if name in _ON_MACHINE and machines != 1:
        raise SpecError(f"{name} is that on a machine: name one with --target, found {machines}")


def node_values(summary: Summary, metric: str) -> dict[str, float]:
    """The metric by node name; a node without a rule, or without a time, has none.

    Times, energies and traffic are those of a fused group, at its main node. Raises SpecError where a size is open.
    """
    check_node_metric(metric, len(summary.estimates))
    if summary.point is None or any(s.name not in summary.point for s in summary.symbols):
        raise SpecError(f"{metric} by node needs a size for every symbol: give --at")
    if metric in _ON_MACHINE:
        (estimate,) = summary.estimates.values()
        return machine_values(estimate, metric)
    if metric == "live_memory":
        return {name: size for name, size in summary.live if name}
    parts = ("read_bytes", "write_bytes", "weight_bytes") if metric == "traffic" else (metric,)
    assert set(parts) <= set(METRICS)
    rows = [row for row in summary.nodes if row.known]
    values = iter(summary.values(tuple(row.metrics[part] for row in rows for part in parts), summary.point))
    return {row.name: sum(next(values) or 0 for _ in parts) for row in rows}


def machine_values(estimate: Estimate, metric: str) -> dict[str, float]:
    """Seconds or joules by node on a machine; nodes of which they are unknown are left out."""
    found = {row.name: _ON_MACHINE[metric](row) for row in estimate.by_node()}
    return {name: value for name, value in found.items() if isinstance(value, float)}
