"""Products and convolutions of integer runtimes, whose weights come packed: counted like those in floating point.

MACs do not depend on the width of their operands. Quantising the input on the way (dynamic quantisation) and rescaling
the result are `other_ops`.
"""

from __future__ import annotations

from fxcost.ir.expr import Expr, product
from fxcost.ops.arithmetic import ADD, COMPARE, MULTIPLY
from fxcost.ops.conv import convolution
from fxcost.ops.matmul import contraction
from fxcost.ops.registry import Call, OpCost, rule

_QUANTIZE = 2 * MULTIPLY + ADD + 2 * COMPARE
_RESCALE = MULTIPLY + ADD


def _linear(call: Call, arithmetic: Expr) -> OpCost:
    source = call.tensor("X") if call.maybe("X") else call.tensor(call.node.slots[0])
    return contraction(product(source.shape[:-1]), call.result.shape[-1], source.shape[-1], other_ops=arithmetic)


@rule(
    "quantized.linear_dynamic",
    "quantized.linear_relu_dynamic",
    "quantized.linear_dynamic_fp16",
    "quantized.linear_relu_dynamic_fp16",
)
def dynamic_linear(call: Call) -> OpCost:
    """M*N*K; every input element is quantised first (5 operations), every result rescaled and shifted (2)."""
    source = call.tensor("X") if call.maybe("X") else call.tensor(call.node.slots[0])
    return _linear(call, source.numel * _QUANTIZE + call.result.numel * _RESCALE)


@rule("quantized.linear", "quantized.linear_relu", "quantized.linear_leaky_relu", "quantized.linear_tanh")
def static_linear(call: Call) -> OpCost:
    """M*N*K; every result is rescaled and shifted (2 operations)."""
    return _linear(call, call.result.numel * _RESCALE)


@rule(*(f"quantized.conv{n}d{suffix}" for n in (1, 2, 3) for suffix in ("", "_relu", "_dynamic", "_add", "_add_relu")))
def quantized_conv(call: Call) -> OpCost:
    """Convolution: N * Cout * out_spatial * Cin/groups * taps; every result is rescaled and shifted (2 operations)."""
    cost = convolution(call, call.tensor("qx"), call.tensor("packed_weight.weight"), "qx")
    return OpCost(cost.macs, call.result.numel * _RESCALE, {}, {}, (), cost.formula, cost.bind)


@rule("quantized.add", "quantized.add_relu", "quantized.mul", "quantized.mul_relu", kind="pointwise")
def quantized_pointwise(call: Call) -> OpCost:
    """Both operands dequantised (2 each), combined, quantised (5): ten per result element."""
    return OpCost(other_ops=call.result.numel * (2 * _RESCALE + ADD + _QUANTIZE))


@rule(
    "quantized_decomposed.choose_qparams",
    "quantized_decomposed.choose_qparams_symmetric",
    "quantized_decomposed._choose_qparams_per_token_asymmetric_impl",
    "quantized_decomposed.choose_qparams_per_token",
    "quantized_decomposed.choose_qparams_per_token_asymmetric",
)
def choose_parameters(call: Call) -> OpCost:
    """The least and the greatest value: two comparisons per input element."""
    return OpCost(other_ops=call.tensor(call.node.slots[0]).numel * 2 * COMPARE)


@rule(
    "quantized_decomposed.quantize_per_token",
    "quantized_decomposed.quantize_per_channel_group",
    "quantized_decomposed.fake_quant_per_channel",
    kind="pointwise",
)
def quantize_groups(call: Call) -> OpCost:
    """clamp(round(x * s) + z) with a scale per token or group: multiply, round, add, two comparisons."""
    return OpCost(other_ops=call.result.numel * _QUANTIZE)


@rule(
    "quantized_decomposed.dequantize_per_token",
    "quantized_decomposed.dequantize_per_channel_group",
    kind="pointwise",
)
def dequantize_groups(call: Call) -> OpCost:
    """(q - z) * s with a scale per token or group: subtract and multiply."""
    return OpCost(other_ops=call.result.numel * _RESCALE)
