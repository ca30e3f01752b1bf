"""A memory plan as a picture: every buffer a rectangle of its lifetime and its addresses."""

from __future__ import annotations

from pathlib import Path

from fxcost.passes.memory_plan import Plan
from fxcost.query.units import human
from fxcost.report.pictures import figure, save, titled

COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a8a8a")
NAMED, STANDING = 0.03, 0.012
"""Buffers of at least this share of both axes carry their id; those of the second in width and high, upright."""


def draw_plan(found: Plan, path: Path, title: str = "memory plan") -> None:
    """Addresses over time, as PNG, SVG or PDF by the ending of the name; banks one above the other."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    picture, axes = figure(10, 5.5)
    bases = [sum(found.heights[:i]) for i in range(len(found.heights))]
    drawn = [r for r in found.buffers if r.size and r.lower < r.upper]
    end = max((r.upper for r in drawn), default=1)
    begin = min((r.lower for r in drawn), default=0)
    boxes, colors = [], []
    for number, r in enumerate(drawn):
        base = bases[found.banks.get(r.id, 0)] + found.offsets[r.id]
        boxes.append(Rectangle((r.lower, base), r.upper - r.lower, r.size))
        colors.append(COLORS[number % len(COLORS)])
        width, height = (r.upper - r.lower) / (end - begin), r.size / max(found.height, 1)
        lies = width >= 2 * NAMED and height >= NAMED
        if lies or (width >= STANDING and height >= 5 * NAMED):
            middle = ((r.lower + r.upper) / 2, base + r.size / 2)
            turned = {} if lies else {"rotation": 90}
            axes.text(*middle, r.id, ha="center", va="center", fontsize=6, clip_on=True, **turned)
    axes.add_collection(PatchCollection(boxes, facecolor=colors, edgecolor="white", linewidth=0.3, alpha=0.75))
    axes.axhline(
        found.load_bound,
        color="black",
        linestyle="--",
        linewidth=1,
        label=f"alive at one time: {human(found.load_bound, 'bytes')}",
    )
    for base in bases[1:]:
        axes.axhline(base, color="black", linewidth=0.8)
    axes.set_xlim(begin, end)
    axes.set_ylim(0, 1.08 * max(found.height, 1))
    proven = "optimal" if found.optimal else f"not proven best: {found.stopped}"
    axes.set_title(f"{titled(title)}: {human(found.height, 'bytes')} ({proven})")
    axes.set_xlabel("time")
    axes.set_ylabel("address")
    axes.yaxis.set_major_formatter(lambda address, _: human(address, "bytes"))
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    save(picture, path)
