"""Two costs along one size as a picture, with the sizes at which the cheaper one changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fxcost.query.compare import Comparison
from fxcost.report.pictures import figure, save

FIRST, SECOND, MARK = "#0072b2", "#d55e00", "#555555"  # told apart by people who see no red or green, too
MOST_MARKS = 12


def draw_comparison(
    found: Comparison, sizes: Sequence[int], values: Mapping[str, Sequence[float]], unit: str, path: Path
) -> None:
    """Both costs at the sizes given, crossings among them marked; PNG, SVG or PDF by the ending of the name."""
    picture, axes = figure(8, 4.5)
    for name, color, style in zip(found.names, (FIRST, SECOND), ("-", "--"), strict=True):
        axes.plot(sizes, values[name], color=color, linestyle=style, linewidth=1.4, label=name)
    inside = [size for size in found.crossings if sizes[0] <= size <= sizes[-1]]
    for size in inside[:MOST_MARKS]:
        axes.axvline(size, color=MARK, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{found.wrt} = {size:,}",
            (size, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
            color=MARK,
        )
    given = ", ".join(f"{name}={value}" for name, value in found.given.items())
    axes.set_title(f"{found.metric} along {found.wrt}{f' ({given})' if given else ''}")
    axes.set_xlabel(found.wrt)
    axes.set_ylabel(f"{found.metric} ({unit})")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    save(picture, path)
