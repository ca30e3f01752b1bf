"""Convolutions on fake CPU tensors, traced without asking which library's kernel would run.

Libraries for CPUs take a convolution or not by the size of the batch (16 and more); torch asks that of a symbol too, and
the graph would hold for one side only, although all kernels give the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def kernels_unasked() -> Iterator[None]:
    """Torch's own kernels are taken to run convolutions; other operators keep theirs."""
    asked = torch._C._select_conv_backend

    def own(*args: Any, **kwargs: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.nnpack.flags(enabled=False):
            return asked(*args, **kwargs)

    torch._C._select_conv_backend = own
    try:
        yield
    finally:
        torch._C._select_conv_backend = asked
