"""The memory plan of a graph under an order at a point: lifetimes from the schedule's blocks, offsets from `plan`.

Step k of the order is time k + 1; time 0 is the moment before, when all inputs exist. A block is alive from its
producer's step until after the step that touches it last. Under in-place accounting a result that takes over a dying
operand's memory lies where the operand lay: the two are planned as one buffer. The load bound of a plan is therefore
exactly the peak of the order, under every accounting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fxcost.ir.graph import Graph
from fxcost.passes.memory_plan import Plan, plan
from fxcost.passes.memory_plan_problem import Request
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import INPUT, Problem, problem_of
from fxcost.pipeline import Facts

UNUSED = "(unused inputs)"
"""Id of the bytes of inputs that no node reads; they are there at time 0 only."""


def plan_of(
    graph: Graph,
    facts: Facts,
    point: Mapping[str, int],
    order: Sequence[int] | None = None,
    *,
    fold: bool = True,
    capacity: int | Sequence[int] | None = None,
    alignment: int = 1,
    time_limit: float = 60.0,
) -> Plan:
    """Place every block of the graph under an order of all nodes (None: the traced one) at a complete point.

    `Plan.offsets` has every block by the id of the value that it is named after; `Plan.buffers` are what was placed.
    With `fold`, nodes that no input reaches are done before, as in `schedule`. Raises as `plan` does.
    """
    problem = problem_of(graph, facts, point, fold=fold)
    number = {position: op for op, position in enumerate(problem.positions)}
    ops = [number[position] for position in (order or problem.positions) if position in number]
    requests, home = lifetimes(problem, ops)
    return with_blocks(plan(requests, capacity, alignment=alignment, time_limit=time_limit), home)


def with_blocks(found: Plan, home: Mapping[str, str]) -> Plan:
    """The plan with the offset (and bank) of every block, too, where `home` names the buffer that each one lies in."""
    return replace(
        found,
        offsets=dict(found.offsets) | {block: found.offsets[buffer] for block, buffer in home.items()},
        banks=dict(found.banks) | {block: found.banks[buffer] for block, buffer in home.items() if found.banks},
    )


def lifetimes(problem: Problem, ops: Sequence[int]) -> tuple[tuple[Request, ...], dict[str, str]]:
    """Buffers to place under an order of the operators, and for each block the id of the buffer that holds it."""
    time = {op: step + 1 for step, op in enumerate(ops)}
    end = len(ops) + 1
    born = [0 if block.producer == INPUT else time[block.producer] for block in problem.blocks]
    last = [
        end if block.kept else max((time[op] + 1 for op in members(block.touched)), default=1)
        for block in problem.blocks
    ]
    made = {block.producer: i for i, block in enumerate(problem.blocks)}
    holder = list(range(len(problem.blocks)))  # the first block of the chain that each one belongs to
    until = last.copy()
    for op in ops:
        dying = next(
            (i for i in problem.overwrites[op] if last[i] == time[op] + 1 and not problem.blocks[i].kept), None
        )
        if dying is not None and op in made:
            result = made[op]
            holder[result] = holder[dying]
            until[holder[result]] = last[result]
    blocks = problem.blocks
    requests = [Request(block.id, born[i], until[i], block.size) for i, block in enumerate(blocks) if holder[i] == i]
    unused = problem.start_bytes - sum(block.size for block in blocks if block.producer == INPUT)
    if unused > 0:
        requests.append(Request(UNUSED, 0, 1, unused))
    return tuple(requests), {block.id: blocks[holder[i]].id for i, block in enumerate(blocks)}
