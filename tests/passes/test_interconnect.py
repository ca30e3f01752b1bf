"""Time of collectives on an interconnect: hand derivations, the best algorithm by size, what is missing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, symbol
from fxcost.ir.graph import Graph, Node, Value
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from fxcost.ops.exchanges import ALGORITHMS, Exchange
from fxcost.passes._interconnect import best_by_size, fastest, offered, picoseconds
from fxcost.passes.estimate import Estimate, estimate
from fxcost.pipeline import Facts, Options
from fxcost.query.breakdown import node_rows
from fxcost.target import Interconnect, Target, load_target
from tests.support.workloads import machine

N = symbol("N")
LINK = Interconnect("link", "switch", bandwidth_bytes_per_s=1e9, latency_s=1e-6, devices=8)


def message(elements: Expr | int) -> TensorType:
    return TensorType((as_expr(elements),), DType.F32)


def seconds(kind: str, devices: int, nbytes: int, link: Interconnect = LINK) -> dict[str, float]:
    exchange = Exchange(kind, (message(1),), as_expr(devices))
    return {name: evaluate(t, {}) / 1e12 for name, t in picoseconds(exchange, as_expr(nbytes), None, link).items()}


def test_an_all_reduce_of_a_megabyte_among_four() -> None:
    """1 us a message, 1 ns a byte. Ring: 6 messages, 1.5 MB. Tree: 2 * 2 messages of 1 MB. Direct: one, 3 MB."""
    found = seconds("all_reduce", 4, 10**6)
    assert found == pytest.approx({"ring": 6e-6 + 1.5e-3, "tree": 4e-6 + 4e-3, "direct": 1e-6 + 3e-3})


def test_an_all_to_all_of_a_megabyte_among_four() -> None:
    """Three quarters leave the device; around a ring each block goes 1, 2 or 3 steps."""
    found = seconds("all_to_all", 4, 10**6)
    assert found == pytest.approx({"pairwise": 3e-6 + 0.75e-3, "ring": 3e-6 + 1.5e-3, "direct": 1e-6 + 0.75e-3})
    assert seconds("all_to_all", 4, 10**6, replace(LINK, topology="ring")) == {"ring": pytest.approx(3e-6 + 1.5e-3)}


def test_one_device_sends_nothing() -> None:
    assert all(time == 0 for kind in ALGORITHMS for time in seconds(kind, 1, 10**6).values())


@given(
    kind=st.sampled_from(sorted(ALGORITHMS)),
    devices=st.integers(2, 16),
    nbytes=st.integers(0, 10**9),
    latency=st.sampled_from([0.0, 1e-6, 3.4e-6]),
    topology=st.sampled_from(["switch", "ring"]),
)
def test_the_envelope_names_a_fastest_algorithm(
    kind: str, devices: int, nbytes: int, latency: float, topology: str
) -> None:
    """At every size the algorithm of the piece takes no longer than any other: compared with all of them in turn."""
    link = replace(LINK, latency_s=latency or None, topology=topology)
    pieces = best_by_size(kind, devices, link)
    assert [piece.from_bytes for piece in pieces] == sorted({piece.from_bytes for piece in pieces})
    here = [piece for piece in pieces if piece.from_bytes <= nbytes][-1]
    found = seconds(kind, devices, nbytes, link)
    assert found[here.algorithm] <= min(found.values()) + 1e-8  # bytes are rounded up to whole ones
    assert {piece.algorithm for piece in pieces} <= set(offered(kind, link))


def test_crossovers_in_closed_form() -> None:
    """Direct 1 us + 7 n/B, ring 14 us + 1.75 n/B: equal at n = 13 us * 1 GB/s / 5.25; the tree is never best."""
    pieces = best_by_size("all_reduce", 8, LINK)
    assert [(piece.algorithm, piece.from_bytes) for piece in pieces] == [
        ("direct", 0),
        ("ring", Fraction(13000) / Fraction(21, 4)),
    ]


def test_the_fastest_is_a_formula() -> None:
    exchange = Exchange("all_reduce", (message(N),), as_expr(8))
    times = picoseconds(exchange, N * 4, None, LINK)
    for size in (1, 100, 600, 700, 10**6):
        assert evaluate(fastest(times), {"N": size}) == min(evaluate(t, {"N": size}) for t in times.values())


# -- a graph with a collective -----------------------------------------------------------------------------------------
def shared(devices: int = 4) -> Graph:
    """A row-wise product of f32[N, 64] by 64 x 256, then its all-reduce."""
    part, whole = TensorType((N, as_expr(64)), DType.F32), TensorType((N, as_expr(256)), DType.F32)
    matrix = TensorType((as_expr(64), as_expr(256)), DType.F32)
    nodes = (
        Node("mm", "aten.mm", ("x", "w"), ("self", "mat2"), {}, (Value("y", whole),)),
        Node(
            "sum",
            "_c10d_functional.all_reduce",
            ("y",),
            ("input",),
            {"reduce_op": "sum", "group_name": "0", "group_size": devices},
            (Value("z", whole),),
        ),
        Node("wait", "_c10d_functional.wait_tensor", ("z",), ("tensor",), {}, (Value("out", whole),)),
    )
    inputs = (Value("x", part), Value("w", matrix))
    return Graph("shared", (SymbolInfo("N"),), (), inputs, nodes, ("out",))


def estimated(target: Target, devices: int = 4, n: int = 1024) -> Estimate:
    graph = shared(devices)
    return estimate(graph, Facts(graph, Options()), target, None, {"N": n})


def test_the_interconnect_binds_and_adds_to_the_roofline() -> None:
    """1024 * 256 * 4 bytes among 4: 6 us + 1.5 * 1,048,576 ns by a ring; memory moves twice as much in 0.02 s."""
    connected = replace(machine(fp32=1e12, bandwidth=1e12), interconnect=LINK)
    rows = {row.name: row for row in estimated(connected).by_node()}
    assert rows["sum"].t_wire_s == pytest.approx(6e-6 + 1.5 * 1_048_576e-9)
    assert rows["sum"].binds == "interconnect"
    assert rows["mm"].t_wire_s == 0.0
    assert "wait" not in rows
    alone = estimated(machine(fp32=1e12, bandwidth=1e12))
    added = 3 * 1024 * 256 // 4 / 1e12  # additions: three quarters an element, mean of the devices
    grown = estimated(connected).roofline - alone.roofline  # type: ignore[operator]
    memory = 2 * 1_048_576 / 1e12
    assert grown == pytest.approx(rows["sum"].t_wire_s + added - max(added, memory))  # type: ignore[operator]


def test_memory_binds_where_it_is_slower() -> None:
    slow = replace(machine(fp32=1e12, bandwidth=1e6), interconnect=LINK)
    assert {row.name: row.binds for row in estimated(slow).by_node()}["sum"] == "memory"


def test_what_is_missing_is_said() -> None:
    assert any("states no interconnect" in reason for reason in estimated(machine()).dropped_terms)
    unknown = replace(machine(), interconnect=replace(LINK, bandwidth_bytes_per_s=None))
    assert any("states no bandwidth for link" in reason for reason in estimated(unknown).dropped_terms)
    assert {row.name: row.binds for row in estimated(unknown).by_node()}["sum"] == "unknown"
    silent = replace(machine(), interconnect=replace(LINK, latency_s=None))
    assert any("latency of messages" in reason for reason in estimated(silent).dropped_terms)
    many = replace(machine(), interconnect=LINK)
    assert any("network between nodes" in reason for reason in estimated(many, devices=16).dropped_terms)
    assert any("overlap" in reason for reason in estimated(many).dropped_terms)


def test_one_device_alone_sends_nothing() -> None:
    """No time, and nothing missing, whether or not the machine states an interconnect."""
    for target in (machine(), replace(machine(), interconnect=LINK)):
        found = estimated(target, devices=1)
        assert {row.name: row.t_wire_s for row in found.by_node()}["sum"] == 0.0
        assert not any("time of collectives" in reason for reason in found.dropped_terms)


def test_bytes_are_a_quantity_and_a_column() -> None:
    graph = shared()
    rows = {row.name: row for row in node_rows(graph, Facts(graph, Options()))}
    assert str(rows["sum"].metrics["wire_bytes"]) == "1536*N"  # 2 * 3/4 * 256 * 4
    narrow = {row.name: row for row in node_rows(graph, Facts(graph, Options(activations="int8")))}
    assert str(narrow["sum"].metrics["wire_bytes"]) == "384*N"


def test_shipped_machines_state_one_direction() -> None:
    """Half of the 900 GB/s of NVLink 4, which the data sheet states for both."""
    link = load_target("h100-sxm").interconnect
    assert link is not None
    assert (link.bandwidth_bytes_per_s, link.devices, link.topology) == (450e9, 8, "switch")


def test_a_report_counts_what_is_sent() -> None:
    """As a quantity, a column of the CSV, and in the words of `explain`."""
    from fxcost.cost import Cost
    from fxcost.report.formats import render

    cost = Cost(shared())
    summary = cost.summary(at={"N": 1024}, targets=["h100-sxm"], by="node")
    assert "sent to other devices               1.57 MB   1,572,864" in render("text", summary)
    assert "interconnect binds" in render("text", summary)
    assert render("csv", summary).splitlines()[2].endswith(",1572864")
    assert "elements sent = 2*(P - 1)/P*n" in str(cost.explain("sum"))
    assert cost.wire_bytes(N=1024) == cost.sweep({"N": [1024]}, metrics=["wire_bytes"]).rows[0]["wire_bytes"]
    assert any("energy of collectives" in term for term in cost.on("h100-sxm", at={"N": 1024}).dropped_terms)
