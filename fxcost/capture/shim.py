"""Make torchvision importable beside a CPU build of torch.

The torchvision wheel registers fake kernels for two operators that only its CUDA library defines. Where that library
does not load, declaring the two is enough: every model that does not run non-maximum suppression works.
"""

from __future__ import annotations

from typing import Any

import torch

_kept: list[Any] = []  # a library's definitions live as long as the object


def declare_vision_ops() -> None:
    """Declare `torchvision::nms` and `qnms` unless something already did."""
    if _kept or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
