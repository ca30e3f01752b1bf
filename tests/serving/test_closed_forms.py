"""Formulas of prefill and decode: against derivations by hand, torch's own counter, and runs on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from fxcost.capture.cached import CachedStep, FirstStep, cache_layers
from fxcost.capture.count import _blind_spots
from fxcost.capture.eager import as_traced
from fxcost.ir.caches import cache_bytes
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import minimum, symbol
from fxcost.language import LanguageModel
from tests.support.language_models import MODELS
from tests.support.language_models import captured as steps_of

N, S = symbol("N"), symbol("S")
NAMES = ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "llama")]
SIZES = [(1, 1), (1, 17), (3, 5), (2, 40), (4, 100)]


@pytest.fixture(scope="module", params=NAMES)
def captured(request: pytest.FixtureRequest) -> tuple[str, Any, LanguageModel]:
    """A model on the CPU with random weights, and its two steps."""
    model, found = steps_of(request.param)
    return request.param, model, found


def by_hand(name: str, config: Any, past: Any, new: Any) -> Any:
    """MACs of a step of N sequences: `new` tokens behind `past` ones, logits for the last position.

    Per token, with D wide, heads of C channels: queries and output D*Hq*C each, keys and values D*Hkv*C each, the
    feed-forward its matrices; per pair of tokens 2*Hq*C; at the end D*V.
    """
    D, L, Hq = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    Hkv = getattr(config, "num_key_value_heads", None) or Hq
    C = getattr(config, "head_dim", None) or D // Hq
    F = getattr(config, "intermediate_size", None) or 4 * D
    head = D * config.vocab_size
    projections = D * Hq * C * 2 + D * Hkv * C * 2
    if name == "gpt2":
        return L * (N * new * (4 * D * D + 2 * D * F) + N * new * (past + new) * 2 * D) + N * head
    if name == "mixtral":
        router, chosen = D * config.num_local_experts, config.num_experts_per_tok
        return (
            L * (N * new * (projections + router + chosen * 3 * D * F) + N * new * (past + new) * 2 * Hq * C) + N * head
        )
    if name == "deepseek_v2":
        latent, rope, nope, V = config.kv_lora_rank, config.qk_rope_head_dim, config.qk_nope_head_dim, config.v_head_dim
        queries = D * config.q_lora_rank + config.q_lora_rank * Hq * (nope + rope)
        token = queries + D * (latent + rope) + Hq * V * D
        cached = latent * Hq * (nope + V)  # the code expands the whole cache in every step
        pair = Hq * (nope + rope + V)
        attention = L * (N * new * token + N * (past + new) * cached + N * new * (past + new) * pair)
        M, dense = config.moe_intermediate_size, config.first_k_dense_replace
        expert = 3 * D * M
        sparse = D * config.n_routed_experts + (config.num_experts_per_tok + config.n_shared_experts) * expert
        return attention + N * new * (dense * 3 * D * F + (L - dense) * sparse) + N * head
    windows: list[int | None] = [7, None] * (L // 2) if name == "gemma2" else [8 if name == "mistral" else None] * L
    pairs = sum(((past if w is None else minimum(past, w)) + new) * new * 2 * Hq * C for w in windows)
    return L * N * new * (projections + 3 * D * F) + N * pairs + N * head


def test_macs_are_those_derived_by_hand(captured: Any) -> None:
    """The same polynomial in N and S, for both steps; the serving view never changes it."""
    name, model, found = captured
    zero = S - S
    assert found.decode.macs.value is by_hand(name, model.config, S, zero + 1)
    assert found.prefill.macs.value is by_hand(name, model.config, zero, S)
    for step in ("decode", "prefill"):
        assert found.serving(step).macs.value is getattr(found, step).macs.value


@pytest.mark.parametrize(("batch", "past"), SIZES)
def test_macs_are_those_of_torchs_counter(captured: Any, batch: int, past: int) -> None:
    """What a run with the real cache of transformers dispatches, at sizes that were not traced."""
    _, model, found = captured
    with torch.device("meta"):
        bare = type(model)(model.config).eval()
    tokens = torch.zeros(batch, past, dtype=torch.int64, device="meta")
    counts = []
    with torch.no_grad(), as_traced():
        cache = None
        for step in (tokens, tokens[:, :1]):
            with FlopCounterMode(display=False, custom_mapping=_blind_spots()) as counter:
                cache = bare(step, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values
            counts.append(counter.get_total_flops() // 2)
    assert found.decode.macs(N=batch, S=past) == counts[1]
    if past > 1:
        assert found.prefill.macs(N=batch, S=past) == counts[0]


def test_the_cache_is_what_transformers_keeps(captured: Any) -> None:
    """Bytes by layer: the tensors of a real cache after a run, windows and compressed caches as they are."""
    _, model, found = captured
    for batch, length in ((1, 5), (2, 30)):
        with torch.no_grad():
            past = model(torch.zeros(batch, length, dtype=torch.int64), use_cache=True).past_key_values
        point = {"N": batch, "S": length}
        held = [layer.keys.nbytes + layer.values.nbytes for layer in past.layers]
        assert [evaluate(layer.nbytes(), point) for layer in found.layers] == held
        assert evaluate(cache_bytes(found.layers), point) == sum(held)


@pytest.mark.parametrize(("batch", "past"), [(1, 7), (2, 5), (3, 30)])
def test_peaks_are_those_of_a_run(captured: Any, batch: int, past: int) -> None:
    """The exported step on real tensors, by storage, to the byte; the cache freed after its last reader."""
    name, model, found = captured
    with torch.device("meta"):
        layers = cache_layers(MODELS[name]().eval(), name)
    tokens = torch.zeros(batch, past, dtype=torch.int64)
    step = CachedStep(model, last_only=True)
    cache = []
    for layer in layers:
        length = past if layer.window is None else min(past, layer.window - 1)
        cache += [torch.zeros(batch, layer.key_heads, length, layer.key_channels)]
        cache += [torch.zeros(batch, layer.value_heads, length, layer.value_channels)]
    inputs = (tokens[:, :1], *cache)
    with torch.no_grad():
        program = torch.export.export(step, inputs, strict=False)
        first = torch.export.export(FirstStep(model, last_only=True), (tokens,), strict=False)
    assert found.decode.peak_memory(N=batch, S=past) == fxcost.measure_peak(program, inputs).values
    assert found.prefill.peak_memory(N=batch, S=past) == fxcost.measure_peak(first, (tokens,)).values
