"""Activations in memory while a model runs in the traced order, as a picture, with who is alive at the peak."""

from __future__ import annotations

from pathlib import Path

from fxcost.errors import SpecError
from fxcost.query.units import human
from fxcost.report.characters import shortened
from fxcost.report.pictures import figure, save, titled
from fxcost.report.summary import Summary

COLOUR = "#0072b2"
LONGEST_NAME = 40
OWNERS = 4
"""Blocks named at the peak; the rest is summed up."""


def draw_memory(summary: Summary, path: Path) -> None:
    """Write it as PNG, SVG or PDF by the ending of the name; raises SpecError where a size is open."""
    owner = summary.owner
    if owner is None or not summary.live:
        raise SpecError("memory over time needs a size for every symbol: give --at")
    alive = [size for _, size in summary.live]
    steps = range(-1, len(alive) - 1)
    made, axes = figure(10, 4.5)
    axes.step(steps, [size / 1e6 for size in alive], where="mid", color=COLOUR, linewidth=1.2)
    axes.fill_between(steps, [size / 1e6 for size in alive], step="mid", color=COLOUR, alpha=0.2)
    lines = [f"{human(size, 'bytes')}  {name}" for name, size in owner.alive[:OWNERS]]
    if len(owner.alive) > OWNERS:
        rest = sum(size for _, size in owner.alive[OWNERS:])
        lines.append(f"{human(rest, 'bytes')}  {len(owner.alive) - OWNERS} more")
    place = f"{shortened(owner.module, LONGEST_NAME)} ({owner.node})" if owner.module else owner.node
    axes.plot([owner.step], [owner.nbytes / 1e6], marker="o", color=COLOUR, markersize=5)
    axes.annotate(
        "\n".join([f"peak {human(owner.nbytes, 'bytes')} at {place}", *lines]),
        (owner.step, owner.nbytes / 1e6),
        xytext=(0.6 if owner.step < len(alive) / 2 else 0.05, 0.97),  # away from the peak
        textcoords="axes fraction",
        va="top",
        fontsize=8,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": COLOUR},
        arrowprops={"arrowstyle": "-", "color": COLOUR, "linewidth": 0.7},
    )
    at = ", ".join(f"{name}={size}" for name, size in (summary.point or {}).items())
    axes.set_title(
        f"{titled(summary.model)}: activations in memory{f' at {at}' if at else ''}", loc="left", fontsize=11
    )
    axes.set_xlabel("step (one operator each, in traced order)")
    axes.set_ylabel("MB alive (10^6 bytes)")
    axes.set_xlim(-1.5, max(1.5, len(alive) - 1.5))
    axes.set_ylim(0, 1.4 * owner.nbytes / 1e6 or 1)
    save(made, path)
