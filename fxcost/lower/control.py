"""Control flow: what stands in the graph for a loop or a branch whose bodies' operations were summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fxcost.ir.expr import ONE, ZERO, Expr
from fxcost.ir.graph import Attribute, Node
from fxcost.ir.types import ValueType
from fxcost.ops.registry import Call, find

CONTROL_FLOW = {"hop.cond", "hop.scan", "hop.map_impl", "hop.while_loop"}
NOT_COUNTED = "operations of its bodies are counted, memory and traffic inside are not"

Sums = tuple[Expr, Expr]
"""Multiply-accumulates and other operations."""


def summed(nodes: Iterable[Node], types: Mapping[str, ValueType]) -> Sums | None:
    """What the nodes of a body cost; None where one of them has no rule."""
    macs, others = ZERO, ZERO
    for node in nodes:
        found = find(node.op)
        if found is None:
            return None
        cost = found.function(Call(node, tuple(types[operand] for operand in node.operands)))
        macs, others = macs + cost.macs, others + cost.other_ops
    return macs, others


def described(
    op: str, node: Any, bodies: Sequence[Sums], size: Callable[[Any], Expr], decided: Callable[[int | None], Expr]
) -> tuple[str, dict[str, Attribute]]:
    """The operator and attributes that take the place of `node`.

    `size` reads one of torch's sizes; `decided` makes a symbol for what only the data decides, with its greatest value.
    """
    if op == "hop.cond":
        (first, first_others), (second, second_others) = bodies
        taken = ONE if bodies[0] == bodies[1] else decided(1)
        sums = {"first_macs": first, "first_other_ops": first_others}
        return "control.branch", {**sums, "second_macs": second, "second_other_ops": second_others, "taken": taken}
    if op == "hop.while_loop":
        trips = decided(None)
    else:  # a list of tensors, whose first dimension is that of the steps
        trips = size(node.args[2 if op == "hop.scan" else 1][0].meta["val"].shape[0])
    macs, others = bodies[-1]
    return "control.loop", {"trips": trips, "body_macs": macs, "body_other_ops": others}
