"""The caches of transformers, which are objects, from plain tensors and back: a graph takes and returns tensors alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

NAMES = ("past_key_values", "cache")
"""Keywords under which keys and values of every layer may be given as pairs, `[(bf16[N,8,S,128],bf16[N,8,S,128])*32]`."""


def text_config(model: nn.Module) -> Any:
    """The configuration of the part that generates text."""
    return model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]


def dynamic_past(model: nn.Module, cache: Sequence[torch.Tensor] = ()) -> Any:
    """A cache that grows by concatenation, with these keys and values in it, layer by layer; empty without any."""
    from transformers import DynamicCache

    past = DynamicCache(config=text_config(model))
    for position in range(len(cache) // 2):
        keys, values = cache[2 * position], cache[2 * position + 1]
        layer = past.layers[position]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        if getattr(layer, "sliding_window", None) is not None:
            # What a window keeps of the past has a length of its own, whether or not the window is full by now.
            layer.cumulative_length = keys.shape[-2]
            layer.activate_past_recording()
    return past


def static_past(model: nn.Module, cache: Sequence[torch.Tensor]) -> Any:
    """A cache of fixed length that is written in place.

    The last tensor of `cache` says how many tokens are in it; it is a number that only the data knows.
    """
    from transformers import StaticCache

    *tensors, filled = cache
    past = StaticCache(config=text_config(model), max_cache_len=tensors[0].shape[-2])
    for position, layer in enumerate(past.layers):
        keys, values = tensors[2 * position], tensors[2 * position + 1]
        layer.dtype, layer.device, layer.max_cache_len = keys.dtype, keys.device, keys.shape[-2]
        layer.keys, layer.values, layer.is_initialized = keys, values, True
        layer.cumulative_length = filled.clone()
    return past


def tensors_of(past: Any) -> Iterator[torch.Tensor]:
    """Keys and values of every layer."""
    for layer in past.layers:
        yield from (layer.keys, layer.values)


def scores_of(out: Any) -> torch.Tensor:
    """The logits of a model's output, or its first tensor."""
    found = getattr(out, "logits", None)
    scores: torch.Tensor = out[0] if found is None else found
    return scores


def given_past(model: nn.Module, named: dict[str, Any]) -> str | None:
    """The keyword under which a model of transformers is given its cache as pairs of tensors; None without one."""
    if not type(model).__module__.startswith("transformers."):
        return None
    return next((name for name in NAMES if isinstance(named.get(name), list | tuple)), None)


def called_with_past(model: nn.Module, inputs: Sequence[Any], named: dict[str, Any], name: str) -> tuple[Any, ...]:
    """Call a model with its cache as pairs of tensors; gives logits and the tensors of the cache afterwards."""
    others = {key: value for key, value in named.items() if key != name}
    past = dynamic_past(model, [tensor for pair in named[name] for tensor in pair])
    out = model(*inputs, **others, past_key_values=past, use_cache=True)
    return (scores_of(out), *tensors_of(past))
