"""What a worker process needs of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fxcost.capture.loaders import build


def one_thread() -> None:
    """Let torch compute on one thread: workers share the processor."""
    torch.set_num_threads(1)


def built(model: Any) -> Any:
    """The model itself; a function is called for it, on the meta device as a factory in a file would be."""
    is_factory = callable(model) and not isinstance(model, str | nn.Module | torch.export.ExportedProgram)
    return build(model, getattr(model, "__qualname__", str(model))) if is_factory else model
