"""Upsampling, grid sampling and affine grids.

Nearest moves elements; linear modes weigh 2 neighbours per dimension, bicubic 4. Reads of a smaller result are at most
that many input elements per output and dimension, exact for nearest.
"""

from __future__ import annotations

from fxcost.ir.expr import Expr, maximum, minimum, product
from fxcost.ir.types import TensorType
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads, unread


def _source(call: Call) -> tuple[str, TensorType]:
    slot = "input" if call.maybe("input") else "self"
    return slot, call.tensor(slot)


def _sampled(call: Call, neighbours: int, operations: int) -> OpCost:
    """`operations` per output; per dimension at most `neighbours` input elements per output element are read."""
    slot, source = _source(call)
    spatial = source.shape[2:]
    seen = [minimum(size, count * neighbours) for size, count in zip(spatial, call.result.shape[2:], strict=True)]
    elements = product([*source.shape[:2], *seen])
    return OpCost(other_ops=call.result.numel * operations, reads=reads(call, **{slot: elements}))


@rule(
    *(f"aten.upsample_nearest{n}d" for n in (1, 2, 3)),
    *(f"aten._upsample_nearest_exact{n}d" for n in (1, 2, 3)),
    kind="movement",
)
def nearest(call: Call) -> OpCost:
    """Copies the nearest element: no operations; a smaller result reads one input element per output element."""
    return _sampled(call, 1, 0)


@rule("aten.upsample_linear1d")
def linear(call: Call) -> OpCost:
    """Two weighted neighbours: 2 multiplications and 1 addition per output."""
    return _sampled(call, 2, 3)


@rule("aten.upsample_bilinear2d")
def bilinear(call: Call) -> OpCost:
    """Four weighted neighbours: 4 multiplications and 3 additions per output."""
    return _sampled(call, 2, 7)


@rule("aten.upsample_trilinear3d")
def trilinear(call: Call) -> OpCost:
    """Eight weighted neighbours: 8 multiplications and 7 additions per output."""
    return _sampled(call, 2, 15)


@rule("aten.upsample_bicubic2d")
def bicubic(call: Call) -> OpCost:
    """Sixteen weighted neighbours: 16 multiplications and 15 additions per output."""
    return _sampled(call, 4, 31)


def _antialiased(call: Call, support: int) -> OpCost:
    """Separable: a pass along the width, then along the height; taps are `support` times the shrinking factor."""
    _, source = _source(call)
    (height, width), (high, wide) = source.shape[2:], call.result.shape[2:]
    taps_wide = support * maximum(1, (width + wide - 1) // wide)
    taps_high = support * maximum(1, (height + high - 1) // high)
    planes = product(source.shape[:2])
    return OpCost(other_ops=planes * wide * (height * (2 * taps_wide - 1) + high * (2 * taps_high - 1)))


@rule("aten._upsample_bilinear2d_aa")
def bilinear_antialiased(call: Call) -> OpCost:
    """Two passes, 2*max(1, ceil(in/out)) taps each: a multiplication per tap and the additions between; all is read."""
    return _antialiased(call, 2)


@rule("aten._upsample_bicubic2d_aa", "aten._upsample_lanczos2d_aa")
def bicubic_antialiased(call: Call) -> OpCost:
    """Two passes, 4*max(1, ceil(in/out)) taps each: a multiplication per tap and the additions between; all is read."""
    return _antialiased(call, 4)


@rule(
    *(f"aten.upsample_{mode}_backward" for mode in ("linear1d", "bilinear2d", "trilinear3d", "bicubic2d")),
    *(f"aten.upsample_nearest{n}d_backward" for n in (1, 2, 3)),
    *(f"aten._upsample_nearest_exact{n}d_backward" for n in (1, 2, 3)),
    "aten._upsample_bilinear2d_aa_backward",
    "aten._upsample_bicubic2d_aa_backward",
)
def upsample_backward(call: Call) -> OpCost:
    """A multiplication and an addition per neighbour and element of the output gradient; nearest: one addition."""
    neighbours = {"bilinear": 4, "trilinear": 8, "linear": 2, "bicubic": 16}
    each = next((2 * count for mode, count in neighbours.items() if f"_{mode}" in call.op), 1)
    return OpCost(other_ops=call.tensor("grad_output").numel * each)


@rule("aten.grid_sampler", "aten.grid_sampler_2d", "aten.grid_sampler_3d")
def grid_sampler(call: Call) -> OpCost:
    """Per output: 2**d neighbours (16 bicubic, 1 nearest) multiplied and added; per place 2 to scale each coordinate.

    Where the grid points is data: at most the neighbours of every place are read, at most the whole input.
    """
    source, grid = call.tensor("input"), call.tensor("grid")
    dimensions = source.rank - 2
    corners = {0: 2**dimensions, 1: 1, 2: 4**dimensions}[_mode(call)]
    places = product(grid.shape[:-1])
    each = 2 * corners - 1 if corners > 1 else 0
    seen = minimum(source.numel, places * source.shape[1] * corners)
    return OpCost(other_ops=call.result.numel * each + grid.numel * 2, reads=reads(call, input=seen))


@rule("aten.grid_sampler_2d_backward", "aten.grid_sampler_3d_backward")
def grid_sampler_backward(call: Call) -> OpCost:
    """Per neighbour and element of the output gradient: multiply and add, for the input and for each coordinate."""
    source = call.tensor("input")
    dimensions = source.rank - 2
    return OpCost(other_ops=call.tensor("grad_output").numel * 2**dimensions * 2 * (1 + dimensions))


def _mode(call: Call) -> int:
    mode = call.attr("interpolation_mode", 0)
    return mode if isinstance(mode, int) and mode in (0, 1, 2) else 0


@rule("aten.affine_grid_generator")
def affine_grid(call: Call) -> OpCost:
    """Product of the base grid with the transposed transformation: P*R*C, P places, R rows and C columns of theta."""
    theta = call.tensor("theta")
    places: Expr = product(call.result.shape[:-1])
    rows, columns = theta.shape[-2:]
    return OpCost(
        macs=places * rows * columns,
        reads={**unread(call), 0: theta.numel},
        formula="P*R*C",
        bind={"P": places, "R": rows, "C": columns},
    )
