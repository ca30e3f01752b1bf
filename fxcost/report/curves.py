"""Costs along one size as pictures: two that are compared, the two sides of a roofline, and the columns of a sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil, floor, log10, nan
from pathlib import Path
from typing import Any

from fxcost.errors import SpecError
from fxcost.query.compare import Comparison
from fxcost.query.crossover import Crossover
from fxcost.query.sampled import comparison_curves, crossover_formulas, crossover_sizes, end_of
from fxcost.query.spans import union
from fxcost.query.sweep import Sweep
from fxcost.query.units import seconds
from fxcost.report.pictures import figure, save, stacked, titled

FIRST, SECOND, MARK = "#0072b2", "#d55e00", "#555555"  # told apart by people who see no red or green, too
MOST_MARKS = 12
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLES = ("-", "--", ":")
MOST_LINES = len(COLORS) * len(STYLES)
MOST_PANELS = 6
LONGEST_FORMULA = 90
LONG_RATE = re.compile(r"\d{7,}\.0")
WIDE = 0.12
"""Spans of at least this share of the axis say which side binds there."""


def draw_comparison(found: Comparison, path: Path) -> None:
    """Both costs along the size, crossings marked; PNG, SVG or PDF by the ending of the name.

    Raises SpecError without matplotlib.
    """
    sizes, values = comparison_curves(found)
    picture, axes = figure(8, 4.5)
    for name, color, style in zip(found.names, (FIRST, SECOND), ("-", "--"), strict=True):
        axes.plot(sizes, values[name], color=color, linestyle=style, linewidth=1.4, label=name)
    inside = [size for size in found.crossings if sizes[0] <= size <= sizes[-1]]
    for number, size in enumerate(inside[:MOST_MARKS]):
        _mark(axes, size, f"{found.wrt} = {size:,}", number)
    axes.set_title(f"{found.metric} along {found.wrt}{_given(found)}")
    axes.set_xlabel(found.wrt)
    axes.set_ylabel(f"{found.metric} ({found.sides[0].unit})")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=9)
    save(picture, path)


def draw_crossovers(model: str, answers: Sequence[Crossover], path: Path) -> None:
    """Seconds of compute and of memory along the size, one panel an answer, shaded by which of both binds.

    Raises SpecError where figures are missing, where there are more than MOST_PANELS, and without matplotlib.
    """
    if len(answers) > MOST_PANELS:
        raise SpecError(f"a picture of {len(answers)} answers cannot be read: name at most {MOST_PANELS} with --node")
    end = end_of(answers)
    picture, stack = stacked(8, 4 if len(answers) == 1 else 3, len(answers))
    for axes, found in zip(stack, answers, strict=True):
        _sides(axes, found, end)
        axes.set_title(
            f"{titled(model)}: {titled(found.name)} on {found.target}{_given(found)}", loc="left", fontsize=10, pad=32
        )
    stack[-1].set_xlabel(answers[-1].wrt)
    save(picture, path)


def _sides(axes: Any, found: Crossover, end: int) -> None:
    if found.unknown:
        raise SpecError(f"nothing to draw for {found.name} on {found.target}: {found.unknown}")
    sizes, formulas = crossover_sizes(found, end), crossover_formulas(found)
    if not sizes:
        raise SpecError(f"nothing to draw for {found.name} on {found.target}: {found}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    sides = (("compute", FIRST, "-", (*found.compute, *found.ties)), ("memory", SECOND, "--", found.memory))
    for name, color, style, spans in sides:
        text = LONG_RATE.sub(lambda rate: f"{float(rate[0]):g}", str(formulas[name]))
        label = f"{name} time" + (f": {text} s" if len(text) <= LONGEST_FORMULA else "")
        values = [formulas[name].at({found.wrt: size}) or nan for size in sizes]  # no work takes no time: no logarithm
        axes.plot(sizes, values, color=color, linestyle=style, linewidth=1.4, label=label, drawstyle="steps-post")
        for low, high in union(spans):
            last = end if high is None else min(high + found.step, end)
            if low >= last:
                continue
            axes.axvspan(low, last, color=color, alpha=0.08, linewidth=0)
            if last / low > (end / sizes[0]) ** WIDE:
                _say(axes, (low * last) ** 0.5, f"{name} binds", color)
    for number, size in enumerate(found.thresholds[:MOST_MARKS]):
        longer = max(formula.at({found.wrt: size}) for formula in formulas.values())
        _mark(axes, size, f"{found.wrt} = {size:,}: {seconds(longer)}", number)
    axes.set_xlim(sizes[0], end)
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** floor(log10(low)), 10 ** ceil(log10(high)))  # whole decades, so that two have labels
    for axis, said in ((axes.xaxis, lambda size, _: f"{size:,.0f}"), (axes.yaxis, lambda time, _: seconds(time))):
        axis.set_major_formatter(said)
        axis.set_minor_formatter(lambda *_: "")
    axes.set_ylabel("time")
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(-0.01, 1.0), borderaxespad=0.2)


def _say(axes: Any, size: float, what: str, color: str) -> None:
    """Words at the foot of the picture, readable where a curve runs."""
    behind = {"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5}
    where = axes.get_xaxis_transform()
    axes.text(size, 0.04, what, transform=where, color=color, ha="center", fontsize=9, bbox=behind, zorder=4)


def _mark(axes: Any, size: int, label: str, number: int) -> None:
    """A line where the answer changes; labels of neighbours do not cover each other."""
    axes.axvline(size, color=MARK, linewidth=0.8, linestyle=":")
    axes.annotate(
        label,
        (size, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -10 - 10 * (number % 4)),
        textcoords="offset points",
        fontsize=8,
        color=MARK,
    )


def _given(found: Comparison | Crossover) -> str:
    """The other sizes, in brackets."""
    given = ", ".join(f"{name}={value}" for name, value in found.given.items())
    return f" ({given})" if given else ""


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
    if len(tables) == 1:  # else the legend says which models these are
        stack[0].set_title(titled(next(iter(tables))), loc="left", fontsize=11)
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
