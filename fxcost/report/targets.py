"""Latency, energy and fit on machines, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fxcost.passes.estimate import Estimate
from fxcost.query.crossover import Crossover
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
        *(
            _details(name, estimate, summary.fits.get(name), summary.crossovers.get(name))
            for name, estimate in summary.estimates.items()
        ),
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


def _details(
    name: str, estimate: Estimate, answer: FitAnswer | None, crossover: Crossover | None = None
) -> RenderableType:
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
    for label, line in _bottleneck(estimate, crossover):
        grid.add_row(f"  {label}", line)
    for warning in estimate.warnings:
        grid.add_row(Text("  warning", style="yellow"), Text(warning, style="yellow"))
    if estimate.calibration:
        grid.add_row(Text("  calibrated", style="dim"), Text(estimate.calibration, style="dim"))
    for term in estimate.dropped_terms:
        grid.add_row(Text("  left out", style="yellow"), Text(term, style="yellow"))
    lines = [] if answer is None else largest_lines(answer)
    largest = [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    return Group(Text(f"{name}, runtime {estimate.target.runtime}{dtype}"), grid, *largest)


def _bottleneck(estimate: Estimate, crossover: Crossover | None) -> Iterator[tuple[str, str]]:
    """What costs most and what binds, where the energy goes, and from which size on that changes."""
    rows, whole = estimate.by_node(), estimate.roofline
    longest = estimate.costliest
    if longest is not None and longest.t_s and isinstance(whole, float):
        place = f"{longest.module} ({longest.name})" if longest.module else longest.name
        by = f"memory binds ({longest.binding_level})" if longest.binding_level else f"{longest.binds} binds"
        by = "what binds is unknown" if longest.binds == "unknown" else by
        yield "longest", f"{place}: {seconds(longest.t_s)} of {seconds(whole)} ({longest.t_s / whole:.0%}); {by}"
        shares: dict[str, float] = {}
        for row in rows:
            side = row.binding_level or row.binds
            shares[side] = shares.get(side, 0.0) + (row.t_s or 0.0)
        named = sorted(shares.items(), key=lambda pair: -pair[1])
        yield "binds", ", ".join(f"{side} {share / whole:.0%}" for side, share in named) + " of the time"
    parts = {**{f"{d} products": j for d, j in estimate.energy_dtypes.items()}, **estimate.energy_levels}
    parts["static"] = estimate.energy_parts.get("static")
    known = [f"{what} {joules(part)}" for what, part in parts.items() if isinstance(part, float) and part]
    if known and estimate.target.energy is not None:
        yield "energy", f"{', '.join(known)} (table: {estimate.target.energy.table})"
    if crossover is not None and not crossover.unknown:
        given = ", ".join(f"{name}={value}" for name, value in crossover.given.items())
        yield "crossover", f"{crossover.name}: {crossover}" + (f" ({given})" if given else "")
