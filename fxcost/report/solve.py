"""Solutions, for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from fxcost.query.compare import Comparison
from fxcost.query.crossover import Crossover
from fxcost.query.frontier import Frontier
from fxcost.query.solve import Solution
from fxcost.report.terminal import for_output

MOST = 8
MOST_PAIRS = 24


def solution_text(solution: Solution) -> str:
    """The values that satisfy, then the proof with one step a line."""
    marks = {"exact": ""}.get(solution.standing, f"  ({solution.standing})")
    return for_output(Group(Text(values_text(solution) + marks, style="bold"), *proof(solution)))


def values_text(solution: Solution) -> str:
    """The values that satisfy: `3 <= H <= 9, H = 11`."""
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
    return _steps(solution.proof)


def _steps(text: str) -> list[RenderableType]:
    return [Padding(Text(step), (0, 0, 0, 2), expand=False) for step in text.split("; ")]


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


def frontier_text(found: Frontier) -> str:
    """The largest pairs, a line each, then the proof."""
    first, second = found.wrt
    if not found.feasible:
        return for_output(Group(Text(f"no {first} and {second} satisfy this", style="bold"), *_steps(found.proof)))
    lines = [Text(f"the largest pairs of {first} and {second}: neither can grow alone", style="bold")]
    shown = found.points if len(found.points) <= MOST_PAIRS else found.points[: MOST_PAIRS - 1]
    lines += [Text(f"  {first} = {a:,}  {second} {'is not limited' if b is None else f'= {b:,}'}") for a, b in shown]
    if len(shown) < len(found.points):
        lines.append(Text(f"  and {len(found.points) - len(shown):,} more (--json)"))
    return for_output(Group(*lines, *_steps(found.proof)))


def frontier_data(found: Frontier) -> dict[str, Any]:
    """Plain data for JSON; a second size of null where nothing limits it."""
    return {
        "wrt": list(found.wrt),
        "points": [list(point) for point in found.points],
        "cut": found.cut,
        "proof": found.proof,
        "standing": str(found.standing),
    }


def comparison_text(found: Comparison) -> str:
    """Who needs less where, then the proof."""
    mark = "" if found.standing == "exact" else f"  ({found.standing})"
    return for_output(Group(Text(f"{found}{mark}", style="bold"), *_steps(found.proof)))


def comparison_data(found: Comparison) -> dict[str, Any]:
    """Plain data for JSON: closed intervals for either answer."""
    return {
        "metric": found.metric,
        "names": list(found.names),
        "wrt": found.wrt,
        "given": dict(found.given),
        "less": [list(span) for span in found.less],
        "more": [list(span) for span in found.more],
        "equal": [list(span) for span in found.equal],
        "crossings": list(found.crossings),
        "method": found.method,
        "proof": found.proof,
        "standing": str(found.standing),
    }
