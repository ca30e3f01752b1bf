"""A model on several numbers of devices, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.ir.printing import python
from fxcost.query.quantity import Quantity
from fxcost.query.units import human, seconds
from fxcost.report.json import compact
from fxcost.report.terminal import for_output

SHOWN = ("params", "model_bytes", "macs", "peak_memory", "wire_bytes")
LIMITS = (
    "Not modelled: pipelines, replicas, and overlap of what is sent with what is computed (latencies are upper bounds "
    "in that respect). Sent: bytes of one device by the algorithm that sends least; time: the fastest one on the machine."
)


@dataclass(frozen=True)
class DeviceRow:
    """One number of devices: quantities of one of them with their values at the point, or why it is refused."""

    devices: int
    reason: str = ""
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    values: Mapping[str, int | None] = field(default_factory=dict)
    fits: str = "unknown"
    roofline_s: float | None = None
    calibrated_s: float | None = None
    wire_s: float | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceTable:
    """All rows, what they are of, and the best degree for the goal."""

    model: str
    plan: str
    at: Mapping[str, int]
    rows: tuple[DeviceRow, ...]
    target: str | None = None
    smallest: int | None = None
    fastest: int | None = None


def devices_text(table: DeviceTable) -> str:
    """One row a number of devices, then the formulas of what is sent, and what is left out."""
    return for_output(Group(*_parts(table)))


def _parts(table: DeviceTable) -> Sequence[RenderableType]:
    where = ", ".join(f"{name}={size}" for name, size in table.at.items())
    plan = f"{table.plan} parallel" if table.plan in ("tensor", "expert") else "shared out as given"
    parts: list[RenderableType] = [
        Text(f"{table.model}, {plan}, one of the devices" + (f" at {where}" if where else ""), style="bold"),
        _grid(table),
    ]
    parts += [Text(f"{_many(row.devices)}: {row.reason}", style="yellow") for row in table.rows if row.reason]
    if table.target is not None:
        fewest = "none" if table.smallest is None else f"{table.smallest}"
        quickest = "none" if table.fastest is None else f"{table.fastest}"
        parts.append(
            Text(f"fewest that fit {table.target}: {fewest}; least roofline latency: {quickest}", style="bold")
        )
    sent = [(row, row.quantities["wire_bytes"]) for row in table.rows if "wire_bytes" in row.quantities]
    if any(quantity.value.constant is None for _, quantity in sent):
        parts += [Text(""), Text("Bytes that one device sends", style="bold")]
        parts += [Text(f"  {_many(row.devices)}: {python(quantity.value)}") for row, quantity in sent]
    dropped = dict.fromkeys(reason for row in table.rows for reason in row.dropped)
    parts += [Text(""), *(Text(f"left out  {reason}", style="yellow") for reason in dropped), Text(LIMITS, style="dim")]
    return parts


def _many(devices: int) -> str:
    return "1 device" if devices == 1 else f"{devices} devices"


def _grid(table: DeviceTable) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    timed = table.target is not None
    columns = ("devices", "params", "weights", "MACs", "peak", "sent", *(("fits", "roofline", "sending") * timed))
    for column in columns:
        grid.add_column(column, justify="left" if column == "fits" else "right", no_wrap=True)
    for row in table.rows:
        if row.reason:
            grid.add_row(str(row.devices), "refused")
            continue
        cells = [_number(row, name) for name in SHOWN]
        times = [row.fits, _time(row.roofline_s), _time(row.wire_s)] if timed else []
        grid.add_row(str(row.devices), *cells, *times)
    return grid


def _number(row: DeviceRow, name: str) -> str:
    if name not in row.quantities:
        return "0"
    value = row.values.get(name)
    return "a formula" if value is None else human(value, "" if name == "macs" else row.quantities[name].unit)


def _time(value: float | None) -> str:
    return "unknown" if value is None else seconds(value)


def devices_json(table: DeviceTable) -> str:
    """The same as data."""
    return compact(
        {
            "model": table.model,
            "plan": table.plan,
            "at": dict(table.at),
            "target": table.target,
            "smallest": table.smallest,
            "fastest": table.fastest,
            "devices": [_row(row) for row in table.rows],
        }
    )


def _row(row: DeviceRow) -> dict[str, Any]:
    return {
        "devices": row.devices,
        "refused": row.reason or None,
        "fits": row.fits,
        "roofline_s": row.roofline_s,
        "calibrated_s": row.calibrated_s,
        "wire_s": row.wire_s,
        "totals": {
            name: {"unit": quantity.unit, "standing": str(quantity.standing), "expr": python(quantity.value)}
            | ({} if row.values.get(name) is None else {"value": row.values[name]})
            for name, quantity in row.quantities.items()
        },
        "dropped_terms": list(row.dropped),
    }
