"""Patches, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.units import human
from fxcost.report.terminal import for_output

if TYPE_CHECKING:
    from fxcost.passes.patch_plan import InRoom, PatchPlan, Stage
    from fxcost.report.summary import Summary

SHOWN = 12
"""Points of the frontier that are printed; JSON has them all."""


def grid_text(stage: Stage) -> str:
    """`3 x 3 patches`, or `8 strips, halos kept`."""
    patches = f"{stage.rows} strips" if stage.columns == 1 else f"{stage.rows} x {stage.columns} patches"
    return patches + (", halos kept" if stage.cached else "")


def summary_line(found: PatchPlan) -> str:
    """What to do, in a line."""
    return stages_text(found.stages)


def stages_text(stages: Sequence[Stage]) -> str:
    """Stages in a line."""
    return "; ".join(f"{grid_text(stage)} up to {stage.up_to or stage.last}" for stage in stages) or "no patches"


def fit_line(model: str, level: str, room: int, found: PatchPlan | None) -> str:
    """Whether activations fit a memory in patches: `fits with 3 x 3 patches up to features.5`."""
    return for_output(Text(_fit_text(model, level, room, found)))


def _fit_text(model: str, level: str, room: int, found: PatchPlan | None) -> str:
    space = f"{human(room, 'bytes')} of {level}"
    if found is None:
        return f"{model}: no patches found that keep activations within {space}"
    if not found.stages:
        return f"{model}: activations fit {space} without patches"
    line = f"{model}: activations fit {space} with {summary_line(found)}: "
    return line + f"{human(found.peak, 'bytes')}, {found.overhead:.2%} more MACs"


def patches_text(found: PatchPlan) -> str:
    """Peak and MACs with and without patches, the stages, and the frontier."""
    return for_output(Group(*patches_parts(found)))


def patches_parts(found: PatchPlan) -> list[RenderableType]:
    """The same as parts of a report."""
    saved = 100 * (1 - found.peak / found.plain_peak) if found.plain_peak else 0.0
    head = Table.grid(padding=(0, 2))
    for _ in range(4):
        head.add_column(justify="right")
    head.columns[0].justify = "left"
    head.add_row("peak without patches", human(found.plain_peak, "bytes"), f"{found.plain_peak:,}", "")
    head.add_row("peak with patches", human(found.peak, "bytes"), f"{found.peak:,}", f"{saved:.1f} % less")
    head.add_row("MACs", human(found.macs, "MAC"), f"{found.macs:,}", f"{found.overhead:.2%} more")
    head.add_row(
        "nothing is below",
        human(found.bound, "bytes"),
        f"{found.bound:,}",
        f"{100 * found.gap:.1f} % less" if found.gap else "reached",
    )
    moved = found.traffic
    parts: list[RenderableType] = [head, Text(f"{found.certificate}")]
    if found.stages:
        table = _plain_table("from", "to", "cut into", "peak", numbers=("peak",))
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
    table = _plain_table("peak", "", "MACs on top", numbers=("peak", "", "MACs on top"))
    for peak, macs in found.frontier[:SHOWN]:
        mark = f"{macs / found.plain_macs - 1:.2%}" if found.plain_macs else "0.00%"
        table.add_row(human(peak, "bytes"), f"{peak:,}", mark)
    parts.append(table)
    if len(found.frontier) > SHOWN:
        parts.append(Text(f"and {len(found.frontier) - SHOWN} more (--json)", style="dim"))
    return parts


def _plain_table(*columns: str, numbers: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def report_section(summary: Summary) -> list[RenderableType]:
    """Patch by patch in a report, with a line for every machine whose memory the whole maps do not fit."""
    if summary.patches is None:
        return []
    lines = [Text(_fit_text(name, room.level, room.bytes, room.found)) for name, room in summary.patched_fits.items()]
    return [Group(Text("Patch by patch", style="bold"), *patches_parts(summary.patches), *lines)]


def report_markdown_lines(summary: Summary) -> list[str]:
    """The same as Markdown."""
    found = summary.patches
    if found is None:
        return []
    lines = [
        "### Patch by patch",
        "",
        f"Peak {found.plain_peak:,} bytes without patches, {found.peak:,} with, for {found.overhead:.2%} more MACs: "
        f"{summary_line(found)}. {found.certificate[:1].upper()}{found.certificate[1:]}.",
        "",
        "| peak, bytes | MACs on top | stages |",
        "| ---: | ---: | --- |",
    ]
    for (peak, macs), stages in zip(found.frontier, found.choices, strict=True):
        more = macs / found.plain_macs - 1 if found.plain_macs else 0.0
        lines.append(f"| {peak:,} | {more:.2%} | {stages_text(stages)} |")
    fits = [f"- {_fit_text(name, room.level, room.bytes, room.found)}" for name, room in summary.patched_fits.items()]
    return [*lines, "", *fits, *[""] * bool(fits)]


def report_data(summary: Summary) -> dict[str, Any]:
    """The same as plain data; empty without patches."""
    if summary.patches is None:
        return {}
    fits = {name: room_data(room) for name, room in summary.patched_fits.items()}
    return {"patches": patches_data(summary.patches), "patched_fits": fits}


def room_data(room: InRoom) -> dict[str, Any]:
    """Whether activations fit a memory patch by patch, and how."""
    return {
        "level": room.level,
        "bytes": room.bytes,
        "fits": room.found is not None,
        "peak": room.found and room.found.peak,
        "macs": room.found and room.found.macs,
        "stages": [vars(stage) for stage in room.found.stages] if room.found else [],
    }


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
    from fxcost.report.json import compact

    return compact(patches_data(found))
