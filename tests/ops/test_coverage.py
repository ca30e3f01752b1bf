"""Every operator seen in the exported models of three zoos has a rule; rules are documented and users can add some."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxcost.errors import SpecError
from fxcost.ops import registry
from fxcost.ops.registry import KINDS, Call, OpCost, all_rules, find, rule
from tests.support.calls import cost, number

CENSUS = (Path(__file__).parents[1] / "data" / "op_census.txt").read_text(encoding="utf-8").split()


def test_every_operator_of_the_census_has_a_rule() -> None:
    assert [op for op in CENSUS if find(op) is None] == []


@pytest.mark.parametrize(
    ("op", "kind"),
    [
        ("aten.conv2d", "compute"),
        ("aten.linear", "compute"),
        ("aten.scaled_dot_product_attention", "compute"),
        ("aten.softmax.int", "compute"),
        ("aten.layer_norm", "compute"),
        ("aten.max_pool2d", "compute"),
        ("aten.upsample_bilinear2d.vec", "compute"),
        ("aten.batch_norm", "affine"),
        ("aten.add_.Tensor", "pointwise"),
        ("aten.gelu", "pointwise"),
        ("aten.to.dtype", "pointwise"),
        ("aten.dropout", "pointwise"),
        ("aten.cat", "movement"),
        ("aten.contiguous", "movement"),
        ("aten.embedding", "movement"),
        ("aten.arange.start", "movement"),
        ("aten.reshape", "view"),
        ("aten.chunk", "view"),
        ("aten._assert_tensor_metadata", "free"),
    ],
)
def test_kinds(op: str, kind: str) -> None:
    found = find(op)
    assert found is not None
    assert found.kind == kind


def test_rules_are_documented() -> None:
    for op, found in all_rules().items():
        assert found.kind in KINDS
        assert len(found.doc) > 10, op
        assert found.doc.strip()[-1] in ".", op


def test_users_add_rules_for_their_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RULES", dict(registry.all_rules()))  # no rule is left for other tests

    @rule("tests_only.scale_rows")
    def scale_rows(call: Call) -> OpCost:
        """One multiplication per element."""
        return OpCost(other_ops=call.result.numel)

    assert number(cost("tests_only.scale_rows", {"x": "f32[4, 8]"}, result="f32[4, 8]").other_ops) == 32
    rule("tests_only.scale_rows")(scale_rows)  # as where a notebook's cell is run again

    def another(call: Call) -> OpCost:
        """Two per element."""
        return OpCost(other_ops=call.result.numel * 2)

    with pytest.raises(SpecError, match=r"has two rules: scale_rows of tests\.ops\.test_coverage and another"):
        rule("tests_only.scale_rows")(another)
    with pytest.raises(SpecError, match=r"aten.relu has two rules: .* of fxcost.ops.elementwise and another"):
        rule("aten.relu")(another)


def test_rules_of_the_wrong_form_are_refused() -> None:
    def silent(call: Call) -> OpCost:
        return OpCost()

    with pytest.raises(SpecError, match="silent needs a docstring"):
        rule("tests_only.silent")(silent)
    for name in ("silent", "tests_only::silent", "tests_only.", "a.b.c.d"):
        with pytest.raises(SpecError, match=r"expected NAMESPACE\.NAME"):
            rule(name)
    with pytest.raises(SpecError, match=r"'pointwize' is not one of .*did you mean 'pointwise'"):
        rule("tests_only.silent", kind="pointwize")
