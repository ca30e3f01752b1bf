"""Arenas of microcontroller runtimes, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.arena import ArenaAnswer
from fxcost.query.quantity import Quantity
from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.memory_plan import plan_map
from fxcost.report.terminal import for_output


def arena_text(model: str, answers: Sequence[ArenaAnswer], at: Mapping[str, int] | None) -> str:
    """Parts of the arena and of flash, target by target; at a point the plan beside the runtime's own."""
    return for_output(Group(*(part for answer in answers for part in _answer(model, answer, at))))


def _answer(model: str, answer: ArenaAnswer, at: Mapping[str, int] | None) -> list[RenderableType]:
    where = ", ".join(f"{name}={size}" for name, size in (at or {}).items())
    head = Text(f"{model} in int8 on {answer.target}" + (f" at {where}" if where else ""), style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("", overflow="fold")
    table.add_column("", justify="right", overflow="fold")
    for name, value in answer.parts.items():
        table.add_row(f"  {name}", _shown(value, at))
    table.add_row("arena (SRAM)", _shown(answer.total, at))
    for name, value in answer.flash.items():
        table.add_row(f"  {name}", _shown(value, at))
    table.add_row("constants (flash)", _shown(answer.flash_total, at))
    parts: list[RenderableType] = [head, table]
    if answer.unknown:
        listed = ", ".join(f"{op} x{count}" for op, count in answer.unknown.items())
        parts.append(Text(f"not in the runtime's format, so the arena is a lower bound: {listed}", style="yellow"))
    if answer.plan is not None:
        parts += _plan(answer)
    return [*parts, Text("")]


def _plan(answer: ArenaAnswer) -> list[RenderableType]:
    plan, greedy = answer.plan, answer.greedy
    assert plan is not None
    assert greedy is not None
    proven = "proven lowest" if plan.optimal else f"not proven lowest ({plan.stopped})"
    lines: list[RenderableType] = [
        Text(f"activations and scratch planned: {plan.height:,} bytes, {proven}; largest first: {greedy:,}")
    ]
    picture = plan_map(plan)
    return [*lines, *([Text(picture)] if picture else [])]


def _shown(value: Quantity, at: Mapping[str, int] | None) -> str:
    size = value.at(at or {})
    return f"{size:,} B ({human(size, 'bytes')})" if isinstance(size, int) else str(size)


def arena_json(answers: Sequence[ArenaAnswer], at: Mapping[str, int] | None) -> str:
    """The answers as JSON, by target."""
    return compact({"targets": {answer.target: _plain(answer, at) for answer in answers}})


def _plain(answer: ArenaAnswer, at: Mapping[str, int] | None) -> dict[str, Any]:
    plan = answer.plan
    return {
        "runtime": answer.runtime,
        "arena": _data(answer.total, at),
        "parts": {name: _data(value, at) for name, value in answer.parts.items()},
        "flash": _data(answer.flash_total, at),
        "flash_parts": {name: _data(value, at) for name, value in answer.flash.items()},
        "unknown": dict(answer.unknown),
        "planned": plan and {"bytes": plan.height, "optimal": plan.optimal, "largest_first_bytes": answer.greedy},
    }


def _data(value: Quantity, at: Mapping[str, int] | None) -> dict[str, Any]:
    size = value.at(at or {})
    return {"unit": value.unit, "expr": str(value)} | ({"value": size} if isinstance(size, int) else {})
