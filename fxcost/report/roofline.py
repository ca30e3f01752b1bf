"""The roofline as a picture: ceilings of a machine, and a model's ops under them.

Both axes are logarithmic: operations per byte (2 for a MAC, 1 for any other operation) against operations per second.
Flat lines are peaks by type, slanted ones bandwidths by memory level. An op is a point at the rate of its roofline time, its
area that time, its colour and marker its family. Colours are those of Okabe and Ito, which colour-blind people can tell
apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import atan2, degrees, inf
from pathlib import Path
from typing import Any, Final

from fxcost.errors import SpecError
from fxcost.passes.estimate import Estimate, NodeTime
from fxcost.query.units import human, seconds
from fxcost.report.pictures import figure, laid_out, save, titled
from fxcost.target import Target

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = "osD^vPX"
OTHERS: Final = "#999999"
LARGEST_AREA: Final = 700.0
SMALLEST_AREA: Final = 12.0


@dataclass(frozen=True)
class Point:
    """One op: operations per byte, operations per second, seconds, family."""

    name: str
    intensity: float
    rate: float
    seconds: float
    family: str


@dataclass(frozen=True)
class Ceiling:
    """A peak in operations per second, or a bandwidth in bytes per second, with its label."""

    label: str
    rate: float


def points(rows: Sequence[NodeTime]) -> tuple[tuple[Point, ...], float]:
    """Ops that have a place in the picture, the longest first, and the seconds of those that have none.

    An op that computes nothing, or moves nothing, or whose time is unknown cannot stand on logarithmic axes.
    """
    found, left_out = [], 0.0
    for row in rows:
        operations, moved = 2 * _whole(row.macs) + _whole(row.other_ops), _whole(row.bytes)
        if operations and moved and row.t_s:
            family = row.op_class.partition("_")[0]
            found.append(Point(row.name, operations / moved, operations / row.t_s, row.t_s, family))
        else:
            left_out += row.t_s or 0.0
    return tuple(sorted(found, key=lambda point: -point.seconds)), left_out


def peaks(target: Target, rows: Sequence[NodeTime]) -> tuple[Ceiling, ...]:
    """Peaks of the types that the ops compute in, and of the vector lanes, highest first."""
    used = {row.dtype for row in rows if _whole(row.macs)} | (
        {"fp32"} if any(_whole(r.other_ops) for r in rows) else set()
    )
    return tuple(
        Ceiling(f"{dtype} {human(rate, '')} op/s", rate)
        for dtype, rate in sorted(target.peaks, key=lambda pair: -pair[1])
        if dtype in used
    )


def bandwidths(target: Target) -> tuple[Ceiling, ...]:
    """Bandwidths of the levels that can serve a model, near to far."""
    levels = dict.fromkeys([*target.caches("weights"), target.home("activations"), target.home("weights")])
    return tuple(
        Ceiling(f"{level.name} {human(level.read_bytes_per_s, 'B/s')}", level.read_bytes_per_s)
        for level in levels
        if level.read_bytes_per_s is not None
    )


def roofline_picture(model: str, estimate: Estimate, path: Path) -> None:
    """Draw an estimate at a point.

    Raises SpecError where the estimate is a formula, no op has a time, or the file cannot be written.
    """
    rows = estimate.by_node()
    if any(not isinstance(row.bytes, int) for row in rows):
        raise SpecError("a roofline plot needs a size for every symbol: give --at")
    drawn, left_out = points(rows)
    flat, slanted = peaks(estimate.target, rows), bandwidths(estimate.target)
    if not drawn:
        raise SpecError(
            f"nothing to draw: no op has operations, bytes and a time on {estimate.target.name}; the report says which "
            "figures are missing"
        )
    made, axes = figure(9.0, 5.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _limits(axes, drawn, flat, slanted)
    _ceilings(axes, flat, slanted)
    _ops(axes, drawn)
    at = ", ".join(f"{name}={size}" for name, size in estimate.at.items())
    whole = estimate.roofline if isinstance(estimate.roofline, float) else 0.0
    axes.set_title(f"{titled(model)} on {estimate.target.name}" + (f" at {at}" if at else ""), loc="left", fontsize=11)
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("operations per second (roofline)")
    note = f"area: time of the op; in all {seconds(whole)}"
    if left_out:
        note += f", of which {seconds(left_out)} without operations are not drawn"
    if _above(drawn, slanted):
        note += "; above the lines: bytes on chip, whose bandwidth is not stated"
    axes.annotate(note, (0.0, -0.16), xycoords="axes fraction", fontsize=8, color="#444444")
    laid_out(made, path)
    _turn_labels(axes)
    save(made, path)


def _limits(axes: Any, drawn: Sequence[Point], flat: Sequence[Ceiling], slanted: Sequence[Ceiling]) -> None:
    ridges = [peak.rate / level.rate for peak in flat for level in slanted]
    across = [point.intensity for point in drawn] + ridges
    up = [point.rate for point in drawn] + [peak.rate for peak in flat]
    axes.set_xlim(min(across) / 8, max(across) * 6)
    axes.set_ylim(min(up) / 10, max(up) * 3)


def _ceilings(axes: Any, flat: Sequence[Ceiling], slanted: Sequence[Ceiling]) -> None:
    """Each bandwidth rises to the highest peak, each peak begins where the fastest level reaches it."""
    low, high = axes.get_xlim()
    top = max((peak.rate for peak in flat), default=axes.get_ylim()[1])
    fastest = max((level.rate for level in slanted), default=None)
    for peak in flat:
        start = low if fastest is None else max(low, peak.rate / fastest)
        axes.plot([start, high], [peak.rate, peak.rate], color="#333333", linewidth=1.2, zorder=1)
        axes.annotate(peak.label, (high, peak.rate), xytext=(-4, 3), textcoords="offset points", ha="right", fontsize=8)
    for level in slanted:
        end = min(high, top / level.rate)
        axes.plot([low, end], [low * level.rate, end * level.rate], color="#333333", linewidth=1.2, ls="--", zorder=1)
        start = 1.15 * max(low, axes.get_ylim()[0] / level.rate)
        axes.text(start, 1.12 * start * level.rate, level.label, fontsize=8, rotation_mode="anchor", zorder=4)


def _above(drawn: Sequence[Point], slanted: Sequence[Ceiling]) -> bool:
    """Whether some op is faster than its bytes could come from the levels that are drawn."""
    fastest = max((level.rate for level in slanted), default=inf)
    return any(point.rate > 1.01 * point.intensity * fastest for point in drawn)


def _turn_labels(axes: Any) -> None:
    """Turn the bandwidths' labels along their lines, once the layout says how steep these are."""
    for label in axes.texts:
        if label.get_rotation_mode() == "anchor":
            x, y = label.get_position()
            (left, bottom), (right, top) = axes.transData.transform([(x, y), (10 * x, 10 * y)])
            label.set_rotation(degrees(atan2(top - bottom, right - left)))


