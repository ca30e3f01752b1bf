"""Recurrent layers keep their length as a symbol, and count like torch's own steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._decomp import decompositions
from torch.utils.flop_counter import FlopCounterMode

import fxcost

LAYERS = [
    nn.LSTM(12, 8, 2, batch_first=True, bidirectional=True),
    nn.LSTM(12, 8, proj_size=5),
    nn.GRU(12, 8, 2),
    nn.RNN(12, 8, batch_first=True, nonlinearity="relu"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: str(layer).partition("(")[0])
def test_the_length_stays_a_symbol(layer: nn.Module) -> None:
    cost = fxcost.analyze(layer, "N,S,12")
    assert set(cost.symbols) == {"N", "S"}
    assert not cost.unknown_ops
    for n, s in ((1, 1), (3, 11), (2, 40)):
        source = torch.empty(n, s, 12, device="meta")
        with FlopCounterMode(display=False) as counter:  # every step is run on meta tensors
            result = layer.to("meta")(source)
        assert cost.macs(N=n, S=s) == counter.get_total_flops() // 2
        outputs = [result[0], *(result[1] if isinstance(result[1], tuple) else [result[1]])]
        assert cost.output_bytes(N=n, S=s) == 4 * sum(each.numel() for each in outputs)


class Sequence(nn.Module):
    """A recurrent layer in the middle of other operators."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.layer = nn.LSTM(12, 8, batch_first=True)
        self.head = nn.Linear(8, 50)

    def forward(self, tokens: Tensor) -> Tensor:
        states, (last, _) = self.layer(self.embed(tokens))
        return self.head(states) + self.head(last[-1])[:, None]  # type: ignore[no-any-return]


def test_what_follows_keeps_it_too() -> None:
    cost = fxcost.analyze(Sequence(), "i64[N,S]")
    assert not cost.fixed_dims
    assert str(cost.standing) == "exact"
    assert cost.macs(N=2, S=9) == 2 * (9 * 4 * 8 * (12 + 8) + 9 * 8 * 50 + 8 * 50)
    program = torch.export.export(Sequence().eval(), (torch.zeros(2, 9, dtype=torch.int64),))
    measured: Any = fxcost.measure_peak(program, (torch.zeros(2, 9, dtype=torch.int64),))
    assert cost.peak_memory(N=2, S=9) == measured.values


def test_torch_is_left_as_it_was() -> None:
    before = decompositions.one_layer_lstm
    fxcost.analyze(nn.LSTM(4, 4), "S,N,4", check=False)
    assert decompositions.one_layer_lstm is before


@pytest.mark.parametrize("layer", [nn.LSTM(8, 4, 2, proj_size=3), nn.GRU(8, 4, bidirectional=True), nn.RNN(8, 4)])
def test_recurrent_layers_are_checked_against_an_eager_run(layer: nn.Module) -> None:
    assert fxcost.analyze(layer, "S,N,8").graph.notes[-1].endswith("equal to torch's count of an eager run")
