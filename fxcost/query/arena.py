"""What a microcontroller's runtime allocates for a model in int8: the arena by part, flash by part, a plan at a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import Expr, total
from fxcost.passes.arena import Arena
from fxcost.passes.arena_plan import best_head, greedy_head
from fxcost.passes.memory_plan import Plan
from fxcost.passes.micro_runtimes import RUNTIMES
from fxcost.query.quantity import Quantity
from fxcost.target import Target


@dataclass(frozen=True)
class ArenaAnswer:
    """Bytes by part, as formulas in the model's sizes, and where buffers lie at one point.

    parts    activations and scratch (no planner needs less), buffers apart, structures that live as long as the model
    flash    weights, biases, multipliers and shifts, other constants
    unknown  operators that the runtime's format does not have; with any, what is counted is a lower bound
    plan     offsets of activations and scratch at the point, where one was given
    greedy   bytes that the runtime's own planner needs for them there
    """

    target: str
    runtime: str
    parts: Mapping[str, Quantity]
    flash: Mapping[str, Quantity]
    total: Quantity
    flash_total: Quantity
    unknown: Mapping[str, int]
    plan: Plan | None = None
    greedy: int | None = None


def arena_answer(
    machine: Target,
    found: Arena | None,
    quantity: Callable[[str, Expr], Quantity],
    point: Mapping[str, int] | None,
    time_limit: float,
) -> ArenaAnswer:
    """The answer for an arena; raises SpecError where that of the target's runtime is not known."""
    if found is None:
        raise SpecError(
            f"{machine.name}: no arena is known for the runtime {machine.runtime!r}"
            f"{nearest(machine.runtime, RUNTIMES)}; name one with NAME:RUNTIME, as in stm32h743:tflite-micro"
        )
    return ArenaAnswer(
        target=machine.name,
        runtime=found.runtime,
        parts={name: quantity(name, size) for name, size in found.parts},
        flash={name: quantity(name, size) for name, size in found.flash},
        total=quantity("arena", found.total),
        flash_total=quantity("flash", total(size for _, size in found.flash)),
        unknown=dict(found.unknown),
        plan=None if point is None else best_head(found, point, time_limit),
        greedy=None if point is None else greedy_head(found, point),
    )
