"""Costs by module as bars: MACs, parameters and traffic beside each other, a bar for every part of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr
from fxcost.query.breakdown import ModuleRow
from fxcost.query.units import human
from fxcost.report.arrange import SORTS, module_tree
from fxcost.report.characters import printable, shortened
from fxcost.report.pictures import panels, save, titled
from fxcost.report.summary import Summary

PANELS: Mapping[str, tuple[str, str, str]] = {
    "macs": ("MACs", "MAC", "#0072b2"),
    "params": ("parameters", "elements", "#009e73"),
    "traffic": ("bytes moved", "bytes", "#d55e00"),
}
"""What is drawn, with its unit and colour."""

MOST_BARS = 40
LONGEST_NAME = 36


@dataclass(frozen=True)
class Bar:
    """A part of the network and what it costs, by panel; no two parts overlap, and all together are the whole."""

    path: str
    note: str
    values: Mapping[str, int]

    @property
    def name(self) -> str:
        """The module, how many alike it stands for, and whether it is without the modules in it."""
        return self.path + self.note


def bars(summary: Summary) -> list[Bar]:
    """The deepest rows of the tree that is shown, and what modules with rows below them do themselves.

    Raises SpecError where a size is open, or there are more than MOST_BARS.
    """
    if summary.point is None:
        raise SpecError("bars need a size for every symbol: give --at")
    rows = list(_parts(module_tree(summary), summary.depth))
    if len(rows) > MOST_BARS:
        raise SpecError(
            f"{len(rows)} bars cannot be read: give a smaller --depth, or --top for the costliest of each level"
        )
    found = []
    for path, note, metrics in rows:
        parts = {panel: summary.values(tuple(metrics[m] for m in SORTS[panel]), summary.point) for panel in PANELS}
        bar = Bar(path, note, {panel: sum(value or 0 for value in values) for panel, values in parts.items()})
        if any(bar.values.values()):
            found.append(bar)
    return found


def _parts(row: ModuleRow, depth: int) -> Sequence[tuple[str, str, Mapping[str, Expr]]]:
    copies = f" x{row.copies}" if row.copies > 1 else ""
    if depth == 0 or not row.children:
        return [(row.path or "the whole network", copies, row.metrics)]
    below = [part for child in row.children for part in _parts(child, depth - 1)]
    return [*below, (row.path or "the network", f" itself{copies}", row.own)] if row.own else below


def draw_modules(summary: Summary, path: Path) -> None:
    """Write the bars as PNG, SVG or PDF by the ending of the name."""
    found = bars(summary)
    made, axes = panels(11, max(2.0, 0.9 + 0.24 * len(found)), len(PANELS))
    places = range(len(found))
    for each, (panel, (title, unit, colour)) in zip(axes, PANELS.items(), strict=True):
        amounts = [bar.values[panel] for bar in found]
        total, most = sum(amounts), max(amounts, default=0)
        each.barh(places, amounts, color=colour, height=0.72)
        for place, amount in zip(places, amounts, strict=True):
            if amount:
                each.annotate(
                    f"{human(amount, 'bytes' if unit == 'bytes' else '')} ({100 * amount / total:.1f} %)",
                    (amount, place),
                    xytext=(3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                )
        each.set_xlim(0, 1.45 * most or 1)
        each.set_title(f"{title}: {human(total, unit)}", loc="left", fontsize=10)
        each.set_xticks([])
        each.spines["bottom"].set_visible(False)
    axes[0].set_yticks(places, [printable(shortened(bar.path, LONGEST_NAME)) + bar.note for bar in found], fontsize=8)
    axes[0].invert_yaxis()  # the first module on top
    at = ", ".join(f"{name}={size}" for name, size in (summary.point or {}).items())
    made.suptitle(f"{titled(summary.model)}{f' at {at}' if at else ''}", fontsize=11)
    save(made, path)
