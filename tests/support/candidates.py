"""Models that worker processes analyse, some of which fail."""

from __future__ import annotations

import os
import signal

import torch
from torch import Tensor, nn


class Narrow(nn.Module):
    """1 x 1 convolution: 3 * width MACs a pixel."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


def narrow() -> nn.Module:
    return Narrow(4)


def wide() -> nn.Module:
    return Narrow(8)


def refuses() -> nn.Module:
    raise RuntimeError("deliberate")


def dies() -> nn.Module:
    os.kill(os.getpid(), signal.SIGKILL)
    return nn.Identity()


def one_thread() -> nn.Module:
    """As wide as torch has threads."""
    return Narrow(torch.get_num_threads())
