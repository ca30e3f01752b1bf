"""Orders and offsets together: against every order of small graphs, and where one best order packs and another does not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import pytest

from fxcost.errors import Infeasible
from fxcost.ir.graph import Graph
from fxcost.passes.memory_plan import NoPlan, plan
from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_graph import lifetimes
from fxcost.passes.memory_plan_orders import aligned, every_order, plan_over_orders, random_walk
from fxcost.passes.memory_plan_problem import padded
from fxcost.passes.schedule import schedule
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.schedule_problem import Problem, peak_of, problem_of
from fxcost.pipeline import Facts, Options
from fxcost.schedule import Schedule
from tests.passes.test_schedule import CASES
from tests.support.small_graphs import graph_of, node, random_graph, value


def wide_graph(seed: int, calls: int = 12, reach: int = 8) -> Graph:
    """Calls of one or two operands among the last few results, in sizes that hardly divide one another."""
    rng = random.Random(seed)
    names, read, nodes = ["x"], set(), []
    for i in range(calls):
        operands = rng.sample(names[-reach:], min(len(names[-reach:]), rng.choice((1, 1, 2))))
        read |= set(operands)
        nodes.append(node("test.mix", operands, [value(f"v{i}", rng.choice((2, 3, 5, 7, 11)))]))
        names.append(f"v{i}")
    nodes.append(node("test.mix", [name for name in names[1:] if name not in read], [value("out", 1)]))
    return graph_of([value("x", 2)], nodes, ["out"])


def all_orders(problem: Problem, most: int) -> Iterator[list[int]]:
    """Every order whose peak is at most `most`, from the definition."""

    def descend(order: list[int], done: int) -> Iterator[list[int]]:
        if len(order) == problem.size:
            yield order
            return
        for op in range(problem.size):
            if not done >> op & 1 and not problem.before[op] & ~done:
                yield from descend([*order, op], done | 1 << op)

    return (order for order in descend([], 0) if peak_of(problem, order) <= most)


def least_height(problem: Problem, orders: list[list[int]], alignment: int) -> int:
    """The lowest plan over orders: each planned as far as it can be proven, equal lifetimes once."""
    heights = {}
    for order in orders:
        requests = lifetimes(problem, order)[0]
        if requests not in heights:
            found = plan(requests, alignment=alignment)
            assert found.optimal
            heights[requests] = found.height
    return min(heights.values())


def test_another_best_order_packs_where_one_does_not() -> None:
    """27 bytes in the order that the scheduler gives first, 26 in another one of the same peak."""
    graph = wide_graph(1577)
    facts = Facts(graph)
    best = schedule(graph, facts, {})
    found = Schedule(**vars(best), graph=graph, facts=facts, point={})
    alone = found.plan(other_orders=False)
    joint = found.plan()
    assert (best.peak, alone.height, alone.optimal, joint.height) == (26, 27, True, 26)
    assert alone.schedule is found
    assert not alone.best
    assert joint.best
    assert joint.schedule.order != found.order
    assert joint.schedule.peak == joint.load_bound == check_schedule(graph, facts, {}, joint.schedule.order)
    assert check_plan(joint.buffers, joint.offsets) == (26,)
    with pytest.raises(Infeasible):
        found.plan(26, other_orders=False)
    assert found.plan(26).height == 26
    with pytest.raises(NoPlan, match="25 bytes in any order: proven") as refused:
        found.plan(25)
    assert refused.value.proven


@pytest.mark.parametrize("alignment", [1, 3, 4])
@pytest.mark.parametrize(("accounting", "inputs"), CASES)
def test_no_order_has_a_lower_plan(accounting: str, inputs: str, alignment: int) -> None:
    """Every order of graphs of up to seven calls, each planned to its proven minimum."""
    for seed in range(25):
        graph = random_graph(seed, 7)
        facts = Facts(graph, Options(accounting=accounting, inputs=inputs))
        try:
            best = schedule(graph, facts, {})
        except ValueError:  # refused by the scheduler
            continue
        problem = problem_of(graph, facts, {})
        found = plan_over_orders(graph, facts, {}, best.order, best.lower_bound, alignment=alignment)
        lowest = least_height(problem, list(all_orders(problem, 1 << 60)), alignment)
        assert found.plan.height == lowest
        assert found.floor <= lowest
        assert found.plan.load_bound == peak_of(aligned(problem, alignment), ops_of(problem, found.order))
        assert found.peak == check_schedule(graph, facts, {}, found.order, problem.folded)
        requests = [r._replace(size=padded(r.size, alignment)) for r in found.plan.buffers]
        assert check_plan(requests, found.plan.offsets, alignment=alignment) == (found.plan.height,)


def ops_of(problem: Problem, order: tuple[int, ...]) -> list[int]:
    number = {position: op for op, position in enumerate(problem.positions)}
    return [number[position] for position in order if position in number]


def test_alignment_may_prefer_another_order() -> None:
    """Sizes padded to four bytes: 16 bytes in the order of least peak, 12 in another one."""
    graph = random_graph(23)
    facts = Facts(graph)
    best = schedule(graph, facts, {})
    found = Schedule(**vars(best), graph=graph, facts=facts, point={})
    assert (found.plan(alignment=4, other_orders=False).height, found.plan(alignment=4).height) == (16, 12)
    assert found.plan(alignment=4).best


def test_the_enumeration_is_complete_and_the_walk_stays_inside() -> None:
    for seed in range(40):
        problem = problem_of(graph := random_graph(seed, 7), Facts(graph), {})
        peak = min(peak_of(problem, order) for order in all_orders(problem, 1 << 60))
        for budget in (peak, peak + 2):
            expected = sorted(all_orders(problem, budget))
            assert sorted(every_order(problem, lambda budget=budget: budget)) == expected  # type: ignore[misc]
            walk = random_walk(problem, expected[0], lambda budget=budget: budget)  # type: ignore[misc]
            assert all(order in expected for order in islice(walk, 20))
        assert not list(every_order(problem, lambda peak=peak: peak - 1))  # type: ignore[misc]


def test_plans_over_orders_are_reproducible() -> None:
    graph = wide_graph(1577)
    facts = Facts(graph)
    best = schedule(graph, facts, {})
    first, second = (plan_over_orders(graph, facts, {}, best.order, best.lower_bound) for _ in range(2))
    assert (first.order, dict(first.plan.offsets)) == (second.order, dict(second.plan.offsets))
