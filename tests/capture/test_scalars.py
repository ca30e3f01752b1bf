"""Sizes computed in tensors of one number, beside buffers that hold strides; ranges over sizes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import fxcost
from fxcost.capture.loaders import build
from fxcost.errors import CaptureError, OutsideDomain
from tests.support.counter import MacCounter


class Framed(nn.Module):
    """A strided convolution that pads to whole frames, as codecs of sound do: all in tensors of one integer."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, kernel, stride)
        step = torch.tensor(stride, dtype=torch.int64)
        self.stride = nn.Buffer(step, persistent=False)
        self.kernel = nn.Buffer(torch.tensor(kernel), persistent=False)
        self.padding = nn.Buffer(torch.tensor(kernel) - step, persistent=False)
        self.left = self.padding - self.padding // 2

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[-1]
        frames = (length - self.kernel + self.padding) / self.stride + 1
        frames = torch.ceil(frames).to(torch.int64) - 1
        extra = frames * self.stride + self.kernel - self.padding - length
        if max(self.padding, extra) > 100:
            raise ValueError("no such padding")
        padded = functional.pad(x, (self.left, self.padding - self.left + extra))  # type: ignore[arg-type]
        found: Tensor = self.conv(padded)[..., : int(frames) + 1]
        return found


def counted(model: nn.Module, x: Tensor) -> tuple[int, tuple[int, ...]]:
    with MacCounter() as counter, torch.no_grad():
        found = model.eval()(x)
    return counter.macs, tuple(found.shape)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 5), st.integers(0, 6), st.lists(st.integers(40, 900), min_size=2, max_size=4))
def test_padding_to_whole_frames_is_a_formula(stride: int, more: int, lengths: list[int]) -> None:
    model = Framed(stride + more, stride)
    cost = fxcost.analyze(model, "N,1,S")
    assert set(cost.symbols) == {"N", "S"}
    assert not cost.unknown_ops
    held = 0
    for length in lengths:
        macs, shape = counted(model, torch.zeros(2, 1, length))
        try:
            found = cost.macs(N=2, S=length)
        except OutsideDomain:  # whole frames, or none missing, are another region
            continue
        held += 1
        assert found == macs
        assert cost.output_bytes(N=2, S=length) == 4 * torch.Size(shape).numel()
    assert held or stride > 1


def test_a_model_built_without_weights_keeps_its_strides() -> None:
    model = build(lambda: Framed(8, 4), "framed")
    assert model.conv.weight.device.type == "meta"
    assert int(model.stride) == 4
    cost = fxcost.analyze(model, "N,1,S")
    assert cost.macs(N=3, S=101) == counted(Framed(8, 4), torch.zeros(3, 1, 101))[0]


def test_a_model_of_sound_is_traced_with_a_second_of_it() -> None:
    model = Framed(8, 4)
    model.config = SimpleNamespace(sampling_rate=16000)  # type: ignore[assignment]
    assert fxcost.analyze(model, "N,1,S").symbols["S"].hint == 16007
    assert fxcost.analyze(model, "N,1,S@50").symbols["S"].hint == 50


class Chunked(nn.Module):
    """Works on `parts` pieces of its input, counted in steps of a size, and on the rest in plain ones."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        found = [self.linear(x[:, at : at + length]) for at in range(0, self.parts * length, length)]
        assert isinstance(range(3), range)
        return torch.cat(found, 1)


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_a_range_of_so_many_steps_keeps_its_size(parts: int) -> None:
    if not parts:
        with pytest.raises(CaptureError):
            fxcost.analyze(Chunked(parts), "N,S,3")
        return
    model = Chunked(parts)
    cost = fxcost.analyze(model, "N,S,3")
    for size in (1, 4, 50):
        assert cost.macs(N=2, S=size) == counted(model, torch.zeros(2, size, 3))[0]


def test_a_loop_over_a_size_is_fitted_as_ever() -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return sum(x[:, at] @ x[:, at].T for at in range(x.shape[1]))

    cost = fxcost.analyze(Steps(), "N,S,3")
    assert str(cost.standing) == "fitted"
    for size in (4, 9):
        assert cost.macs(N=4, S=size) == size * 4 * 4 * 3
