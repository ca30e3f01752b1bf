"""Memory plans, for the terminal: what was found, and a map of addresses over time."""

from __future__ import annotations

from string import ascii_letters, digits

from rich.console import Group
from rich.text import Text

from fxcost.passes.memory_plan import Plan
from fxcost.query.units import human
from fxcost.report.terminal import for_output

COLUMNS, ROWS = 64, 12
MARKS = ascii_letters + digits
MAX_DRAWN = 5_000
"""Buffers beyond which there is no map: each would be smaller than a character."""


def plan_text(found: Plan) -> str:
    """Height, bound, how it was found and what is proven; then the map."""
    label = "arena" if len(found.heights) < 2 else f"{len(found.heights)} banks"
    above = f"  ({100 * found.waste:.2f} % above the load)" if found.height > found.load_bound else ""
    lines = [
        Text(f"{label:24s} {human(found.height, 'bytes'):>10}  {found.height:,}{above}"),
        Text(f"{'alive at one time':24s} {human(found.load_bound, 'bytes'):>10}  {found.load_bound:,}"),
        Text(_proof(found)),
    ]
    if len(found.heights) > 1:
        lines.append(Text("banks: " + ", ".join(f"{height:,}" for height in found.heights)))
    lines.append(
        Text(
            f"{len(found.buffers):,} buffers; by {found.method}; {found.nodes:,} states in {found.seconds:.2f} s", "dim"
        )
    )
    picture = plan_map(found)
    return for_output(Group(*lines, *([Text(""), Text(picture)] if picture else [])))


def _proof(found: Plan) -> str:
    if found.optimal and found.height == found.load_bound:
        return "optimal: no plan is below what is alive at one time"
    if found.optimal:
        return f"optimal: a complete search refuted every height below {found.height:,}"
    gap = 100 * (1 - found.lower_bound / found.height)
    return (
        f"not proven best ({found.stopped}): at most {gap:.1f} % could be saved; no plan is below {found.lower_bound:,}"
    )


def plan_map(found: Plan, columns: int = COLUMNS, rows: int = ROWS) -> str:
    """Time from left to right, addresses from below: one character a buffer, a dot where nothing is alive.

    A character stands for what lies at the middle of its cell. Empty for several banks, and for very many buffers.
    """
    drawn = [r for r in found.buffers if r.size and r.lower < r.upper]
    if not drawn or len(found.heights) > 1 or len(drawn) > MAX_DRAWN:
        return ""
    begin, end = min(r.lower for r in drawn), max(r.upper for r in drawn)
    columns = min(columns, end - begin)
    grid = [["."] * columns for _ in range(rows)]
    for number, r in enumerate(drawn):
        offset = found.offsets[r.id]
        for column in _inside(r.lower - begin, r.upper - begin, end - begin, columns):
            for row in _inside(offset, offset + r.size, found.height, rows):
                grid[row][column] = MARKS[number % len(MARKS)]
    label = f"{found.height:,}"
    lines = [
        f"{label if i == rows - 1 else '0' if i == 0 else '':>{len(label)}} |{''.join(grid[i])}" for i in range(rows)
    ]
    scale = f"{begin}{str(end).rjust(max(columns - len(str(begin)), 1))}"
    return "\n".join([*reversed(lines), " " * (len(label) + 2) + scale])


def _inside(start: int, stop: int, extent: int, cells: int) -> range:
    """Cells whose middle lies in start..stop of an extent divided evenly."""
    return range(-(-(2 * start * cells - extent) // (2 * extent)), -(-(2 * stop * cells - extent) // (2 * extent)))
