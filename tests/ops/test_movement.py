"""Copies, gathers and scatters: which elements are touched."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import ZERO, symbol
from fxcost.ops.registry import OpCost
from tests.support.calls import cost, number

N, S = symbol("N"), symbol("S")
NOTHING = OpCost()


def test_plain_copies_touch_everything_once() -> None:
    assert cost("aten.cat", {"tensors.0": "f32[N, 3]", "tensors.1": "f32[N, 5]"}, result="f32[N, 8]") == NOTHING
    assert cost("aten.roll", {"self": "f32[N, 8]"}, result="f32[N, 8]") == NOTHING
    assert cost("aten.repeat", {"self": "f32[8]"}, result="f32[N, 8]") == NOTHING  # the source's elements, once


@pytest.mark.parametrize(
    ("op", "operands", "result", "taken"),
    [
        ("aten.gather", {"self": "f32[100, 8]", "index": "i64[3, 8]"}, "f32[3, 8]", 24),
        ("aten.index_select", {"self": "f32[100, 8]", "index": "i64[3]"}, "f32[3, 8]", 24),
        ("aten.index.Tensor", {"self": "f32[100, 8]", "indices.0": "i64[5]"}, "f32[5, 8]", 40),
        ("aten.masked_select", {"self": "f32[100]", "mask": "bool[100]"}, "f32[7]", 7),
        ("aten.slice_copy.Tensor", {"self": "f32[100]"}, "f32[7]", 7),
    ],
)
def test_gathers_read_what_they_take(op: str, operands: dict[str, str], result: str, taken: int) -> None:
    assert number(cost(op, operands, result=result).reads[0]) == taken


def test_stores_that_overwrite_do_not_read() -> None:
    assert cost("aten.copy_", {"self": "f32[8]", "src": "f32[8]"}, result="f32[8]").reads == {0: ZERO}
    assert cost("aten.fill_.Scalar", {"self": "f32[8]"}, result="f32[8]").reads == {0: ZERO}
    assert cost("aten.zero_", {"self": "f32[8]"}, result="f32[8]").reads == {0: ZERO}


def test_index_put() -> None:
    # indices of 5 rows in a 100x8 table: 40 places
    operands = {"self": "f32[100, 8]", "indices.0": "i64[5]", "values": "f32[5, 8]"}
    place = cost("aten.index_put_", operands, result="f32[100, 8]", accumulate=False)
    assert (number(place.reads[0]), number(place.writes[0]), number(place.other_ops)) == (0, 40, 0)
    adding = cost("aten.index_put_", operands, result="f32[100, 8]", accumulate=True)
    assert (number(adding.reads[0]), number(adding.writes[0]), number(adding.other_ops)) == (40, 40, 40)
    assert cost("aten.index_put", operands, result="f32[100, 8]", accumulate=False) == NOTHING
    # two index tensors, broadcast against each other: 3 x 4 places of single elements; the first dimension is free
    both = {"self": "f32[2, 9, 9]", "indices.1": "i64[3, 1]", "indices.2": "i64[4]", "values": "f32[]"}
    assert number(cost("aten.index_put_", both, result="f32[2, 9, 9]").writes[0]) == 24
    mask = {"self": "f32[100]", "indices.0": "bool[100]", "values": "f32[]"}
    assert number(cost("aten.index_put_", mask, result="f32[100]").writes[0]) == 100  # how many is data: all


def test_scatter() -> None:
    operands = {"self": "f32[100, 8]", "index": "i64[3, 8]", "src": "f32[5, 8]"}
    place = cost("aten.scatter_.src", operands, result="f32[100, 8]", dim=0)
    assert {k: number(v) for k, v in place.reads.items()} == {0: 0, 2: 24}
    assert number(place.writes[0]) == 24
    added = cost("aten.scatter_add", operands, result="f32[100, 8]", dim=0)
    assert (number(added.other_ops), added.writes) == (24, {})
    rows = cost(
        "aten.index_add_", {"self": "f32[100, 8]", "index": "i64[3]", "source": "f32[3, 8]"}, result="f32[100, 8]"
    )
    assert (number(rows.other_ops), number(rows.writes[0])) == (24, 24)
    filled = cost(
        "aten.index_fill_.int_Scalar", {"self": "f32[100, 8]", "index": "i64[3]"}, result="f32[100, 8]", dim=0
    )
    assert number(filled.writes[0]) == 24


def test_replaced_slices() -> None:
    found = cost("aten.slice_scatter", {"self": "f32[10, 8]", "src": "f32[3, 8]"}, result="f32[10, 8]")
    assert number(found.reads[0]) == 56  # the part that stays


def test_padding() -> None:
    assert cost("aten.pad", {"self": "f32[N, 8]"}, result="f32[N, 11]", pad=(1, 2)).reads == {0: N * 8}
    # -2 at the right cuts two columns of the last dimension; +1 row in front reads nothing more
    cut = cost("aten.constant_pad_nd", {"self": "f32[4, 8]"}, result="f32[5, 6]", pad=(0, -2, 1, 0))
    assert number(cut.reads[0]) == 24


def test_windows_as_columns() -> None:
    # 7x7, kernel 2, stride 2: rows and columns 0-5
    attrs = {"kernel_size": (2, 2), "dilation": (1, 1), "padding": (0, 0), "stride": (2, 2)}
    found = cost("aten.im2col", {"self": "f32[1, 3, 7, 7]"}, result="f32[1, 12, 9]", **attrs)
    assert number(found.reads[0]) == 3 * 36
    back = cost("aten.col2im", {"self": "f32[1, 12, 9]"}, result="f32[1, 3, 7, 7]", output_size=(7, 7), **attrs)
    assert number(back.other_ops) == 108


def test_backward_of_padding_adds() -> None:
    operands = {"grad_output": "f32[1, 6, 6]", "self": "f32[1, 4, 4]"}
    found = cost("aten.reflection_pad2d_backward", operands, result="f32[1, 4, 4]", padding=(1, 1, 1, 1))
    assert number(found.other_ops) == 36
    assert found.reads == {1: ZERO}
