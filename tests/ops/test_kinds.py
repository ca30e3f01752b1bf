"""What a call is where its arguments decide."""

from __future__ import annotations

import pytest

from fxcost.ir.graph import Attribute
from fxcost.ops.kinds import kind_of
from tests.support.calls import call

CHANNELS = {"input": "f32[2, 8]", "running_mean": "f32[8]", "running_var": "f32[8]"}


@pytest.mark.parametrize(
    ("op", "operands", "attrs", "kind"),
    [
        ("aten.dropout", {"input": "f32[2, 8]"}, {"train": False}, "view"),
        ("aten.dropout_", {"self": "f32[2, 8]"}, {"train": True}, "pointwise"),
        ("aten.feature_dropout", {"input": "f32[2, 8]"}, {"train": False}, "view"),
        ("aten.batch_norm", CHANNELS, {"training": False}, "affine"),
        ("aten.batch_norm", CHANNELS, {"training": True}, "compute"),
        ("aten._native_batch_norm_legit_no_training", CHANNELS, {}, "affine"),
        ("aten.to.dtype", {"self": "f32[2, 8]"}, {}, "view"),
        ("aten.to.dtype", {"self": "f16[2, 8]"}, {}, "pointwise"),
        ("aten.type_as", {"self": "f32[2, 8]", "other": "f32[1]"}, {}, "view"),
        ("aten.add.Tensor", {"self": "f32[2, 8]"}, {}, "pointwise"),
        ("aten.no_such_operator", {"self": "f32[2, 8]"}, {}, None),
    ],
)
def test_kind(op: str, operands: dict[str, str], attrs: dict[str, Attribute], kind: str | None) -> None:
    assert kind_of(call(op, operands, result="f32[2, 8]", **attrs)) == kind
