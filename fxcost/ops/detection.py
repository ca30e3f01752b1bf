"""Detection: suppression of overlapping boxes, pooling of regions, convolutions with offsets.

How many boxes survive, and where regions and offsets point, is data: counts are of what may be touched.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, Expr, as_expr, minimum, product
from fxcost.ops.arithmetic import ADD, COMPARE, DIVIDE, MULTIPLY
from fxcost.ops.conv import convolution
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads

_OVERLAP = 6 * COMPARE + 3 * ADD + MULTIPLY + 2 * ADD + DIVIDE + COMPARE
"""Of two boxes: corners of the common part and whether it is empty, its sides and area, the union, the ratio, the test."""

_BILINEAR = 4 * MULTIPLY + 3 * ADD


@rule("torchvision.nms", "torchvision.qnms")
def suppression(call: Call) -> OpCost:
    """n*(n - 1)/2 overlaps of 14 operations, and 3 for the area of each of n boxes: the most that a run can take."""
    boxes = call.tensor("dets").shape[0]
    return OpCost(other_ops=(boxes * (boxes - 1)) // 2 * _OVERLAP + boxes * 3)


def _samples(call: Call) -> Expr:
    """Points averaged per output; where the region's size decides (a ratio of 0 or less), one at least."""
    ratio = call.attr("sampling_ratio", 0)
    return as_expr(ratio * ratio) if isinstance(ratio, int) and ratio > 0 else ONE


@rule("torchvision.roi_align", "torchvision.ps_roi_align")
def aligned_regions(call: Call) -> OpCost:
    """Per output the average of sampling_ratio**2 points, each of four weighted neighbours: 8 operations a point."""
    samples = _samples(call)
    source = call.tensor("input")
    seen = minimum(source.numel, call.result.numel * samples * 4)
    return OpCost(other_ops=call.result.numel * samples * (_BILINEAR + ADD), reads=reads(call, input=seen))


@rule("torchvision.roi_pool", "torchvision.ps_roi_pool")
def pooled_regions(call: Call) -> OpCost:
    """One operation per output at least: how many elements a bin holds is the region's affair."""
    return OpCost(other_ops=call.result.numel)


@rule("torchvision.deform_conv2d")
def deformed(call: Call) -> OpCost:
    """MACs of a convolution, N * Cout * out_spatial * Cin/groups * taps; every tap of every channel is interpolated.

    Interpolation: four weighted neighbours, 7 operations, and one more for the mask where there is one.
    """
    source, weight = call.tensor("input"), call.tensor("weight")
    found = convolution(call, source, weight)
    places = product([source.shape[0], source.shape[1], *call.result.shape[2:], *weight.shape[2:]])
    masked = call.attr("use_mask", True) is True
    each = _BILINEAR + (MULTIPLY if masked else 0)
    operations = places * each + found.other_ops
    return OpCost(found.macs, operations, {}, {}, (), found.formula, found.bind)
