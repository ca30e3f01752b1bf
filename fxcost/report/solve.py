"""Solutions, for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from fxcost.query.crossover import Crossover
from fxcost.query.solve import Solution
from fxcost.report.terminal import for_output

MOST = 8


def solution_text(solution: Solution) -> str:
    """The values that satisfy, then the proof with one step a line."""
    marks = {"exact": ""}.get(solution.standing, f"  ({solution.standing})")
    return for_output(Group(Text(_values(solution) + marks, style="bold"), *proof(solution)))


def _values(solution: Solution) -> str:
    if not solution.feasible:
        return f"no {solution.wrt} satisfies this"
    spans = [
        f"{solution.wrt} >= {low:,}"
        if high is None
        else f"{solution.wrt} = {low:,}"
        if low == high
        else f"{low:,} <= {solution.wrt} <= {high:,}"
        for low, high in solution.set
    ]
    more = f", and {len(spans) - MOST:,} more intervals (--json)" if len(spans) > MOST else ""
    return ", ".join(spans[:MOST]) + more


def proof(solution: Solution | Crossover) -> list[RenderableType]:
    """The proof, indented, with one step a line."""
    return [Padding(Text(step), (0, 0, 0, 2), expand=False) for step in solution.proof.split("; ")]


def solution_data(solution: Solution) -> dict[str, Any]:
    """Plain data for JSON; `set` holds closed intervals, a high end of null where no value is too large."""
    return {
        "wrt": solution.wrt,
        "max": solution.max,
        "min": solution.min,
        "set": [list(span) for span in solution.set],
        "method": solution.method,
        "proof": solution.proof,
        "standing": str(solution.standing),
    }
