"""A language model of transformers with its key-value cache as plain tensors, so that sizes of the cache are inputs.

`CachedStep` takes token ids and the tensors of the cache, layer by layer, and returns logits and the tensors of the cache
after the step. Which tensors there are, and which of their sizes grow, is read off one run on meta tensors; nothing is
known here of single architectures.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from fxcost.capture.inputs import TORCH_DTYPES
from fxcost.capture.ladder import as_traced, first_line, quiet_inference
from fxcost.capture.loaders import load_text_model
from fxcost.capture.past import dynamic_past, scores_of, static_past, tensors_of, text_config
from fxcost.capture.twin import meta_twin
from fxcost.errors import CaptureError, SpecError
from fxcost.ir.caches import CacheLayer

_IDENTITY = frozenset({"layer_idx", "layer_id", "layer_index", "training"})
"""Attributes in which two blocks of a stack may differ and still compute the same."""


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


# -- blocks that repeat ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Blocks:
    """The stack of a model: where it is, and for every block of the whole which of the first `kept` blocks it equals."""

    path: str
    kept: int
    templates: tuple[int, ...]

    @property
    def is_whole(self) -> bool:
        """True where nothing is left out."""
        return self.kept == len(self.templates)


def stack_path(model: nn.Module) -> str:
    """Where the model's blocks are; empty where there is no single list of them."""
    count = getattr(text_config(model), "num_hidden_layers", None)
    found = [path for path, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    return found[0] if count is not None and len(found) == 1 else ""


def blocks_of(model: nn.Module) -> Blocks | None:
    """The stack of blocks and which of them look alike; None where there is no single such list."""
    path = stack_path(model)
    if not path:
        return None
    looks = [_look(block) for block in model.get_submodule(path).children()]
    places: dict[Any, list[int]] = {}
    for position, look in enumerate(looks):
        places.setdefault(look, []).append(position)
    # Two of every kind are captured, so that they can be compared: then the second stands for all later ones.
    kept = 1 + max(positions[:2][-1] for positions in places.values())
    templates = [p if p < kept else places[looks[p]][1] for p in range(len(looks))]
    return Blocks(path, kept, tuple(templates))


def _look(module: nn.Module) -> Any:
    """What decides what a block computes: classes, sizes, types and settings of all its parts."""
    tensors = [
        (name, tuple(t.shape), str(t.dtype))
        for group in (module._parameters, module._buffers)
        for name, t in group.items()
        if t is not None
    ]
    plain = [
        (name, _setting(value))
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and name not in _IDENTITY
    ]
    parts = tuple((name, _look(child)) for name, child in module.named_children())
    return (type(module), tuple(tensors), tuple(plain), parts)


def _setting(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | torch.dtype):
        return (type(value).__name__, value)
    if isinstance(value, list | tuple):
        return (type(value).__name__, *map(_setting, value))
    if isinstance(value, partial):  # of activations with a setting
        return (
            "partial",
            id(value.func),
            _setting(value.args),
            tuple((k, _setting(v)) for k, v in value.keywords.items()),
        )
    return (type(value).__name__, id(value))  # a configuration that all blocks share, or something of the block's own


def _configs(model: Any) -> list[Any]:
    """The model's configuration, and that of its text part where it is another one."""
    found = {id(config): config for config in (model.config, text_config(model))}
    return list(found.values())


@contextmanager
def shortened(model: nn.Module, blocks: Blocks) -> Iterator[nn.Module]:
    """The model with its first `blocks.kept` blocks alone; put back afterwards."""
    parent, _, name = blocks.path.rpartition(".")
    owner, configs = model.get_submodule(parent), _configs(model)
    whole, kept = getattr(owner, name), [(c, c.num_hidden_layers, getattr(c, "layer_types", None)) for c in configs]
    try:
        setattr(owner, name, nn.ModuleList(list(whole)[: blocks.kept]))
        for config, _, types in kept:
            config.num_hidden_layers = blocks.kept
            if isinstance(types, list):
                config.layer_types = types[: blocks.kept]
        yield model
    finally:
        setattr(owner, name, whole)
        for config, count, types in kept:
            config.num_hidden_layers = count
            if isinstance(types, list):
                config.layer_types = types


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
