"""Random small networks to train: layers of many kinds, in rows, beside residual sums and gates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

WIDTH, WORDS = 8, 11
POINTWISE: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU,
    lambda: nn.ReLU(inplace=True),
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
    lambda: nn.LeakyReLU(0.1),
    nn.ELU,
    nn.Softplus,
    lambda: nn.SiLU(inplace=True),
    lambda: nn.ReLU6(inplace=True),
)


class Joined(nn.Module):
    """Two branches of the same input, joined."""

    def __init__(self, left: nn.Module, right: nn.Module, how: str) -> None:
        super().__init__()
        self.left, self.right, self.how = left, right, how

    def forward(self, x: Tensor) -> Any:
        if self.how == "sum":
            return self.left(x) + self.right(x)
        if self.how == "residual":
            return x + self.left(self.right(x))
        if self.how == "gate":
            return torch.sigmoid(self.left(x)) * self.right(x)
        return (x + x) * self.left(x) - torch.maximum(self.right(x), x)


class Heads(nn.Module):
    """Attention with two heads, spelled out or in one operator."""

    def __init__(self, spelled: bool) -> None:
        super().__init__()
        self.spelled = spelled
        self.project, self.last = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH, bias=spelled)

    def forward(self, x: Tensor) -> Any:
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.project(x).chunk(3, -1))
        if self.spelled:
            scores = q @ k.transpose(-1, -2) / (WIDTH // 2) ** 0.5
            mixed = torch.softmax(scores, -1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return self.last(mixed.transpose(1, 2).flatten(2))


class Squeezed(nn.Module):
    """Channels weighted by what they hold on average."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Any:
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


DENSE: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Linear(WIDTH, WIDTH),
    lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    lambda: nn.Sequential(nn.Linear(WIDTH, 3 * WIDTH), nn.GELU(), nn.Linear(3 * WIDTH, WIDTH)),
)
TOKENS = (*DENSE, lambda: nn.LayerNorm(WIDTH), lambda: Heads(True), lambda: Heads(False))
IMAGES: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
    lambda: nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
    lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH),
    lambda: nn.BatchNorm2d(WIDTH),
    lambda: nn.GroupNorm(2, WIDTH),
    lambda: nn.MaxPool2d(3, 1, 1),
    lambda: nn.AvgPool2d(3, 1, 1),
    Squeezed,
)


def networks(layers: tuple[Callable[[], nn.Module], ...]) -> st.SearchStrategy[nn.Module]:
    """Networks that keep the shape of what they are given."""
    one = st.sampled_from((*layers, *layers, *POINTWISE)).map(lambda build: build())

    def grown(inner: st.SearchStrategy[nn.Module]) -> st.SearchStrategy[nn.Module]:
        rows = st.lists(inner, min_size=2, max_size=4).map(lambda parts: nn.Sequential(*parts))
        how = st.sampled_from(("sum", "residual", "gate", "mixed"))
        return rows | st.builds(Joined, inner, inner, how)

    return st.recursive(one, grown, max_leaves=7)
