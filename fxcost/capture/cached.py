"""A language model of transformers with its key-value cache as plain tensors, so that sizes of the cache are inputs.

`CachedStep` takes token ids and the tensors of the cache, layer by layer, and returns logits and the tensors of the cache
after the step. Which tensors there are, and which of their sizes grow, is read off one run on meta tensors; nothing is
known here of single architectures.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from fxcost.capture.eager import as_traced, first_line, quiet_inference
from fxcost.capture.inputs import TORCH_DTYPES
from fxcost.capture.loaders import load_text_model
from fxcost.capture.past import dynamic_past, scores_of, static_past, tensors_of
from fxcost.capture.twin import meta_twin
from fxcost.errors import CaptureError, SpecError
from fxcost.ir.caches import CacheLayer


class CachedStep(nn.Module):
    """One call of the model: tokens and cache in, logits and cache out."""

    def __init__(self, model: nn.Module, kind: str = "dynamic", last_only: bool = False) -> None:
        """Wrap `model`; `last_only` asks for the logits of the last position alone, as generation does."""
        super().__init__()
        self.wrapped = model
        self.kind = kind
        self.more = {"logits_to_keep": 1} if last_only and _takes(model, "logits_to_keep") else {}

    def forward(self, tokens: torch.Tensor, *cache: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the model on a cache of these tensors."""
        static = self.kind == "static"
        past = static_past(self.wrapped, cache) if static else dynamic_past(self.wrapped, cache)
        out = self.wrapped(input_ids=tokens, past_key_values=past, use_cache=True, **self.more)
        return (scores_of(out), *(() if static else tensors_of(past)))


class FirstStep(nn.Module):
    """The call that reads the prompt: the cache begins empty, and comes out with logits."""

    def __init__(self, model: nn.Module, last_only: bool = False) -> None:
        """Wrap `model`; see CachedStep."""
        super().__init__()
        self.wrapped = model
        self.more = {"logits_to_keep": 1} if last_only and _takes(model, "logits_to_keep") else {}

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Call the model on an empty cache."""
        past = dynamic_past(self.wrapped)
        out = self.wrapped(input_ids=tokens, past_key_values=past, use_cache=True, **self.more)
        return (scores_of(out), *tensors_of(past))


def _takes(model: nn.Module, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters


# -- what is kept ----------------------------------------------------------------------------------------------------
class _Looking(nn.Module):
    """Runs the model on an empty cache and remembers what the cache holds afterwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.wrapped = model
        self.past: Any = None

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.past = dynamic_past(self.wrapped)
        return scores_of(self.wrapped(input_ids=tokens, past_key_values=self.past, use_cache=True))


def cache_layers(model: nn.Module, label: str) -> tuple[CacheLayer, ...]:
    """What every layer of the model keeps, from a run of two tokens; raises CaptureError where that is no such cache."""
    looking = _Looking(model)
    tokens = torch.zeros(3, 2, dtype=torch.int64, device="meta")
    try:
        with quiet_inference(), as_traced():
            looking(tokens)
    except Exception as error:  # the model is the user's
        raise CaptureError(f"{label}: the model does not run with a key-value cache: {first_line(error)}") from error
    return tuple(_kept(layer, position, label) for position, layer in enumerate(looking.past.layers))


def _kept(layer: Any, position: int, label: str) -> CacheLayer:
    keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
    known = type(layer).__name__ in {"DynamicLayer", "DynamicSlidingWindowLayer"}
    if not known or keys is None or values is None or keys.ndim != 4 or keys.shape[0] != 3:
        raise CaptureError(
            f"{label}: layer {position} keeps its past in a {type(layer).__name__}, expected keys and values of four "
            "dimensions; what other layers keep is not modelled"
        )
    window = getattr(layer, "sliding_window", None)
    dtype = next(ours for ours, theirs in TORCH_DTYPES.items() if theirs is keys.dtype)
    sizes = (keys.shape[1], keys.shape[3], values.shape[1], values.shape[3])
    return CacheLayer(*sizes, dtype, None if window is None else int(window))


# -- where models come from --------------------------------------------------------------------------------------------
def load_decoder(model: Any, label: str) -> tuple[nn.Module, tuple[str, ...]]:
    """A decoder without weights from a configuration, a class of transformers or a module; and what was assumed.

    Raises SpecError for what does not generate text with a cache, FileError for an unreadable configuration.
    """
    if isinstance(model, nn.Module):
        twin = meta_twin(_decoder(model, label))
        if twin is None:
            raise CaptureError(f"{label}: it cannot be copied, and is captured from a copy without weights")
        return twin, ()
    found, stated = load_text_model(str(model))
    return _decoder(found, label), stated


def _decoder(model: Any, label: str) -> nn.Module:
    if not isinstance(model, nn.Module) or not hasattr(getattr(model, "config", None), "get_text_config"):
        raise SpecError(f"{label} is no language model of transformers; expected one such as LlamaForCausalLM")
    if not _takes(model, "past_key_values"):
        raise SpecError(
            f"{label}: {type(model).__name__} takes no key-value cache (past_key_values); expected a model that generates "
            "text, such as LlamaForCausalLM"
        )
    if getattr(model.config, "is_encoder_decoder", False):
        raise SpecError(f"{label}: {type(model).__name__} has an encoder as well; expected a decoder alone")
    return model
