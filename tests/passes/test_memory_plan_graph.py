"""Plans of graphs: the load is the order's peak to the byte, under every accounting, and the plan reaches it."""

from __future__ import annotations

import pytest

from fxcost.ir.text_reader import read_graph
from fxcost.passes.memory_plan_graph import plan_of
from fxcost.passes.schedule import schedule
from fxcost.pipeline import Facts, Options
from tests.passes.test_schedule import CASES
from tests.support.commands import DATA
from tests.support.small_graphs import random_graph

POINT = {"N": 1, "H": 224, "W": 224}


@pytest.mark.parametrize(("accounting", "inputs"), CASES)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_networks_take_their_peak_and_no_byte_more(name: str, accounting: str, inputs: str) -> None:
    graph = read_graph(DATA / f"{name}.mlir")
    facts = Facts(graph, Options(accounting=accounting, inputs=inputs))
    best = schedule(graph, facts, POINT)
    for order, peak in ((None, best.traced_peak), (best.order, best.peak)):
        found = plan_of(graph, facts, POINT, order)
        assert (found.load_bound, found.height, found.optimal) == (peak, peak, True)


@pytest.mark.parametrize(("accounting", "inputs"), CASES)
def test_the_load_is_the_peak_on_random_graphs(accounting: str, inputs: str) -> None:
    """Views, in-place writes, unused inputs, overwritten operands: what is alive at once is what the schedule counts."""
    for seed in range(60):
        graph = random_graph(seed)
        facts = Facts(graph, Options(accounting=accounting, inputs=inputs))
        try:
            best = schedule(graph, facts, {})
        except ValueError:  # excluded inputs whose overwriting depends on the order: refused by the scheduler
            assert (accounting, inputs) == ("inplace", "excluded")
            continue
        for order, peak in ((None, best.traced_peak), (best.order, best.peak)):
            found = plan_of(graph, facts, {}, order)
            assert found.load_bound == peak
            assert found.height >= peak
            assert {b.id for b in found.buffers} <= set(found.offsets)
