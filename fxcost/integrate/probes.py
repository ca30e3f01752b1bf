"""Small models for calibration: between them they run every class of ops, at several sizes. Weights are random."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Probe:
    """A model and its inputs; probes of one `group` are alike."""

    name: str
    group: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]


def _conv_block(into: int, out: int, kernel: int, groups: int = 1, stride: int = 1) -> nn.Module:
    conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class Bottleneck(nn.Module):
    """1x1, k x k (dense, grouped or depthwise), 1x1, and a residual add."""

    def __init__(self, channels: int, inner: int, kernel: int, groups: int, activation: Callable[[Tensor], Tensor]):
        """Keep the number of channels."""
        super().__init__()
        self.reduce, self.expand = _conv_block(channels, inner, 1), _conv_block(inner, channels, 1)
        self.inner = _conv_block(inner, inner, kernel, groups)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Residual block."""
        found: Tensor = self.expand(self.activation(self.inner(self.activation(self.reduce(x)))))
        return self.activation(x + found)


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int):
        """A quarter of the channels inside."""
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel."""
        return x * torch.sigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Convolutions(nn.Module):
    """A classifier of images with blocks of every kind."""

    def __init__(self, width: int):
        """Channels are multiples of `width`."""
        super().__init__()
        w = width
        self.stem = _conv_block(3, w, 7, stride=2)
        self.first = nn.Sequential(Bottleneck(w, w, 3, 1, F.relu), Bottleneck(w, 2 * w, 3, 2 * w, F.relu6))
        self.down = _conv_block(2 * w, 4 * w, 3, stride=2)
        self.second = nn.Sequential(
            Bottleneck(4 * w, 8 * w, 5, 8 * w, F.silu), Gate(4 * w), Bottleneck(4 * w, 4 * w, 3, 4, F.hardswish)
        )
        self.last = nn.Sequential(_conv_block(4 * w, 8 * w, 3, stride=2), nn.Upsample(scale_factor=2))
        self.head = nn.Linear(12 * w, 500)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        x = self.first(x)
        x = self.second(F.relu(self.down(torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1))))
        wide = self.last(x)[:, :, : x.shape[2], : x.shape[3]]
        logits: Tensor = self.head(torch.cat([x, wide], 1).mean((2, 3)))
        return logits


class Layer(nn.Module):
    """A transformer layer; attention fused, or as products and a softmax."""

    def __init__(self, width: int, heads: int, fused: bool):
        """Four times the width in the feed-forward part."""
        super().__init__()
        self.heads, self.fused = heads, fused
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Pre-norm attention and feed-forward."""
        batch, length, width = x.shape
        parts = self.project(self.norms[0](x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            scores = torch.matmul(q, k.transpose(-2, -1)) * (width // self.heads) ** -0.5
            mixed = torch.matmul(torch.softmax(scores, -1), v)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        fed: Tensor = self.narrow(F.gelu(self.widen(self.norms[1](x))))
        return x + fed


class Tokens(nn.Module):
    """An encoder of token numbers."""

    def __init__(self, width: int, layers: int):
        """Layers alternate between fused and plain attention."""
        super().__init__()
        self.embed, self.place = nn.Embedding(4000, width), nn.Embedding(512, width)
        self.layers = nn.Sequential(*(Layer(width, width // 64, fused=i % 2 == 0) for i in range(layers)))
        self.head = nn.Linear(width, 4000, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every place."""
        placed = self.embed(x) + self.place(torch.arange(x.shape[1], device=x.device))
        logits: Tensor = self.head(self.layers(placed))
        return logits


class Perceptron(nn.Module):
    """Large matrices for few rows: the weights come from main memory."""

    def __init__(self, width: int):
        """Three layers."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 100)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.layers(x)
        return logits


def _image(size: int) -> tuple[Tensor, ...]:
    return (torch.randn(1, 3, size, size),)


def _numbers(length: int) -> tuple[Tensor, ...]:
    return (torch.randint(0, 4000, (1, length)),)


def _rows(width: int, rows: int) -> tuple[Tensor, ...]:
    return (torch.randn(rows, width),)


def probes(quick: bool = False) -> Iterator[Probe]:
    """The probes; with `quick` only small ones, a second in all."""
    for width, size in ((8, 64),) if quick else ((16, 224), (32, 160), (48, 128), (24, 320)):
        name = f"convolutions-{width}"
        yield Probe(f"{name}@{size}", name, partial(Convolutions, width), partial(_image, size))
    for width, length in ((64, 16),) if quick else ((128, 64), (256, 256), (512, 128), (768, 32)):
        name = f"tokens-{width}"
        yield Probe(f"{name}@{length}", name, partial(Tokens, width, 2 if quick else 4), partial(_numbers, length))
    for width, rows in ((256, 1),) if quick else ((4096, 1), (2048, 16)):
        name = f"perceptron-{width}"
        yield Probe(f"{name}@{rows}", name, partial(Perceptron, width), partial(_rows, width, rows))
