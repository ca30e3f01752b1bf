"""Patches, for the terminal and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.terminal import for_output

if TYPE_CHECKING:
    from fxcost.passes.patch_plan import PatchPlan, Stage

SHOWN = 12
"""Points of the frontier that are printed; JSON has them all."""


def grid_text(stage: Stage) -> str:
    """`3 x 3 patches`, or `8 strips, halo rows kept`."""
    if stage.columns == 1:
        return f"{stage.rows} strips" + (", halo rows kept" if stage.cached else "")
    return f"{stage.rows} x {stage.columns} patches"


def summary_line(found: PatchPlan) -> str:
    """What to do, in a line."""
    if not found.stages:
        return "no patches"
    return "; ".join(f"{grid_text(stage)} up to {stage.up_to or stage.last}" for stage in found.stages)


def fit_line(model: str, level: str, room: int, found: PatchPlan | None) -> str:
    """Whether activations fit a memory in patches: `fits with 3 x 3 patches up to features.5`."""
    space = f"{human(room, 'bytes')} of {level}"
    if found is None:
        line = f"{model}: no patches found that keep activations within {space}"
    elif not found.stages:
        line = f"{model}: activations fit {space} without patches"
    else:
        line = f"{model}: activations fit {space} with {summary_line(found)}: "
        line += f"{human(found.peak, 'bytes')}, {found.overhead:.2%} more MACs"
    return for_output(Text(line))


def patches_text(found: PatchPlan) -> str:
    """Peak and MACs with and without patches, the stages, and the frontier."""
    saved = 100 * (1 - found.peak / found.plain_peak) if found.plain_peak else 0.0
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column(justify="right")
    head.columns[0].justify = "left"
    head.add_row("peak without patches", human(found.plain_peak, "bytes"), f"{found.plain_peak:,}", "")
    head.add_row("peak with patches", human(found.peak, "bytes"), f"{found.peak:,}", f"{saved:.1f} % less")
    head.add_row("MACs", human(found.macs, "MAC"), f"{found.macs:,}", f"{found.overhead:.2%} more")
    head.add_row("nothing is below", human(found.bound, "bytes"), f"{found.bound:,}", "")
    moved = found.traffic
    parts: list[RenderableType] = [head, Text(f"{found.certificate}")]
    if found.stages:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("from", "to", "cut into", "peak"):
            table.add_column(column, justify="right" if column == "peak" else "left", overflow="fold")
        for stage in found.stages:
            table.add_row(stage.first, stage.last, grid_text(stage), f"{stage.peak:,}")
        parts += [Text(""), table]
        traffic = f"{human(moved.read, 'bytes')} read, {human(moved.write, 'bytes')} written"
        parts.append(
            Text(
                f"moved: {traffic}, {human(moved.weights, 'bytes')} of weights (once a patch), "
                f"{human(moved.copied, 'bytes')} copied besides",
                style="dim",
            )
        )
    parts += [Text(""), Text("plans that no other beats", style="bold")]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("peak", "", "MACs on top"):
        table.add_column(column, justify="right")
    for peak, macs in found.frontier[:SHOWN]:
        mark = f"{macs / found.plain_macs - 1:.2%}" if found.plain_macs else "0.00%"
        table.add_row(human(peak, "bytes"), f"{peak:,}", mark)
    parts.append(table)
    if len(found.frontier) > SHOWN:
        parts.append(Text(f"and {len(found.frontier) - SHOWN} more (--json)", style="dim"))
    return for_output(Group(*parts))


def patches_data(found: PatchPlan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "peak": found.peak,
        "macs": found.macs,
        "plain_peak": found.plain_peak,
        "plain_macs": found.plain_macs,
        "bound": found.bound,
        "order_bound": found.order_bound,
        "gap": found.gap,
        "certificate": found.certificate,
        "order": list(found.order) or None,
        "standing": str(found.standing),
        "at": dict(found.point),
        "stages": [vars(stage) for stage in found.stages],
        "traffic": vars(found.traffic),
        "frontier": [
            {"peak": peak, "macs": macs, "stages": [vars(stage) for stage in stages]}
            for (peak, macs), stages in zip(found.frontier, found.choices, strict=True)
        ],
    }


def patches_json(found: PatchPlan) -> str:
    """The plan as JSON."""
    return compact(patches_data(found))
