"""Convolutions, plain and transposed, in every spelling that torch prints, and their backward.

Every tap counts, also those that fall on padding (or, transposed, on the cropped border); dilation only changes the
output size, and the algorithm (Winograd, FFT, im2col) changes nothing. The bias adds one operation per output element.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, ZERO, Expr, as_expr, const, product
from fxcost.ir.types import TensorType
from fxcost.ops.registry import Call, OpCost, Scratch, rule
from fxcost.ops.touched import reads
from fxcost.ops.windows import covered_volume

_AXES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
_TAPS = {1: ("k",), 2: ("kh", "kw"), 3: ("kd", "kh", "kw")}


def _spatial(weight: TensorType) -> int:
    return weight.rank - 2


def _batch(source: TensorType, spatial: int) -> Expr:
    return source.shape[0] if source.rank == spatial + 2 else ONE


def _padding(call: Call, kernel: tuple[Expr, ...]) -> tuple[tuple[Expr, Expr], ...]:
    """Padding before and after, per dimension; "same" puts the odd element behind."""
    spelled = call.attr("padding")
    if isinstance(spelled, str):
        totals = [gap * (k - 1) for gap, k in zip(call.ints("dilation", len(kernel), 1), kernel, strict=True)]
        if spelled != "same":
            totals = [ZERO] * len(kernel)
        return tuple((whole // 2, whole - whole // 2) for whole in totals)
    return tuple((pad, pad) for pad in call.ints("padding", len(kernel)))


def convolution(call: Call, source: TensorType, weight: TensorType, slot: str = "input") -> OpCost:
    """N * Cout * out_spatial * Cin/groups * taps, and the input elements that some window covers."""
    spatial = _spatial(weight)
    inner, outer = source.shape[-spatial:], call.result.shape[-spatial:]
    channels_out, channels_in, kernel = weight.shape[0], weight.shape[1], weight.shape[2:]
    batch = _batch(source, spatial)
    groups = as_expr(call.ints("groups", 1, 1)[0])
    out_names = [f"{axis}o" for axis in _AXES[spatial]]
    letters = ["N", "Cout", *out_names]
    sizes = [batch, channels_out, *outer]
    padding = _padding(call, kernel)
    seen = covered_volume(call, inner, outer, kernel, padding)
    lopsided = any(before is not after for before, after in padding)
    padded = product(size + after - before for size, (before, after) in zip(inner, padding, strict=True))
    copy = Scratch("padded input", batch * channels_in * groups * padded, source.dtype.bytes)
    return OpCost(
        macs=product([*sizes, channels_in, *kernel]),
        other_ops=call.result.numel if call.maybe("bias") else ZERO,
        reads=reads(call, **{slot: batch * channels_in * groups * seen}),
        scratch=(copy,) if lopsided else (),
        formula="*".join([*letters, "(Cin//g)", *_TAPS[spatial]]),
        bind=dict(zip([*letters, *_TAPS[spatial]], [*sizes, *kernel], strict=True))
        | {"Cin": channels_in * groups, "g": groups},
    )


def transposed_convolution(call: Call, source: TensorType, weight: TensorType) -> OpCost:
    """N * Cin * in_spatial * Cout/groups * taps; the whole input is read."""
    spatial = _spatial(weight)
    kernel = weight.shape[2:]
    groups = as_expr(call.ints("groups", 1, 1)[0])
    letters = ["N", "Cin", *(f"{axis}i" for axis in _AXES[spatial])]
    sizes = [_batch(source, spatial), weight.shape[0], *source.shape[-spatial:]]
    return OpCost(
        macs=product([*sizes, weight.shape[1], *kernel]),
        other_ops=call.result.numel if call.maybe("bias") else ZERO,
        formula="*".join([*letters, "(Cout//g)", *_TAPS[spatial]]),
        bind=dict(zip([*letters, *_TAPS[spatial]], [*sizes, *kernel], strict=True))
        | {"Cout": weight.shape[1] * groups, "g": groups},
    )


@rule("aten.conv1d", "aten.conv2d", "aten.conv3d")
def conv(call: Call) -> OpCost:
    """Convolution: N * Cout * out_spatial * Cin/groups * taps.

    Padded taps count. Input elements that no window covers (strides beyond the kernel, tails) are not read. For "same"
    padding that is not the same on both sides torch-cpu first copies the input with the odd element of padding.
    """
    return convolution(call, call.tensor("input"), call.tensor("weight"))


@rule("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def conv_transpose(call: Call) -> OpCost:
    """Transposed convolution: N * Cin * in_spatial * Cout/groups * taps, cropped taps included."""
    return transposed_convolution(call, call.tensor("input"), call.tensor("weight"))


@rule("aten.convolution", "aten._convolution", "aten.convolution_overrideable")
def dispatched(call: Call) -> OpCost:
    """What conv and conv_transpose become below autograd; counted like them, by the argument `transposed`."""
    counted = transposed_convolution if call.attr("transposed", False) is True else convolution
    return counted(call, call.tensor("input"), call.tensor("weight"))


@rule(
    "aten.cudnn_convolution",
    "aten.mkldnn_convolution",
    "aten.miopen_convolution",
    "aten._conv_depthwise2d",
    "aten.conv_depthwise3d",
    "aten.miopen_depthwise_convolution",
    "aten._slow_conv2d_forward",
)
def backend(call: Call) -> OpCost:
    """A library's convolution, counted as `aten.conv2d`: N * Cout * out_spatial * Cin/groups * taps."""
    source, weight = call.tensor("self"), call.tensor("weight")
    cost = convolution(call, source, weight, "self")
    return (
        cost
        if call.attr("groups") is not None
        else OpCost(cost.macs, cost.other_ops, {}, {}, (), cost.formula, cost.bind)
    )


@rule("aten.convolution_backward")
def backward(call: Call) -> OpCost:
    """Gradients of a convolution: as many MACs as the forward pass, for the input and for the weight each.

    `output_mask` says which are computed; the bias gradient is a sum, one operation per element of the output gradient.
    """
    upstream, source, weight = (call.tensor(slot) for slot in ("grad_output", "input", "weight"))
    mask = call.attr("output_mask")
    wanted = mask if isinstance(mask, tuple) and len(mask) == 3 else (True, True, True)
    to_input, to_weight, to_bias = (const(int(flag is True)) for flag in wanted)
    spatial = _spatial(weight)
    transposed = call.attr("transposed", False) is True
    swept, swept_name = (source, "i") if transposed else (upstream, "o")
    letters = ["N", "C", *(f"{axis}{swept_name}" for axis in _AXES[spatial]), "Cw", *_TAPS[spatial]]
    sizes = [_batch(source, spatial), weight.shape[0], *swept.shape[-spatial:], *weight.shape[1:]]
    return OpCost(
        macs=(to_input + to_weight) * product(sizes),
        other_ops=to_bias * upstream.numel,
        reads=reads(call, input=to_weight * source.numel, weight=to_input * weight.numel),
        formula="(dx + dw)*" + "*".join(letters),
        bind=dict(zip(letters, sizes, strict=True)) | {"dx": to_input, "dw": to_weight},
    )
