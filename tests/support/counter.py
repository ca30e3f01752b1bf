"""An independent count of multiply-accumulates: a dispatch mode over one real run, with formulas of its own.

torch's FlopCounterMode has no formula for the CPU's fused attention, for products of single vectors, grouped products and
recurrent layers; this one knows the handful of operators below which every product, convolution and attention ends up,
on the CPU as on meta tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def _mm(out: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape) * b.shape[-1])


def _addmm(out: Any, _bias: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape) * b.shape[-1])


def _bmm(out: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape) * b.shape[-1])


def _baddbmm(out: Any, _bias: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape) * b.shape[-1])


def _convolution(out: Any, x: Any, weight: Any, bias: Any, s: Any, p: Any, d: Any, transposed: bool, *_: Any) -> int:
    # Every weight element meets every position of the side that is not summed over: outputs, or inputs if transposed.
    places = x if transposed else out
    return int(places.shape[0] * prod(places.shape[2:]) * prod(weight.shape))


def _attention(out: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    batch, heads, length, width = q.shape
    return int(batch * heads * length * k.shape[-2] * (width + v.shape[-1]))


def _mv(out: Any, a: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape))


def _addmv(out: Any, _bias: Any, a: Any, *_: Any, **__: Any) -> int:
    return int(prod(a.shape))


def _recurrent(out: Any, x: Any, *weights: Any, **__: Any) -> int:
    # One layer and direction in the CPU's library: both matrices at every step of every sequence.
    return int(prod(x.shape[:-1]) * sum(prod(w.shape) for w in weights[:2]))


def _grouped_mm(out: Any, a: Any, b: Any, *_: Any, **__: Any) -> int:
    # Each row of `a` meets one expert's matrix.
    return int(prod(a.shape) * out.shape[-1])


def _affine_grid(out: Any, theta: Any, *_: Any, **__: Any) -> int:
    # Every place of the base grid, (x, y, 1), meets the transposed matrix: a batched product inside the kernel.
    return int(prod(out.shape[:-1]) * prod(theta.shape[-2:]))


_FORMULAS: dict[str, Callable[..., int]] = {
    "aten::mm": _mm,
    "aten::addmm": _addmm,
    "aten::bmm": _bmm,
    "aten::baddbmm": _baddbmm,
    "aten::convolution": _convolution,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_int_mm": _mm,
    "aten::_scaled_mm": _mm,
    "aten::mv": _mv,
    "aten::dot": _mv,
    "aten::vdot": _mv,
    "aten::addmv": _addmv,
    "aten::mkldnn_rnn_layer": _recurrent,
    "aten::_grouped_mm": _grouped_mm,
    "aten::affine_grid_generator": _affine_grid,
    "transformers::grouped_mm_fallback": _grouped_mm,
}


class MacCounter(TorchDispatchMode):
    """Adds up `macs` over everything dispatched inside the `with` block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = _FORMULAS.get(func._schema.name)
        if formula is not None:
            self.macs += formula(out, *args, **(kwargs or {}))
        return out


def count(model: torch.nn.Module, *inputs: Any, **kwargs: Any) -> int:
    """MACs of one real run in evaluation mode, without the fast path that hides operators."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), MacCounter() as counter:
            model.eval()(*inputs, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.macs)
