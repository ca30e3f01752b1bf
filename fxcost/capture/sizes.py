"""Sizes that a model puts into a tensor stay symbols: `torch.tensor([height, width])` would turn them into numbers.

So would `torch.linspace(0, 1, width)`, whose number of steps torch declares as a plain integer, and frequencies and
windows of so many entries. For a trace, which has no values, `arange` makes the same tensor: as many numbers, each written
once. The coordinates of `affine_grid`, which torch decomposes into such ranges on fake tensors, are asked for their shape
only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import decomposition_table
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from fxcost.capture.batched import batched_at_once
from fxcost.capture.respelled import RESPELLED, arithmetic_on_sizes, plain_flags
from fxcost.capture.twin import forwarding, opened


class SizesInTensors(TorchFunctionMode):
    """Builds tensors of lists that hold symbolic integers from one small tensor for each, and ranges of symbolic length."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, or build its tensor."""
        given = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and args and _symbolic(args[0]):
            return _built(args[0], given.get("dtype") or _dtype(args[0]), given.get("device"))
        if function in (torch.linspace, torch.logspace) and _between(args, given):
            return _range(args[2] if len(args) > 2 else given.get("steps", 100), given)
        length = _LENGTHS.get(function)
        if length is not None and args and isinstance(args[0], torch.SymInt):
            return _range(length(args[0]), given)
        other = RESPELLED.get(function)
        if other is not None:
            found = other(*args, **given)
            if found is not NotImplemented:
                return found
        return function(*args, **given)


@contextmanager
def sizes_in_tensors(model: nn.Module) -> Iterator[None]:
    """Have the mode on inside the model's `forward`, above those that torch.export puts around it.

    Objects that the model returns come out as the tensors that they hold.
    """

    def call(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with SizesInTensors(), arithmetic_on_sizes(), plain_flags(), batched_at_once():
            return opened(forward(*args, **kwargs))

    decomposed = decomposition_table[_GRID]
    decomposition_table[_GRID] = _grid
    try:
        with forwarding(model, call):
            yield
    finally:
        decomposition_table[_GRID] = decomposed


_GRID = torch.ops.aten.affine_grid_generator.default


def _grid(theta: Tensor, size: list[Any], align_corners: bool) -> Tensor:
    """Coordinates (N, *spatial sizes, rank) as the operator makes them, laid out contiguously; without values."""
    batch, _, *spatial = size
    return theta.new_empty((batch, *spatial, len(spatial)))


def _symbolic(data: Any) -> bool:
    leaves = pytree.tree_leaves(data)
    numbers = all(isinstance(leaf, bool | int | float | torch.SymInt | torch.SymFloat) for leaf in leaves)
    return numbers and any(isinstance(leaf, torch.SymInt | torch.SymFloat) for leaf in leaves)


def _between(args: tuple[Any, ...], given: Mapping[str, Any]) -> bool:
    """True for ends or a number of steps that a size decides; ends that are tensors are left alone."""
    asked = [*args[:3], *(given[name] for name in ("start", "end", "steps") if name in given)]
    return any(isinstance(each, torch.SymInt | torch.SymFloat) for each in asked) and not any(
        isinstance(each, Tensor) for each in asked
    )


_LENGTHS: Mapping[Callable[..., Any], Callable[[Any], Any]] = {
    torch.fft.fftfreq: lambda size: size,
    torch.fft.rfftfreq: lambda size: size // 2 + 1,
    torch.hann_window: lambda size: size,
    torch.hamming_window: lambda size: size,
    torch.blackman_window: lambda size: size,
    torch.bartlett_window: lambda size: size,
    torch.kaiser_window: lambda size: size,
}
"""How long the result is of functions whose first argument torch declares as a plain integer."""


def _range(steps: Any, given: Mapping[str, Any]) -> Tensor:
    dtype = given.get("dtype") or torch.get_default_dtype()
    return torch.arange(steps, dtype=dtype, device=given.get("device"))


def _dtype(data: Any) -> torch.dtype:
    floating = any(isinstance(leaf, float | torch.SymFloat) for leaf in pytree.tree_leaves(data))
    return torch.get_default_dtype() if floating else torch.int64


def _built(data: Any, dtype: torch.dtype, device: Any) -> Tensor:
    if isinstance(data, list | tuple):
        return torch.stack([_built(item, dtype, device) for item in data])
    return torch.full((), data, dtype=dtype, device=device)
