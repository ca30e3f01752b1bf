"""A mixture of experts on its default path: what the graph executes, and what one token meets."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fxcost
from fxcost.capture.shim import prepare_torchvision
from tests.support.counter import count

prepare_torchvision()
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def mixture() -> tuple[Any, fxcost.Cost]:
    """Two layers of eight experts, three for each token."""
    config = transformers.MixtralConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        vocab_size=100,
        num_local_experts=8,
        num_experts_per_tok=3,
        use_cache=False,
    )
    model = transformers.MixtralForCausalLM(config).eval()
    return model, fxcost.analyze(model, "i64[N,S]")


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "length"), [(1, 17), (3, 8), (2, 1)])
def test_routed_products_are_what_a_run_dispatches(mixture: Any, batch: int, length: int) -> None:
    model, cost = mixture
    assert cost.macs(N=batch, S=length) == count(model, torch.zeros(batch, length, dtype=torch.int64))


@pytest.mark.slow
def test_five_of_eight_experts_rest(mixture: Any) -> None:
    model, cost = mixture
    experts = 2 * 8 * 3 * 32 * 48  # layers, experts, three matrices each
    assert int(cost.params) == sum(p.numel() for p in model.parameters())
    assert int(cost.total("params_active")) == int(cost.params) - experts * 5 // 8


@pytest.mark.slow
def test_the_self_check_sees_experts_too(mixture: Any) -> None:
    _, cost = mixture
    assert str(cost.standing) == "exact"
    assert any("equal to torch's count" in note for note in cost.graph.notes)


def test_every_token_meets_all_of_a_dense_model() -> None:
    cost = fxcost.analyze(torch.nn.Linear(8, 8), "N,8", check=False)
    assert int(cost.total("params_active")) == int(cost.params) == 72
