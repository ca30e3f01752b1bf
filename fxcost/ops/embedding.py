"""Embedding tables: traffic is the rows taken, not the table."""

from __future__ import annotations

from fxcost.ir.expr import ZERO
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads


@rule("aten.embedding", kind="movement")
def embedding(call: Call) -> OpCost:
    """Copies one row of the table per index: reads indices and rows taken (repeats included), writes the rows."""
    return OpCost(reads=reads(call, weight=call.result.numel))


@rule("aten.embedding_bag", "aten._embedding_bag", "aten._embedding_bag_forward_only")
def embedding_bag(call: Call) -> OpCost:
    """Sums the rows of each bag: one addition per element taken, and one multiplication with per-sample weights."""
    taken = call.tensor("indices").numel * call.tensor("weight").shape[1]
    weighted = taken if call.maybe("per_sample_weights") else ZERO
    return OpCost(other_ops=taken + weighted, reads=reads(call, weight=taken))


@rule(
    "aten.embedding_dense_backward",
    "aten.embedding_backward",
    "aten._embedding_bag_dense_backward",
    "aten._embedding_bag_backward",
)
def embedding_backward(call: Call) -> OpCost:
    """Adds every gradient row to its place in a dense gradient of the table; all of it is written."""
    upstream = call.maybe("grad_output") or call.tensor("grad")
    return OpCost(other_ops=upstream.numel)


@rule("aten.embedding_renorm")
def embedding_renorm(call: Call) -> OpCost:
    """Limits the norm of the rows that the indices name: square, add and scale per element, rows read and written."""
    table = call.tensor("self")
    rows = call.tensor("indices").numel * table.shape[1]
    return OpCost(other_ops=rows * 3, reads=reads(call, self=rows), writes={0: rows})
