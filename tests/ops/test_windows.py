"""Covered input elements, against masks painted window by window."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fxcost.ir.expr import Expr, const, symbol
from fxcost.ops.windows import adaptive_window_total, covered, windows_out
from tests.support.calls import cost, number

H = symbol("H")


def painted(size: int, count: int, kernel: int, stride: int, dilation: int, before: int) -> int:
    """Distinct input positions under the windows, counted on a mask."""
    mask = np.zeros(size, dtype=bool)
    for o in range(count):
        for j in range(kernel):
            position = o * stride + j * dilation - before
            if 0 <= position < size:
                mask[position] = True
    return int(mask.sum())


def covered_by(size: Expr, kernel: int, stride: int, dilation: int, before: int, after: int) -> Expr:
    """`covered` for as many windows as fit."""
    k, s, d, low, high = map(const, (kernel, stride, dilation, before, after))
    return covered(size, windows_out(size, k, s, d, low + high), k, s, d, low, high)


def count_of(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


windows = st.tuples(
    st.integers(1, 30), st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(0, 6), st.integers(0, 6)
)


@settings(max_examples=400)
@given(windows)
@example((7, 1, 2, 1, 0, 0))  # a strided 1x1 kernel skips every other element
@example((12, 3, 2, 3, 0, 1))  # stride and dilation without a common divisor
@example((9, 3, 4, 2, 1, 0))
def test_covered_equals_the_painted_mask(made: tuple[int, ...]) -> None:
    size, kernel, stride, dilation, before, after = made
    count = count_of(size, kernel, stride, dilation, before + after)
    if count < 1:
        return
    expected = painted(size, count, kernel, stride, dilation, before)
    assert covered_by(const(size), kernel, stride, dilation, before, after).constant == expected
    # The same formula with a symbolic size, then the number put in.
    assert number(covered_by(H, kernel, stride, dilation, before, after), H=size) == expected


@settings(max_examples=200)
@given(windows)
def test_rounding_up_covers_the_tail(made: tuple[int, ...]) -> None:
    size, kernel, stride, dilation, before, _ = made
    before = min(before, kernel // 2)  # what torch allows for pooling
    reach = size + 2 * before - dilation * (kernel - 1) - 1
    if reach < 0:
        return
    count = -(-reach // stride) + 1
    if (count - 1) * stride >= size + before:  # torch drops a window that starts beyond the input
        count -= 1
    k, s, d, low = map(const, (kernel, stride, dilation, before))
    expected = painted(size, count, kernel, stride, dilation, before)
    assert covered(const(size), const(count), k, s, d, low, None).constant == expected


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding", "expected"),
    [
        (3, 1, 1, 1, H),  # same padding
        (3, 2, 1, 1, H),  # padding swallows what rounding down leaves over
        (7, 2, 1, 3, H),
        (1, 2, 1, 0, (H + 1) // 2),  # a strided 1x1 kernel: every other element
        (2, 2, 1, 0, H // 2 * 2),  # an odd last element is not looked at
        (16, 16, 1, 0, H // 16 * 16),  # patches
        (3, 1, 2, 2, H),  # dilated, same padding
    ],
)
def test_formulas_of_common_layers(kernel: int, stride: int, dilation: int, padding: int, expected: Expr) -> None:
    assert covered_by(H, kernel, stride, dilation, padding, padding) is expected


def test_symbolic_kernels_fall_back_to_the_whole_input() -> None:
    assert covered(H, H, symbol("K"), const(1), const(1), const(0), const(0)) is H


@given(st.integers(1, 60), st.integers(1, 40))
def test_adaptive_windows_add_up(size: int, count: int) -> None:
    # window i of an adaptive pool is [floor(i*size/count), ceil((i+1)*size/count))
    expected = sum(ceil((i + 1) * size / count) - i * size // count for i in range(count))
    assert adaptive_window_total(const(size), const(count)).constant == expected
    symbolic = number(adaptive_window_total(H, const(count)), H=size)
    assert symbolic == expected if count <= 16 else symbolic >= expected


def test_adaptive_windows_of_divisible_sizes_do_not_overlap() -> None:
    assert adaptive_window_total(7 * H, const(7)) is 7 * H
    assert adaptive_window_total(H, const(1)) is H
    assert adaptive_window_total(H, symbol("K")) is H + symbol("K") - 1


def test_dimensions_multiply() -> None:
    # 5x8, kernel 1x3, stride 2x4: rows 0, 2, 4 and columns 0-2, 4-6 are looked at: 3 * 6 of 40.
    operands = {"input": "f32[1, 1, 5, 8]", "weight": "f32[1, 1, 1, 3]"}
    found = cost("aten.conv2d", operands, result="f32[1, 1, 3, 2]", stride=(2, 4), padding=0, dilation=1, groups=1)
    assert number(found.reads[0]) == 18
