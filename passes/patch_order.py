"""The order of what runs beside the stages of a plan: each stage is one operator, and the rest is scheduled around it.

A stage needs, besides what is alive around it, its own tiles: a block that it alone touches. So the search for the best
order applies as it is, and its lower bound says what no order with these stages stays under.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from fxcost.ir.expr import const
from fxcost.passes._patch_setting import Life, Setting, setting_of
from fxcost.passes._patch_sweep import Candidate, Sweep
from fxcost.passes.patch import Plan
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import Block, Problem, problem_of
from fxcost.passes.schedule_search import best_order
from fxcost.pipeline import Facts

MOST_ORDERED = 8
"""Plans above the target that are tried in another order."""


@dataclass(frozen=True)
class Ordered:
    """A plan in another order: the graph in that order with its stages, and bytes that no order of them stays under."""

    setting: Setting
    plan: Plan
    lower: int


def best_in_order(
    setting: Setting, facts: Facts, plans: Sequence[Plan], memory: int | None = None, time_limit: float = 5.0
) -> Ordered | None:
    """Of plans with ever more MACs and ever lower peaks the one of least peak, or the first within `memory` bytes.

    Everything outside the stages may run in another order. None where no plan is within the bytes.
    """
    problem = problem_of(setting.graph, facts, setting.point, fold=False)
    best: Ordered | None = None
    left = 0 if _one_order(problem) else MOST_ORDERED
    for plan in plans if memory is not None else reversed(plans):
        target = memory if memory is not None else best.plan.peak if best else plan.peak
        if plan.peak > target:
            if not left or any(own_bytes(setting, stage) > target for stage in plan.stages):
                continue
            left -= 1
        found = in_best_order(setting, facts, plan, time_limit, problem)
        if memory is None and (best is None or found.plan.peak <= best.plan.peak):
            best = found
        elif memory is not None and found.plan.peak <= memory:
            return found
    return best


def in_best_order(
    setting: Setting, facts: Facts, plan: Plan, time_limit: float = 5.0, problem: Problem | None = None
) -> Ordered:
    """The plan with everything outside its stages in the order of least peak; as it was where none is lower.

    `facts` are those of the setting's graph, `problem` is that of its nodes. Nodes of a stage stay together, in order.
    """
    problem = problem or problem_of(setting.graph, facts, setting.point, fold=False)
    if _one_order(problem):
        return Ordered(setting, plan, plan.peak)
    operators = _operators(setting, plan.stages)
    outcome = best_order(_contracted(setting, problem, plan.stages, operators, tiles=True), time_limit)
    # Where another order lets a stage free what it reads, its last patch may need less than counted here: the bound
    # takes a stage's results and what it reads alone, or its own bytes alone.
    least = best_order(_contracted(setting, problem, plan.stages, operators, tiles=False), time_limit)
    own = [own_bytes(setting, stage) for stage in plan.stages]
    same = Ordered(setting, plan, min(max([least.lower_bound, *own]), plan.peak))
    if outcome.peak >= plan.peak:
        return same
    order = [position for op in outcome.order for position in operators[op]]
    graph = replace(setting.graph, nodes=tuple(setting.graph.nodes[position] for position in order))
    there = setting_of(graph, Facts(graph, replace(facts.options, order=None)), setting.point)
    place = {position: k for k, position in enumerate(order)}
    stages: list[Candidate] = []
    for stage in plan.stages:
        first = place[stage.first]
        found = [*Sweep(there, first + stage.stop - stage.first, stage.grid).candidates({first})]
        if len(found) != 1:
            return same
        stages += found
    stages.sort(key=lambda stage: stage.first)
    inside = {k for stage in stages for k in range(stage.first, stage.stop)}
    outside = [alive for k, alive in enumerate(there.alive) if k not in inside]
    peak = max([there.start, *outside, *(stage.peak for stage in stages)])
    return Ordered(there, Plan(peak, plan.macs, tuple(stages)), same.lower) if peak < plan.peak else same


def _one_order(problem: Problem) -> bool:
    """Each node needs the one before it."""
    return all(earlier >> (op - 1) & 1 for op, earlier in enumerate(problem.before) if op)


def own_bytes(setting: Setting, stage: Candidate) -> int:
    """What a stage needs in every order: its peak without what waits for others meanwhile."""
    return stage.peak - sum(life.size for life in setting.lives if _across(life, stage))


def _across(life: Life, stage: Candidate) -> bool:
    """Alive before a stage and behind it."""
    return life.first < stage.first and life.last >= stage.stop


def _operators(setting: Setting, stages: Sequence[Candidate]) -> list[range]:
    """Positions of the nodes of every operator that is left: one a stage, one a node outside."""
    found: list[range] = []
    position = 0
    for first, stop in (*((stage.first, stage.stop) for stage in stages), (setting.size, setting.size)):
        found += [range(k, k + 1) for k in range(position, first)]
        if first < stop:
            found.append(range(first, stop))
        position = stop
    return found


def _contracted(
    setting: Setting, problem: Problem, stages: Sequence[Candidate], operators: Sequence[range], *, tiles: bool
) -> Problem:
    """The problem with each stage as one operator, with its tiles or without."""
    number = {position: op for op, positions in enumerate(operators) for position in positions}

    def mask(positions: int) -> int:
        return reduce(or_, (1 << number[position] for position in members(positions)), 0)

    before = tuple(
        reduce(or_, (mask(problem.before[position]) for position in positions)) & ~(1 << op)
        for op, positions in enumerate(operators)
    )
    whole = {number[stage.first] for stage in stages}
    blocks: list[Block] = []
    index: dict[int, int] = {}
    for old, block in enumerate(problem.blocks):
        touched, producer = mask(block.touched), number.get(block.producer, block.producer)
        if producer in whole and touched == 1 << producer and not block.kept:
            continue  # it lives inside the stage: part of its tiles
        index[old] = len(blocks)
        blocks.append(replace(block, producer=producer, touched=touched))
    for stage in stages if tiles else ():
        op = number[stage.first]
        around = sum(
            life.size
            for life in setting.lives
            if life.first < stage.stop <= life.last or life.first < stage.first <= life.last
        )
        inner = max(stage.peak - around, 0)
        blocks.append(Block(f"tiles of {stage.first}", const(inner), inner, op, 1 << op, kept=False))
    overwrites = tuple(
        tuple(index[old] for old in problem.overwrites[positions[0]] if old in index) if len(positions) == 1 else ()
        for positions in operators
    )
    firsts = tuple(positions[0] for positions in operators)
    return Problem(firsts, before, tuple(blocks), overwrites, problem.start, problem.start_bytes, ())
