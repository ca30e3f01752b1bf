"""Attention: the two products, dense, whichever kernel runs.

For N batches, Hq query heads, S queries, T keys, Dk and Dv channels per head: N*Hq*S*T*(Dk + Dv) MACs. Causal masks do
not lower `macs`; they give `causal_macs`. Fewer key heads (grouped queries) change the bytes read, never the MACs.
`other_ops`: per score one for the scaling, one for a mask, and the softmax.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, Expr, maximum, minimum, product
from fxcost.ir.types import DType, TensorType
from fxcost.ops import arithmetic
from fxcost.ops.registry import Call, OpCost, Scratch, rule


def causal_pairs(queries: Expr, keys: Expr) -> Expr:
    """Pairs that an aligned causal mask keeps: the last query sees every key, each earlier one a key less.

    S*T - S*(S - 1)//2 for T >= S; fewer keys than queries leave T*(T + 1)//2.
    """
    rows = minimum(queries, keys)
    return rows * keys - (rows * (rows - 1)) // 2


def attention(
    call: Call, *, keys_scale: int, values_scale: int, passes: int, scratch: tuple[Scratch, ...] = ()
) -> OpCost:
    """`keys_scale` products over Dk and `values_scale` over Dv, softmax arithmetic `passes` times."""
    query, key, value = (call.tensor(slot) for slot in ("query", "key", "value"))
    heads, batch = _heads(query), _batch(call, query)
    queries, keys = query.shape[-2], key.shape[-2]
    channels = keys_scale * query.shape[-1] + values_scale * value.shape[-1]
    masked = any(call.maybe(slot) for slot in ("attn_mask", "attn_bias"))
    scores = batch * heads * queries * keys
    causal = call.attr("is_causal", False) is True
    text = ["Dk" if keys_scale == 1 else f"{keys_scale}*Dk", "Dv" if values_scale == 1 else f"{values_scale}*Dv"]
    return OpCost(
        macs=scores * channels,
        other_ops=scores * (passes * (arithmetic.MULTIPLY + int(masked) * arithmetic.ADD + arithmetic.SOFTMAX)),
        scratch=scratch,
        formula=f"N*Hq*S*T*({text[0]} + {text[1]})",
        bind={"N": batch, "Hq": heads, "S": queries, "T": keys, "Dk": query.shape[-1], "Dv": value.shape[-1]},
        causal_macs=batch * heads * causal_pairs(queries, keys) * channels if causal else None,
    )


def _flash_on_cpu(call: Call) -> bool:
    """Would the CPU run its fused kernel? Decided by types alone; a last dimension that is strided would forbid it."""
    query, key, value = (call.tensor(slot) for slot in ("query", "key", "value"))
    mask = call.maybe("attn_mask")
    four = all(tensor.rank == 4 for tensor in (query, key, value)) and (mask is None or mask.rank in (2, 4))
    return four and query.shape[-1] is value.shape[-1] and call.attr("dropout_p", 0.0) == 0.0


def _inside(call: Call) -> tuple[Scratch, ...]:
    """What the CPU keeps beside the result; see `scaled_dot_product_attention`."""
    query, key, value = (call.tensor(slot) for slot in ("query", "key", "value"))
    mask, width = call.maybe("attn_mask"), query.dtype.bytes
    queries, keys = query.shape[-2], key.shape[-2]
    found: list[Scratch] = []
    if mask is not None and mask.dtype is DType.BOOL:
        found.append(Scratch("mask as numbers", mask.numel, width))
    if _flash_on_cpu(call):
        return (*found, Scratch("logsumexp", product(query.shape[:-1]), max(4, width)))
    if call.attr("is_causal", False) is True:
        found.append(Scratch("causal mask", queries * keys, width))
    if call.attr("enable_gqa", False) is True:
        repeated = product(query.shape[:-2]) * keys * (key.shape[-1] + value.shape[-1])
        found.append(Scratch("repeated keys and values", repeated, width))
    scores = product(query.shape[:-1]) * keys
    result = call.result.numel
    most = maximum(query.numel + key.numel + scores, query.numel + 2 * scores, query.numel + scores + result)
    return (*found, Scratch("scores and scaled operands", most - result, width))


def _heads(query: TensorType) -> Expr:
    return query.shape[-3] if query.rank > 2 else ONE


def _batch(call: Call, query: TensorType) -> Expr:
    """Everything before the heads; keys may broadcast it, so the result knows best."""
    shaped = query if call.op.endswith("_backward") else call.result
    return product(shaped.shape[:-3])


@rule("aten.scaled_dot_product_attention")
def scaled_dot_product_attention(call: Call) -> OpCost:
    """N*Hq*S*T*(Dk + Dv), dense; with `is_causal`, `causal_macs` counts S*T - S*(S - 1)//2 pairs (aligned, T >= S).

    Torch aligns `is_causal` at the first query; for S = T, where models use it, both alignments are the same.
    Inside (torch-cpu): the fused kernel keeps one logsumexp per query and no S x T buffer. Where it cannot run (other
    than four dimensions, Dk != Dv, dropout) scores, their softmax and scaled operands live there, in their own type.
    """
    return attention(call, keys_scale=1, values_scale=1, passes=1, scratch=_inside(call))


@rule(
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_fused_attention_overrideable",
    "aten._scaled_dot_product_attention_math",
    "aten._scaled_dot_product_attention_math_for_mps",
)
def kernel(call: Call) -> OpCost:
    """One chosen kernel of scaled dot-product attention: N*Hq*S*T*(Dk + Dv), as the operator above it."""
    return attention(call, keys_scale=1, values_scale=1, passes=1)


@rule(
    "aten._scaled_dot_product_flash_attention_backward",
    "aten._scaled_dot_product_flash_attention_for_cpu_backward",
    "aten._scaled_dot_product_efficient_attention_backward",
    "aten._scaled_dot_product_cudnn_attention_backward",
    "aten._scaled_dot_product_fused_attention_overrideable_backward",
)
def kernel_backward(call: Call) -> OpCost:
    """Fused backward, five products: scores again, and the gradients of scores, values, queries and keys.

    N*Hq*S*T*(3*Dk + 2*Dv): Dk for the scores, queries and keys, Dv for values and scores' gradient. Softmax arithmetic
    counts twice, forward again and backward.
    """
    return attention(call, keys_scale=3, values_scale=2, passes=2)


def _self_attention(call: Call, query: TensorType, keys: Expr, embed: Expr) -> tuple[Expr, Expr]:
    """MACs and other operations of projections, attention and output projection, all E wide."""
    batch, queries = query.shape[0], query.shape[1]
    heads = call.ints("num_head", 1, 1)[0] if call.attr("num_head") is not None else call.ints("num_heads", 1, 1)[0]
    scores = batch * heads * queries * keys
    macs = batch * embed * embed * 2 * (queries + keys) + 2 * batch * queries * keys * embed
    softmax = arithmetic.MULTIPLY + int(call.maybe("mask") is not None) * arithmetic.ADD + arithmetic.SOFTMAX
    return macs, scores * softmax + batch * embed * 2 * (queries + keys)


@rule("aten._native_multi_head_attention")
def native_multi_head_attention(call: Call) -> OpCost:
    """The no-grad fast path of nn.MultiheadAttention: four E x E projections and both attention products.

    2*N*E*E*(S + T) + 2*N*S*T*E; biases, scaling, mask and softmax are other operations. Temporaries are not declared.
    """
    query, keys = call.tensor("query"), call.tensor("key").shape[1]
    embed = query.shape[-1]
    macs, other = _self_attention(call, query, keys, embed)
    return OpCost(
        macs=macs,
        other_ops=other,
        formula="2*N*E*E*(S + T) + 2*N*S*T*E",
        bind={"N": query.shape[0], "S": query.shape[1], "T": keys, "E": embed},
    )


@rule("aten._transformer_encoder_layer_fwd")
def transformer_encoder_layer(call: Call) -> OpCost:
    """The no-grad fast path of nn.TransformerEncoderLayer: self-attention and two linear layers.

    4*N*S*E*E + 2*N*S*S*E + 2*N*S*E*F with F the feed-forward width; two norms, two residual adds, biases, softmax and
    the activation are other operations. Temporaries are not declared.
    """
    source, hidden = call.tensor("src"), call.tensor("ffn_weight_1").shape[0]
    batch, length, embed = source.shape
    macs, other = _self_attention(call, source, length, embed)
    activation = arithmetic.ERF_GELU if call.attr("use_gelu", False) is True else arithmetic.COMPARE
    norm = arithmetic.MEAN_AND_VARIANCE + arithmetic.NORMALISE + arithmetic.AFFINE
    tokens = batch * length
    return OpCost(
        macs=macs + 2 * tokens * embed * hidden,
        other_ops=other + tokens * embed * (2 * norm + 2 + 1) + tokens * hidden * (activation + 1),
        formula="4*N*S*E*E + 2*N*S*S*E + 2*N*S*E*F",
        bind={"N": batch, "S": length, "E": embed, "F": hidden},
    )
