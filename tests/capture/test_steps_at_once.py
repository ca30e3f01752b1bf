"""Recurrent layers on meta tensors, all steps at once, against real runs: shapes, and products by torch's counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fxcost.capture.count import _blind_spots
from fxcost.capture.recurrence import StepsAtOnce

LAYERS: list[tuple[Any, dict[str, Any]]] = [
    (nn.GRU, {}),
    (nn.GRU, {"num_layers": 3, "bidirectional": True, "bias": False}),
    (nn.RNN, {"nonlinearity": "relu", "batch_first": True}),
    (nn.RNN, {"num_layers": 2, "bidirectional": True}),
    (nn.LSTM, {"num_layers": 2, "dropout": 0.1, "bidirectional": True}),
    (nn.LSTM, {"bias": False, "batch_first": True}),
    (nn.LSTM, {"num_layers": 2, "proj_size": 3}),
    (nn.LSTM, {"bidirectional": True, "proj_size": 2, "bias": False}),
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "settings"), LAYERS)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_shapes_and_products_are_those_of_a_real_run(kind: Any, settings: dict[str, Any], packed: bool) -> None:
    found = []
    for device in ("cpu", "meta"):
        layer: Any = kind(6, 5, **settings).eval().to(device)
        x: Any = torch.randn(4, 4, 6, device=device)
        if packed:
            x = pack_padded_sequence(x, torch.tensor([4, 3, 3, 1]), batch_first=settings.get("batch_first", False))
        with (
            torch.no_grad(),
            FlopCounterMode(display=False, custom_mapping=_blind_spots()) as counter,
            StepsAtOnce(),
        ):
            leaves = [leaf for leaf in tree_leaves(tuple(layer(x))) if isinstance(leaf, torch.Tensor)]
        found.append((counter.get_total_flops(), [leaf.shape for leaf in leaves]))
    assert found[0] == found[1]
    assert found[0][0] > 0
