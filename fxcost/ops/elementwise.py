"""Pointwise operators: so many operations per result element, from one table, in the terms of `arithmetic`.

Some depend on their arguments (powers, `alpha`, casts that convert nothing, dropout); they follow the table.
"""

from __future__ import annotations

from fxcost.ir.expr import ZERO, const
from fxcost.ops.arithmetic import (
    ADD,
    COMPARE,
    DIVIDE,
    ERF_GELU,
    HARD,
    MULTIPLY,
    ROOT,
    SIGMOID,
    SOFTPLUS,
    TANH,
    TANH_GELU,
    TRANSCENDENTAL,
    per_result,
)
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, Scratch, rule
from fxcost.ops.touched import reads, untouched

_MOVED = "view_as_complex_copy view_as_real_copy complex polar"
_SIMPLE = (
    "mul multiply div divide true_divide neg negative abs absolute sign sgn signbit square sqrt reciprocal maximum "
    "minimum fmax fmin max.other min.other relu clamp_min clamp_max ceil floor round trunc fix frac eq ne lt le gt ge "
    "not_equal greater greater_equal less less_equal logical_and logical_or logical_xor logical_not bitwise_and "
    "bitwise_or bitwise_xor bitwise_not bitwise_left_shift bitwise_right_shift __and__ __or__ __xor__ __lshift__ "
    "__rshift__ where masked_fill isnan isinf isfinite isneginf isposinf heaviside copysign nextafter gcd lcm deg2rad "
    "rad2deg conj_physical _conj_physical threshold_backward native_dropout_backward floor_divide frexp"
)
"""Operators of one operation per result element; those with more are in `_COMPOSED`."""

_COMPOSED: dict[str, tuple[int, str]] = {
    "relu6 hardtanh hardsigmoid hardswish hardshrink softshrink hardtanh_backward hardsigmoid_backward "
    "hardswish_backward": (HARD, "a hard activation"),
    "clamp clip": (2 * COMPARE, "two comparisons"),
    "threshold": (2 * COMPARE, "a comparison and a selection"),
    "leaky_relu prelu _prelu_kernel rrelu leaky_relu_backward": (
        COMPARE + MULTIPLY,
        "a comparison and a multiplication",
    ),
    "rsqrt": (ROOT + DIVIDE, "a square root and a division"),
    "hypot": (2 * MULTIPLY + ADD + ROOT, "two squares, an addition, a root"),
    "remainder fmod": (2 * MULTIPLY + 2 * ADD, "divide, round, multiply, subtract"),
    "addcmul addcdiv": (2 * MULTIPLY + ADD, "two multiplications and an addition"),
    "lerp": (2 * ADD + MULTIPLY, "subtract, multiply, add"),
    "nan_to_num": (3 * COMPARE, "three tests"),
    "ldexp": (MULTIPLY, "a scaling"),
    "isclose": (3 * ADD + MULTIPLY + COMPARE, "difference, absolute value, tolerance, comparison"),
    "exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh asinh acosh atanh atan2 arcsin arccos "
    "arctan arctan2 erf erfc erfinv lgamma digamma i0 sinc mvlgamma polygamma igamma igammac angle special_erfcx "
    "special_i0e special_i1 special_i1e special_ndtri special_log_ndtr special_entr special_bessel_j0 "
    "special_bessel_j1": (TRANSCENDENTAL, "one transcendental"),
    "tanh": (TANH, "one transcendental"),
    "sigmoid": (SIGMOID, "1 / (1 + exp(-x))"),
    "silu": (SIGMOID + MULTIPLY, "x * sigmoid(x)"),
    "log_sigmoid log_sigmoid_forward": (SOFTPLUS + ADD, "-log(1 + exp(-x))"),
    "softplus": (SOFTPLUS, "log(1 + exp(x))"),
    "mish": (SOFTPLUS + TANH + MULTIPLY, "x * tanh(softplus(x))"),
    "elu celu selu": (TRANSCENDENTAL + ADD + MULTIPLY + COMPARE, "x > 0 or alpha * (exp(x) - 1)"),
    "logit logit_backward": (DIVIDE + ADD + TRANSCENDENTAL, "log(x / (1 - x))"),
    "xlogy special_xlog1py": (TRANSCENDENTAL + MULTIPLY, "x * log(y)"),
    "logaddexp logaddexp2": (2 * TRANSCENDENTAL + 3 * ADD, "maximum, two transcendentals, subtract, add"),
    "float_power": (2 * TRANSCENDENTAL + MULTIPLY, "exp(y * log(x))"),
    "sigmoid_backward tanh_backward": (2 * MULTIPLY + ADD, "g * y * (1 - y)"),
    "silu_backward": (SIGMOID + 3 * MULTIPLY + 2 * ADD, "g * s * (1 + x * (1 - s))"),
    "elu_backward mish_backward softplus_backward log_sigmoid_backward": (
        TRANSCENDENTAL + 2 * MULTIPLY + ADD,
        "one transcendental, two multiplications, one addition",
    ),
    "gelu_backward": (ERF_GELU + TRANSCENDENTAL + 4 * MULTIPLY + ADD, "g * (cdf(x) + x * pdf(x))"),
    "_prelu_kernel_backward": (2 * COMPARE + 2 * MULTIPLY, "two gradients, each a selection and a product"),
    "fake_quantize_per_tensor_affine fake_quantize_per_channel_affine": (7, "quantise 5, dequantise 2"),
}
"""Operators with the same cost, that cost, and how it comes about."""

