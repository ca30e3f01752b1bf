"""Matrix products in every spelling, by hand."""

from __future__ import annotations

import pytest

from fxcost.errors import ModelError
from fxcost.ir.expr import symbol
from fxcost.ir.graph import Attribute
from tests.support.calls import cost, number

N, S = symbol("N"), symbol("S")


def test_linear_over_tokens() -> None:
    found = cost("aten.linear", {"input": "f32[N, S, 64]", "weight": "f32[256, 64]", "bias": "f32[256]"},
                 result="f32[N, S, 256]")  # fmt: skip
    assert found.macs is N * S * 64 * 256
    assert found.other_ops is N * S * 256
    assert found.formula == "B*M*N*K"
    assert found.bind["M"] is N * S


@pytest.mark.parametrize(
    ("op", "operands", "result", "macs"),
    [
        ("aten.mm", {"self": "f32[3, 5]", "mat2": "f32[5, 7]"}, "f32[3, 7]", 105),
        ("aten.bmm", {"self": "f32[2, 3, 5]", "mat2": "f32[2, 5, 7]"}, "f32[2, 3, 7]", 210),
        ("aten.mv", {"self": "f32[3, 5]", "vec": "f32[5]"}, "f32[3]", 15),
        ("aten.dot", {"self": "f32[5]", "tensor": "f32[5]"}, "f32[]", 5),
        ("aten.vdot", {"self": "f32[5]", "other": "f32[5]"}, "f32[]", 5),
        ("aten.matmul", {"self": "f32[5]", "other": "f32[5]"}, "f32[]", 5),
        ("aten.matmul", {"self": "f32[5]", "other": "f32[4, 5, 7]"}, "f32[4, 7]", 140),
        ("aten.matmul", {"self": "f32[4, 3, 5]", "other": "f32[5]"}, "f32[4, 3]", 60),
        ("aten.matmul", {"self": "f32[2, 1, 3, 5]", "other": "f32[4, 5, 7]"}, "f32[2, 4, 3, 7]", 840),
        ("aten.linalg_vecdot", {"x": "f32[2, 5]", "y": "f32[2, 5]"}, "f32[2]", 10),
        ("aten._int_mm", {"self": "i8[3, 5]", "mat2": "i8[5, 7]"}, "i32[3, 7]", 105),
        ("aten.inner", {"self": "f32[2, 3, 5]", "other": "f32[7, 5]"}, "f32[2, 3, 7]", 210),
        ("aten.outer", {"self": "f32[3]", "vec2": "f32[5]"}, "f32[3, 5]", 0),
        ("aten.kron", {"self": "f32[3, 2]", "other": "f32[5, 7]"}, "f32[15, 14]", 0),
        (
            "aten._weight_int8pack_mm",
            {"self": "bf16[3, 5]", "mat2": "i8[7, 5]", "scales": "bf16[7]"},
            "bf16[3, 7]",
            105,
        ),
        # 9 routed rows, whichever of the 4 experts they go to
        ("aten._grouped_mm", {"self": "bf16[9, 5]", "mat2": "bf16[4, 5, 7]", "offs": "i32[4]"}, "bf16[9, 7]", 315),
        ("aten._grouped_mm", {"self": "bf16[4, 9, 5]", "mat2": "bf16[4, 5, 7]"}, "bf16[4, 9, 7]", 1260),
        ("aten._grouped_mm", {"self": "bf16[4, 9, 5]", "mat2": "bf16[5, 7]", "offs": "i32[4]"}, "bf16[9, 7]", 315),
        ("aten._grouped_mm", {"self": "bf16[9, 5]", "mat2": "bf16[5, 7]", "offs": "i32[4]"}, "bf16[4, 9, 7]", 315),
        (
            "transformers.grouped_mm_fallback",
            {"input": "f32[9, 5]", "weight": "f32[4, 5, 7]", "offs": "i32[4]"},
            "f32[9, 7]",
            315,
        ),
        # x1 @ W: 3 rows, 6 outputs, 4*5 pairs; then @ x2: 3 rows, 6 outputs, 5
        (
            "aten.bilinear",
            {"input1": "f32[3, 4]", "input2": "f32[3, 5]", "weight": "f32[6, 4, 5]"},
            "f32[3, 6]",
            3 * 6 * 20 + 3 * 6 * 5,
        ),
    ],
)
def test_products(op: str, operands: dict[str, str], result: str, macs: int) -> None:
    assert number(cost(op, operands, result=result).macs) == macs


