"""Normalisations: passes per element, by hand."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import symbol
from tests.support.calls import cost, number

N, S = symbol("N"), symbol("S")
CHANNELS = {"weight": "f32[8]", "bias": "f32[8]", "running_mean": "f32[8]", "running_var": "f32[8]"}


def test_eval_batch_norm_is_a_multiplication_and_an_addition() -> None:
    found = cost("aten.batch_norm", {"input": "f32[N, 8, 4, 4]", **CHANNELS}, result="f32[N, 8, 4, 4]", training=False)
    assert found.other_ops is N * 128 * 2
    assert found.scratch == ()
    bare = {"input": "f32[2, 8, 4, 4]", "running_mean": "f32[8]", "running_var": "f32[8]"}
    legit = cost("aten._native_batch_norm_legit_no_training", bare, result=("f32[2, 8, 4, 4]", "f32[0]", "f32[0]"))
    assert number(legit.other_ops) == 256 * 2


@pytest.mark.parametrize("op", ["aten.batch_norm", "aten._native_batch_norm_legit"])
def test_batch_norm_over_its_batch(op: str) -> None:
    # mean 1, variance 3, normalise 2, weight and bias 2
    found = cost(op, {"input": "f32[2, 8, 4, 4]", **CHANNELS}, result="f32[2, 8, 4, 4]", training=True)
    assert number(found.other_ops) == 256 * 8
    # mean and reciprocal deviation of 8 channels: inside the composite, results of the other
    assert sum(number(item.nbytes) for item in found.scratch) == (64 if op == "aten.batch_norm" else 0)


def test_without_running_statistics_the_batch_is_measured() -> None:
    found = cost("aten.batch_norm", {"input": "f32[2, 8, 4]"}, result="f32[2, 8, 4]", training=False)
    assert number(found.other_ops) == 64 * 6  # no weight, no bias


def test_layer_norm() -> None:
    operands = {"input": "f32[N, S, 16]", "weight": "f32[16]", "bias": "f32[16]"}
    found = cost("aten.layer_norm", operands, result="f32[N, S, 16]", normalized_shape=(16,))
    assert found.other_ops is N * S * 16 * 8
    assert found.scratch[0].nbytes is N * S * 2 * 4  # mean and rstd per token
    native = cost("aten.native_layer_norm", operands, result=("f32[N, S, 16]", "f32[N, S, 1]", "f32[N, S, 1]"))
    assert (native.other_ops, native.scratch) == (found.other_ops, ())


def test_statistics_are_as_wide_as_the_parameters() -> None:
    operands = {"input": "bf16[4, 16]", "weight": "f32[16]"}
    assert (
        number(cost("aten.layer_norm", operands, result="bf16[4, 16]", normalized_shape=(16,)).scratch[0].nbytes) == 32
    )
    bare = cost("aten.layer_norm", {"input": "bf16[4, 16]"}, result="bf16[4, 16]", normalized_shape=(4, 16))
    assert number(bare.scratch[0].nbytes) == 4


def test_group_and_instance_norm() -> None:
    groups = cost("aten.group_norm", {"input": "f32[2, 8, 4, 4]", "weight": "f32[8]", "bias": "f32[8]"},
                  result="f32[2, 8, 4, 4]", num_groups=4)  # fmt: skip
    assert number(groups.other_ops) == 256 * 8
    assert number(groups.scratch[0].nbytes) == 2 * 4 * 2 * 4
    instances = cost("aten.instance_norm", {"input": "f32[2, 8, 4, 4]"}, result="f32[2, 8, 4, 4]", use_input_stats=True)
    assert number(instances.other_ops) == 256 * 6
    assert number(instances.scratch[0].nbytes) == 2 * 8 * 2 * 4
    stored = cost("aten.instance_norm", {"input": "f32[2, 8, 4, 4]", **CHANNELS}, result="f32[2, 8, 4, 4]",
                  use_input_stats=False)  # fmt: skip
    assert number(stored.other_ops) == 256 * 2


def test_rms_norm() -> None:
    # square, add, multiply by the reciprocal root, multiply by the weight
    found = cost(
        "aten.rms_norm", {"input": "f32[N, 16]", "weight": "f32[16]"}, result="f32[N, 16]", normalized_shape=(16,)
    )
    assert found.other_ops is N * 16 * 4
    fused = cost("aten._fused_rms_norm", {"input": "f32[N, 16]"}, result=("f32[N, 16]", "f32[N, 1]"))
    assert (fused.other_ops, fused.scratch) == (N * 16 * 3, ())


def test_norms_of_vectors_and_weights() -> None:
    assert number(cost("aten.linalg_vector_norm", {"self": "f32[4, 8]"}, result="f32[4]").other_ops) == 64
    weights = cost("aten._weight_norm", {"v": "f32[4, 8]", "g": "f32[4, 1]"}, result="f32[4, 8]", dim=0)
    assert number(weights.other_ops) == 96
    assert number(weights.scratch[0].nbytes) == 16


def test_backward_pays_for_the_gradients_it_makes() -> None:
    operands = {"grad_out": "f32[4, 8]", "input": "f32[4, 8]", "mean": "f32[4, 1]", "rstd": "f32[4, 1]"}
    full = cost("aten.native_layer_norm_backward", operands, result="f32[4, 8]", output_mask=(True, True, True))
    bare = cost("aten.native_layer_norm_backward", operands, result="f32[4, 8]", output_mask=(True, False, False))
    assert number(full.other_ops) - number(bare.other_ops) == 32 * 3  # weight: multiply, add; bias: add
