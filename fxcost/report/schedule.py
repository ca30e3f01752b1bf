"""Execution orders, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from fxcost.ir.graph import Graph
from fxcost.passes.schedule import BestOrder
from fxcost.passes.timeline import Timeline
from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.terminal import for_output


def schedule_text(graph: Graph, found: BestOrder) -> str:
    """Traced and best peak, the bound, the certificate, and where the two orders first part."""
    saved = 100 * (1 - found.peak / found.traced_peak) if found.traced_peak else 0.0
    lines = [
        Text(f"peak of the traced order  {human(found.traced_peak, 'bytes'):>10}  {found.traced_peak:,}"),
        Text(f"peak of the best order    {human(found.peak, 'bytes'):>10}  {found.peak:,}  ({saved:.1f} % less)"),
        Text(f"no order is below         {human(found.lower_bound, 'bytes'):>10}  {found.lower_bound:,}"),
        Text(found.certificate),
        Text(_parting(graph, found)),
        Text(f"{found.states:,} states explored in {found.seconds:.2f} s", style="dim"),
    ]
    return for_output(Group(*lines))


def _parting(graph: Graph, found: BestOrder) -> str:
    folded = set(found.folded)
    best = [p for p in found.order if p not in folded]
    traced = sorted(best)
    at = next((i for i, (a, b) in enumerate(zip(best, traced, strict=True)) if a != b), None)
    if at is None:
        return "the traced order is kept"
    first, second = graph.nodes[best[at]].name, graph.nodes[traced[at]].name
    return f"the orders part at step {at + 1}: {first} runs before {second} (the whole order: --json)"


def schedule_data(graph: Graph, found: BestOrder) -> dict[str, Any]:
    """The order by node names, with its proof, as plain data."""
    return {
        "order": [graph.nodes[position].name for position in found.order],
        "folded": [graph.nodes[position].name for position in found.folded],
        "peak": found.peak,
        "traced_peak": found.traced_peak,
        "lower_bound": found.lower_bound,
        "optimal": found.optimal,
        "certificate": found.certificate,
        "states": found.states,
        "seconds": found.seconds,
    }


def schedule_json(graph: Graph, found: BestOrder, timelines: Mapping[str, Timeline]) -> str:
    """The order and its proof as JSON, with who is alive when in the traced and in the best order."""
    lines = {name: timeline_data(line) for name, line in timelines.items()}
    return compact(schedule_data(graph, found) | {"timeline": lines})


def timeline_data(found: Timeline) -> dict[str, Any]:
    """Steps with their bytes, and blocks with the steps they live from and to."""
    return {
        "start_bytes": found.start_bytes,
        "steps": [{"node": step.node, "module": step.module, "bytes": step.bytes} for step in found.steps],
        "blocks": [
            {"value": life.value, "bytes": life.bytes, "first": life.first, "last": life.last} for life in found.lives
        ],
    }
