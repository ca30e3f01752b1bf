"""Every rule of well-formed graphs, broken on purpose once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fxcost.errors import FileError, InternalError
from fxcost.ir.expr import Expr, const, symbol
from fxcost.ir.graph import Effects, Graph, Node, State, Value
from fxcost.ir.predicate import AllOf, Compare, Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, ScalarType, TensorType
from fxcost.ir.verify import problems, verify

N, H = symbol("N"), symbol("H")
ROW = TensorType((N,), DType.F32)
WEIGHT = State(Value("w", TensorType((const(4),), DType.F32)), "parameter", ("w",))
NODE = Node("add", "aten.add.Tensor", ("x", "w"), ("self", "other"), {"alpha": 1}, (Value("add", ROW),))
GOOD = Graph("g", (SymbolInfo("N"),), (WEIGHT,), (Value("x", ROW),), (NODE,), ("add",), (("w", "add"),))


def deep(levels: int) -> Expr:
    value = N
    for _ in range(levels):
        value = (value + H) // (N + 1)
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    return value


def guards(levels: int) -> Predicate:
    value: Predicate = Compare("<", N, const(3))
    for _ in range(levels):
        value = AllOf((value,))
    return value


def node(**changes: Any) -> Graph:
    return replace(GOOD, nodes=(replace(NODE, **changes),))


def shape(*sizes: Expr) -> Graph:
    return replace(GOOD, symbols=(SymbolInfo("N"), SymbolInfo("H")), inputs=(Value("x", TensorType(sizes, DType.F32)),))


def symbols(*infos: SymbolInfo) -> Graph:
    return replace(GOOD, symbols=(SymbolInfo("N"), *infos))


def test_the_good_graph_is_good() -> None:
    assert problems(GOOD) == []
    verify(GOOD)


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        (node(operands=("x", "v")), "node 'add' reads 'v', which is not defined before it"),
        (node(operands=("x", "add")), "reads 'add', which is not defined before it"),
        (node(slots=("self",)), "node 'add' has 2 operands in 1 slots; expected one slot for each"),
        (node(slots=("self", "self")), "the slot 'self' stands twice in node 'add'"),
        (node(results=(Value("x", ROW),)), "value 'x' is defined twice"),
        (node(results=(Value("", ROW),)), "a value has no id"),
        (node(name=""), "node '' lacks its name or its op"),
        (node(op=""), "node 'add' lacks its name or its op"),
        (node(phase="sideways"), "unknown phase 'sideways'; known: forward, backward, update"),
        (node(call=-1), "call number -1"),
        (node(effects=Effects(views=((1, 0),))), "result 1 is a view of operand 0, which it does not have"),
        (node(effects=Effects(views=((0, 2),))), "result 0 is a view of operand 2"),
        (node(effects=Effects(writes=(2,))), "writes operand 2, which it does not have"),
        (node(effects=Effects(writes=(-1,))), "writes operand -1"),
        (node(attrs={"": 1}), "an attribute called ''"),
        (node(attrs={"fxcost.macs": 1}), "an attribute called 'fxcost.macs'"),
        (node(attrs={"fact.macs": 1}), "an attribute called 'fact.macs'"),
        (node(attrs={"alpha": H}), "attribute 'alpha' of node 'add' uses the symbol 'H', which is not declared"),
        (node(attrs={"alpha": ((H,),)}), "uses the symbol 'H'"),
        (node(attrs={"alpha": [1]}), "attribute 'alpha' of node 'add' holds list; expected bool, int"),
        (node(attrs={"alpha": {"a": 1}}), "holds dict"),
        (node(attrs={"alpha": 10**300}), "attribute 'alpha' of node 'add' has a number of more than 300 digits"),
        (node(attrs={"alpha": nested(51)}), "lists nested deeper than 50"),
        (node(regions=(replace(GOOD, outputs=("y",)),)), "region 0 of node 'add': output 'y' is not defined"),
        (
            node(regions=(Graph("r", outputs=("x",)),)),
            "region 0 of node 'add': output 'x' is not defined",
        ),  # an outer value
        (replace(GOOD, nodes=(NODE, replace(NODE, results=()))), "the name 'add' stands twice in nodes"),
        (replace(GOOD, outputs=("y",)), "output 'y' is not defined"),
        (replace(GOOD, updates=(("x", "add"),)), "the update of 'x' is of no state"),
        (replace(GOOD, updates=(("w", "y"),)), "the update of 'w' takes 'y', which is not defined"),
        (replace(GOOD, states=(replace(WEIGHT, kind="weight"),)), "state 'w' has the unknown kind 'weight'"),
        (replace(GOOD, states=(State(Value("w", ScalarType("int")), "buffer", ()),)), "state 'w' is a number"),
        (replace(GOOD, states=(replace(WEIGHT, paths=("a", "a")),)), "the path 'a' stands twice in states"),
        (replace(GOOD, inputs=(Value("x", ScalarType("text")),)), "value 'x' is a number of unknown kind 'text'"),
        (replace(GOOD, inputs=(Value("x", TensorType((), "f32")),)), "unknown element type 'f32'"),  # type: ignore[arg-type]
        (replace(GOOD, standing="exact"), "the standing 'exact' is none of"),  # type: ignore[arg-type]
        (replace(GOOD, domain=(Compare("<", H, N),)), "the guard H < N uses the symbol 'H'"),
        (replace(GOOD, domain=(guards(51),)), "a guard of the domain is nested deeper than 50"),
        (replace(GOOD, symbols=()), "value 'x' uses the symbol 'N', which is not declared"),
        (symbols(SymbolInfo("N")), "the name 'N' stands twice in symbols"),
        (symbols(SymbolInfo("a b")), "symbol 'a b' is not a name"),
        (symbols(SymbolInfo("lambda")), "symbol 'lambda' is not a name"),
        (symbols(SymbolInfo("H", 0)), "symbol 'H' has the minimum 0; expected at least 1"),
        (symbols(SymbolInfo("data_0", -1)), "symbol 'data_0' has the minimum -1; expected at least 0"),
        (symbols(SymbolInfo("H", 5, 4)), "symbol 'H' has the maximum 4 below its minimum 5"),
        (symbols(SymbolInfo("H", multiple_of=0)), "must be a multiple of 0; expected at least 1"),
        (symbols(SymbolInfo("H", kind="time")), "unknown kind 'time'"),
        (symbols(SymbolInfo("H", max=10**300)), "symbol 'H' has a number of more than 300 digits"),
        (shape(-N), "value 'x' has the negative size -N"),
        (shape(const(-1)), "value 'x' has the negative size -1"),
        (shape(deep(51)), "nested deeper than 50"),
        (shape(deep(600)), "nested deeper than 50"),
        (shape(N**65), "an exponent above 64"),
        (shape((N + H**65) // 7), "an exponent above 64"),
        (shape(10**300 * N), "a number of more than 300 digits"),
        (shape((10**301 * N) // H), "a number of more than 300 digits"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_each_rule(graph: Graph, problem: str) -> None:
    found = problems(graph)
    assert any(problem in text for text in found), found
    with pytest.raises(InternalError, match=r"^graph: "):
        verify(graph)
    with pytest.raises(FileError, match=r"^m\.mlir: "):
        verify(graph, "m.mlir", FileError)


def test_sizes_that_may_be_negative_are_left_alone() -> None:
    assert problems(shape(N - 3)) == []  # not decidable: the domain may say more
    assert problems(shape(const(0), symbol("H"))) == []


def test_regions_know_the_symbols_around_them() -> None:
    inner = Graph(
        "r", (SymbolInfo("data_0", 0, kind="data"),), inputs=(Value("x", TensorType((N, symbol("data_0")), DType.F32)),)
    )
    assert problems(node(regions=(inner,))) == []
    leaking = replace(
        node(regions=(inner,)), outputs=("add",), inputs=(Value("x", TensorType((symbol("data_0"),), DType.F32)),)
    )
    assert "uses the symbol 'data_0'" in problems(leaking)[0]


def test_many_problems_make_one_message() -> None:
    graph = replace(GOOD, outputs=("a", "b", "c", "d", "e"))
    with pytest.raises(InternalError, match=r"^there: output 'a' .*; output 'b' .*; output 'c' .* \(and 2 more\)$"):
        verify(graph, "there")
