"""The blocks of a model of transformers that repeat, and the model with few of them.

Two blocks look alike where classes, sizes, types and settings of all their parts are the same. That is a guess, made so
that few blocks need to be captured: what was captured is compared call by call afterwards (`fxcost.serving.stack`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from fxcost.capture.past import text_config

_IDENTITY = frozenset({"layer_idx", "layer_id", "layer_index", "training"})
"""Attributes in which two blocks of a stack may differ and still compute the same."""


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

    @property
    def note(self) -> str:
        """What is said of a graph that was put together."""
        return f"{self.kept} of {len(self.templates)} blocks were captured; compared call by call, they stand for all"


def stack_path(model: nn.Module) -> str:
    """Where the model's blocks are; empty where there is no single list of them, as in models of other libraries."""
    if not hasattr(getattr(model, "config", None), "get_text_config"):
        return ""
    count = getattr(text_config(model), "num_hidden_layers", None)
    found = [path for path, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    return found[0] if count is not None and len(found) == 1 else ""


def blocks_of(model: nn.Module, told: Callable[[str], Hashable] = lambda _: None) -> Blocks | None:
    """The stack of blocks and which of them look alike; None where there is no single such list.

    `told` says of the path of a block what else it must share with others that are to be like it.
    """
    path = stack_path(model)
    if not path:
        return None
    stack = model.get_submodule(path).named_children()
    looks = [(_look(block), told(f"{path}.{name}")) for name, block in stack]
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
