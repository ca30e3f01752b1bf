"""A target as the text of a target file: what `parse_target` reads back as an equal target."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date
from typing import Any

from fxcost.target.machine import Efficiency, Energy, Interconnect, Limits, Memory, Share, Target


def to_toml(target: Target) -> str:
    """The text of a file; every source that the target has goes along, and figures must have one each to be read."""
    return "\n".join(_lines(target)) + "\n"


def _lines(target: Target) -> Iterator[str]:
    head = {"name": target.name, "vendor": target.vendor, "class": target.kind, "runtime": target.runtime}
    yield from _pairs(head.items())
    if target.notes:
        yield f"notes = {_value(target.notes)}"
    yield from _table("compute", [(f"{dtype}_ops_per_s", rate) for dtype, rate in target.peaks])
    yield from _pairs([("cores", target.cores), ("clock_hz", target.clock_hz)])
    for level in target.memory:
        yield from _table("[memory]", _changed(level, Memory("", "")))
    if target.overhead_s:
        yield from _table("overhead", [(f"{name}_s", seconds) for name, seconds in target.overhead_s])
    if target.efficiency is not None:
        plain = _changed(target.efficiency, Efficiency("", 0, -1.0, ()))
        yield from _table("efficiency", [(key, value) for key, value in plain if key != "shares"])
        for name, share in target.efficiency.shares:
            yield from _table(f"efficiency.{name}", _changed(share, Share()) or [("compute", share.compute)])
    yield from _energy(target.energy)
    if target.interconnect is not None:
        yield from _table(
            "interconnect", [(f.name, getattr(target.interconnect, f.name)) for f in fields(Interconnect)]
        )
    if target.limits != Limits():
        yield from _table("limits", _changed(target.limits, Limits()))
    for source in target.sources:
        yield from _table("[sources]", [(f.name, getattr(source, f.name)) for f in fields(source)])


def _energy(energy: Energy | None) -> Iterator[str]:
    if energy is None:
        return
    yield from _table("energy", [(key, getattr(energy, key)) for key in ("table", "node_nm", "static_w")])
    if energy.pj_per_mac:
        yield from _table("energy.pj_per_mac", [])
        for dtype, mac in energy.pj_per_mac:
            yield f"{dtype} = {{ mult = {_value(mac.mult)}, add = {_value(mac.add)} }}"
    if energy.pj_per_byte:
        yield from _table("energy.pj_per_byte", energy.pj_per_byte)


def _table(name: str, pairs: Iterable[tuple[str, Any]]) -> Iterator[str]:
    yield ""
    yield f"[{name}]"
    yield from _pairs(pairs)


def _pairs(pairs: Iterable[tuple[str, Any]]) -> Iterator[str]:
    for key, value in pairs:
        if value is not None and value != () and value != "":
            yield f"{key} = {_value(value)}"


def _changed(thing: Any, plain: Any) -> list[tuple[str, Any]]:
    """Fields that are not as in `plain`."""
    pairs = [(f.name, getattr(thing, f.name)) for f in fields(thing)]
    return [(key, value) for key, value in pairs if value != getattr(plain, key)]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # escapes of a JSON string are those of a TOML string
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, date):
        return value.isoformat()
    return repr(value)
