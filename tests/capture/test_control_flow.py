"""Loops and branches of higher-order operators: their bodies count as often as they run."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._higher_order_ops.map import map as mapped
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop

import fxcost
from fxcost.ir.text import print_graph


class Scanned(nn.Module):
    """A recurrence over S in a scan."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        def step(state: Tensor, each: Tensor) -> tuple[Tensor, Tensor]:
            state = torch.tanh(state @ self.weight + each)
            return state, state.clone()

        return scan(step, x.new_zeros(x.shape[0], 8), x.transpose(0, 1))[1]  # type: ignore[no-any-return]


class Mapped(nn.Module):
    """A layer for each entry of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return mapped(self.linear, x)  # type: ignore[no-any-return]


class Until(nn.Module):
    """Halves until little is left."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(8) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return while_loop(lambda x: x.sum() > 1, lambda x: (self.linear(x),), (x,))[0]  # type: ignore[no-any-return]


class Either(nn.Module):
    """Two layers where the sum is positive, one where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: self.two(self.one(x)), lambda x: self.one(x), (x,))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("model", "each"), [(Scanned(), 8 * 8), (Mapped(), 8 * 4)], ids=["scan", "map"])
def test_a_loop_of_known_length(model: nn.Module, each: int) -> None:
    cost = fxcost.analyze(model, "N,S,8")
    assert not cost.unknown_ops
    assert set(cost.symbols) == {"N", "S"}
    assert any("counted as often as they run" in note for note in cost.graph.notes)
    for n, s in ((1, 3), (4, 9)):
        assert cost.macs(N=n, S=s) == n * s * each
        assert cost.output_bytes(N=n, S=s) == 4 * model(torch.rand(n, s, 8)).numel()
    again = fxcost.analyze(print_graph(cost.graph))
    assert again.macs.value is cost.macs.value, "the sums survive as text"


def test_traffic_and_memory_inside_a_loop_count_as_often_as_it_runs() -> None:
    """A step: state @ W, + x, tanh, a copy; each makes N*8 numbers of 4 bytes, the last two are kept until its end."""
    cost = fxcost.analyze(Scanned(), "N,S,8", check=False)
    one = 4 * 2 * 8  # bytes of one of a step's values where N = 2
    at = {"N": 2, "S": 5}
    assert cost.total("weight_bytes")(**at) == 5 * 8 * 8 * 4
    assert cost.read_bytes(**at) == 5 * (2 + 3) * one, "state and x, then what + and tanh and the copy read"
    assert cost.write_bytes(**at) == 5 * 4 * one + (1 + 5) * one + one, "inside, the results, the first state"
    assert cost.peak_memory_with_scratch(**at) - cost.peak_memory(**at) == 2 * one


def test_a_loop_that_the_data_ends_has_a_symbol_for_its_steps() -> None:
    cost = fxcost.analyze(Until(), "N,8", check=False)
    (steps,) = set(cost.symbols) - {"N"}
    assert cost.symbols[steps].kind == "data"
    # A sum of 16 is halved four times; the product runs once a step.
    assert torch.equal(Until()(torch.ones(2, 8)), torch.ones(2, 8) / 2**4)
    assert cost.macs.at({"N": 2, steps: 4}) == 4 * 2 * 64


def test_branches_of_different_cost_have_a_symbol_that_chooses() -> None:
    cost = fxcost.analyze(Either(), "N,8", check=False)
    (taken,) = set(cost.symbols) - {"N"}
    assert cost.macs.at({"N": 3, taken: 1}) == 3 * 2 * 64
    assert cost.macs.at({"N": 3, taken: 0}) == 3 * 64


def test_branches_of_the_same_cost_need_none() -> None:
    class Same(Either):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cond(x.sum() > 0, lambda x: self.two(x), lambda x: self.one(x), (x,))  # type: ignore[no-any-return]

    cost = fxcost.analyze(Same(), "N,8")
    assert set(cost.symbols) == {"N"}
    assert cost.macs(N=3) == 3 * 64