OPERATIONS: dict[str, int] = {name: count for words, (count, _) in _COMPOSED.items() for name in words.split()}
"""Operations per result element of the operators that have more than one."""


def _register(words: str, operations: int, reason: str) -> None:
    def pointwise(call: Call) -> OpCost:
        return per_result(call, operations)

    pointwise.__doc__ = f"{operations} per result element: {reason}."
    rule(*aten(words), kind="pointwise")(pointwise)


_register(_MOVED, 0, "values move or change their meaning only")
_register(_SIMPLE, 1, "one arithmetic operation, comparison or selection")
for _words, (_operations, _reason) in _COMPOSED.items():
    _register(_words, _operations, _reason)


@rule("aten.add", "aten.sub", "aten.subtract", "aten.rsub", kind="pointwise")
def add(call: Call) -> OpCost:
    """One addition per result element, and one multiplication where `alpha` is not 1."""
    return per_result(call, ADD if call.attr("alpha", 1) == 1 else ADD + MULTIPLY)


@rule("aten.where.ScalarOther", "aten.where.ScalarSelf", "aten.where.Scalar", kind="pointwise")
def where_number(call: Call) -> OpCost:
    """One selection per result element; torch-cpu makes a tensor of each number first."""
    numbers = 2 if call.op.endswith(".Scalar") else 1
    inside = Scratch("numbers as tensors", const(numbers), call.result.dtype.bytes)
    return OpCost(other_ops=call.result.numel * COMPARE, scratch=(inside,))


@rule("aten.pow", kind="pointwise")
def power(call: Call) -> OpCost:
    """By a fixed exponent of 2, 3, 0.5, -1, -2 or -0.5: multiplications, root, division; else exp(y * log(x)).

    A fixed base b needs exp(y * log(b)) only: one transcendental and one multiplication.
    """
    exponent = call.attr("exponent")
    if call.maybe("self") is None:
        return per_result(call, TRANSCENDENTAL + MULTIPLY)
    cheap = {1: 0, 2: 1, 3: 2, 0.5: 1, -1: 1, -0.5: 2, -2: 2}
    known = cheap.get(exponent) if isinstance(exponent, int | float) else None
    return per_result(call, 2 * TRANSCENDENTAL + MULTIPLY if known is None else known)


@rule("aten.gelu", kind="pointwise")
def gelu(call: Call) -> OpCost:
    """0.5*x*(1 + erf(x*c)): one transcendental and 4; with approximate="tanh" one transcendental and 8."""
    return per_result(call, TANH_GELU if call.attr("approximate") == "tanh" else ERF_GELU)


@rule("aten.glu")
def glu(call: Call) -> OpCost:
    """One half of the input times the sigmoid of the other: sigmoid and a multiplication per result element."""
    return per_result(call, SIGMOID + MULTIPLY)


@rule("aten.glu_backward")
def glu_backward(call: Call) -> OpCost:
    """Sigmoid, and the products for both halves: sigmoid and 4 per element of the output gradient."""
    return OpCost(other_ops=call.tensor("grad_output").numel * (SIGMOID + 4))


def training(call: Call) -> bool:
    """True unless a dropout's flag says that it does nothing."""
    return call.attr("train", True) is not False


@rule("aten.dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.feature_alpha_dropout", kind="pointwise")
def dropout(call: Call) -> OpCost:
    """While training: a comparison with the mask and a multiplication per element (random numbers are not counted).

    In evaluation the result is the input: nothing is computed or moved.
    """
    return per_result(call, COMPARE + MULTIPLY) if training(call) else untouched(call)


@rule("aten.native_dropout", kind="pointwise")
def native_dropout(call: Call) -> OpCost:
    """A comparison with the mask and a multiplication per element; the mask is a result."""
    return per_result(call, COMPARE + MULTIPLY)


@rule("aten._to_copy", "aten._autocast_to_reduced_precision", "aten._autocast_to_full_precision", kind="pointwise")
def cast(call: Call) -> OpCost:
    """Converts the element type: no arithmetic is counted, every element is read and written."""
    return OpCost()


def converts(call: Call) -> bool:
    """True when a conversion makes a new tensor: another element type, or `copy`."""
    source = call.operands[0]
    return call.attr("copy", False) is True or getattr(source, "dtype", None) is not call.result.dtype


@rule("aten.to", "aten.type_as", kind="pointwise")
def to(call: Call) -> OpCost:
    """Converts the element type: no arithmetic is counted. Where nothing is to convert the result is the operand.

    Moving to another device is taken for nothing to convert: everything is on one device here. `type_as` and `to` read
    only the type of their other operand.
    """
    if not converts(call):
        return untouched(call)
    return OpCost(reads=reads(call, other=ZERO))


@rule(
    "quantized_decomposed.quantize_per_tensor",
    "quantized_decomposed.quantize_per_channel",
    "aten.quantize_per_tensor",
    "aten.quantize_per_channel",
    "aten.quantize_per_tensor_dynamic",
    kind="pointwise",
)
def quantize(call: Call) -> OpCost:
    """clamp(round(x * s) + z): multiply, round, add, two comparisons."""
    return per_result(call, 2 * MULTIPLY + ADD + 2 * COMPARE)


@rule(
    "quantized_decomposed.dequantize_per_tensor",
    "quantized_decomposed.dequantize_per_channel",
    "aten.dequantize",
    kind="pointwise",
)
def dequantize(call: Call) -> OpCost:
    """(q - z) * s: subtract and multiply."""
    return per_result(call, ADD + MULTIPLY)
