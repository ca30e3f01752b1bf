"""Mixtures of experts: the parameters that one token meets.

A grouped product applies one of E matrices to every row. How many rows a token is sent as, and so how many experts see
it, is the `k` of the top-k choice nearest before the product's offsets. All else of a model is met by every token.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Graph, Node
from fxcost.ir.types import TensorType
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, register_pass

GROUPED = {"aten._grouped_mm": "mat2", "transformers.grouped_mm_fallback": "weight"}
"""Operators that multiply each row by the matrix of its group, and the operand that holds the matrices."""


@dataclass(frozen=True)
class Experts:
    """Elements of experts' parameters that a token does not meet."""

    idle: Expr


@register_pass("experts", provides=Experts, requires=(Storage,))
def experts(graph: Graph, facts: Facts) -> Experts:
    """Find the experts' matrices and how many of them a token is sent to."""
    homes = facts[Storage].homes
    producers = {value.id: node for node in graph.nodes for value in node.results}
    idle: dict[str, Expr] = {}
    for node in graph.nodes:
        slot = GROUPED.get(node.op)
        if slot is None or slot not in node.slots or "offs" not in node.slots:
            continue
        home = homes.get(node.operands[node.slots.index(slot)])
        chosen = _chosen(node.operands[node.slots.index("offs")], producers)
        if home is None or chosen is None or graph.state_of[home].kind != "parameter":
            continue
        matrices = graph.types[node.operands[node.slots.index(slot)]]
        if isinstance(matrices, TensorType) and matrices.rank == 3:
            each = matrices.numel // matrices.shape[0]
            idle[home] = each * (matrices.shape[0] - chosen)
    return Experts(total(idle.values()))


def chosen_of(graph: Graph) -> tuple[int, int] | None:
    """How many experts a layer has and to how many of them a token is sent; the largest of a graph, None without."""
    producers = {value.id: node for node in graph.nodes for value in node.results}
    found: set[tuple[int, int]] = set()
    for node in graph.nodes:
        slot = GROUPED.get(node.op)
        if slot is None or slot not in node.slots or "offs" not in node.slots:
            continue
        chosen = _chosen(node.operands[node.slots.index("offs")], producers)
        matrices = graph.types[node.operands[node.slots.index(slot)]]
        if chosen is not None and isinstance(matrices, TensorType) and matrices.shape[0].constant is not None:
            found.add((matrices.shape[0].constant, chosen))
    return max(found, default=None)


def _chosen(value: str, producers: dict[str, Node]) -> int | None:
    """The `k` of the nearest top-k choice that the value depends on; None where there is none."""
    waiting, seen = deque([value]), {value}
    while waiting:
        node = producers.get(waiting.popleft())
        if node is None:
            continue
        k = node.attrs.get("k")
        if node.op.startswith("aten.topk") and isinstance(k, int):
            return k
        waiting += [operand for operand in node.operands if operand not in seen]
        seen.update(node.operands)
    return None
