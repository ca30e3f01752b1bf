"""Upsampling and grid sampling, by hand."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import symbol
from tests.support.calls import cost, number

N, H, W = symbol("N"), symbol("H"), symbol("W")


@pytest.mark.parametrize(
    ("op", "per_output"),
    [
        ("aten.upsample_nearest2d.vec", 0),
        ("aten.upsample_bilinear2d.vec", 7),  # 4 multiplications, 3 additions
        ("aten.upsample_bicubic2d.vec", 31),  # 16 multiplications, 15 additions
    ],
)
def test_twice_as_large(op: str, per_output: int) -> None:
    found = cost(op, {"input": "f32[N, 8, H, W]"}, result="f32[N, 8, 2*H, 2*W]", scale_factors=(2.0, 2.0))
    assert found.other_ops is N * 8 * 4 * H * W * per_output
    assert found.reads == {0: N * 8 * H * W}


@pytest.mark.parametrize(("op", "rows"), [("aten.upsample_nearest1d", 3), ("aten.upsample_linear1d", 6)])
def test_shrinking_reads_the_neighbours(op: str, rows: int) -> None:
    # 12 -> 3: one element per output, or two
    found = cost(op, {"self": "f32[1, 1, 12]"}, result="f32[1, 1, 3]", output_size=(3,))
    assert number(found.reads[0]) == rows


def test_three_dimensions() -> None:
    found = cost("aten.upsample_trilinear3d", {"self": "f32[1, 1, 2, 2, 2]"}, result="f32[1, 1, 4, 4, 4]")
    assert number(found.other_ops) == 64 * 15


def test_antialiased_passes() -> None:
    # 12x12 -> 3x4 bilinear: 2*3 taps along the width (12 rows x 4), then 2*4 along the height (3 x 4)
    found = cost("aten._upsample_bilinear2d_aa.vec", {"input": "f32[1, 1, 12, 12]"}, result="f32[1, 1, 3, 4]")
    assert number(found.other_ops) == 12 * 4 * 11 + 3 * 4 * 15


def test_grid_sampling() -> None:
    # 6 places of 2 channels: 4 neighbours cost 7 per output; the 12 coordinates are scaled, 2 each
    operands = {"input": "f32[1, 2, 8, 8]", "grid": "f32[1, 2, 3, 2]"}
    found = cost("aten.grid_sampler", operands, result="f32[1, 2, 2, 3]", interpolation_mode=0)
    assert number(found.other_ops) == 12 * 7 + 12 * 2
    assert number(found.reads[0]) == 6 * 2 * 4
    dense = {"input": "f32[1, 2, 2, 2]", "grid": "f32[1, 9, 9, 2]"}
    many = cost("aten.grid_sampler_2d", dense, result="f32[1, 2, 9, 9]", interpolation_mode=1)
    assert number(many.reads[0]) == 8  # never more than there is
    assert number(many.other_ops) == 81 * 2 * 2


def test_affine_grid_is_a_product() -> None:
    # every one of H*W places: a vector of 3 times a 3x2 matrix
    found = cost("aten.affine_grid_generator", {"theta": "f32[N, 2, 3]"}, result="f32[N, H, W, 2]")
    assert found.macs is N * H * W * 6


def test_backward() -> None:
    assert (
        number(
            cost(
                "aten.upsample_bilinear2d_backward", {"grad_output": "f32[1, 1, 4, 4]"}, result="f32[1, 1, 2, 2]"
            ).other_ops
        )
        == 16 * 8
    )
    assert (
        number(
            cost(
                "aten.upsample_nearest2d_backward", {"grad_output": "f32[1, 1, 4, 4]"}, result="f32[1, 1, 2, 2]"
            ).other_ops
        )
        == 16
    )