def _ops(axes: Any, drawn: Sequence[Point]) -> None:
    longest = drawn[0].seconds
    styles = _styles(drawn)
    for family, (colour, marker) in styles.items():
        mine = [point for point in drawn if _shown(point.family, styles) == family]
        axes.scatter(
            [point.intensity for point in mine],
            [point.rate for point in mine],
            s=[SMALLEST_AREA + LARGEST_AREA * point.seconds / longest for point in mine],
            color=colour,
            marker=marker,
            alpha=0.55,
            edgecolors=colour,
            linewidths=0.8,
            label=f"{family} ({len(mine)}, {seconds(sum(point.seconds for point in mine))})",
            zorder=3,
        )
    legend = axes.legend(fontsize=8, frameon=False, loc="lower right", markerscale=1.0)
    for handle in legend.legend_handles:
        handle.set_sizes([36.0])


def _styles(drawn: Sequence[Point]) -> Mapping[str, tuple[str, str]]:
    """Colour and marker of the families that take most time; the rest share one."""
    times: dict[str, float] = {}
    for point in drawn:
        times[point.family] = times.get(point.family, 0.0) + point.seconds
    ranked = sorted(times, key=lambda family: -times[family])
    found = dict(_named(ranked))
    return found | ({"other": (OTHERS, "o")} if len(ranked) > len(COLOURS) else {})


def _named(ranked: Sequence[str]) -> Iterator[tuple[str, tuple[str, str]]]:
    for family, colour, marker in zip(ranked, COLOURS, MARKERS, strict=False):
        yield family, (colour, marker)


def _shown(family: str, styles: Mapping[str, tuple[str, str]]) -> str:
    return family if family in styles else "other"


def _whole(amount: object) -> int:
    return amount if isinstance(amount, int) else 0
