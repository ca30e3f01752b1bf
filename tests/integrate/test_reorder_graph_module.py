"""Orders applied to GraphModules as `torch.fx.symbolic_trace` makes them: their nodes are modules, functions, methods."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fxcost
from fxcost.errors import ModelError

torch.set_num_threads(1)


class Gated(nn.Module):
    """A wide branch that is better run last, beside a gate that depends on a parameter alone."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.small = nn.Linear(8, 64), nn.Linear(64, 8), nn.Linear(8, 8)
        self.gate = nn.Parameter(torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        wide = self.wide(x)
        other = torch.cat([x, x, x, x], 1).relu()[:, :8]
        result: Tensor = (self.narrow(wide) + self.small(other)) * torch.sigmoid(self.gate).relu() + x.size(0)
        return result


class Attending(nn.Module):
    """Attention is one node of the trace and a dozen operators of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.attention(x, x, x)[0] + torch.softmax(x, -1)
        return result


def test_the_traced_module_runs_in_the_best_order_with_constants_folded() -> None:
    traced = torch.fx.symbolic_trace(Gated().eval())
    found = fxcost.analyze(traced, "N,8").schedule({"N": 4})
    ordered = found.apply(traced)
    x = torch.randn(4, 8)
    assert found.peak < found.traced_peak
    assert torch.equal(ordered(x), traced(x))
    assert fxcost.measure_peak(ordered, (x,)).values == found.peak
    names = [node.name for node in ordered.graph.nodes]
    assert names.index("b_wide" if "b_wide" in names else "wide") > names.index("small")
    assert "sigmoid" not in names, "the gate is a constant now"
    assert [node.name for node in traced.graph.nodes] != names, "the original keeps its order"


def test_a_module_of_many_operators_is_one_node() -> None:
    traced = torch.fx.symbolic_trace(Attending().eval())
    cost = fxcost.analyze(traced, "N,S,8")
    found = cost.schedule({"N": 2, "S": 5}, fold=False)
    x = torch.randn(2, 5, 8)
    try:
        ordered = found.apply(traced)
    except ModelError as error:
        assert "operators inside attention" in str(error)  # noqa: PT017
    else:
        assert torch.equal(ordered(x), traced(x))


def test_another_graph_module_is_refused() -> None:
    found = fxcost.analyze(torch.fx.symbolic_trace(Gated().eval()), "N,8").schedule({"N": 4})
    with pytest.raises(ModelError, match="not the program that was analysed"):
        found.apply(torch.fx.symbolic_trace(Attending().eval()))
