"""Which rows and columns of its operands does a call need for some rows and columns of its result?

Convolution, pooling, padding, concatenation of channels and pointwise calls are *local*: every result element needs a
window of the operands around its own place. Along one axis, results [first, stop) need the operand's rows from
first*stride - before to (stop - 1)*stride - before + dilation*(kernel - 1) + 1. All others need the whole map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fxcost.ir.expr import Expr
from fxcost.ir.types import TensorType
from fxcost.ops.kinds import kind_of
from fxcost.ops.registry import Call

_CONVOLUTIONS = {"aten.conv2d", "aten.conv2d.padding", "aten.convolution"}
_POOLS = {"aten.max_pool2d", "aten.avg_pool2d"}
_PADS = {"aten.pad", "aten.constant_pad_nd"}
_IDENTITIES = {"aten.dropout", "aten.feature_dropout", "aten.alias", "aten.detach", "aten.dropout_"}
_PER_CHANNEL = {"aten.prelu"}


@dataclass(frozen=True)
class Axis:
    """A window along one axis; `before` elements of padding come first, `after` behind the last element."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last."""
        return self.dilation * (self.kernel - 1) + 1

    def needs(self, first: Any, stop: Any) -> tuple[Any, Any]:
        """Operand range of results [first, stop), padding included; takes numbers, arrays and expressions."""
        return first * self.stride - self.before, (stop - 1) * self.stride - self.before + self.reach

    def count(self, size: int, padding: int) -> int:
        """Windows that fit into `size` elements with `padding` on both sides."""
        return (size + 2 * padding - self.reach) // self.stride + 1


ALONE = Axis()


@dataclass(frozen=True)
class Local:
    """How a call moves with its patch.

    form     window (convolution, pooling), border (padding as an op of its own), pointwise or concatenation
    axes     the windows along rows and columns
    moving   operands that are cut to the patch; all others are read whole
    fill     what padding holds; None is the smallest value of the element type
    average  an average over its window
    counted  padding counts in the average's divisor
    divisor  what the average divides by; 0 is the number of elements
    """

    form: str
    axes: tuple[Axis, Axis] = (ALONE, ALONE)
    moving: tuple[int, ...] = ()
    fill: float | None = 0.0
    average: bool = False
    counted: bool = True
    divisor: int = 0


def locality(call: Call) -> Local | str:
    """The windows of a call, or in words why it needs the whole map."""
    if len(call.node.results) != 1 or not isinstance(call.node.results[0].type, TensorType):
        return "it does not make one tensor"
    if call.result.rank != 4:
        return "its result has no rows and columns (N, C, H, W)"
    if call.result.shape[2].constant == 1 and call.result.shape[3].constant == 1:
        return "its result is one element a channel"
    try:
        if call.op in _CONVOLUTIONS:
            return _convolution(call)
        if call.op in _POOLS:
            return _pool(call)
        if call.op in _PADS:
            return _border(call)
    except _Open as found:
        return str(found)
    if call.op == "aten.cat":
        return _concatenation(call)
    kind = kind_of(call)
    if kind in {"pointwise", "affine"} or call.op in _IDENTITIES or call.op == "aten.clone":
        return _pointwise(call, kind == "affine" or call.op in _PER_CHANNEL)
    return "it needs the whole map"


class _Open(Exception):
    """A window that is no number."""


def _numbers(call: Call, name: str, default: int = 0) -> tuple[int, int]:
    found = [size.constant for size in call.ints(name, 2, default)]
    if len(found) != 2 or found[0] is None or found[1] is None:
        raise _Open(f"its {name} is no pair of numbers")
    return found[0], found[1]


def _convolution(call: Call) -> Local | str:
    if call.attr("transposed", False) is True:
        return "it is a transposed convolution"
    weight = call.tensor("weight")
    kernel = [size.constant for size in weight.shape[2:] if size.constant is not None]
    if len(kernel) != 2:
        return "its kernel is no pair of numbers"
    stride, dilation = _numbers(call, "stride", 1), _numbers(call, "dilation", 1)
    spelled = call.attr("padding")
    if isinstance(spelled, str):
        totals = [gap * (k - 1) if spelled == "same" else 0 for gap, k in zip(dilation, kernel, strict=True)]
        padding = [(whole // 2, whole - whole // 2) for whole in totals]
    else:
        padding = [(pad, pad) for pad in _numbers(call, "padding")]
    row, column = (
        Axis(k, s, d, before, after) for k, s, d, (before, after) in zip(kernel, stride, dilation, padding, strict=True)
    )
    return Local("window", (row, column), (call.node.slots.index("input"),))


def _pool(call: Call) -> Local | str:
    kernel = _numbers(call, "kernel_size", 1)
    stride = kernel if call.attr("stride") in (None, ()) else _numbers(call, "stride", 1)
    padding, dilation = _numbers(call, "padding"), _numbers(call, "dilation", 1)
    row, column = (Axis(k, s, d, pad, pad) for k, s, d, pad in zip(kernel, stride, dilation, padding, strict=True))
    average = call.op == "aten.avg_pool2d"
    override = call.attr("divisor_override", 0)
    return Local(
        "window",
        (row, column),
        (call.node.slots.index("self"),),
        fill=0.0 if average else None,
        average=average,
        counted=call.attr("count_include_pad", True) is True,
        divisor=override
        if isinstance(override, int)
        else (override.constant or 0)
        if isinstance(override, Expr)
        else 0,
    )


def _border(call: Call) -> Local | str:
    if call.op == "aten.pad" and call.attr("mode", "constant") != "constant":
        return "it pads with copies of the map"
    spelled = call.attr("pad")
    sizes = [int(s.constant) if isinstance(s, Expr) and s.constant is not None else s for s in spelled or ()]  # type: ignore[union-attr]
    if not all(isinstance(s, int) and s >= 0 for s in sizes):
        return "it pads by sizes that are no numbers, or crops"
    widths = [s for s in sizes if isinstance(s, int)]
    if any(widths[4:]):
        return "it pads channels"
    left, right, above, below = (*widths, 0, 0, 0, 0)[:4]
    value = call.attr("value", 0.0)
    fill = float(value) if isinstance(value, int | float) else 0.0
    axes = (Axis(before=above, after=below), Axis(before=left, after=right))
    return Local("border", axes, (call.node.slots.index("self"),), fill)


def _concatenation(call: Call) -> Local | str:
    dim = call.attr("dim", 0)
    if (dim.constant if isinstance(dim, Expr) else dim) not in (1, -3):
        return "it does not concatenate channels"
    tensors = [t for t in call.operands if isinstance(t, TensorType)]
    if any(t.rank != 4 for t in tensors):
        return "its operands have no rows and columns"
    return Local("concatenation", moving=tuple(range(len(call.operands))))


def _pointwise(call: Call, first_only: bool) -> Local | str:
    here = call.result.shape[2:]
    moving = []
    for position, operand in enumerate(call.operands):
        if not isinstance(operand, TensorType) or (first_only and position > 0):
            continue
        there = operand.shape[-2:]
        if len(there) == 2 and all(a is b for a, b in zip(there, here, strict=True)):
            moving.append(position)
        elif any(size.constant != 1 for size in there):
            return "an operand is stretched along rows or columns"
    return Local("pointwise", moving=tuple(moving)) if moving else "no operand has its rows and columns"
