"""Embeddings: rows taken, not the table."""

from __future__ import annotations

from fxcost.ir.expr import symbol
from fxcost.ops.registry import find
from tests.support.calls import cost, number

N, S = symbol("N"), symbol("S")


def test_embedding_reads_one_row_per_index() -> None:
    found = cost("aten.embedding", {"weight": "f32[50257, 768]", "indices": "i64[N, S]"}, result="f32[N, S, 768]")
    assert found.reads == {0: N * S * 768}
    assert (number(found.macs), number(found.other_ops)) == (0, 0)
    rule = find("aten.embedding")
    assert rule is not None
    assert (rule.kind, rule.family) == ("movement", "embedding")


def test_bags_add_their_rows() -> None:
    operands = {"weight": "f32[100, 8]", "indices": "i64[6]", "offsets": "i64[2]"}
    results = ("f32[2, 8]", "i64[0]", "i64[0]", "i64[0]")
    plain = cost("aten.embedding_bag.padding_idx", operands, result=results)
    assert (number(plain.other_ops), number(plain.reads[0])) == (48, 48)
    weighted = cost("aten._embedding_bag", operands | {"per_sample_weights": "f32[6]"}, result=results)
    assert number(weighted.other_ops) == 96


def test_gradient_of_the_table_is_dense() -> None:
    operands = {"grad_output": "f32[6, 8]", "indices": "i64[6]"}
    found = cost("aten.embedding_dense_backward", operands, result="f32[100, 8]")
    assert number(found.other_ops) == 48
    assert found.writes == {}
