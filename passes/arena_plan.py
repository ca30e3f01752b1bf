"""Plans of a runtime's arena at a point: as the runtime's own planner places buffers, and as low as it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fxcost.ir.evaluate import evaluate
from fxcost.passes.arena import Arena
from fxcost.passes.memory_plan import Plan, plan
from fxcost.passes.memory_plan_greedy import conflicts, place
from fxcost.passes.memory_plan_problem import Request
from fxcost.passes.memory_plan_problem import padded as padded_bytes


def requests_at(arena: Arena, point: Mapping[str, int]) -> tuple[Request, ...]:
    """Buffers of the arena's head at a point, padded to the runtime's alignment."""
    return tuple(
        Request(
            life.id,
            life.first + 1,
            2 + (life.until if evaluate(life.kept, point) else life.last),
            padded_bytes(evaluate(life.size, point), arena.alignment),
        )
        for life in arena.lives
    )


def best_head(arena: Arena, point: Mapping[str, int], time_limit: float = 60.0) -> Plan:
    """The lowest plan found for activations and scratch."""
    return plan(requests_at(arena, point), alignment=arena.alignment, time_limit=time_limit)


def greedy_head(arena: Arena, point: Mapping[str, int]) -> int:
    """Bytes that the greedy planner of TensorFlow Lite for microcontrollers needs for the head.

    Largest first (of equals the one added last, scratch after tensors), each in the first gap that is wide enough.
    """
    requests = [request for request in requests_at(arena, point) if request.size]
    if not requests:
        return 0
    order = sorted(range(len(requests)), key=lambda i: (-requests[i].size, -_rank(requests, i)))
    near = conflicts(requests)
    assert near is not None, "a microcontroller's model has fewer buffers"
    offsets = place(requests, near, order)
    return max(offset + request.size for offset, request in zip(offsets, requests, strict=True))


def _rank(requests: Sequence[Request], number: int) -> int:
    """Place in the order in which buffers are added: tensors as they are listed, scratch behind them."""
    return number + len(requests) * ("/scratch" in requests[number].id)
