"""Small language models of many kinds, by the classes of transformers: random configurations, no weights kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from fxcost.capture.shim import prepare_torchvision
from fxcost.language import LanguageModel, language_model

prepare_torchvision()
transformers = pytest.importorskip("transformers")

COMMON = {"vocab_size": 97, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 48}


def llama(layers: int = 5) -> Any:
    """Grouped queries: two key heads for four query heads."""
    config = transformers.LlamaConfig(**COMMON, num_hidden_layers=layers, num_key_value_heads=2)
    return transformers.LlamaForCausalLM(config)


def qwen2(layers: int = 5) -> Any:
    """Biases on queries, keys and values; the embedding is the last matrix as well."""
    config = transformers.Qwen2Config(
        **COMMON, num_hidden_layers=layers, num_key_value_heads=1, tie_word_embeddings=True, use_sliding_window=False
    )
    return transformers.Qwen2ForCausalLM(config)


def mixtral(layers: int = 5) -> Any:
    """Four experts, two for each token."""
    config = transformers.MixtralConfig(
        **COMMON, num_hidden_layers=layers, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2
    )
    return transformers.MixtralForCausalLM(config)


def deepseek_v2(layers: int = 5) -> Any:
    """Compressed keys and values; the first layer is dense, the others have six experts and one that all tokens share."""
    config = transformers.DeepseekV2Config(
        **COMMON,
        num_hidden_layers=layers,
        num_key_value_heads=4,
        q_lora_rank=12,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        n_routed_experts=6,
        num_experts_per_tok=2,
        n_shared_experts=1,
        moe_intermediate_size=24,
        first_k_dense_replace=1,
        n_group=1,
        topk_group=1,
    )
    return transformers.DeepseekV2ForCausalLM(config)


def gemma2(layers: int = 6) -> Any:
    """Every other layer sees a window of eight tokens; scores are capped, which is spelled out in the code."""
    config = transformers.Gemma2Config(
        **COMMON, num_hidden_layers=layers, num_key_value_heads=2, head_dim=12, sliding_window=8
    )
    return transformers.Gemma2ForCausalLM(config)


def mistral(layers: int = 4) -> Any:
    """Every layer sees a window of nine tokens."""
    config = transformers.MistralConfig(**COMMON, num_hidden_layers=layers, num_key_value_heads=2, sliding_window=9)
    return transformers.MistralForCausalLM(config)


def gpt2(layers: int = 4) -> Any:
    """A stack under another name, learned positions, one matrix for queries, keys and values."""
    config = transformers.GPT2Config(n_embd=32, n_layer=layers, n_head=4, vocab_size=97)
    return transformers.GPT2LMHeadModel(config)


MODELS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (llama, qwen2, mixtral, deepseek_v2, gemma2, mistral, gpt2)
}


@cache
def captured(name: str) -> tuple[Any, LanguageModel]:
    """A model on the CPU with random weights and its two steps, once a test run."""
    model = MODELS[name]().eval()
    return model, language_model(model, name=name)
