"""Machines, for the terminal: all of them by class, or one with every figure and its source."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fxcost.query.units import human
from fxcost.report.terminal import for_output
from fxcost.target import Memory, Target, load_target, targets

HALF = ("bf16", "fp16")
"""Either is the 16-bit column: where both are stated they are equal, or nearly."""


def target_list() -> str:
    """All machines by class and runtime, with their main figures; a blank is a figure that no source states."""
    machines = sorted((load_target(name) for name in targets()), key=lambda m: (m.kind, m.runtime, m.name))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in ("fp32", "16 bit", "int8", "memory", "bandwidth", "on chip", "power"):
        table.add_column(column, justify="right", no_wrap=True)
    for (kind, runtime), group in groupby(machines, key=lambda m: (m.kind, m.runtime)):
        table.add_row(Text(f"{kind}, {runtime}", style="bold"))
        for machine in group:
            table.add_row(f" {machine.name}", *_figures(machine))
    legend = Text(
        "Peaks in dense operations per second (a MAC is 2); a blank is unknown. One machine with its sources: "
        "fxcost targets NAME.",
        style="dim",
    )
    return for_output(Group(table, Text(""), legend))


def _figures(machine: Target) -> tuple[str, ...]:
    half = next((rate for rate in map(machine.peak, HALF) if rate is not None), None)
    main = machine.home("weights")
    near = machine.cache or (machine.home("activations") if machine.home("activations") != main else None)
    return (
        _number(machine.peak("fp32")),
        _number(half),
        _number(machine.peak("int8")),
        _size(main),
        _number(main.read_bytes_per_s, "B/s"),
        _size(near),
        _number(machine.limits.tdp_w, "W"),
    )


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else human(value, unit)


def _size(level: Memory | None) -> str:
    return "" if level is None or level.capacity_bytes is None else human(level.capacity_bytes, "bytes")


def target_text(name: str) -> str:
    """One machine: every figure with the number of its source, then the sources."""
    machine = load_target(name)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("figure", "value", "source"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    cited: dict[str, int] = {}
    for row in machine.rows():
        mark = ""
        if row.source is not None:
            text = f"{row.source.document}, {row.source.date}, checked: {row.source.checked}"
            mark = f"[{cited.setdefault(text, len(cited) + 1)}]"
        table.add_row(row.key, _figure(row.value, row.unit), mark)
    sources = [Text(f"[{number}] {text}") for text, number in cited.items()]
    head = Text(f"{machine.name}: {machine.vendor} {machine.kind}, runtime {machine.runtime}", style="bold")
    return for_output(Group(head, table, Text(""), *sources))


def _figure(value: float, unit: str) -> str:
    if unit == "byte":
        return f"{value:,.0f} bytes"
    return human(value, {"byte/s": "B/s"}.get(unit, unit))
