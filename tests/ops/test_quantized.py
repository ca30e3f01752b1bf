"""Integer products and convolutions with packed weights."""

from __future__ import annotations

import pytest

from tests.support.calls import cost, number


@pytest.mark.parametrize("op", ["quantized.linear_dynamic", "quantized.linear_relu_dynamic"])
def test_a_dynamic_product_quantises_its_input(op: str) -> None:
    found = cost(op, {"X": "f32[N, 7, 32]"}, result="f32[N, 7, 10]")
    assert number(found.macs, N=2) == 2 * 7 * 32 * 10
    # input: multiply, round, shift, clamp twice; result: rescale and shift
    assert number(found.other_ops, N=2) == 2 * 7 * (32 * 5 + 10 * 2)


def test_a_static_product() -> None:
    found = cost("quantized.linear", {"X": "u8[N, 32]"}, result="u8[N, 10]")
    assert number(found.macs, N=2) == 2 * 32 * 10
    assert number(found.other_ops, N=2) == 2 * 10 * 2


def test_a_convolution_counts_its_packed_weight() -> None:
    operands = {"qx": "u8[N, 8, 10, 10]", "packed_weight.weight": "i8[16, 4, 3, 3]"}
    found = cost("quantized.conv2d", operands, result="u8[N, 16, 8, 8]")
    assert number(found.macs, N=1) == 16 * 8 * 8 * 4 * 9


def test_pairs_around_integer_graphs() -> None:
    found = cost("quantized_decomposed.choose_qparams", {"input": "f32[N, 8]"}, result=("f64[1]", "i64[1]"))
    assert number(found.other_ops, N=3) == 3 * 8 * 2
    found = cost("quantized_decomposed.quantize_per_token", {"input": "f32[N, 8]"}, result="i8[N, 8]")
    assert number(found.other_ops, N=3) == 3 * 8 * 5
