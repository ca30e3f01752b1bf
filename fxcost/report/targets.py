"""Latency, energy and fit on machines, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fxcost.passes.estimate import Estimate
from fxcost.query.fit import FitAnswer
from fxcost.query.units import human, joules, seconds
from fxcost.report.fit import largest_lines
from fxcost.report.summary import Summary

LATENCIES = {
    "lecture": "whole network, the larger of total compute and total memory time",
    "bound": "sound lower bound: compulsory traffic, true peaks",
    "roofline": "sum over operators of the larger of the two, data-sheet figures",
    "calibrated": "roofline with fitted efficiencies",
}


def target_tables(summary: Summary) -> list[RenderableType]:
    """One row a machine, then what fits and what each estimate leaves out; empty without targets."""
    if not summary.estimates:
        return []
    return [
        _estimates(summary),
        *(_details(name, estimate, summary.fits.get(name)) for name, estimate in summary.estimates.items()),
    ]


def _estimates(summary: Summary) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", overflow="fold")
    for column in (*LATENCIES, "energy", "fits"):
        table.add_column(column, justify="right", overflow="fold")
    for name, estimate in summary.estimates.items():
        latencies = (_time(getattr(estimate, kind)) for kind in LATENCIES)
        table.add_row(name, *latencies, _energy(estimate), estimate.fits.verdict)
    legend = "; ".join(f"{kind}: {meaning}" for kind, meaning in LATENCIES.items())
    title = Text("Latency and energy", style="bold")
    return Group(title, table, Padding(Text(legend, style="dim"), (0, 0, 0, 2), expand=False))


def _time(value: object) -> str:
    if value is None:
        return "unknown"
    return seconds(value) if isinstance(value, float) else "a formula"


def _energy(estimate: Estimate) -> str:
    if estimate.energy is None:
        return "unknown"
    return joules(estimate.energy) if isinstance(estimate.energy, float) else "a formula"


def _details(name: str, estimate: Estimate, answer: FitAnswer | None) -> RenderableType:
    dtype = f", computing in {estimate.dtype}" if estimate.dtype else ""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for row in estimate.fits.rows:
        need = row.need_bytes.constant
        have = "unknown" if row.have_bytes is None else human(row.have_bytes, "bytes")
        needed = "a formula" if need is None else human(need, "bytes")
        aside = "" if row.decides else "; for a runtime with one arena"
        grid.add_row(f"  fits: {estimate.fits.verdict_of(row)}", f"{row.what}: {needed} of {have} ({row.level}{aside})")
    for term in estimate.dropped_terms:
        grid.add_row(Text("  left out", style="yellow"), Text(term, style="yellow"))
    lines = [] if answer is None else largest_lines(answer)
    largest = [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    return Group(Text(f"{name}, runtime {estimate.target.runtime}{dtype}"), grid, *largest)
