"""Pooling: the window's size in operations per output; reads are the input elements that some window covers."""

from __future__ import annotations

from fxcost.ir.expr import Expr, product
from fxcost.ir.types import TensorType
from fxcost.ops.registry import Call, OpCost, Scratch, rule
from fxcost.ops.touched import reads
from fxcost.ops.windows import adaptive_window_total, covered_volume


def _dimensions(call: Call) -> int:
    """1, 2 or 3, from the operator's name (`max_pool2d_with_indices`)."""
    name = call.op.split(".")[1]
    return int(next(character for character in name if character.isdigit()))


def _sliding(call: Call, source: TensorType, outer: tuple[Expr, ...], scratch: tuple[Scratch, ...] = ()) -> OpCost:
    rank = _dimensions(call)
    kernel = call.ints("kernel_size", rank, 1)
    stride = kernel if call.attr("stride") in (None, ()) else call.ints("stride", rank, 1)
    padding = tuple((pad, pad) for pad in call.ints("padding", rank))
    planes, inner = product(source.shape[:-rank]), source.shape[-rank:]
    rounded_up = call.attr("ceil_mode", False) is True
    seen = covered_volume(call, inner, outer, kernel, padding, stride=stride, rounded_up=rounded_up)
    return OpCost(
        other_ops=planes * product(outer) * product(kernel),
        reads=reads(call, self=planes * seen),
        scratch=scratch,
    )


@rule("aten.max_pool2d", "aten.max_pool3d")
def max_pool(call: Call) -> OpCost:
    """One comparison per window position and output.

    The int64 index of every maximum lives inside (torch-cpu). Elements outside all windows are not read.
    """
    indices = Scratch("indices of the maxima", call.result.numel, 8)
    return _sliding(call, call.tensor("self"), call.result.shape[-_dimensions(call) :], (indices,))


@rule("aten.max_pool1d", "aten.max_pool1d_with_indices", "aten.max_pool2d_with_indices", "aten.max_pool3d_with_indices")
def max_pool_with_indices(call: Call) -> OpCost:
    """One comparison per window position and output; indices, where computed, are a result."""
    return _sliding(call, call.tensor("self"), call.result.shape[-_dimensions(call) :])


@rule("aten.avg_pool1d", "aten.avg_pool2d", "aten.avg_pool3d")
def avg_pool(call: Call) -> OpCost:
    """One addition per window position and output, positions on padding included; the division is the last of them."""
    return _sliding(call, call.tensor("self"), call.result.shape[-_dimensions(call) :])


@rule(
    *(f"aten.{name}_pool{n}d" for name in ("adaptive_avg", "adaptive_max") for n in (1, 2, 3)),
    *(f"aten._adaptive_avg_pool{n}d" for n in (2, 3)),
)
def adaptive_pool(call: Call) -> OpCost:
    """One operation per element of every window; windows that overlap count their shared elements twice.

    Per dimension the windows' lengths add up to size + count - gcd(size, count). Every input element is read.
    """
    rank = _dimensions(call)
    source = call.tensor("self")
    inner, outer = source.shape[-rank:], call.result.shape[-rank:]
    lengths = product(adaptive_window_total(size, count) for size, count in zip(inner, outer, strict=True))
    return OpCost(other_ops=product(source.shape[:-rank]) * lengths)


@rule("aten.fractional_max_pool2d", "aten.fractional_max_pool3d")
def fractional_max_pool(call: Call) -> OpCost:
    """One comparison per window position and output; where the windows lie is random, so the whole input is read."""
    return OpCost(other_ops=call.result.numel * product(call.ints("kernel_size", _dimensions(call), 1)))


@rule("aten.max_unpool2d", "aten.max_unpool3d", kind="movement")
def max_unpool(call: Call) -> OpCost:
    """Moves every element to the place of its index; the whole result is written."""
    return OpCost()


@rule(
    *(f"aten.max_pool{n}d_with_indices_backward" for n in (2, 3)),
    *(f"aten.adaptive_max_pool{n}d_backward" for n in (2, 3)),
)
def max_pool_backward(call: Call) -> OpCost:
    """One addition per element of the output gradient, at the stored index; the input is not read."""
    upstream = call.tensor("grad_output")
    return OpCost(other_ops=upstream.numel, reads=reads(call, self=upstream.numel * 0))


@rule("aten.avg_pool2d_backward", "aten.avg_pool3d_backward")
def avg_pool_backward(call: Call) -> OpCost:
    """One addition per window position and element of the output gradient; the input is not read."""
    upstream = call.tensor("grad_output")
    kernel = product(call.ints("kernel_size", _dimensions(call), 1))
    return OpCost(other_ops=upstream.numel * kernel, reads=reads(call, self=upstream.numel * 0))


@rule("aten._adaptive_avg_pool2d_backward", "aten._adaptive_avg_pool3d_backward")
def adaptive_avg_pool_backward(call: Call) -> OpCost:
    """One addition per element of every window; the input is not read."""
    upstream, source = call.tensor("grad_output"), call.tensor("self")
    rank = _dimensions(call)
    pairs = zip(source.shape[-rank:], upstream.shape[-rank:], strict=True)
    lengths = product(adaptive_window_total(size, count) for size, count in pairs)
    return OpCost(other_ops=product(source.shape[:-rank]) * lengths, reads=reads(call, self=upstream.numel * 0))
