"""Costs along one size as pictures: two with the sizes at which the cheaper one changes, and the columns of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fxcost.errors import SpecError
from fxcost.query.compare import Comparison, sample
from fxcost.query.sweep import Sweep
from fxcost.report.pictures import figure, save, stacked

FIRST, SECOND, MARK = "#0072b2", "#d55e00", "#555555"  # told apart by people who see no red or green, too
MOST_MARKS = 12
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", ":")
MOST_LINES = len(COLORS) * len(STYLES)


def draw_comparison(found: Comparison, path: Path) -> None:
    """Both costs along the size, crossings marked; PNG, SVG or PDF by the ending of the name.

    Raises SpecError without matplotlib.
    """
    sizes, values = sample(found)
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
    axes.set_ylabel(f"{found.metric} ({found.sides[0].unit})")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    save(picture, path)


def draw_sweep(tables: Mapping[str, Sweep], sizes: Sequence[str], path: Path) -> None:
    """Every metric of a sweep over the first of its sizes, a line for each model and each value of the other sizes.

    Raises SpecError where that would be more than MOST_LINES lines.
    """
    first = next(iter(tables.values()))
    metrics = first.metrics
    lines = [
        (name, fixed, table, rows)
        for name, table in tables.items()
        for fixed, rows in _by_others(table, sizes[1:]).items()
    ]
    if len(lines) > MOST_LINES:
        raise SpecError(
            f"a picture of {len(lines)} lines cannot be read: sweep over one size, or fewer values of the others"
        )
    picture, stack = stacked(8, 3, len(metrics))
    for axes, metric in zip(stack, metrics, strict=True):
        for number, (name, fixed, table, rows) in enumerate(lines):
            label = ", ".join(
                [*([name] if len(tables) > 1 else []), *(f"{n}={v}" for n, v in zip(sizes[1:], fixed, strict=True))]
            )
            values = [None if table[i][metric.name] is None else float(table[i][metric.name]) for i in rows]
            axes.plot(
                [table[i][sizes[0]] for i in rows],
                values,
                color=COLORS[number % len(COLORS)],
                linestyle=STYLES[number // len(COLORS)],
                linewidth=1.4,
                label=label or None,
            )
        axes.set_ylabel(f"{metric.name} ({metric.unit})")
    stack[-1].set_xlabel(sizes[0])
    if len(lines) > 1:
        stack[0].legend(frameon=False, fontsize=9)
    save(picture, path)


def _by_others(table: Sweep, others: Sequence[str]) -> dict[tuple[int, ...], list[int]]:
    """Rows that share the sizes but the first one."""
    found: dict[tuple[int, ...], list[int]] = {}
    for i in range(len(table)):
        row = table[i]
        found.setdefault(tuple(row[name] for name in others), []).append(i)
    return found
