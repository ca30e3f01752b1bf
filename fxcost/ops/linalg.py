"""MLIR's `linalg` and `tensor`: every op says its loops and what happens at one point of them.

The reader of MLIR (`fxcost.dialects`) finds both in the text: `loops` are lengths, `macs_per_point` and
`other_ops_per_point` count what the body does.
"""

from __future__ import annotations

from collections.abc import Iterable

from fxcost.ir.expr import ZERO, Expr, as_expr, minimum, product
from fxcost.ir.types import TensorType
from fxcost.ops.arithmetic import SOFTMAX
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads, untouched


def _names(dialect: str, words: str) -> Iterable[str]:
    return (f"{dialect}.{word}" for word in words.split())


_CONVOLUTIONS = (
    "conv_1d conv_2d conv_3d conv_1d_nwc_wcf conv_1d_ncw_fcw conv_2d_nhwc_hwcf conv_2d_nhwc_fhwc conv_2d_nchw_fchw "
    "conv_2d_nhwc_hwcf_q conv_2d_nchw_fchw_q conv_2d_nhwc_fhwc_q conv_2d_ngchw_fgchw conv_2d_ngchw_gfchw "
    "conv_2d_ngchw_gfchw_q conv_2d_nhwgc_gfhwc conv_2d_nhwgc_gfhwc_q conv_3d_ndhwc_dhwcf conv_3d_ndhwc_dhwcf_q "
    "conv_3d_ncdhw_fcdhw depthwise_conv_1d_nwc_wc depthwise_conv_1d_ncw_cw depthwise_conv_1d_nwc_wcm "
    "depthwise_conv_2d_nhwc_hwc depthwise_conv_2d_nchw_chw depthwise_conv_2d_nhwc_hwcm depthwise_conv_2d_nhwc_hwc_q "
    "depthwise_conv_2d_nhwc_hwcm_q depthwise_conv_3d_ndhwc_dhwc depthwise_conv_3d_ncdhw_cdhw depthwise_conv_3d_ndhwc_dhwcm"
)
_PRODUCTS = (
    "matmul matmul_transpose_a matmul_transpose_b batch_matmul batch_matmul_transpose_a batch_matmul_transpose_b "
    "batch_reduce_matmul quantized_matmul quantized_batch_matmul matvec vecmat batch_matvec batch_vecmat dot mmt4d "
    "batch_mmt4d contract"
)
_POOLINGS = (
    "pooling_nhwc_sum pooling_nhwc_max pooling_nhwc_max_unsigned pooling_nhwc_min pooling_nhwc_min_unsigned "
    "pooling_nchw_sum pooling_nchw_max pooling_nwc_sum pooling_nwc_max pooling_nwc_max_unsigned pooling_nwc_min "
    "pooling_nwc_min_unsigned pooling_ncw_sum pooling_ncw_max pooling_ndhwc_sum pooling_ndhwc_max pooling_ndhwc_min"
)


def points(call: Call) -> Expr:
    """Iterations of all loops together."""
    lengths = call.attr("loops", ())
    assert isinstance(lengths, tuple), "the reader writes a list of lengths"
    return product(as_expr(length) for length in lengths if isinstance(length, int | Expr))


def _per_point(call: Call, name: str) -> int:
    value = call.attr(name, 0)
    assert isinstance(value, int), f"the reader writes {name} as a number"
    return value


def _looped(call: Call) -> OpCost:
    count, macs, other = points(call), _per_point(call, "macs_per_point"), _per_point(call, "other_ops_per_point")
    return OpCost(
        macs=count * macs,
        other_ops=count * other,
        formula="points*m" if macs else "",
        bind={"points": count, "m": as_expr(macs)} if macs else {},
    )


@rule("linalg.generic", *_names("linalg", f"{_CONVOLUTIONS} {_PRODUCTS} {_POOLINGS} reduce"))
def structured(call: Call) -> OpCost:
    """Product of all loop lengths, times what the body does at one point: points*m MACs.

    A multiplication added to the accumulator of a reduction is one MAC; padded taps count, as for convolutions.
    """
    return _looped(call)


_POINTWISE = (
    "map add sub mul div div_unsigned max min powf exp log abs ceil floor negf reciprocal round sqrt rsqrt square tanh erf "
    "select elementwise elemwise_unary elemwise_binary"
)


@rule("linalg.generic.pointwise", *_names("linalg", _POINTWISE), kind="pointwise")
def pointwise(call: Call) -> OpCost:
    """All loops are parallel, one point for each result element: points times the operations of the body."""
    return _looped(call)


@rule("linalg.generic.copy", *_names("linalg", "fill copy broadcast transpose"), kind="movement")
def copied(call: Call) -> OpCost:
    """Every source element is read once, every result element written once."""
    return OpCost()


@rule("linalg.softmax")
def softmax(call: Call) -> OpCost:
    """Maximum, subtract, exp, sum, divide for every element."""
    return OpCost(other_ops=call.result.numel * SOFTMAX)


@rule(*_names("tensor", "cast bitcast expand_shape collapse_shape extract_slice reshape"), kind="view")
def reshaped(call: Call) -> OpCost:
    """The operand's memory under another shape: nothing is computed or moved."""
    return untouched(call)


@rule(*_names("tensor", "pad concat pack unpack generate from_elements splat"), kind="movement")
def joined(call: Call) -> OpCost:
    """Every source element is read once, every result element written once."""
    return OpCost()


@rule("tensor.insert_slice", kind="movement")
def inserted(call: Call) -> OpCost:
    """Stores the source in the destination; where that is read again, it is copied first, whole."""
    source = call.maybe("source")
    if not call.node.effects.views or source is None:
        return OpCost()
    return OpCost(reads=reads(call, dest=ZERO), writes={0: source.numel})


@rule("tensor.gather", kind="movement")
def gathered(call: Call) -> OpCost:
    """Reads the elements taken, no more than there are, and the indices."""
    source = call.operands[0] if call.operands else None
    if not isinstance(source, TensorType):
        return OpCost()
    return OpCost(reads={0: minimum(source.numel, call.result.numel)})
