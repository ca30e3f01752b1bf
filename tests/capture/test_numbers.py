"""`int` of a size and a flag that a size decides: they stay symbolic in a model's code, and are Python's elsewhere."""

from __future__ import annotations

import builtins

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fxcost
from fxcost.capture.numbers import INTEGERS, spelled


class Resized(nn.Module):
    """As vision transformers resize their places: to `int` of how many patches there are."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, 4, 14, 14))
        self.patches = nn.Conv2d(3, 4, 16, 16)

    def forward(self, x: Tensor) -> Tensor:
        size = int(x.shape[2] // 16), int(x.shape[3]) // 16
        assert isinstance(size[0], int)
        made: Tensor = self.patches(x) + functional.interpolate(self.places, size=size, mode="bicubic")
        return made


def test_an_int_of_a_size_is_the_size() -> None:
    cost = fxcost.analyze(Resized(), "N,3,H,W")
    assert set(cost.symbols) == {"N", "H", "W"}
    assert not cost.fixed_dims
    for n, h, w in ((1, 224, 240), (3, 97, 513)):
        assert cost.macs(N=n, H=h, W=w) == n * 3 * 256 * 4 * (h // 16) * (w // 16)


class Flagged(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        causal = x.shape[1] > 1
        return functional.scaled_dot_product_attention(x, x, x, is_causal=causal)


def test_attention_takes_a_flag_that_a_size_decides() -> None:
    cost = fxcost.analyze(Flagged(), "N,S,8")
    assert cost.macs(N=2, S=30) == 2 * 2 * 30 * 30 * 8


def test_elsewhere_an_int_is_an_int() -> None:
    integer = INTEGERS["int"]
    assert integer("7") == 7
    assert integer("ff", 16) == 255
    assert type(integer(3.9)) is int
    assert isinstance(3, integer)
    assert isinstance(True, integer)
    assert not isinstance(3.0, integer)
    assert issubclass(bool, integer)
    with pytest.raises(ValueError, match="invalid literal"):
        integer("x")
    with spelled(Resized(), INTEGERS):
        assert globals()["int"] is integer
        assert "torch_int" not in globals()
    assert "int" not in globals()
    assert int is builtins.int
