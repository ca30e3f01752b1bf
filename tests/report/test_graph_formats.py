"""Formats for other people's tools: the trace of a run, the overlay of a graph, GraphML and DOT."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import networkx
import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError, UnknownName
from fxcost.query.breakdown import METRICS
from fxcost.report.formats import render
from fxcost.report.model_explorer import overlay
from fxcost.report.network import network
from fxcost.report.nodes import UNITS, node_values
from fxcost.report.summary import Summary
from tests.support.commands import DATA
from tests.support.trace_events import complaints

POINTS = {
    "resnet18": {"N": 1, "H": 224, "W": 224},
    "mobilenet_v2": {"N": 2, "H": 96, "W": 96},
    "tiny_llama": {"N": 1, "S": 9},
}
MACHINES = ("h100-sxm", "t4", "stm32h743")


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: fxcost.analyze(DATA / f"{name}.mlir", accounting="fused") for name in POINTS}


@pytest.fixture(scope="module")
def summaries(costs: dict[str, Cost]) -> dict[str, Summary]:
    return {name: cost.summary(POINTS[name], MACHINES) for name, cost in costs.items()}


# -- the trace -----------------------------------------------------------------------------------------------------
def trace_of(summary: Summary) -> dict[str, Any]:
    found = json.loads(render("chrome-trace", summary))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", POINTS)
def test_a_trace_keeps_to_the_format(name: str, summaries: dict[str, Summary]) -> None:
    assert complaints(trace_of(summaries[name])) == []


@pytest.mark.parametrize("name", POINTS)
def test_the_ops_of_a_trace_take_the_roofline(name: str, summaries: dict[str, Summary]) -> None:
    summary = summaries[name]
    events = trace_of(summary)["traceEvents"]
    for process, estimate in enumerate(summary.estimates.values(), 1):
        ops = [e for e in events if e["ph"] == "X" and e["pid"] == process and e["cat"] != "module"]
        assert [e["name"] for e in ops] == [row.name for row in estimate.by_node()]
        assert estimate.roofline is not None
        assert sum(e["dur"] for e in ops) == pytest.approx(1e6 * estimate.roofline, abs=1e-3)
        assert sum(e["args"]["MACs"] for e in ops) == summary.quantities["macs"].at(POINTS[name])
        for before, after in pairwise(ops):
            assert after["ts"] == before["ts"] + before["dur"], "one after the other, to the bit: viewers nest by it"


@pytest.mark.parametrize("name", POINTS)
def test_the_counter_of_a_trace_reaches_the_peak(name: str, summaries: dict[str, Summary]) -> None:
    summary = summaries[name]
    events = trace_of(summary)["traceEvents"]
    for process in range(1, len(MACHINES) + 1):
        alive = [(e["ts"], e["args"]["bytes"]) for e in events if e["ph"] == "C" and e["pid"] == process]
        assert max(size for _, size in alive) == summary.quantities["peak_memory"].at(POINTS[name])
        assert len({at for at, _ in alive}) == len(alive), "one number a moment"


def test_modules_of_a_trace_enclose_their_ops(summaries: dict[str, Summary]) -> None:
    events = [e for e in trace_of(summaries["resnet18"])["traceEvents"] if e["ph"] == "X" and e["pid"] == 1]
    spans: dict[str, list[tuple[float, float]]] = {}  # a module that is called twice has two
    for event in events:
        if event["cat"] == "module":
            spans.setdefault(event["args"]["module"], []).append((event["ts"], event["ts"] + event["dur"]))
    for event in events:
        module = event["args"]["module"]
        parts = module.split(".")
        for depth in range(1, len(parts) + 1):
            visits = spans[".".join(parts[:depth])]
            assert any(start <= event["ts"] and event["ts"] + event["dur"] <= end for start, end in visits)


def test_a_checker_of_traces_finds_what_is_wrong() -> None:
    good = {"ph": "X", "name": "a", "ts": 0, "dur": 5, "pid": 1, "tid": 1}
    assert complaints({"traceEvents": [good]}) == []
    for change, complaint in (
        ({"dur": -1}, "dur is no duration"),
        ({"ts": "0"}, "ts is no time"),
        ({"ph": "Q"}, "phase 'Q'"),
        ({"pid": None}, "pid is no integer"),
        ({"ph": "C", "args": {"bytes": "1"}}, "a counter counts numbers"),
        ({"ph": "M"}, "unknown metadata"),
    ):
        assert complaint in complaints({"traceEvents": [{"args": {}} | good | change]})[0]
    late = good | {"name": "b", "ts": 3, "dur": 5}
    assert complaints({"traceEvents": [good, late]}) == ["b ends after what it lies in"]
    assert complaints({"traceEvents": [late, good]}) == ["a begins before what stands in front of it"]


def test_a_trace_needs_a_machine(costs: dict[str, Cost]) -> None:
    with pytest.raises(SpecError, match="name one with --target"):
        render("chrome-trace", costs["resnet18"].summary(POINTS["resnet18"]))


# -- one number a node ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", POINTS)
def test_an_overlay_has_every_node_of_the_graph(
    name: str, costs: dict[str, Cost], summaries: dict[str, Summary]
) -> None:
    summary = summaries[name]
    for metric in METRICS:
        data = overlay(summary, metric)["graph"]
        assert data["results"].keys() == {node.name for node in costs[name].graph.nodes}
        values = [entry["value"] for entry in data["results"].values()]
        if metric != "params":  # those that no node reads have no place in the graph
            assert sum(values) == summary.quantities[metric].at(POINTS[name])
        stops = [entry["stop"] for entry in data["gradient"]]
        assert (stops[0], stops[-1]) == (0.0, 1.0)
        assert all(re.fullmatch("#[0-9a-f]{6}", entry["bgColor"]) for entry in data["gradient"])


def test_values_on_a_machine_and_over_time(costs: dict[str, Cost]) -> None:
    summary = costs["resnet18"].summary(POINTS["resnet18"], ["t4"])
    estimate = summary.estimates["t4"]
    assert sum(node_values(summary, "roofline").values()) == pytest.approx(estimate.roofline)
    energy = [row.energy_j for row in estimate.by_node()]
    assert sum(node_values(summary, "energy").values()) == pytest.approx(sum(filter(None, energy)))
    assert max(node_values(summary, "live_memory").values()) == summary.quantities["peak_memory"].at(
        summary.point or {}
    )
    traffic = sum(summary.quantities[m].at(summary.point or {}) for m in ("read_bytes", "write_bytes", "weight_bytes"))
    assert sum(node_values(summary, "traffic").values()) == traffic
    assert all(node_values(summary, metric) for metric in UNITS)


def test_values_by_node_are_refused_where_there_are_none(costs: dict[str, Cost]) -> None:
    summary = costs["resnet18"].summary(POINTS["resnet18"], ["t4", "h100-sxm"])
    with pytest.raises(UnknownName, match="did you mean 'macs'"):
        node_values(summary, "mac")
    with pytest.raises(SpecError, match="roofline is that on a machine: name one with --target, found 2"):
        node_values(summary, "roofline")


def test_a_node_without_a_rule_has_no_number() -> None:
    cost = fxcost.analyze(DATA / "tiny_llama.mlir")
    rows = cost.summary().nodes
    text = (DATA / "tiny_llama.mlir").read_text().replace("aten.silu", "my.own_op")
    from fxcost.ir.text_reader import parse_graph

    unknown = fxcost.analyze(parse_graph(text)).summary({"N": 1, "S": 9})
    assert unknown.unknown_ops
    missing = {row.name for row in rows} - node_values(unknown, "macs").keys()
    assert missing == {row.name for row in unknown.nodes if row.op == "my.own_op"}
    assert 'no cost rule", color=red' in render("dot", unknown)


# -- graphs --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", POINTS)
def test_the_network_is_the_graph(name: str, costs: dict[str, Cost], summaries: dict[str, Summary]) -> None:
    graph, made = costs[name].graph, network(summaries[name])
    makers = {value.id: node.name for node in graph.nodes for value in node.results}
    makers |= {value.id: value.id for value in graph.inputs}
    edges = {(makers[o], node.name) for node in graph.nodes for o in node.operands if o in makers}
    assert set(made.edges) == edges
    assert networkx.is_directed_acyclic_graph(made)
    total = sum(attributes.get("macs", 0) for _, attributes in made.nodes(data=True))
    assert total == summaries[name].quantities["macs"].at(POINTS[name])


@pytest.mark.parametrize("name", POINTS)
def test_graphml_holds_the_network(name: str, summaries: dict[str, Summary]) -> None:
    text, made = render("graphml", summaries[name]), network(summaries[name])
    root = ElementTree.fromstring(text)
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    assert {node.get("id") for node in root.findall(".//g:node", space)} == set(made.nodes)
    edges = {(edge.get("source"), edge.get("target")) for edge in root.findall(".//g:edge", space)}
    assert edges == set(made.edges)
    again = networkx.parse_graphml(text)
    assert dict(again.nodes(data="macs")) == dict(made.nodes(data="macs"))


def test_graphml_of_numbers_beyond_63_bits(costs: dict[str, Cost]) -> None:
    point = {"N": 10**9, "S": 10**9}
    again = networkx.parse_graphml(render("graphml", costs["tiny_llama"].summary(point)))
    total = sum(int(value) for _, value in again.nodes(data="macs") if value is not None)
    assert total == costs["tiny_llama"].macs.at(point) > 2**63


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pydot")
@pytest.mark.parametrize("name", POINTS)
def test_another_reader_takes_the_dot(name: str, summaries: dict[str, Summary]) -> None:
    pydot = pytest.importorskip("pydot", reason="pydot reads DOT")
    (graph,) = pydot.graph_from_dot_data(render("dot", summaries[name]))
    made = network(summaries[name])

    def nodes(part: Any) -> set[str]:
        own = {node.get_name().strip('"') for node in part.get_nodes()} - {"node"}
        return own.union(*(nodes(inner) for inner in part.get_subgraphs()))

    assert nodes(graph) == set(made.nodes)
    edges = {(e.get_source().strip('"'), e.get_destination().strip('"')) for e in graph.get_edges()}
    assert edges == set(made.edges)


def test_names_cannot_break_the_text() -> None:
    text = (DATA / "tiny_llama.mlir").read_text().replace('"model.norm"', '"model.a\\"b\\\\c<x>"')
    from fxcost.ir.text_reader import parse_graph

    summary = fxcost.analyze(parse_graph(text)).summary({"N": 1, "S": 9}, ["t4"])
    assert any(row.module == 'model.a"b\\c<x>' for row in summary.nodes)
    assert 'label="a\\"b\\\\c<x>"' in render("dot", summary)
    assert ElementTree.fromstring(render("graphml", summary)) is not None
    assert complaints(json.loads(render("chrome-trace", summary))) == []
