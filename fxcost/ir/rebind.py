"""A graph with other sizes in it: symbols replaced by numbers or expressions, everywhere they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fxcost.ir.expr import Expr, as_expr, substitute
from fxcost.ir.graph import Attribute, Graph, Node, Value
from fxcost.ir.predicate import decide, replace_symbols
from fxcost.ir.symbols import SymbolInfo, ranges_of
from fxcost.ir.types import TensorType, ValueType


def rebound(graph: Graph, sizes: Mapping[str, Expr | int], symbols: tuple[SymbolInfo, ...]) -> Graph:
    """The graph with `sizes` put in for its symbols; `symbols` are those that it has afterwards.

    Guards that then hold for all sizes are dropped.
    """
    ranges = ranges_of(symbols)
    domain = (replace_symbols(guard, sizes) for guard in graph.domain)

    def value(found: Value) -> Value:
        return Value(found.id, _type(found.type, sizes))

    return replace(
        graph,
        symbols=symbols,
        states=tuple(replace(state, value=value(state.value)) for state in graph.states),
        inputs=tuple(map(value, graph.inputs)),
        nodes=tuple(_node(node, sizes, symbols) for node in graph.nodes),
        domain=tuple(dict.fromkeys(guard for guard in domain if decide(guard, ranges) is not True)),
    )


def _node(node: Node, sizes: Mapping[str, Expr | int], symbols: tuple[SymbolInfo, ...]) -> Node:
    return replace(
        node,
        attrs={name: _attribute(attr, sizes) for name, attr in node.attrs.items()},
        results=tuple(Value(v.id, _type(v.type, sizes)) for v in node.results),
        regions=tuple(rebound(region, sizes, symbols) for region in node.regions),
    )


def _type(kind: ValueType, sizes: Mapping[str, Expr | int]) -> ValueType:
    if not isinstance(kind, TensorType):
        return kind
    return TensorType(tuple(as_expr(substitute(size, sizes)) for size in kind.shape), kind.dtype)


def _attribute(found: Attribute, sizes: Mapping[str, Expr | int]) -> Attribute:
    if isinstance(found, Expr):
        known = substitute(found, sizes)
        return known if known.constant is None else known.constant
    return tuple(_attribute(part, sizes) for part in found) if isinstance(found, tuple) else found
