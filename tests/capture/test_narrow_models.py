"""Models in narrower types: dynamic quantisation, pairs of quantise and dequantise, autocast."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401  (defines the operators of the pairs)

import fxcost


def test_dynamic_quantisation_is_counted_with_its_packed_weights() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        narrow = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    cost = fxcost.analyze(narrow, "N,64")
    assert str(cost.standing) == "fitted", "recorded at several sizes: torch.export cannot take packed weights"
    assert not cost.unknown_ops
    assert [cost.macs(N=n) for n in (1, 9)] == [n * (64 * 32 + 32 * 10) for n in (1, 9)]
    assert cost.params() == sum(p.numel() for p in model.parameters())
    # eight bits a weight, 32 a bias
    assert cost.model_bytes() == cost.weight_bytes() == 64 * 32 + 32 * 10 + 4 * (32 + 10)


class Pair(nn.Module):
    """A product between two pairs, as torch.export-based quantisation writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 8)

    def through(self, x: Tensor) -> Tensor:
        """Quantise and back."""
        pair = torch.ops.quantized_decomposed
        narrow = pair.quantize_per_tensor(x, 0.1, 3, -128, 127, torch.int8)
        return pair.dequantize_per_tensor(narrow, 0.1, 3, -128, 127, torch.int8)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.through(self.linear(self.through(x)))


def test_pairs_are_pointwise() -> None:
    cost = fxcost.analyze(Pair(), "N,S,16")
    assert str(cost.standing) == "exact"
    assert str(cost.macs) == "128*N*S"
    # quantise 5 and dequantise 2 per element, 8 biases
    assert cost.other_ops(N=2, S=3) == 6 * (16 * 7 + 8 * 7 + 8)


class Cast(nn.Module):
    """Two products under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.linear(self.linear(x))  # type: ignore[no-any-return]


def test_autocast_narrows_results() -> None:
    cost = fxcost.analyze(Cast(), "N,16")
    assert cost.macs(N=3) == 3 * 512
    assert cost.output_bytes(N=3) == 3 * 16 * 2
    assert any(note.startswith("autocast: results have its types") for note in cost.graph.notes)


def test_autocast_that_could_not_be_applied_is_told() -> None:
    with torch.device("meta"):
        cost = fxcost.analyze(Cast(), "N,16")
    assert cost.macs(N=3) == 3 * 512
    assert any(note.startswith("autocast was not applied") for note in cost.graph.notes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_plain_model_has_no_such_note(dtype: torch.dtype) -> None:
    cost = fxcost.analyze(nn.Linear(8, 8).to(dtype), f"{'f32' if dtype is torch.float32 else 'bf16'}[N,8]", check=False)
    assert not [note for note in cost.graph.notes if "autocast" in note]
