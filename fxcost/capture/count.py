"""An independent count of multiply-accumulates: torch's own counter on one eager run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from fxcost.capture.eager import Request, run_eager

Shape = Sequence[int]


def eager_macs(request: Request, point: Mapping[str, int]) -> int:
    """MACs of a run at `point` as torch counts them (convolutions, products, attention); its errors come out."""
    counter = run_eager(request, point, lambda: FlopCounterMode(display=False, custom_mapping=_blind_spots()))
    return int(counter.get_total_flops()) // 2


def _vector(left: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left)


def _after_bias(_bias: Shape, left: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left)


def _grouped(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    """Each row of `left` meets one group's matrix; with two dimensions on the right, its columns are divided."""
    rows = left[1:] if len(left) > len(right) else left
    return 2 * prod(rows) * right[-1]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(_upstream: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Five products: the scores again, then the gradients of scores, values, queries and keys."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def _convolution_backward(
    upstream: Shape,
    source: Shape,
    weight: Shape,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **__: Any,
) -> int:
    """The forward product once for each gradient wanted; torch's own formula takes every group for the whole."""
    swept = source if transposed else upstream
    return 2 * (wanted[0] + wanted[1]) * swept[0] * prod(swept[2:]) * prod(weight)


def _layer(steps: Shape, first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """One recurrent layer and direction in the CPU's library: both matrices at every step of every sequence."""
    return 2 * prod(steps[:-1]) * (prod(first) + prod(second))


def _layer_backward(steps: Shape, first: Shape, second: Shape, *_: Any, **__: Any) -> int:
    """Gradients of inputs and of weights, a product each."""
    return 2 * _layer(steps, first, second)


def _blind_spots() -> dict[Any, Callable[..., int]]:
    """Formulas, in FLOP, for products that torch's counter passes over in silence."""
    found: dict[Any, Callable[..., int]] = {
        torch.ops.aten.mv: _vector,
        torch.ops.aten.dot: _vector,
        torch.ops.aten.vdot: _vector,
        torch.ops.aten.addmv: _after_bias,
        torch.ops.aten._grouped_mm: _grouped,
        torch.ops.aten.convolution_backward: _convolution_backward,
        torch.ops.aten.mkldnn_rnn_layer: _layer,
        torch.ops.aten.mkldnn_rnn_layer_backward: _layer_backward,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    fallback = getattr(torch.ops.transformers, "grouped_mm_fallback", None)  # there once transformers is imported
    return found if fallback is None else {**found, fallback: _grouped}
