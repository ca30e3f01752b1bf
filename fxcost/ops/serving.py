"""What a serving engine runs where a captured graph copies caches, repeats heads and writes masks and scores out.

These operators are never captured: `fxcost.serving.view` puts them in the place of what a model's code does.
"""

from __future__ import annotations

from dataclasses import replace

from fxcost.ir.expr import ZERO, Expr, as_expr, maximum, minimum, product
from fxcost.ops import arithmetic
from fxcost.ops.attention import causal_pairs
from fxcost.ops.matmul import grouped_mm, grouped_mm_fallback
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads

APPEND = "serving.append"
"""Operands `cache` and `new`: the new rows go into room kept at the end; the result is the cache with them.

With an operand `scales` rows are stored quantised: a second result is the scales with those of the new rows.
"""

ATTENTION = "serving.attention"
"""Operands `query`, `key`, `value`, as stored, quantised ones with `key_scales` and `value_scales`; attribute `window`:
how many keys a query sees at most."""

DEQUANTISE = "serving.dequantise"
"""Operands `cache` and `scales`: the cache in the type to compute in, written out."""

ABSORB = "serving.absorb"
"""Operands `input` and `weight`: a product head by head with a part of an up-projection; attribute `channels`: how many of
the input's channels take part."""

LATENT = "serving.latent_attention"
"""Operands `absorbed`, `query`, `latent`, `rope` (quantised ones with scales): attention to a compressed cache; attribute
`rope`: how many of the query's channels carry positions."""

EXPERTS = "serving.experts"
"""A grouped product whose attribute `experts` says how many of the matrices are read."""


@rule(APPEND, kind="movement")
def append(call: Call) -> OpCost:
    """The new rows are read once and written once; what the cache holds already is not touched.

    Quantised rows are written with their scales; finding those is not counted among other operations.
    """
    rows = product(call.tensor("new").shape[:-1])
    written = {i: rows * kind.shape[-1] for i, kind in enumerate(call.results)}
    return OpCost(reads=reads(call, cache=ZERO, scales=ZERO), writes=written)


@rule(DEQUANTISE, kind="movement")
def dequantise(call: Call) -> OpCost:
    """The stored rows and their scales are read once, every element is written once in the type to compute in."""
    return OpCost(other_ops=call.result.numel * arithmetic.MULTIPLY)


@rule(ATTENTION)
def fused_attention(call: Call) -> OpCost:
    """N*Hq*S*T*(Dk + Dv), dense; keys and values are read once as the cache stores them, scores stay on chip.

    The mask comes from positions and is not read. `causal_macs` counts the pairs that causal order and the window leave.
    """
    keys, window = call.tensor("key").shape[-2], call.attr("window")
    return _attended(
        call,
        keys,
        {"Dk": call.tensor("query").shape[-1], "Dv": call.result.shape[-1]},
        as_expr(window) if isinstance(window, int | Expr) else None,
    )


@rule(ABSORB)
def absorb(call: Call) -> OpCost:
    """N*Hq*S*A*B: every head multiplies A channels of its own with an A x B part of the up-projection, read once."""
    given, made, channels = call.tensor("input"), call.result, _number(call, "channels")
    heads, width = made.shape[1], made.shape[-1]
    return OpCost(
        macs=made.numel * channels,
        reads=reads(call, input=product(given.shape[:-1]) * channels, weight=heads * channels * width),
        formula="N*Hq*S*A*B",
        bind={"N": made.shape[0], "Hq": heads, "S": made.shape[-2], "A": channels, "B": width},
    )


@rule(LATENT)
def latent_attention(call: Call) -> OpCost:
    """N*Hq*S*T*(L + R + L) for T latents of L channels, R of the query's with positions (DeepSeek-V2, section 2.1).

    Scores are products of absorbed queries with latents and of rotated queries with the one rotated key that all heads
    share; latents are the values. Latents and rotated keys are read once, as stored; scores stay on chip.
    """
    rope, latent = _number(call, "rope"), call.result.shape[-1]
    found = _attended(call, call.tensor("latent").shape[-2], {"L + R": latent + rope, "L": latent}, None)
    return replace(found, reads=reads(call, query=product(call.tensor("query").shape[:-1]) * rope))


def _attended(call: Call, keys: Expr, channels: dict[str, Expr], window: Expr | None) -> OpCost:
    """Scores over the first sum of channels, values over the second, for N x Hq x S queries and T keys."""
    batch, heads, queries, _ = call.result.shape
    scores, width = batch * heads * queries * keys, sum(channels.values(), ZERO)
    pairs = causal_pairs(queries, keys)
    if window is not None:
        pairs = pairs - _beyond(queries, keys, window)
    return OpCost(
        macs=scores * width,
        other_ops=scores * (arithmetic.MULTIPLY + arithmetic.SOFTMAX),
        formula=f"N*Hq*S*T*({' + '.join(channels)})",
        bind={"N": batch, "Hq": heads, "S": queries, "T": keys, **channels},
        causal_macs=batch * heads * pairs * width,
    )


def _number(call: Call, name: str) -> Expr:
    found = call.attr(name)
    assert isinstance(found, int | Expr), f"the rewriting gives {name}"
    return as_expr(found)


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
