"""The best order as a function of one size, for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.text import Text

from fxcost.ir.graph import Graph
from fxcost.query.orders import OrderPiece, Orders
from fxcost.query.spans import spans_text
from fxcost.report.json import compact
from fxcost.report.terminal import for_output

MOST_SPANS = 6
"""Intervals of a piece that are listed; the rest is counted."""

MOST_FORMULA = 400
"""Characters of a formula on the terminal; longer ones are in the JSON."""


def orders_text(graph: Graph, found: Orders) -> str:
    """The decision list: for which sizes which order, its peak, what proved it; then what is open."""
    lines = []
    numbers = {piece.order: number for number, piece in enumerate(found.pieces, 1)}
    for piece in found.pieces:
        lines.append(
            Text(f"order {numbers[piece.order]}: {spans_text(found.wrt, piece.where, MOST_SPANS)}", style="bold")
        )
        lines.append(Text(f"  peak = {_formula(str(piece.peak))} bytes"))
        lines.append(Text(f"  {_parting(graph, piece)}"))
        lines.append(Text(f"  proven best: {'; '.join(piece.proofs)}", style="dim"))
    if found.scales:
        names = " and ".join(found.scales)
        lines.append(Text(f"{names} scale{'' if len(found.scales) > 1 else 's'} every block alike and decide no order"))
    if found.open:
        lines.append(
            Text(
                f"not proven: {spans_text(found.wrt, found.open, MOST_SPANS)} ({'; '.join(found.reasons)})",
                style="bold",
            )
        )
    elif found.min_peak_memory is not None:
        lines.append(Text(f"min_peak_memory = {_formula(str(found.min_peak_memory))} bytes, at every {found.wrt}"))
    lines.append(Text(f"{found.seconds:.2f} s", style="dim"))
    return for_output(Group(*lines))


def _formula(text: str) -> str:
    return text if len(text) <= MOST_FORMULA else f"(a formula of {len(text):,} characters, see --json)"


def _parting(graph: Graph, piece: OrderPiece) -> str:
    at = next((i for i, position in enumerate(piece.order) if i != position), None)
    if at is None:
        return "the traced order"
    first, second = graph.nodes[piece.order[at]].name, graph.nodes[at].name
    return f"parts from the traced order at step {at + 1}: {first} runs before {second}"


def orders_json(graph: Graph, found: Orders) -> str:
    """The decision list with orders by node names and peaks as expressions."""
    data: dict[str, Any] = {
        "wrt": found.wrt,
        "scales": list(found.scales),
        "pieces": [
            {
                "where": [list(span) for span in piece.where],
                "order": [graph.nodes[position].name for position in piece.order],
                "peak": {"unit": "bytes", "expr": str(piece.peak)},
                "proofs": list(piece.proofs),
            }
            for piece in found.pieces
        ],
        "open": [list(span) for span in found.open],
        "reasons": list(found.reasons),
        "optimal": found.optimal,
        "min_peak_memory": None
        if found.min_peak_memory is None
        else {"unit": "bytes", "expr": str(found.min_peak_memory)},
        "seconds": found.seconds,
    }
    return compact(data)
