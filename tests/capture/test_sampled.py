"""Loops over time in Python: each size is another program, and totals are fitted on several of them."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import fxcost
from fxcost.errors import OutsideDomain
from fxcost.report.formats import render
from tests.support.counter import MacCounter


class Stepwise(nn.Module):
    """A cell run step by step, as state-space models are where no kernel is installed, then attention over its states."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.cell, self.mix, self.head = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], x.shape[2])
        states = []
        for step in range(x.shape[1]):
            state = torch.tanh(self.cell(state) + x[:, step])
            states.append(state)
        stacked = torch.stack(states, 1)
        scores = torch.softmax(self.mix(stacked) @ stacked.transpose(1, 2), -1)
        return self.head(scores @ stacked)  # type: ignore[no-any-return]


def counted(model: nn.Module, *shape: int) -> int:
    with torch.no_grad(), MacCounter() as counter:
        model(torch.rand(*shape))
    return int(counter.macs)


@pytest.fixture(scope="module")
def stepwise() -> fxcost.Cost:
    return fxcost.analyze(Stepwise(), "N,S,8")


def test_totals_are_formulas_in_the_length(stepwise: fxcost.Cost) -> None:
    assert str(stepwise.standing) == "fitted"
    assert set(stepwise.symbols) == {"N", "S"}
    assert not stepwise.fixed_dims
    model = Stepwise().eval()
    for n, s in ((1, 9), (2, 23), (3, 50), (1, 2)):
        assert stepwise.macs(N=n, S=s) == counted(model, n, s, 8)
    assert any("not proven" in note for note in stepwise.graph.notes)


def test_questions_take_the_fitted_formula(stepwise: fxcost.Cost) -> None:
    limit = int(stepwise.macs(N=1, S=100))
    assert stepwise.solve(stepwise.macs <= limit, wrt="S", at={"N": 1}).max == 100


def test_nodes_at_another_length_are_captured_there(stepwise: fxcost.Cost) -> None:
    here = stepwise.at_point({"N": 2, "S": 6})
    assert here.macs(N=2, S=6) == counted(Stepwise().eval(), 2, 6, 8)
    assert sum(node.op == "aten.tanh" for node in here.graph.nodes) == 6


def test_latency_at_another_length_is_that_of_a_capture_there(stepwise: fxcost.Cost) -> None:
    formula = stepwise.rate("roofline", "t4")
    with pytest.raises(OutsideDomain, match="S=37"):
        formula(N=1, S=6)
    there = fxcost.analyze(Stepwise(), "N,6,8", check=False).on("t4", at={"N": 1})
    assert stepwise.on("t4", at={"N": 1, "S": 6}).roofline == there.roofline
    assert formula(N=1, S=37) == stepwise.on("t4", at={"N": 1, "S": 37}).roofline


def test_a_quantity_that_is_no_polynomial_is_known_where_it_was_captured(stepwise: fxcost.Cost) -> None:
    """Which values are alive together depends on the length: linear in it at first, quadratic later."""
    peak = stepwise.peak_memory
    assert str(peak.standing) == "numeric"
    with pytest.raises(OutsideDomain):
        peak(N=1, S=11)
    assert peak(N=1, S=11, recapture=True) == fxcost.analyze(Stepwise(), "N,11,8", check=False).peak_memory(N=1)


def test_reports_say_where_a_formula_is_that_of_one_size(stepwise: fxcost.Cost) -> None:
    text = render("text", stepwise.summary())
    assert re.search(r"peak_memory = \d+\*N\s+where S == 37", text)
    assert "standing: fitted" in text


def test_parameters_stay_exact(stepwise: fxcost.Cost) -> None:
    assert str(stepwise.params.standing) == "exact"
    assert stepwise.params(N=1, S=50) == sum(p.numel() for p in Stepwise().parameters())


def test_a_token_that_is_a_view_of_a_parameter_does_not_stop_the_self_check() -> None:
    """Torch's counter looks for the gradients' history of what modules are given, and there is none."""

    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.head = nn.Parameter(torch.rand(1, 1, 8)), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.token.expand(x.shape[0], -1, -1)) + x[:, :1, :2]  # type: ignore[no-any-return]

    cost = fxcost.analyze(Token(), "N,S,8")
    assert any("equal to torch's count" in note for note in cost.graph.notes)
    assert cost.params_trainable(N=1, S=2) == 8 + 18
