"""Best orders of random graphs equal exhaustive search; best orders of random programs are run, and measured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.errors import OutsideDomain, SpecError
from fxcost.passes.schedule import schedule
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.schedule_problem import peak_of, problem_of
from fxcost.passes.schedule_search import best_order
from fxcost.pipeline import Facts, Options
from tests.support.drawn_programs import WIDTH, Drawn, Step, programs
from tests.support.inductor import Inductor
from tests.support.reordered import assert_same, check_reordered, exported
from tests.support.small_graphs import Brute, random_graph

CASES = [(a, i) for a in ("eager", "inplace", "fused") for i in ("freed", "held", "excluded")]
NO_SHRINKING = [phase for phase in Phase if phase is not Phase.shrink]
"""A capture takes a second: hundreds of them to make a failing program smaller are done by hand."""

SIZES = [(3, 5), (1, 4), (4, 1), (1, 1), (2, 2)]
"""N and S; where one of them is 1, copies become views."""


@pytest.mark.parametrize("start", range(10_000, 11_000, 250))
def test_a_thousand_graphs_equal_exhaustive_search(start: int) -> None:
    """Up to 13 calls; views, writes in place, several results, all ways of counting."""
    improved = refused = 0
    for seed in range(start, start + 250):
        graph = random_graph(seed, 13)
        accounting, inputs = CASES[seed % 9]
        facts = Facts(graph, Options(accounting=accounting, inputs=inputs))
        try:
            found = schedule(graph, facts, {})
        except SpecError:
            assert (accounting, inputs) == ("inplace", "excluded")
            refused += 1
            continue
        where = f"seed {seed}, {accounting}, {inputs}"
        assert found.optimal, where
        assert found.peak == check_schedule(graph, facts, {}, found.order, found.folded), where
        assert found.peak == Brute(graph, accounting, inputs).best(), where
        improved += found.peak < found.traced_peak
    assert improved > 25
    assert refused < 25


def test_inductors_estimator_agrees_and_its_orders_are_not_better() -> None:
    """PyTorch's own count of bytes, on its own orders and on ours."""
    beaten = 0
    for seed in range(20_000, 20_150):
        graph = random_graph(seed, 13)
        problem = problem_of(graph, Facts(graph), {})
        inductor, best = Inductor(problem), best_order(problem)
        orders = {"traced": list(range(problem.size)), **inductor.orders()}
        start = problem.start_bytes  # Inductor is not told of inputs that nothing reads
        peaks = [max(start, inductor.peak(order)) for order in orders.values()]
        assert peaks == [peak_of(problem, order) for order in orders.values()], seed
        assert max(start, inductor.peak(best.order)) == best.peak <= min(peaks), seed
        beaten += best.peak < min(peaks)
    assert beaten


def run(program: Any, *inputs: torch.Tensor) -> list[Any]:
    """Results at sizes that the program was not traced at: its graph alone, without the checks of its inputs."""
    with torch.no_grad():
        return list(program.graph_module(*(x.clone() for x in inputs)))


def check_at_all_sizes(steps: list[Step]) -> int:
    """One capture with symbols; at each size its best order is found, checked, run and measured. The sizes compared."""
    cost = fxcost.analyze(Drawn(steps, stateful=False), f"N,S,{WIDTH}", check=False)
    program = cost.origin.program
    compared = 0
    for batch, length in SIZES:
        point = {name: size for name, size in {"N": batch, "S": length}.items() if name in cost.symbols}
        if len(point) < 2 or cost.at_point(point) is not cost:
            continue
        try:
            found = cost.schedule(point)
        except OutsideDomain:
            continue
        x = torch.rand(batch, length, WIDTH)
        ordered = found.apply(program)
        traced, best = (fxcost.measure_peak(p, (x,)).values for p in (program, ordered))
        assert (
            found.traced_peak == traced == check_schedule(cost.graph, cost.facts, point, range(len(cost.graph.nodes)))
        )
        assert found.peak == best == check_schedule(cost.graph, cost.facts, point, found.order)
        assert found.optimal
        assert found.peak <= found.traced_peak
        assert_same(run(program, x), run(ordered, x))
        compared += 1
    return compared


@settings(max_examples=12, phases=NO_SHRINKING)
@given(programs(stateful=False))
def test_programs_with_conditional_aliases(steps: list[Step]) -> None:
    """Views, slices, and reshapes that copy unless a size is 1, written in place: as measured, with equal outputs."""
    check_at_all_sizes(steps)


@settings(max_examples=15, phases=NO_SHRINKING)
@given(programs(stateful=True), st.sampled_from(SIZES))
def test_programs_with_buffers_and_parameters(steps: list[Step], size: tuple[int, int]) -> None:
    """A buffer that is updated and read, work on a parameter alone: as measured, folded, with equal outputs."""
    x = torch.rand(*size, WIDTH)
    _, found, _ = check_reordered(exported(Drawn(steps, stateful=True), x), (x,))
    assert found.optimal


@pytest.mark.slow
@settings(
    max_examples=150, phases=NO_SHRINKING, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(programs(stateful=False, steps=24))
def test_many_programs_with_conditional_aliases(steps: list[Step]) -> None:
    check_at_all_sizes(steps)


@pytest.mark.slow
@settings(
    max_examples=250, phases=NO_SHRINKING, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(programs(stateful=True, steps=24), st.sampled_from(SIZES))
def test_many_programs_with_buffers_and_parameters(steps: list[Step], size: tuple[int, int]) -> None:
    x = torch.rand(*size, WIDTH)
    check_reordered(exported(Drawn(steps, stateful=True), x), (x,))
