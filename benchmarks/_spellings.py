"""Fifteen ways to write one multiply-accumulating operator, each with its count by hand.

Counters that hook modules miss functions, counters that patch functions miss operators, and so on; a model is full of
all of them. `tests/capture/test_spellings.py` requires every one exact, `peers.py` asks other counters, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Unary(nn.Module):
    """A function of one activation and of parameters with the given shapes."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(shape)) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x, *self.weights)


class Binary(nn.Module):
    """A function of two activations."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x, y)


class FusedAttention(nn.Module):
    """Attention as one operator."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Queries against keys, weighted values out."""
        return functional.scaled_dot_product_attention(query, key, value)


class SelfAttention(nn.Module):
    """torch's attention module on one sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to itself."""
        attended: Tensor = self.attention(x, x, x)[0]
        return attended


def conv1d_of_gpt2(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The linear layer of GPT-2: its weight is stored the other way round."""
    return torch.addmm(bias, x.view(-1, 32), weight).view(*x.shape[:-1], 64)


@dataclass(frozen=True)
class Spelling:
    """One operator: how to build it, its inputs as specs, and its multiply-accumulates by hand."""

    name: str
    build: Callable[[], nn.Module]
    specs: tuple[str, ...]
    macs: Callable[..., int]

    def sizes(self, point: dict[str, int]) -> dict[str, int]:
        """The sizes at a point that this spelling has symbols for."""
        return {name: size for name, size in point.items() if any(name in spec.split(",") for spec in self.specs)}

    def inputs(self, point: dict[str, int], device: str) -> tuple[Tensor, ...]:
        """Zeros of the right sizes."""
        shapes = ([point.get(size) or int(size) for size in spec.split(",")] for spec in self.specs)
        return tuple(torch.zeros(shape, device=device) for shape in shapes)


POINTS = (
    {"N": 2, "H": 9, "W": 14, "T": 5, "S": 12},
    {"N": 1, "H": 16, "W": 11, "T": 8, "S": 7},
)

IMAGE, TOKENS = ("N,8,H,W",), ("N,S,32",)

# Every output is a dot product; its length is the last factor. A transposed convolution spreads every input instead.
SPELLINGS = (
    Spelling(
        "F.conv2d",
        lambda: Unary(lambda x, w: functional.conv2d(x, w, padding=1), (16, 8, 3, 3)),
        IMAGE,
        lambda N, H, W: N * 16 * H * W * (8 * 3 * 3),
    ),
    Spelling(
        "nn.Conv2d, groups",
        lambda: nn.Conv2d(8, 32, 3, stride=2, padding=1, groups=4, bias=False),
        IMAGE,  # padded by one on both sides, every second position: ceil(H / 2) rows
        lambda N, H, W: N * 32 * ((H + 1) // 2) * ((W + 1) // 2) * (8 // 4 * 3 * 3),
    ),
    Spelling(
        "nn.ConvTranspose2d",
        lambda: nn.ConvTranspose2d(8, 16, 4, stride=2, padding=1),
        IMAGE,
        lambda N, H, W: N * 8 * H * W * (16 * 4 * 4),
    ),
    Spelling(
        "nn.Conv3d",
        lambda: nn.Conv3d(4, 8, 3, padding=1),
        ("N,4,T,H,W",),
        lambda N, T, H, W: N * 8 * T * H * W * (4 * 3 * 3 * 3),
    ),
    Spelling("nn.Linear on (N, S, C)", lambda: nn.Linear(32, 64), TOKENS, lambda N, S: N * S * 64 * 32),
    Spelling("F.linear", lambda: Unary(functional.linear, (64, 32)), TOKENS, lambda N, S: N * S * 64 * 32),
    Spelling("x @ w", lambda: Unary(lambda x, w: x @ w, (32, 48)), TOKENS, lambda N, S: N * S * 48 * 32),
    Spelling(
        "torch.matmul", lambda: Binary(torch.matmul), ("N,4,S,16", "N,4,16,T"), lambda N, S, T: N * 4 * S * T * 16
    ),
    Spelling("torch.bmm", lambda: Binary(torch.bmm), ("N,S,32", "N,32,T"), lambda N, S, T: N * S * T * 32),
    Spelling(
        "torch.einsum",
        lambda: Binary(lambda x, y: torch.einsum("bshd,bthd->bhst", x, y)),
        ("N,S,4,16", "N,T,4,16"),
        lambda N, S, T: N * 4 * S * T * 16,
    ),
    Spelling(
        "torch.addmm (GPT-2)", lambda: Unary(conv1d_of_gpt2, (32, 64), (64,)), TOKENS, lambda N, S: N * S * 64 * 32
    ),
    Spelling(
        "F.sdpa",
        FusedAttention,
        ("N,4,S,16", "N,4,T,16", "N,4,T,16"),
        lambda N, S, T: N * 4 * (S * T * 16 + S * 16 * T),  # scores, then weighted sums of values
    ),
    Spelling(
        "nn.MultiheadAttention",
        SelfAttention,
        ("N,S,64",),
        lambda N, S: N * (4 * S * 64 * 64 + 2 * 4 * S * S * 16),  # four projections; scores and sums in four heads
    ),
    # torch.export unrolls recurrent layers, which fixes the number of steps: six here.
    Spelling(
        "nn.LSTM",
        lambda: nn.LSTM(24, 32, batch_first=True),
        ("N,6,24",),
        lambda N: N * 6 * 4 * 32 * (24 + 32),  # four gates a step, each from input and state
    ),
    Spelling(
        "nn.GRU",
        lambda: nn.GRU(24, 32, batch_first=True),
        ("N,6,24",),
        lambda N: N * 6 * 3 * 32 * (24 + 32),
    ),
)
