"""A model in two regions, as text: `x @ w` where N is one, `x @ w @ w` elsewhere."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from fxcost.ir.expr import const, symbol
from fxcost.ir.graph import Graph, Node, State, Value, Variant
from fxcost.ir.predicate import Compare
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.text import print_graph
from fxcost.ir.types import DType, TensorType


def _graph(symbols: tuple[SymbolInfo, ...], batch: str | int, layers: int) -> Graph:
    size = const(batch) if isinstance(batch, int) else symbol(batch)
    form = TensorType((size, symbol("H"), const(8)), DType.F32)
    weight = Value("w", TensorType((const(8), const(8)), DType.F32))
    names = ["x", *(f"linear_{i}" for i in range(layers))]
    nodes = [
        Node(name, "aten.linear", (before, "w"), ("input", "weight"), {"bias": None}, (Value(name, form),))
        for before, name in pairwise(names)
    ]
    return Graph(
        "regions",
        symbols,
        (State(weight, "parameter", ("w",), True),),
        (Value("x", form),),
        tuple(nodes),
        (names[-1],),
        domain=(Compare(">=", symbol("N"), const(2)),) if layers > 1 else (),
    )


TWO_REGIONS: Final = print_graph(
    _graph((SymbolInfo("N"), SymbolInfo("H")), "N", 2),
    None,
    [Variant(frozenset({"N"}), _graph((SymbolInfo("H"),), 1, 1))],
)
