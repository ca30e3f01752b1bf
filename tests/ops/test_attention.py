"""Attention: both products dense, causal pairs apart, the fast paths of torch, by hand."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import const, symbol
from fxcost.ops.attention import causal_pairs
from tests.support.calls import cost, number

N, S, T = symbol("N"), symbol("S"), symbol("T")
SDPA = "aten.scaled_dot_product_attention"


def heads(query: str, key: str, value: str, **others: str) -> dict[str, str]:
    return {"query": query, "key": key, "value": value, **others}


def test_both_products() -> None:
    found = cost(SDPA, heads("f32[N, 8, S, 64]", "f32[N, 8, T, 64]", "f32[N, 8, T, 32]"), result="f32[N, 8, S, 32]")
    assert found.macs is N * 8 * S * T * 96
    assert found.formula == "N*Hq*S*T*(Dk + Dv)"
    assert found.causal_macs is None
    # scaling 1, softmax 19 (15 for exp, and maximum, subtract, sum, divide) per score
    assert found.other_ops is N * 8 * S * T * 20


def test_grouped_queries_change_nothing() -> None:
    few = heads("f32[N, 8, S, 64]", "f32[N, 2, S, 64]", "f32[N, 2, S, 64]")
    assert cost(SDPA, few, result="f32[N, 8, S, 64]", enable_gqa=True).macs is N * 8 * S * S * 128


def test_mask_adds_one_per_score() -> None:
    operands = heads(*("f32[1, 1, 4, 8]",) * 3, attn_mask="f32[4, 4]")
    assert number(cost(SDPA, operands, result="f32[1, 1, 4, 8]").other_ops) == 16 * 21


def test_causal() -> None:
    square = cost(SDPA, heads(*("f32[N, 8, S, 64]",) * 3), result="f32[N, 8, S, 64]", is_causal=True)
    assert square.macs is N * 8 * S * S * 128  # dense all the same
    # 5 queries: 1 + 2 + 3 + 4 + 5 = 15 pairs
    assert number(square.causal_macs, N=1, S=5) == 8 * 15 * 128


@pytest.mark.parametrize("queries", range(1, 7))
@pytest.mark.parametrize("keys", range(1, 7))
def test_causal_pairs_against_a_drawn_mask(queries: int, keys: int) -> None:
    # The last query sees every key, each earlier one a key less.
    drawn = sum(max(0, keys - (queries - 1 - row)) for row in range(queries))
    assert causal_pairs(const(queries), const(keys)).constant == drawn
    if keys >= queries:
        assert drawn == queries * keys - queries * (queries - 1) // 2


def test_one_query_of_a_cache_sees_every_key() -> None:
    assert causal_pairs(const(1), T) is T


def test_other_ranks() -> None:
    three = cost(SDPA, heads(*("f32[8, S, 64]",) * 3), result="f32[8, S, 64]")
    assert three.macs is 8 * S * S * 128
    two = cost(SDPA, heads(*("f32[S, 64]",) * 3), result="f32[S, 64]")
    assert two.macs is S * S * 128
    five = cost(SDPA, heads(*("f32[2, 3, 8, S, 64]",) * 3), result="f32[2, 3, 8, S, 64]")
    assert five.macs is 48 * S * S * 128


def test_the_fused_kernel_keeps_a_logsumexp_and_no_scores() -> None:
    fused = cost(SDPA, heads(*("f32[N, 8, S, 64]",) * 3), result="f32[N, 8, S, 64]")
    assert [(item.what, item.nbytes) for item in fused.scratch] == [("logsumexp", N * 8 * S * 4)]
    # Three dimensions: the CPU has no fused kernel; 5*6 scores twice and the scaled query (result and query: 5*4).
    plain = cost(SDPA, heads("f32[2, 5, 4]", "f32[2, 6, 4]", "f32[2, 6, 4]"), result="f32[2, 5, 4]")
    assert number(plain.scratch[0].nbytes) == 2 * (2 * 5 * 6 + 5 * 4 - 5 * 4) * 4


def test_kernels_and_backward() -> None:
    operands = heads(*("f32[N, 8, S, 64]",) * 3)
    for kernel in ("flash_attention_for_cpu", "efficient_attention", "attention_math"):
        assert (
            cost(f"aten._scaled_dot_product_{kernel}", operands, result="f32[N, 8, S, 64]").macs is N * 8 * S * S * 128
        )
    backward = cost("aten._scaled_dot_product_flash_attention_for_cpu_backward",
                    {"grad_out": "f32[N, 8, S, 64]", **operands}, result=("f32[N, 8, S, 64]",) * 3)  # fmt: skip
    assert backward.macs is N * 8 * S * S * 5 * 64  # five products
    assert backward.formula == "N*Hq*S*T*(3*Dk + 2*Dv)"


def test_fast_path_of_the_encoder_layer() -> None:
    # E = 8, F = 12: projections 3*E*E + E*E per token, two products of S*S*E, two linear layers of E*F
    operands = {"src": "f32[N, S, 8]", "ffn_weight_1": "f32[12, 8]"}
    found = cost("aten._transformer_encoder_layer_fwd", operands, result="f32[N, S, 8]", num_heads=2, use_gelu=True)
    assert found.macs is N * S * 4 * 64 + N * S * S * 2 * 8 + N * S * 2 * 96


def test_fast_path_of_multi_head_attention() -> None:
    operands = heads("f32[N, S, 8]", "f32[N, T, 8]", "f32[N, T, 8]")
    found = cost("aten._native_multi_head_attention", operands, result="f32[N, S, 8]", num_head=2)
    # query and output projections over S, key and value projections over T
    assert found.macs is 2 * N * S * 64 + 2 * N * T * 64 + 2 * N * S * T * 8
