"""Latency, energy and fit on machines, for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.passes.estimate import Estimate
from fxcost.query.units import human, joules, seconds
from fxcost.report.summary import Summary

LATENCIES = (
    ("lecture", "max(total compute, total memory) of the whole network"),
    ("bound", "sound lower bound: compulsory traffic, true peaks"),
    ("roofline", "sum over ops of max(compute, memory), data-sheet figures"),
    ("calibrated", "roofline with fitted efficiencies"),
)


def target_tables(summary: Summary) -> list[RenderableType]:
    """One table with a column a target, then fit and dropped terms; empty without targets."""
    if not summary.estimates:
        return []
    return [_latencies(summary), *(_fit(name, estimate) for name, estimate in summary.estimates.items())]


def _latencies(summary: Summary) -> RenderableType:
    table = Table(title="Latency and energy", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name, estimate in summary.estimates.items():
        table.add_column(f"{name} ({estimate.target.runtime})", justify="right", overflow="fold")
    table.add_column("", style="dim", overflow="fold")
    for kind, meaning in LATENCIES:
        table.add_row(kind, *(_time(getattr(e, kind)) for e in summary.estimates.values()), meaning)
    table.add_row("energy", *(_energy(e) for e in summary.estimates.values()), "MACs x pJ + bytes x pJ/byte")
    return table


def _time(value: object) -> str:
    if value is None:
        return "unknown"
    return seconds(value) if isinstance(value, float) else "a formula"


def _energy(estimate: Estimate) -> str:
    if estimate.energy is None:
        return "unknown"
    return joules(estimate.energy) if isinstance(estimate.energy, float) else "a formula"


def _fit(name: str, estimate: Estimate) -> RenderableType:
    lines = [Text(f"{name}: fits: {estimate.fits.verdict}")]
    for row in estimate.fits.rows:
        need = row.need_bytes.constant
        have = "unknown" if row.have_bytes is None else human(row.have_bytes, "bytes")
        needed = "a formula" if need is None else human(need, "bytes")
        lines.append(Text(f"  {estimate.fits.verdict_of(row):<8}{row.what} ({row.level}): {needed} of {have}"))
    lines += [Text(f"  dropped: {term}", style="yellow") for term in estimate.dropped_terms]
    return Group(*lines)
