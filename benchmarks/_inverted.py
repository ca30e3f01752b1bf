"""A space of networks in the manner of MCUNet: inverted residuals of varying kernel, expansion, depth, width, resolution."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fxcost.space import Block, Candidate

STAGES = ((16, 1), (24, 2), (40, 2), (80, 2), (96, 1), (192, 2))
"""Channels at full width and stride of every stage."""

STEM, HEAD, CLASSES = 16, 320, 1000


def layer(
    taken: int, given: int, kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True
) -> list[nn.Module]:
    """Convolution, batch norm and ReLU6."""
    conv = nn.Conv2d(taken, given, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(given), *([nn.ReLU6()] if active else [])]


class Inverted(nn.Module):
    """Expand, filter every channel by itself, project; with a residual where shapes allow one."""

    def __init__(self, taken: int, given: int, kernel: int, expand: int, stride: int) -> None:
        super().__init__()
        inner = taken * expand
        self.body = nn.Sequential(
            *(layer(taken, inner, 1) if expand > 1 else []),
            *layer(inner, inner, kernel, stride, inner),
            *layer(inner, given, 1, active=False),
        )
        self.is_residual = stride == 1 and taken == given

    def forward(self, x: Tensor) -> Tensor:
        """Run it."""
        return x + self.body(x) if self.is_residual else self.body(x)  # type: ignore[no-any-return]


def stem(given: int) -> nn.Module:
    """Halve the image."""
    return nn.Sequential(*layer(3, given, 3, 2))


def head(taken: int, inner: int, classes: int) -> nn.Module:
    """Average over the image and classify."""
    return nn.Sequential(*layer(taken, inner, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, classes))


@dataclass(frozen=True)
class Family:
    """What may vary."""

    kernels: tuple[int, ...] = (3, 5, 7)
    expansions: tuple[int, ...] = (3, 4, 6)
    depths: tuple[int, ...] = (1, 2, 3, 4)
    widths: tuple[float, ...] = (0.35, 0.5, 0.75)
    resolutions: tuple[int, ...] = tuple(range(96, 225, 16))

    def blocks(self) -> Iterator[Block]:
        """Every block that a network of the family may hold, some more than once."""
        for width in self.widths:
            taken = _channels(STEM, width)
            yield Block(stem, (taken,), "N,3,H,W")
            for full, stride in STAGES:
                given = _channels(full, width)
                for kernel in self.kernels:
                    for expand in self.expansions:
                        yield _inverted(taken, given, kernel, expand, stride)
                        yield _inverted(given, given, kernel, expand, 1)
                taken = given
            yield Block(head, (taken, HEAD, CLASSES), f"N,{taken},H,W")

    def draw(self, count: int, seed: int = 0) -> list[Candidate]:
        """Networks at random."""
        source = random.Random(seed)
        return [self._one(source) for _ in range(count)]

    def _one(self, source: random.Random) -> Candidate:
        width, size = source.choice(self.widths), source.choice(self.resolutions)
        taken = _channels(STEM, width)
        chain = [Block(stem, (taken,), "N,3,H,W")]
        for full, stride in STAGES:
            given = _channels(full, width)
            for place in range(source.choice(self.depths)):
                kernel, expand = source.choice(self.kernels), source.choice(self.expansions)
                chain.append(_inverted(taken, given, kernel, expand, stride if place == 0 else 1))
                taken = given
        chain.append(Block(head, (taken, HEAD, CLASSES), f"N,{taken},H,W"))
        return Candidate(tuple(chain), {"N": 1, "H": size, "W": size}, f"width {width}, {len(chain)} blocks")


def whole(candidate: Candidate) -> nn.Module:
    """The network as one module, for those who cost it as a whole."""
    with torch.device("meta"):
        return nn.Sequential(*(block() for block in candidate.blocks)).eval()


def _inverted(taken: int, given: int, kernel: int, expand: int, stride: int) -> Block:
    return Block(Inverted, (taken, given, kernel, expand, stride), f"N,{taken},H,W")


def _channels(full: int, width: float) -> int:
    """A multiple of eight, as microcontrollers like them."""
    return max(8, round(full * width / 8) * 8)
