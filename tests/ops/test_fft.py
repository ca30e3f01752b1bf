"""Fourier transforms: the radix-2 count at concrete lengths by hand, and the same as formulas of the length."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import const, symbol
from fxcost.ops.fft import ceil_log2
from tests.support.calls import cost, cost_of, number
from tests.support.torch_calls import meta, torch_call


@given(st.integers(1, 1 << 31))
def test_the_logarithm_is_rounded_up(size: int) -> None:
    exact = (size - 1).bit_length()
    assert evaluate(ceil_log2(symbol("S")), {"S": size}) == evaluate(ceil_log2(const(size)), {}) == exact
    assert 2**exact >= size
    assert exact == 0 or 2 ** (exact - 1) < size


@pytest.mark.parametrize(
    ("op", "shape", "complex_input", "arguments", "operations"),
    [
        # lines of 8 points: 5 * 8 * 3 each
        ("aten.fft_fft", (3, 8), True, {}, 3 * 120),
        ("aten.fft_fft", (8, 3), True, {"dim": 0}, 3 * 120),
        ("aten.fft_fft2", (2, 8, 16), True, {}, 2 * (16 * 120 + 8 * 5 * 16 * 4)),
        ("aten.fft_fftn", (4, 8), True, {}, 5 * 32 * (2 + 3)),
        ("aten.fft_fftn", (7, 4, 8), True, {"dim": [1, 2]}, 7 * 5 * 32 * (2 + 3)),
        ("aten.fft_rfft", (3, 8), False, {}, 3 * 60),
        ("aten.fft_irfft", (3, 5), True, {}, 3 * 60),  # back to 8 real points
        ("aten.fft_rfft2", (2, 8, 16), False, {}, (2 * (16 * 120 + 8 * 5 * 16 * 4)) // 2),
    ],
)
def test_transforms(
    op: str, shape: tuple[int, ...], complex_input: bool, arguments: dict[str, object], operations: int
) -> None:
    call = torch_call(op, meta(*shape, dtype=torch.complex64 if complex_input else torch.float32), **arguments)
    assert number(cost_of(call).other_ops) == operations
    assert number(cost_of(call).macs) == 0


def test_a_symbolic_length_gives_a_formula() -> None:
    found = cost("aten.fft_fft", {"self": "c64[N, S]"}, result="c64[N, S]", dim=-1).other_ops
    for length in (1, 2, 3, 64, 65, 1000):
        assert number(found, N=3, S=length) == 3 * 5 * length * math.ceil(math.log2(length))


def test_short_time_transform() -> None:
    # 11 frames of 16 points: half of 5 * 16 * 4, and 16 products with the window
    operands = {"self": "f32[N, 40]", "window": "f32[16]"}
    found = cost("aten.stft", operands, result="c64[N, 9, 11]", n_fft=16)
    assert number(found.other_ops, N=2) == 2 * 11 * (160 + 16)
    real = cost("aten.stft", operands, result="f32[N, 9, 11, 2]", n_fft=16)
    assert number(real.other_ops, N=2) == 2 * 11 * (160 + 16)
    back = cost("aten.istft", {"self": "c64[N, 9, 11]", "window": "f32[16]"}, result="f32[N, 40]", n_fft=16)
    assert number(back.other_ops, N=2) == 2 * 11 * (160 + 16 + 16)
