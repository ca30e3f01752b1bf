"""Make torchvision importable beside a CPU build of torch.

The torchvision wheel registers fake kernels for two operators that only its CUDA library defines. Where that library
does not load, declaring the two is enough: every model that does not run non-maximum suppression works.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

_kept: list[Any] = []  # a library's definitions live as long as the object


def prepare_torchvision() -> None:
    """Import torchvision where it is installed, declaring its operators if that fails for want of them.

    Only then: beside a torchvision that loads its own library, a second definition would be an error.
    """
    if find_spec("torchvision") is None:
        return
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if _kept or "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
        import_module("torchvision")
