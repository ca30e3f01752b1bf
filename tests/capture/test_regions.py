"""Guards that hold at few sizes: harmless ones are settled by further captures, real branches stay guards or regions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fxcost
from fxcost.errors import OutsideDomain
from tests.support.counter import count


class Sound(nn.Module):
    """A keyword spotter's front that compares the root of its length with a number, and does the same either way."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 80, 16),
            nn.ReLU(),
            nn.MaxPool1d(4),
            nn.Conv1d(8, 16, 3),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of a wave."""
        scaled = x * 2 if x.shape[-1] ** 0.5 > 6 else x * 3
        found: torch.Tensor = self.layers(scaled)
        return found


class Branching(nn.Module):
    """Does more work for one length, and skips a layer for a batch of one."""

    def __init__(self, special: int) -> None:
        super().__init__()
        self.special = special
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One to three products."""
        if x.shape[1] == self.special:
            x = self.layer(x)
        if x.shape[0] != 1:
            x = self.layer(x)
        found: torch.Tensor = self.layer(x)
        return found


@pytest.mark.parametrize(("batch", "length"), [(1, 16000), (2, 4001)])
def test_a_comparison_without_consequence_is_verified_away(batch: int, length: int) -> None:
    """The formula holds at lengths that were never captured, and says that it is verified, not proven."""
    model = Sound().eval()
    cost = fxcost.analyze(model, "N,1,L")
    assert cost.macs.standing == "fitted"
    assert cost.macs(N=batch, L=length) == count(model, torch.rand(batch, 1, length))


def test_a_real_branch_on_a_length_stays_a_guard() -> None:
    """Traced where the extra layer runs: elsewhere the formula does not hold, and nothing is claimed."""
    cost = fxcost.analyze(Branching(41).eval(), "N,S@41,8")
    assert cost.macs(N=3, S=41) == 3 * (3 * 41 * 64)
    assert cost.standing == "exact"
    with pytest.raises(OutsideDomain, match="41"):
        cost.macs(N=3, S=40)
    assert cost.macs(N=3, S=40, recapture=True) == 2 * (3 * 40 * 64)


def test_a_branch_on_a_batch_of_one_becomes_a_region() -> None:
    """Two products for every batch but one, where there is one; one expression says both."""
    model = Branching(10_000).eval()
    cost = fxcost.analyze(model, "N,S,8")
    assert "N" not in " ".join(cost.domain)
    for batch, length in [(1, 7), (2, 7), (5, 1), (1, 1)]:
        assert cost.macs(N=batch, S=length) == count(model, torch.rand(batch, length, 8))


def test_a_sweep_goes_over_regions() -> None:
    """A batch of one runs another graph: counts and latencies are that graph's there."""
    cost = fxcost.analyze(Branching(10_000).eval(), "N,S,8")
    metrics = ["macs", "peak_memory", "roofline:t4", "energy:t4"]
    for row in cost.sweep({"N": range(1, 5), "S": [1, 7, 4096]}, metrics=metrics):
        point = {"N": row["N"], "S": row["S"]}
        estimate = cost.on("t4", at=point)
        assert (row["macs"], row["peak_memory"]) == (cost.macs(**point), cost.peak_memory(**point))
        assert (row["roofline:t4"], row["energy:t4"]) == (estimate.roofline, estimate.energy)
