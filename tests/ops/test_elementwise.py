"""Pointwise operators: operations per element, and what depends on arguments."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import ZERO, symbol
from fxcost.ir.graph import Attribute
from fxcost.ops import arithmetic
from fxcost.ops.registry import all_rules
from tests.support.calls import call, cost, number

N = symbol("N")
TEN = "f32[2, 5]"


def operations(op: str, operands: dict[str, str] | None = None, **attrs: Attribute) -> int:
    """Other operations per result element of a ten-element call."""
    found = number(cost(op, operands or {"self": TEN}, result=TEN, **attrs).other_ops)
    assert found % 10 == 0
    return found // 10


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("aten.relu", 1),
        ("aten.relu_", 1),
        ("aten.mul.Tensor", 1),
        ("aten.maximum", 1),
        ("aten.max.other", 1),
        ("aten.eq.Scalar", 1),
        ("aten.where.self", 1),
        ("aten.sqrt", 1),
        ("aten.rsqrt", 2),
        ("aten.clamp", 2),
        ("aten.leaky_relu_", 2),
        ("aten.hardswish_", 3),  # hard activations count 3, by convention
        ("aten.hardtanh", 3),
        ("aten.hardsigmoid", 3),
        ("aten.lerp.Scalar", 3),
        ("aten.addcmul", 3),
        ("aten.exp", 15),
        ("aten.tanh", 15),
        ("aten.sigmoid", 18),  # 1 / (1 + exp(-x)): negate, exp, add, divide
        ("aten.silu_", 19),  # and a multiplication
        ("aten.gelu", 19),  # 0.5 * x * (1 + erf(x * c)): erf, three multiplications, an addition
        ("aten.softplus", 31),  # log(1 + exp(x))
        ("aten.mish", 47),  # softplus, tanh, multiply
        ("aten.positive", 0),
        ("aten._to_copy", 0),
    ],
)
def test_operations_per_element(op: str, expected: int) -> None:
    assert operations(op) == expected


def test_one_exponential_by_the_documented_polynomial() -> None:
    # round(x * log2 e); x - n * ln 2; degree 5 by Horner; scale by 2**n
    assert arithmetic.TRANSCENDENTAL == 2 + 2 + 2 * 5 + 1


def test_symbolic_sizes() -> None:
    assert cost("aten.gelu", {"self": "f32[N, 8]"}, result="f32[N, 8]").other_ops is N * 8 * 19


def test_broadcast_counts_result_elements() -> None:
    found = cost("aten.add.Tensor", {"self": "f32[N, 8]", "other": "f32[8]"}, result="f32[N, 8]", alpha=1)
    assert found.other_ops is N * 8
    assert (found.reads, found.writes) == ({}, {})  # each operand's own elements, once


def test_alpha_costs_a_multiplication() -> None:
    assert operations("aten.add.Tensor", {"self": TEN, "other": TEN}, alpha=1) == 1
    assert operations("aten.sub.Tensor", {"self": TEN, "other": TEN}, alpha=0.5) == 2


@pytest.mark.parametrize(
    ("exponent", "expected"), [(2, 1), (2.0, 1), (3, 2), (0.5, 1), (-1, 1), (-0.5, 2), (1.7, 31), (4, 31)]
)
def test_powers_by_exponent(exponent: float, expected: int) -> None:
    assert operations("aten.pow.Tensor_Scalar", exponent=exponent) == expected


def test_other_powers() -> None:
    assert operations("aten.pow.Tensor_Tensor", {"self": TEN, "exponent": TEN}) == 31  # exp(y * log(x))
    assert operations("aten.pow.Scalar", {"exponent": TEN}) == 16  # exp(y * constant)
    assert operations("aten.gelu", approximate="tanh") == 23


def test_glu_halves_its_input() -> None:
    found = cost("aten.glu", {"self": "f32[2, 10]"}, result=TEN, dim=-1)
    assert number(found.other_ops) == 10 * 19
    assert all_rules()["aten.glu"].kind == "compute"


def test_dropout_does_nothing_in_evaluation() -> None:
    off = cost("aten.dropout", {"input": TEN}, result=TEN, p=0.5, train=False)
    assert (off.other_ops, off.reads, off.writes) == (ZERO, {0: ZERO}, {0: ZERO})
    assert operations("aten.dropout", {"input": TEN}, p=0.5, train=True) == 2
    assert operations("aten.native_dropout", {"input": TEN}, p=0.5, train=True) == 2


def test_casts() -> None:
    wider = cost("aten.to.dtype", {"self": "f16[8]"}, result="f32[8]", dtype="f32", copy=False)
    assert (wider.other_ops, wider.reads) == (ZERO, {})
    same = cost("aten.to.dtype", {"self": "f32[8]"}, result="f32[8]", dtype="f32", copy=False)
    assert (same.reads, same.writes) == ({0: ZERO}, {0: ZERO})
    copied = cost("aten.to.dtype", {"self": "f32[8]"}, result="f32[8]", dtype="f32", copy=True)
    assert copied.reads == {}
    like = cost("aten.type_as", {"self": "f16[8]", "other": "f32[999]"}, result="f32[8]")
    assert like.reads == {1: ZERO}  # only its type is looked at


def test_quantise() -> None:
    assert operations("quantized_decomposed.quantize_per_tensor", {"input": TEN}) == 5
    assert operations("quantized_decomposed.dequantize_per_tensor", {"input": TEN}) == 2


def test_numbers_become_tensors_first() -> None:
    operands = {"condition": "bool[2, 5]", "self": TEN}
    found = cost("aten.where.ScalarOther", operands, result=TEN, other=0.0)
    assert [number(item.nbytes) for item in found.scratch] == [4]


def test_every_pointwise_rule_counts_alike_for_any_shape() -> None:
    # Ten elements cost ten times one element, whatever the operator.
    slots = dict.fromkeys(("self", "input", "other", "grad_output", "exponent"), TEN)
    ones = dict.fromkeys(slots, "f32[]")
    for op, rule in all_rules().items():
        if rule.kind == "pointwise":
            ten = rule.function(call(op, slots, result=TEN)).other_ops
            one = rule.function(call(op, ones, result="f32[]")).other_ops
            assert ten is one * 10, op
