"""Memory over execution as a picture: the traced order against the best one, and who owns each peak."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.schedule import BestOrder
from fxcost.passes.timeline import Timeline
from fxcost.query.units import human
from fxcost.report.pictures import figure, save, titled

OWNERS = 4
"""Blocks named at a peak; the rest is summed up."""

TRACED, BEST, BOUND = "#8a8a8a", "#0072b2", "#d55e00"  # told apart by people who see no red or green, too


def draw_schedule(graph: Graph, found: BestOrder, at: str, timelines: Mapping[str, Timeline], path: Path) -> None:
    """Bytes alive at each step, traced and best, as PNG or SVG by the ending of the name."""
    traced, best = timelines["traced"], timelines["best"]
    picture, axes = figure(10, 5)
    for line, color, label in ((traced, TRACED, "traced order"), (best, BEST, "best order")):
        values = [step.bytes / 1e6 for step in line.steps]
        axes.step(range(len(values)), values, where="mid", color=color, linewidth=1.2, label=_label(label, line))
    axes.fill_between(
        range(len(best.steps)), [step.bytes / 1e6 for step in best.steps], step="mid", color=BEST, alpha=0.15
    )
    bound = "proven: no order stays below" if found.optimal else "no order is proven to stay below"
    axes.axhline(
        found.lower_bound / 1e6,
        color=BOUND,
        linestyle="--",
        linewidth=1,
        label=f"{bound} {human(found.lower_bound, 'bytes')}",
    )
    if best.highest is not None:
        _name_owners(axes, best, best.highest)
    axes.set_title(f"{titled(graph.name)}: activations in memory{f' at {at}' if at else ''}")
    axes.set_xlabel("step (one operator each)")
    axes.set_ylabel("MB alive (10^6 bytes)")
    axes.set_ylim(0, 1.4 * traced.peak / 1e6)
    axes.set_xlim(0, max(1, len(best.steps) - 1))
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    save(picture, path)


def _label(what: str, line: Timeline) -> str:
    where = f" at {line.steps[line.highest].node}" if line.highest is not None else " at the start"
    return f"{what}: {human(line.peak, 'bytes')}{where}"


def _name_owners(axes: Any, line: Timeline, step: int) -> None:
    alive = line.alive(step)
    names = [f"{human(life.bytes, 'bytes')}  {life.value}" for life in alive[:OWNERS]]
    rest = sum(life.bytes for life in alive[OWNERS:])
    if rest:
        names.append(f"{human(rest, 'bytes')}  {len(alive) - OWNERS} more")
    axes.plot([step], [line.peak / 1e6], marker="o", color=BEST, markersize=5)
    axes.annotate(
        "alive at the best order's peak:\n" + "\n".join(names),
        (step, line.peak / 1e6),
        xytext=(0.03 if step > 0.4 * len(line.steps) else 0.36, 0.98),  # above the lines, beside the legend
        textcoords="axes fraction",
        va="top",
        fontsize=8,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": BEST},
        arrowprops={"arrowstyle": "-", "color": BEST, "linewidth": 0.7},
    )
