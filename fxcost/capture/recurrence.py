"""Recurrent layers traced without their steps: one layer gives tensors of the right shapes, so its length stays a symbol.

torch computes fake results of `aten.lstm`, `gru` and `rnn_*` through decompositions that run step by step: the length
becomes a number, and tracing takes time for every step, although the graph keeps the operator whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decompositions

_LAYERS = ("one_layer_lstm", "one_layer_lstm_data", "one_layer_rnn", "one_layer_rnn_data")


@contextmanager
def steps_skipped() -> Iterator[None]:
    """Recurrent layers only give shapes inside. For tracing: values that run through them are lost."""
    kept = {name: getattr(decompositions, name) for name in _LAYERS if hasattr(decompositions, name)}
    try:
        for name in kept:
            setattr(decompositions, name, _shapes)
        yield
    finally:
        for name, function in kept.items():
            setattr(decompositions, name, function)


def _shapes(inp: Tensor, hidden: Any, *_: Any, **__: Any) -> tuple[Tensor, Any]:
    """One layer and direction: the state of every step, as wide as the first hidden state, and the last states."""
    states = tuple(hidden) if isinstance(hidden, tuple | list) else (hidden,)
    last = tuple(torch.empty_like(state) for state in states)
    steps = inp.new_empty((*inp.shape[:-1], states[0].shape[-1]))
    return steps, last if len(states) > 1 else last[0]
