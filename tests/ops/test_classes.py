"""Classes of calls: what a runtime runs at one rate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fxcost.ir.graph import Attribute
from fxcost.ops.classes import class_of, known_classes
from tests.support.calls import call

IMAGE = {"input": "f32[N, 8, H, H]"}
CHANNELS = {"input": "f32[2, 8]", "running_mean": "f32[8]", "running_var": "f32[8]"}
ROWS = {"self": "f32[N, 8]"}


@pytest.mark.parametrize(
    ("op", "operands", "attrs", "expected"),
    [
        ("aten.conv2d", IMAGE | {"weight": "f32[8, 8, 3, 3]"}, {}, "conv"),
        ("aten.conv2d", IMAGE | {"weight": "f32[8, 8, 1, 3]"}, {}, "conv"),
        ("aten.conv2d", IMAGE | {"weight": "f32[8, 8, 1, 1]"}, {}, "conv_pointwise"),
        ("aten.conv2d", IMAGE | {"weight": "f32[8, 1, 3, 3]"}, {"groups": 8}, "conv_depthwise"),
        ("aten.conv2d", IMAGE | {"weight": "f32[16, 2, 3, 3]"}, {"groups": 4}, "conv_grouped"),
        ("aten.conv_transpose2d.input", IMAGE | {"weight": "f32[8, 8, 2, 2]"}, {}, "conv_transposed"),
        ("aten.convolution", IMAGE | {"weight": "f32[8, 8, 1, 1]"}, {"transposed": True}, "conv_transposed"),
        ("aten.mm", {"self": "f32[N, 8]", "mat2": "f32[8, 4]"}, {}, "matmul"),
        ("aten.batch_norm", CHANNELS, {"training": False}, "norm_batch"),
        ("aten.batch_norm", CHANNELS, {"training": True}, "norm"),
        ("aten.layer_norm", {"input": "f32[2, 8]"}, {}, "norm"),
        ("aten.max_pool2d", {"self": "f32[N, 8, H, H]"}, {}, "pool_max"),
        ("aten.adaptive_avg_pool2d", {"self": "f32[N, 8, H, H]"}, {}, "pool_average"),
        ("aten.relu_", ROWS, {}, "elementwise"),
        ("aten.add.Tensor", ROWS, {}, "elementwise"),
        ("aten.hardswish_", ROWS, {}, "elementwise_composed"),
        ("aten.silu_", ROWS, {}, "elementwise_transcendental"),
        ("aten.gelu", ROWS, {}, "elementwise_transcendental"),
        ("aten.pow.Tensor_Scalar", ROWS, {"exponent": 2}, "elementwise"),
        ("aten.pow.Tensor_Scalar", ROWS, {"exponent": 2.3}, "elementwise_transcendental"),
        ("aten.softmax.int", ROWS, {}, "reduce_softmax"),
        ("aten.sum.dim_IntList", ROWS, {}, "reduce"),
        ("aten.no_such_operator", ROWS, {}, "unknown"),
    ],
)
def test_class(op: str, operands: dict[str, str], attrs: dict[str, Attribute], expected: str) -> None:
    assert class_of(call(op, operands, result="f32[N, 8]", **attrs)) == expected
    assert expected in known_classes() | {"unknown"}


def test_a_product_by_a_parameter_is_linear() -> None:
    made = call("aten.linear", {"input": "f32[N, 8]", "weight": "f32[4, 8]", "bias": "f32[4]"}, result="f32[N, 4]")
    assert class_of(made) == "matmul"
    assert class_of(replace(made, roles=("activation", "parameter", "parameter"))) == "matmul_linear"
    # A bias alone makes no linear layer: the products are of activations.
    assert class_of(replace(made, roles=("activation", "activation", "parameter"))) == "matmul"
