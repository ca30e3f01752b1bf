"""Tensors from nothing: written, not read."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import ZERO
from tests.support.calls import cost


@pytest.mark.parametrize("op", ["aten.zeros_like", "aten.new_ones", "aten.full_like", "aten.rand_like", "aten.normal_"])
def test_filled_tensors_read_nothing(op: str) -> None:
    found = cost(op, {"self": "f32[4, 8]"}, result="f32[4, 8]")
    assert (found.reads, found.writes) == ({0: ZERO}, {})


def test_from_numbers_alone() -> None:
    assert cost("aten.arange", {}, result="i64[8]", end=8).writes == {}


def test_empty_tensors_are_not_written() -> None:
    assert cost("aten.empty_like", {"self": "f32[4]"}, result="f32[4]").writes == {0: ZERO}
    assert cost("aten.empty.memory_format", {}, result="f32[4]").writes == {0: ZERO}


def test_probabilities_are_read() -> None:
    assert cost("aten.bernoulli", {"self": "f32[4]"}, result="f32[4]").reads == {}
