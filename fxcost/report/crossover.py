"""Crossovers for the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.crossover import Crossover
from fxcost.query.latency_pieces import LatencyPiece
from fxcost.query.spans import spans_text
from fxcost.report.solve import proof
from fxcost.report.terminal import for_output


def crossover_text(model: str, found: Sequence[Crossover]) -> str:
    """The first answer with its proof, the others as a table: ops that cross first, then those that never do."""
    first, rest = found[0], found[1:]
    given = ", ".join(f"{name}={value}" for name, value in first.given.items())
    head = Text(f"{model} on {first.target}" + (f", {given}" if given else ""), style="bold")
    parts: list[RenderableType] = [head, Text(f"{first.name}: {first}"), *proof(first)]
    if first.aside:
        parts += [Text(f"left out: {reason}", style="yellow") for reason in first.aside]
    if rest:
        parts += [Text(""), _table(rest), Text("equal times count as compute", style="dim")]
    return for_output(Group(*parts))


def _table(found: Sequence[Crossover]) -> RenderableType:
    """One row an op; ops that share an answer and never change sides are only counted."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("op", overflow="fold")
    table.add_column("binds", overflow="fold")
    settled: dict[str, list[str]] = {}
    for each in found:
        if each.thresholds:
            table.add_row(each.name, str(each))
        else:
            settled.setdefault(str(each), []).append(each.name)
    for answer, names in settled.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        table.add_row(f"{names[0]}{more}", answer)
    return table


def crossover_data(found: Crossover | None) -> dict[str, Any] | None:
    """An answer as plain data: spans are [low, high], high null where there is no end."""
    if found is None:
        return None
    return {
        "name": found.name,
        "for": found.wrt,
        "given": dict(found.given),
        "memory": [list(span) for span in found.memory],
        "compute": [list(span) for span in found.compute],
        "equal": [list(span) for span in found.ties],
        "thresholds": list(found.thresholds),
        "method": found.method,
        "proof": found.proof,
        "standing": str(found.standing),
        "unknown": found.unknown or None,
        "left_out": list(found.aside),
    }


def pieces_text(wrt: str, pieces: Sequence[LatencyPiece]) -> str:
    """For which sizes how many ops each side binds, and which one changed since the piece before."""
    lines: list[Text] = []
    before: set[str] | None = None
    for piece in pieces:
        counts = f"{len(piece.memory)} ops memory-bound, {len(piece.compute)} compute-bound"
        unknown = f", {len(piece.unknown)} unknown" if piece.unknown else ""
        lines.append(Text(f"{spans_text(wrt, [piece.where])}: {counts}{unknown}", style="bold"))
        turned = [] if before is None else sorted(before ^ set(piece.memory))
        if turned:
            more = f" and {len(turned) - 4} more" if len(turned) > 4 else ""
            lines.append(Text(f"  turned: {', '.join(turned[:4])}{more}", style="dim"))
        before = set(piece.memory)
    return for_output(Group(*lines))


def pieces_data(pieces: Sequence[LatencyPiece]) -> list[dict[str, Any]]:
    """Plain data for JSON: the sum that is the roofline latency in each piece, in seconds."""
    return [
        {
            "where": list(piece.where),
            "latency_s": str(piece.formula),
            "memory": list(piece.memory),
            "compute": list(piece.compute),
            "unknown": list(piece.unknown),
        }
        for piece in pieces
    ]
