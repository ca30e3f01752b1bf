"""What a serving engine runs where a captured graph copies caches, repeats heads and writes masks and scores out.

These operators are never captured: `fxcost.serving.view` puts them in the place of what a model's code does.
"""

from __future__ import annotations

from dataclasses import replace

from fxcost.ir.expr import ZERO, Expr, as_expr, maximum, minimum
from fxcost.ops.attention import attention, causal_pairs
from fxcost.ops.matmul import grouped_mm, grouped_mm_fallback
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads

APPEND = "serving.append"
"""Operands `cache` and `new`: the new rows go into room kept at the end; the result is the cache with them."""

ATTENTION = "serving.attention"
"""Operands `query`, `key`, `value`, as stored; attribute `window`: how many keys a query sees at most."""

EXPERTS = "serving.experts"
"""A grouped product whose attribute `experts` says how many of the matrices are read."""


@rule(APPEND, kind="movement")
def append(call: Call) -> OpCost:
    """The new rows are read once and written once; what the cache holds already is not touched."""
    return OpCost(reads=reads(call, cache=ZERO), writes={0: call.tensor("new").numel})


@rule(ATTENTION)
def fused_attention(call: Call) -> OpCost:
    """N*Hq*S*T*(Dk + Dv), dense; keys and values are read once as the cache stores them, scores stay on chip.

    The mask comes from positions and is not read. `causal_macs` counts the pairs that causal order and the window leave.
    """
    found = attention(call, keys_scale=1, values_scale=1, passes=1)
    queries, keys = call.tensor("query").shape[-2], call.tensor("key").shape[-2]
    window = call.attr("window")
    pairs = causal_pairs(queries, keys)
    if isinstance(window, int | Expr):
        pairs = pairs - _beyond(queries, keys, as_expr(window))
    channels = call.tensor("query").shape[-1] + call.tensor("value").shape[-1]
    heads = call.tensor("query").shape[0] * call.tensor("query").shape[1]
    return replace(found, causal_macs=heads * pairs * channels)


def _beyond(queries: Expr, keys: Expr, window: Expr) -> Expr:
    """Pairs that a window of `window` keys leaves out: the query that sees i keys in causal order loses i - window."""
    most, least = maximum(keys - window, 0), maximum(keys - minimum(queries, keys) - window, 0)
    return (most * (most + 1)) // 2 - (least * (least + 1)) // 2


@rule(EXPERTS)
def experts(call: Call) -> OpCost:
    """T*N*K for T routed rows; of the experts' matrices only those that some row meets are read."""
    slot = "mat2" if call.maybe("mat2") is not None else "weight"
    whole = grouped_mm(call) if slot == "mat2" else grouped_mm_fallback(call)
    matrices, touched = call.tensor(slot), call.attr("experts")
    each = matrices.numel // matrices.shape[0]
    return replace(whole, reads=reads(call, **{slot: each * (touched if isinstance(touched, int | Expr) else 1)}))
