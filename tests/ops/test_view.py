"""Views and what is free: no work, no traffic."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import ZERO
from fxcost.ops.registry import OpCost, all_rules, find
from tests.support.calls import call, cost


@pytest.mark.parametrize(
    "op", ["aten.view", "aten.slice.Tensor", "aten.expand", "aten.unsqueeze_", "aten.meshgrid.indexing"]
)
def test_views_touch_nothing(op: str) -> None:
    found = cost(op, {"self": "f32[4, 8]"}, result="f32[8, 4]")
    assert (found.reads, found.writes) == ({0: ZERO}, {0: ZERO})
    assert (found.macs, found.other_ops) == (ZERO, ZERO)


def test_several_results() -> None:
    found = cost("aten.split.Tensor", {"self": "f32[4, 8]"}, result=("f32[2, 8]", "f32[2, 8]"))
    assert found.writes == {0: ZERO, 1: ZERO}


def test_reshape_charges_the_copy_that_the_storage_pass_may_find() -> None:
    assert cost("aten.reshape", {"self": "f32[4, 8]"}, result="f32[8, 4]") == OpCost()
    assert cost("aten.reshape_as", {"self": "f32[4, 8]", "other": "f32[8, 4]"}, result="f32[8, 4]").reads == {1: ZERO}


FREE = "_operator.getitem _operator.floordiv math.ceil torch.sym_max aten.sym_size.int aten._assert_tensor_metadata"


@pytest.mark.parametrize("op", [*FREE.split(), "aten.item", "profiler._record_function_exit"])
def test_size_arithmetic_is_free(op: str) -> None:
    rule = find(op)
    assert rule is not None
    assert rule.kind == "free"


def test_every_view_and_free_rule_does_no_work() -> None:
    for op, rule in all_rules().items():
        if rule.kind in {"view", "free"}:
            found = rule.function(call(op, {"self": "f32[4, 8]"}, result="f32[4, 8]"))
            assert (found.macs, found.other_ops) == (ZERO, ZERO), op
