"""Storage, buffers and liveness on small graphs written by hand, and on captured networks with published figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, symbol
from fxcost.ir.graph import Attribute, Effects, Graph, Node, State, Value
from fxcost.ir.predicate import TRUE
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.text_reader import read_graph
from fxcost.ir.types import DType, TensorType
from fxcost.passes.buffers import Buffers
from fxcost.passes.fuse import Groups
from fxcost.passes.liveness import Liveness, owner
from fxcost.passes.peak import Peak
from fxcost.passes.storage import Storage
from fxcost.passes.totals import Totals
from fxcost.pipeline import Facts

DATA = Path(__file__).parent.parent / "data"
N, S = symbol("N"), symbol("S")


def value(name: str, *shape: Expr | int, dtype: DType = DType.F32) -> Value:
    """A tensor value."""
    return Value(name, TensorType(tuple(as_expr(size) for size in shape), dtype))


def call(
    op: str,
    result: Value,
    *operands: str,
    slots: tuple[str, ...] = ("self", "other"),
    effects: Effects | None = None,
    **attrs: Attribute,
) -> Node:
    """One call with one result."""
    return Node(result.id, op, operands, slots[: len(operands)], attrs, (result,), effects=effects or Effects())


def graph(inputs: list[Value], nodes: list[Node], outputs: list[str], states: tuple[State, ...] = ()) -> Graph:
    """A graph in N and S."""
    symbols = (SymbolInfo("N", hint=5), SymbolInfo("S", hint=37))
    return Graph("g", symbols, states, tuple(inputs), tuple(nodes), tuple(outputs))


def peak(made: Graph, n: int = 2, s: int = 8, **options: object) -> int:
    """Peak bytes at a point."""
    return evaluate(Facts(made).under(**options)[Peak].peak, {"N": n, "S": s})


X = value("x", N, S)  # N*S*4 bytes, 64 at N = 2, S = 8


def test_inputs_live_until_their_last_reader() -> None:
    """X -> a -> b: two blocks at a time when inputs are freed, three when the caller holds x, one less when excluded."""
    made = graph([X], [call("aten.relu", value("a", N, S), "x"), call("aten.relu", value("b", N, S), "a")], ["b"])
    assert peak(made) == 2 * 64
    assert peak(made, inputs="held") == 3 * 64
    assert peak(made, inputs="excluded") == 2 * 64  # a and b, at the second step


def test_an_unread_result_lives_for_its_own_step() -> None:
    """The dead branch is there while it is computed."""
    nodes = [call("aten.relu", value("dead", N, S), "x"), call("aten.relu", value("b", N, S), "x")]
    assert peak(graph([X], nodes, ["b"])) == 2 * 64


def test_views_and_in_place_results_share_their_base() -> None:
    """X -> a -> transpose -> relu_: one new block in all, kept alive by the view that is the output."""
    nodes = [
        call("aten.exp", value("a", N, S), "x"),
        call("aten.transpose.int", value("t", S, N), "a", effects=Effects(((0, 0),)), dim0=0, dim1=1),
        call("aten.relu_", value("r", S, N), "t", effects=Effects(((0, 0),), (0,))),
    ]
    made = graph([X], nodes, ["r"])
    found = Facts(made)[Buffers].cases[0].buffers
    assert {b.id: set(b.values) for b in found} == {"x": {"x"}, "a": {"a", "t", "r"}}
    assert peak(made) == 2 * 64


def test_state_owns_no_block_and_neither_do_its_views() -> None:
    """A transposed parameter is the parameter."""
    weight = State(value("w", S, S), "parameter", ("w",), trainable=True)
    nodes = [
        call("aten.t", value("wt", S, S), "w", effects=Effects(((0, 0),))),
        call("aten.mm", value("y", N, S), "x", "wt", slots=("self", "mat2")),
    ]
    assert peak(graph([X], nodes, ["y"], (weight,))) == 2 * 64


def test_a_reshape_copies_unless_a_size_of_one_makes_it_a_view() -> None:
    """(N, S, 4) transposed to (N, 4, S) and flattened: a copy, but a view where S is one."""
    nodes = [
        call("aten.exp", value("a", N, S, 4), "x"),
        call("aten.transpose.int", value("t", N, 4, S), "a", effects=Effects(((0, 0),)), dim0=1, dim1=2),
        call("aten.reshape", value("f", N, 4 * S), "t", effects=Effects(((0, 0),)), shape=(N, 4 * S)),
    ]
    made = graph([value("x", N, S, 4)], nodes, ["f"])
    alias = Facts(made)[Storage].aliases["f"]
    assert alias.of == "t"
    assert str(alias.when) == "S == 1"
    assert Facts(made)[Storage].aliases["t"].when == TRUE
    # 2 blocks of N*S*16 bytes everywhere: x and a, then a and f. At S = 1 x and a remain the peak.
    assert peak(made, 2, 8) == 2 * 256
    assert peak(made, 2, 1) == 2 * 32
    held = {"inputs": "held"}
    assert peak(made, 2, 8, **held) == 3 * 256  # x, a and the copy
    assert peak(made, 2, 1, **held) == 2 * 32  # x and a: the reshape is a view


def test_inplace_overwrites_a_dying_operand() -> None:
    """X -> a = exp(x) -> b = a + x: x dies at the sum, so its block takes b; a cannot since x is still read."""
    nodes = [call("aten.exp", value("a", N, S), "x"), call("aten.add.Tensor", value("b", N, S), "a", "x")]
    made = graph([X], nodes, ["b"])
    assert peak(made) == 3 * 64
    assert peak(made, accounting="inplace") == 2 * 64
    assert peak(made, accounting="inplace", inputs="held") == 2 * 64  # then a's block is overwritten


def test_inplace_spares_outputs() -> None:
    """An operand that the caller gets back may not be overwritten."""
    nodes = [call("aten.exp", value("a", N, S), "x"), call("aten.sin", value("b", N, S), "a")]
    assert peak(graph([X], nodes, ["a", "b"]), accounting="inplace") == 2 * 64  # a overwrites x, b is new


def test_fused_pointwise_results_are_virtual() -> None:
    """Exp and sin after a matrix product never exist apart from it."""
    nodes = [
        call("aten.mm", value("m", N, S), "x", "w", slots=("self", "mat2")),
        call("aten.exp", value("e", N, S), "m"),
        call("aten.sin", value("s", N, S), "e"),
    ]
    weight = State(value("w", S, S), "parameter", ("w",), trainable=True)
    made = graph([X], nodes, ["s"], (weight,))
    groups = Facts(made).under(accounting="fused")[Groups]
    assert groups.virtual == {"e": "m", "s": "e"}
    assert [g.nodes for g in groups.rows] == [(0, 1, 2)]
    assert peak(made, accounting="fused") == 2 * 64


def test_a_folded_cast_decides_how_a_value_is_stored() -> None:
    """A product cast to 16 bits is kept in 16 bits; the input stays in 32."""
    weight = State(value("w", S, S), "parameter", ("w",), trainable=True)
    nodes = [
        call("aten.mm", value("m", N, S), "x", "w", slots=("self", "mat2")),
        call("aten.to.dtype", value("h", N, S, dtype=DType.F16), "m", dtype="f16"),
    ]
    assert peak(graph([X], nodes, ["h"], (weight,)), accounting="fused") == 64 + 32


def test_the_owner_is_the_step_with_the_largest_sum() -> None:
    """A bottleneck in the middle: x (64 bytes), a (256), b (64): a's own step holds x and a."""
    wide = value("a", N, S, 4)
    nodes = [
        call("aten.repeat", wide, "x", repeats=(1, 1, 4)),
        call("aten.sum.dim_IntList", value("b", N, S), "a", dim=(2,)),
    ]
    found = owner(made := graph([X], nodes, ["b"]), Facts(made)[Liveness], {"N": 2, "S": 8})
    assert (found.node, found.nbytes) == ("a", 64 + 256)
    assert found.alive == (("a", 256), ("x", 64))


@pytest.mark.parametrize(
    ("name", "accounting", "expected"),
    [
        # ml_memory_analyser (TFLite, uint8) prints 1505280 for MobileNetV2 at 224: 112*112*96 + 56*56*96, the depthwise
        # convolution of block 2 with its batch norm and activation folded in.
        ("mobilenet_v2", "fused", 112 * 112 * 96 + 56 * 56 * 96),
        # Eager: batch norm holds two copies of block 2's expanded map.
        ("mobilenet_v2", "eager", 2 * 112 * 112 * 96),
        # 1568 KiB: batch norm after the first convolution, two maps of 64 channels.
        ("resnet18", "eager", 2 * 112 * 112 * 64),
        # 980 KiB: max pooling, 64*(112^2 + 56^2).
        ("resnet18", "fused", 64 * (112**2 + 56**2)),
    ],
)
def test_published_int8_peaks(name: str, accounting: str, expected: int) -> None:
    """Figures of microcontroller tools, bytes of int8 activations at 1 x 3 x 224 x 224."""
    facts = Facts(read_graph(DATA / f"{name}.mlir")).under(accounting=accounting, activations="int8")
    assert evaluate(facts[Totals].values["peak_memory"], {"N": 1, "H": 224, "W": 224}) == expected
