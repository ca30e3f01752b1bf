"""Reductions, softmax, scans: per input element."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import symbol
from tests.support.calls import cost, number

N = symbol("N")


@pytest.mark.parametrize(
    ("op", "per_input"),
    [
        ("aten.sum.dim_IntList", 1),
        ("aten.mean.dim", 1),
        ("aten.amax", 1),
        ("aten.argmax", 1),
        ("aten.max.dim", 1),
        ("aten.cumsum", 1),
        ("aten.var.correction", 4),  # mean: add; variance: subtract, multiply, add
        ("aten.logsumexp", 18),  # maximum, subtract, exp (15), sum
        ("aten.softmax.int", 19),  # and a division
        ("aten._softmax", 19),
        ("aten.log_softmax.int", 19),
        ("aten.sort", 1),
        ("aten.topk", 1),
        ("aten.any", 1),
        ("aten.histc", 1),
    ],
)
def test_operations_per_input_element(op: str, per_input: int) -> None:
    found = cost(op, {"self": "f32[N, 8]"}, result="f32[N]", dim=-1)
    assert found.other_ops is N * 8 * per_input
    assert (found.reads, found.writes) == ({}, {})


def test_differences() -> None:
    assert number(cost("aten.diff", {"self": "f32[4, 8]"}, result="f32[4, 7]", n=1).other_ops) == 28


def test_similarities() -> None:
    # three dot products over 4*8 elements: six operations each; a root and a division per row
    found = cost("aten.cosine_similarity", {"x1": "f32[4, 8]", "x2": "f32[8]"}, result="f32[4]")
    assert number(found.other_ops) == 32 * 6 + 4 * 2
    assert (
        number(cost("aten.pairwise_distance", {"x1": "f32[4, 8]", "x2": "f32[4, 8]"}, result="f32[4]").other_ops) == 128
    )
