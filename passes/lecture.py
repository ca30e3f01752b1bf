"""Activations as the lecture counts them: layers, with everything unary folded into its producer.

Unary elementwise ops, eval batch norm, dropout, casts, copies and views belong to the layer before them; residual adds,
concatenations, pooling and softmax are layers. Values that no input reaches (tables, masks built from sizes) are no
activations. `total_activations` is the inputs plus every layer's output, `peak_activations` the largest input plus
output of a layer, both in elements (lecture 2, section 2.5 of MIT 6.5940).
"""

from __future__ import annotations

from dataclasses import dataclass

from fxcost.ir.domain import ranges_within
from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Graph, Node
from fxcost.ir.types import TensorType
from fxcost.passes.cost import Costs
from fxcost.passes.peak import largest
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class Layer:
    """A layer: position of its node, elements of its distinct inputs and of its output."""

    node: int
    inputs: Expr
    output: Expr


@dataclass(frozen=True)
class Lecture:
    """The layers, with the lecture's two totals in elements."""

    layers: tuple[Layer, ...]
    total_activations: Expr
    peak_activations: Expr


@register_pass("lecture", provides=Lecture, requires=(Costs, Storage))
def lecture(graph: Graph, facts: Facts) -> Lecture:
    """Fold and add up."""
    costs, storage = facts[Costs], facts[Storage]
    home = {v.id: v.id for v in graph.inputs if isinstance(v.type, TensorType)}
    sizes = {v: graph.tensor(v).numel for v in home}
    given = list(sizes.values())
    layers: list[Layer] = []
    for position, node in enumerate(graph.nodes):
        sources = list(dict.fromkeys(home[o] for o in node.operands if o in home))
        results = [v for v in node.results if isinstance(v.type, TensorType)]
        if not sources or not results or node.phase != "forward":
            continue
        if len(sources) == 1 and _folds(costs.rows[position].kind, node, graph, storage):
            home |= {v.id: sources[0] for v in results}
            continue
        home |= {v.id: v.id for v in results}
        sizes |= {v.id: graph.tensor(v.id).numel for v in results}
        layers.append(Layer(position, total(sizes[s] for s in sources), total(sizes[v.id] for v in results)))
    ranges = ranges_within(graph.symbols, graph.domain)
    steps = [layer.inputs + layer.output for layer in layers] or [total(given)]
    return Lecture(tuple(layers), total([*given, *(layer.output for layer in layers)]), largest(steps, ranges))


def _folds(kind: str, node: Node, graph: Graph, storage: Storage) -> bool:
    if kind in {"pointwise", "affine"}:
        return _activations(node, graph, storage) == 1
    if kind == "movement":  # a copy in another layout holds the same elements
        same = all(isinstance(v.type, TensorType) and v.type.numel is _first(node, graph).numel for v in node.results)
        return node.op.split(".")[1] in {"contiguous", "clone", "lift_fresh_copy", "_to_copy"} and same
    return kind in {"view", "free"}


def _activations(node: Node, graph: Graph, storage: Storage) -> int:
    return len({o for o in node.operands if o not in storage.homes and isinstance(graph.types[o], TensorType)})


def _first(node: Node, graph: Graph) -> TensorType:
    return graph.tensor(node.operands[0])
