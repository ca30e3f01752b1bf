"""Make torchvision importable beside a CPU build of torch.

The torchvision wheel registers fake kernels for two operators that only its compiled library defines. Where that library
does not load, declaring the two is enough for most models; for detection, suppression of overlapping boxes is here as
well, in torch (regions are pooled by torchvision's own Python code then).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

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
        library.impl("nms", suppressed, "CPU")
        _kept.append(library)
        import_module("torchvision")
        boxes: Any = import_module("torchvision.ops.boxes")
        boxes._assert_has_ops = lambda: None  # its functions need `nms` alone, which is there now


def suppressed(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that stay, best score first: each suppresses those after it that overlap it too much."""
    order = scores.argsort(descending=True, stable=True)
    corners = boxes[order]
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    alive = torch.ones(len(order), dtype=torch.bool)
    for position in range(len(order)):
        if not alive[position]:
            continue
        rest = slice(position + 1, None)
        low = torch.maximum(corners[position, :2], corners[rest, :2])
        high = torch.minimum(corners[position, 2:], corners[rest, 2:])
        common = (high - low).clamp(min=0).prod(1)
        ratio = common / (area[position] + area[rest] - common)
        alive[rest] &= ratio.double() <= iou_threshold  # a threshold of 0.3 is no float32, as in torchvision
    return order[alive]
