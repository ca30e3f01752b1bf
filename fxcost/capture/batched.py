"""`torch.vmap` in a trace: the operators on whole batches that it comes down to, instead of marks around those on one item.

torch.export records how a function was batched and leaves it to be done again when the program runs. Here it is batched
while it is traced, and every operator that this comes down to goes to the trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._functorch import apis as _apis
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, get_proxy_mode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

apis: Any = _apis


class _Passed(TorchDispatchMode):
    """Hands what is below the batching to the mode that traces."""

    def __init__(self, tracing: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracing = tracing

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operator on plain tensors, recorded."""
        return self.tracing.__torch_dispatch__(func, types, args, dict(kwargs or {}))


@contextmanager
def batched_at_once() -> Iterator[None]:
    """Have `torch.vmap` batch its function inside, where something is traced."""
    whole, linear = apis.vmap_impl, functional.linear

    def vmap_impl(*args: Any, **kwargs: Any) -> Any:
        tracing = get_proxy_mode()
        if tracing is None:  # not traced, or batched already by one around it
            return whole(*args, **kwargs)
        functional.linear = _linear
        try:
            with disable_proxy_modes_tracing(), torch._C.DisableTorchFunction(), _Passed(tracing):
                return whole(*args, **kwargs)
        finally:
            functional.linear = linear

    apis.vmap_impl = vmap_impl
    try:
        yield
    finally:
        apis.vmap_impl = whole


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As two operators: torch's own asks a batch of symbolic size for its shape as plain numbers."""
    product = input @ weight.mT
    return product if bias is None else product + bias
