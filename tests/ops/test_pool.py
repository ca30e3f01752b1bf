"""Pooling: window sizes, covered input, indices, by hand."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import symbol
from tests.support.calls import cost, number

N, H, W = symbol("N"), symbol("H"), symbol("W")


def test_max_pool() -> None:
    found = cost("aten.max_pool2d", {"self": "f32[N, 8, 2*H, 2*W]"}, result="f32[N, 8, H, W]", kernel_size=(2, 2),
                 stride=(), padding=(0, 0), dilation=(1, 1), ceil_mode=False)  # fmt: skip
    assert found.other_ops is N * 8 * H * W * 4
    assert found.reads == {0: N * 8 * 4 * H * W}
    # the int64 index of every maximum lives inside
    assert [(item.nbytes, item.runtime) for item in found.scratch] == [(N * 8 * H * W * 8, "torch-cpu")]


def test_odd_sizes_leave_a_row_unread() -> None:
    # 7x7, windows of 2x2: rows 0-5 are looked at, row 6 is not.
    attrs = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    down = cost("aten.avg_pool2d", {"self": "f32[1, 1, 7, 7]"}, result="f32[1, 1, 3, 3]", ceil_mode=False, **attrs)
    assert number(down.reads[0]) == 36
    up = cost("aten.avg_pool2d", {"self": "f32[1, 1, 7, 7]"}, result="f32[1, 1, 4, 4]", ceil_mode=True, **attrs)
    assert number(up.reads[0]) == 49


def test_gaps_between_windows_are_not_read() -> None:
    # windows of 1 every 3: positions 0, 3, 6 of 8
    found = cost("aten.avg_pool1d", {"self": "f32[2, 5, 8]"}, result="f32[2, 5, 3]", kernel_size=(1,), stride=(3,))
    assert number(found.reads[0]) == 2 * 5 * 3
    assert number(found.other_ops) == 2 * 5 * 3


@pytest.mark.parametrize(
    ("op", "scratch"),
    [("aten.max_pool1d", 0), ("aten.max_pool2d_with_indices", 0), ("aten.max_pool3d", 64), ("aten.avg_pool3d", 0)],
)
def test_only_composites_keep_indices_inside(op: str, scratch: int) -> None:
    rank = int(op[op.index("d") - 1]) if op[op.index("d") - 1].isdigit() else 1
    shape = ", ".join(["1", "1", *["4"] * rank])
    result = ", ".join(["1", "1", *["2"] * rank])
    found = cost(op, {"self": f"f32[{shape}]"}, result=f"f32[{result}]", kernel_size=(2,), stride=(2,), padding=(0,))
    assert sum(number(item.nbytes) for item in found.scratch) == scratch  # 8 outputs of 8 bytes in three dimensions
    assert number(found.other_ops) == 4**rank  # 2**rank outputs, 2**rank window positions each


def test_adaptive_pool_over_everything() -> None:
    found = cost("aten.adaptive_avg_pool2d", {"self": "f32[N, 8, H, W]"}, result="f32[N, 8, 1, 1]", output_size=(1, 1))
    assert found.other_ops is N * 8 * H * W
    assert found.reads == {}


def test_adaptive_windows_overlap_where_sizes_do_not_divide() -> None:
    # 5 -> 3: windows [0,2) [1,4) [3,5) have 2 + 3 + 2 = 7 elements; 6 -> 3: 2 + 2 + 2
    found = cost("aten.adaptive_avg_pool2d", {"self": "f32[1, 1, 5, 6]"}, result="f32[1, 1, 3, 3]", output_size=(3, 3))
    assert number(found.other_ops) == 7 * 6


def test_backward_does_not_read_the_input() -> None:
    operands = {"grad_output": "f32[1, 1, 2, 2]", "self": "f32[1, 1, 4, 4]"}
    for op, per_element in (("aten.max_pool2d_with_indices_backward", 1), ("aten.avg_pool2d_backward", 4)):
        found = cost(op, operands, result="f32[1, 1, 4, 4]", kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))
        assert number(found.other_ops) == 4 * per_element
        assert number(found.reads[1]) == 0
    found = cost("aten._adaptive_avg_pool2d_backward", operands, result="f32[1, 1, 4, 4]")
    assert number(found.other_ops) == 16
