"""An operator without a rule costs what torch decomposes it to; one that torch cannot take apart is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

import fxcost
from fxcost.lower import exported
from fxcost.ops.registry import find


class Composite(nn.Module):
    """Two operators that nobody has written rules for, between two that have."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(torch.trapezoid(self.linear(x)) + torch.special.logsumexp(x, -1))


def test_a_composite_is_taken_apart() -> None:
    assert find("aten.trapezoid") is None
    cost = fxcost.analyze(Composite(), "N,8")
    assert not cost.unknown_ops
    assert str(cost.macs) == "64*N"
    parts = [node for node in cost.graph.nodes if node.name.startswith("trapezoid.")]
    assert [node.op for node in parts if node.results and node.op.startswith("aten.sum")]
    assert all("test_composites.py" in node.source for node in parts)


@pytest.fixture
def _linear_forgotten() -> Iterator[None]:
    """As if there were no rule for `linear`, which torch can take apart."""
    with patch.object(exported, "find", lambda op: None if op == "aten.linear" else find(op)):
        yield


@pytest.mark.usefixtures("_linear_forgotten")
def test_the_parts_count_like_the_whole() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    cost = fxcost.analyze(model, "N,S,8")
    assert str(cost.macs) == "192*N*S"
    assert "aten.linear" not in {node.op for node in cost.graph.nodes}
    assert {node.module for node in cost.graph.nodes if node.op in {"aten.addmm", "aten.mm"}} == {"0", "2"}