@pytest.mark.parametrize(
    ("attrs", "other_ops"),
    [
        ({"beta": 1, "alpha": 1}, 21),  # the sum
        ({"beta": 2, "alpha": 0.5}, 63),  # the sum and both scalings
        ({"beta": 0, "alpha": 1}, 0),  # `self` is ignored
    ],
)
def test_addmm_scales_and_adds(attrs: dict[str, Attribute], other_ops: int) -> None:
    operands = {"self": "f32[7]", "mat1": "f32[3, 5]", "mat2": "f32[5, 7]"}
    found = cost("aten.addmm", operands, result="f32[3, 7]", **attrs)
    assert number(found.macs) == 105
    assert number(found.other_ops) == other_ops
    assert (0 in found.reads) == (attrs["beta"] == 0)


def test_batched_sums() -> None:
    operands = {"self": "f32[2, 3, 7]", "batch1": "f32[2, 3, 5]", "batch2": "f32[2, 5, 7]"}
    assert number(cost("aten.baddbmm", operands, result="f32[2, 3, 7]").macs) == 210
    operands["self"] = "f32[3, 7]"
    assert number(cost("aten.addbmm", operands, result="f32[3, 7]").macs) == 210
    vectors = {"self": "f32[3]", "mat": "f32[3, 5]", "vec": "f32[5]"}
    assert number(cost("aten.addmv", vectors, result="f32[3]").macs) == 15


def test_tensordot_contracts_the_named_dimensions() -> None:
    operands = {"self": "f32[2, 3, 5]", "other": "f32[5, 3, 7]"}
    found = cost("aten.tensordot", operands, result="f32[2, 7]", dims_self=(1, 2), dims_other=(1, 0))
    assert number(found.macs) == 2 * 15 * 7


def einsum(equation: str, *tensors: str, path: tuple[int, ...] | None = None) -> tuple[int, int]:
    """MACs and other operations."""
    operands = {f"tensors.{i}": text for i, text in enumerate(tensors)}
    attrs: dict[str, Attribute] = {"equation": equation} | ({"path": path} if path else {})
    found = cost("aten.einsum", operands, result="f32[]", **attrs)
    return number(found.macs), number(found.other_ops)


def test_einsum_of_two() -> None:
    assert einsum("ij,jk->ik", "f32[3, 5]", "f32[5, 7]") == (105, 0)
    assert einsum(" i j , j k ", "f32[3, 5]", "f32[5, 7]") == (105, 0)
    assert einsum("...ij,jk->...ik", "f32[2, 4, 3, 5]", "f32[5, 7]") == (840, 0)
    assert einsum("bhqd,bhkd->bhqk", "f32[2, 3, 5, 8]", "f32[2, 3, 6, 8]") == (2 * 3 * 5 * 6 * 8, 0)
    assert einsum("ii,ij->j", "f32[3, 3]", "f32[3, 4]") == (12, 0)  # the diagonal of the first


def test_einsum_that_sums_nothing_only_multiplies() -> None:
    assert einsum("i,j->ij", "f32[3]", "f32[5]") == (0, 15)
    assert einsum("bl,bld->bld", "f32[3, 5]", "f32[3, 5, 7]") == (0, 105)


def test_einsum_sums_lonely_indices_first() -> None:
    # k is in the first operand alone: 3*5*7 additions, then (i, j) with (j, l): 3*5*2 MACs
    assert einsum("ijk,jl->il", "f32[3, 5, 7]", "f32[5, 2]") == (30, 105)
    assert einsum("ij->j", "f32[3, 5]") == (0, 15)


def test_einsum_follows_the_path() -> None:
    chain = ("f32[2, 3]", "f32[3, 5]", "f32[5, 7]")
    assert einsum("ab,bc,cd->ad", *chain) == (2 * 3 * 5 + 2 * 5 * 7, 0)  # left to right
    assert einsum("ab,bc,cd->ad", *chain, path=(1, 2, 0, 1)) == (3 * 5 * 7 + 2 * 3 * 7, 0)


def test_einsum_broadcasts_sizes_of_one() -> None:
    assert einsum("ij,jk->ik", "f32[3, 1]", "f32[5, 7]") == (105, 0)


def test_einsum_says_what_does_not_fit() -> None:
    with pytest.raises(ModelError, match="names 2 operands, found 1"):
        einsum("ij,jk->ik", "f32[3, 5]")
    with pytest.raises(ModelError, match="does not fit an operand of 3 dimensions"):
        einsum("ij,jk->ik", "f32[3, 5, 2]", "f32[5, 7]")
    with pytest.raises(ModelError, match="equation"):
        cost("aten.einsum", {"tensors.0": "f32[3]"}, result="f32[3]")


def test_distances_are_not_macs() -> None:
    found = cost("aten.cdist", {"x1": "f32[2, 3, 8]", "x2": "f32[2, 5, 8]"}, result="f32[2, 3, 5]", p=2.0)
    assert (number(found.macs), number(found.other_ops)) == (0, 2 * 3 * 5 * 8 * 3)
