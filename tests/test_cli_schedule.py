"""`fxcost schedule`: the order with its proof, from IR text."""

from __future__ import annotations

import json

from fxcost.ir.text_reader import read_graph
from fxcost.passes.schedule_check import check_schedule
from fxcost.pipeline import Facts
from tests.support.commands import DATA, run, shell

POINT = {"N": 1, "H": 224, "W": 224}


def test_text_says_what_was_proven() -> None:
    """ResNet-18's traced order is optimal: batch norm after the first convolution, two maps of 64 x 112 x 112 floats."""
    ran = shell("schedule DATA/resnet18.mlir --at N=1,H=224,W=224")
    assert ran.code == 0
    assert f"{2 * 64 * 112 * 112 * 4:,}" in ran.out
    assert "optimal" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_json_holds_an_order_that_the_checker_accepts() -> None:
    """The checker replays it and finds the peak that the answer claims."""
    ran = run("schedule", DATA / "mobilenet_v2.mlir", "--at", "N=1,H=224,W=224", "--json")
    found = json.loads(ran.out)
    graph = read_graph(DATA / "mobilenet_v2.mlir")
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    order = tuple(position[name] for name in found["order"])
    folded = tuple(position[name] for name in found["folded"])
    assert check_schedule(graph, Facts(graph), POINT, order, folded) == found["peak"] <= found["traced_peak"]
    assert found["lower_bound"] <= found["peak"]
    assert found["optimal"] is (found["lower_bound"] == found["peak"])
    assert found["certificate"]
    assert found["seconds"] >= 0


def test_a_size_that_is_missing_is_one_error() -> None:
    """An order is found at one point."""
    ran = shell("schedule DATA/resnet18.mlir --at N=1,H=224")
    assert ran.code == 2
    assert ran.err.startswith("fxcost: ")
    assert "W" in ran.err
    assert len(ran.err.splitlines()) == 1
