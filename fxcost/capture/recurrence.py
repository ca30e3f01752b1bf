"""Recurrent layers without their steps, where nothing has a value: shapes and products are those of all steps at once.

torch computes fake results of `aten.lstm`, `gru` and `rnn_*` through decompositions that run step by step: the length
becomes a number, and tracing takes time for every step, although the graph keeps the operator whole. On meta tensors
the kernels themselves go step by step, a millisecond each, and a picture read as a sequence has ten thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decompositions
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

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


class StepsAtOnce(TorchFunctionMode):
    """Recurrent layers on meta tensors multiply the inputs and the states of all steps by each matrix once."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, or give what a recurrent layer gives."""
        if function in _RECURRENT and not kwargs and args[0].is_meta:
            packed = isinstance(args[1], Tensor) and not isinstance(args[3], bool)  # (data, batch sizes, states, ...)
            return _at_once(*(args[:1] + args[2:8] if packed else args[:6]), bidirectional=args[8 if packed else 7])
        return function(*args, **(kwargs or {}))


_RECURRENT = frozenset({torch.gru, torch.lstm, torch.rnn_tanh, torch.rnn_relu})


def _at_once(
    source: Tensor,
    hidden: Any,
    weights: Sequence[Tensor],
    biased: bool,
    layers: int,
    _dropout: float,
    *_: Any,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """The outputs of every step and the last states; a layer's weights are two matrices, biases, maybe a projection."""
    each = len(weights) // (layers * (1 + bidirectional))
    parts = [weights[start : start + each] for start in range(0, len(weights), each)]
    for layer in range(layers):
        outputs = []
        for part in parts[layer * (1 + bidirectional) : (layer + 1) * (1 + bidirectional)]:
            gates = F.linear(source, part[0])
            output = gates.new_empty((*source.shape[:-1], part[1].shape[1]))
            F.linear(output, part[1])
            if each == 3 + 2 * biased:  # the state is projected to the output
                F.linear(gates.new_empty((*source.shape[:-1], part[-1].shape[1])), part[-1])
            outputs.append(output)
        source = torch.cat(outputs, -1)
    states = hidden if isinstance(hidden, tuple | list) else (hidden,)
    return source, *(torch.empty_like(state) for state in states)
