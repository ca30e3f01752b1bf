"""Input specs give names to the sizes that a text leaves open: `N,3,H,W` beside `tensor<?x3x?x?xf32>`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, substitute
from fxcost.ir.graph import Attribute, Graph, Node, Value
from fxcost.ir.specs import SpecReader, TensorSpec
from fxcost.ir.types import TensorType


def with_names(graph: Graph, specs: Iterable[str]) -> Graph:
    """The graph with its open sizes as the specs, one a tensor input, call them; a number fixes a size.

    Raises SpecError where the specs do not fit the inputs.
    """
    reader = SpecReader()
    read = [reader.read(text) for text in specs if not reader.declare(text)]
    inputs = [value for value in graph.inputs if isinstance(value.type, TensorType)]
    if len(read) != len(inputs):
        raise SpecError(f"{graph.name} takes {len(inputs)} tensors, {len(read)} specs were given")
    names: dict[str, Expr] = {}
    for value, spec in zip(inputs, read, strict=True):
        assert isinstance(value.type, TensorType)
        if not isinstance(spec, TensorSpec):
            raise SpecError(f"{graph.name}: the input {value.id} is {value.type}, its spec says a list")
        if len(spec.shape) != value.type.rank or spec.dtype is not value.type.dtype:
            told = TensorType(spec.shape, spec.dtype)
            raise SpecError(f"{graph.name}: the input {value.id} is {value.type}, its spec says {told}")
        for size, wanted in zip(value.type.shape, spec.shape, strict=True):
            _bind(graph, value, size, substitute(wanted, reader.multiples), names)
    used = {name for wanted in names.values() for name in wanted.symbols}
    kept = [info for info in graph.symbols if info.name not in names]
    given = [info for name, info in reader.symbols.items() if name in used]
    clash = {info.name for info in kept} & used
    if clash:
        raise SpecError(f"{graph.name} has a size called {', '.join(sorted(clash))} already; choose another name")
    return replace(_substituted(graph, names), symbols=(*given, *kept))


def _bind(graph: Graph, value: Value, size: Expr, wanted: Expr, names: dict[str, Expr]) -> None:
    open_name = next((name for name in size.symbols if str(size) == name), None)
    if open_name is not None:
        names[open_name] = wanted
    elif size is not wanted:
        raise SpecError(
            f"{graph.name}: the input {value.id} is {value.type}: the text fixes {size}, its spec says {wanted}"
        )


def _substituted(graph: Graph, names: Mapping[str, Expr]) -> Graph:
    def value(held: Value) -> Value:
        if not isinstance(held.type, TensorType):
            return held
        return replace(
            held, type=TensorType(tuple(substitute(size, names) for size in held.type.shape), held.type.dtype)
        )

    def attribute(held: Attribute) -> Attribute:
        if isinstance(held, Expr):
            return substitute(held, names)
        return tuple(attribute(item) for item in held) if isinstance(held, tuple) else held

    def node(held: Node) -> Node:
        attrs = {name: attribute(one) for name, one in held.attrs.items()}
        return replace(held, attrs=attrs, results=tuple(value(result) for result in held.results))

    return replace(
        graph,
        states=tuple(replace(state, value=value(state.value)) for state in graph.states),
        inputs=tuple(value(each) for each in graph.inputs),
        nodes=tuple(node(each) for each in graph.nodes),
    )
