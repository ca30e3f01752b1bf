"""Integer inputs given as tensors: what they say about sizes is known to a trace."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost


class Packed(nn.Module):
    """Images after one another, each of `heights * widths` patches, attended to one by one, in windows of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 24)
        self.places = nn.Embedding(64, 8)

    def forward(self, patches: Tensor, grid: Tensor) -> Tensor:
        lengths = grid.prod(1)
        assert bool((lengths > 0).all())
        where = torch.cat([torch.arange(h * w, device=grid.device) % 64 for h, w in grid.tolist()])
        ends = torch.repeat_interleave(grid[:, 1], grid[:, 0]).cumsum(0)
        kept = where[where != -1]  # all of them, which only their values say
        query, key, value = self.layer(patches + self.places(kept)).chunk(3, -1)
        results = []
        for q, k, v in zip(*(torch.split(each, lengths.tolist()) for each in (query, key, value)), strict=True):
            results.append((q @ k.T) @ v)
        return torch.cat(results) + ends[-1] * torch.tensor([1.0], device=patches.device)


def counted(model: nn.Module, *inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    return int(counter.get_total_flops()) // 2


GRIDS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


@settings(max_examples=12, deadline=None)
@given(GRIDS)
def test_costs_are_those_of_the_given_values(shapes: list[tuple[int, int]]) -> None:
    grid = torch.tensor(shapes)
    patches = int(grid.prod(1).sum())
    cost = fxcost.analyze(Packed(), (f"{patches},8", grid))
    assert str(cost.standing) == "exact"
    assert not cost.unknown_ops
    assert cost.macs() == counted(Packed(), torch.zeros(patches, 8), grid)
    assert cost.output_bytes() == 4 * patches * 8


def test_a_size_that_the_values_fix_is_said_to_be_fixed_and_another_stays_free() -> None:
    class Rows(nn.Module):
        def forward(self, x: Tensor, rows: Tensor) -> Tensor:
            first, second = rows.tolist()
            made: Tensor = x[:, :first].transpose(1, 2) @ x[:, :first] + second
            return made

    cost = fxcost.analyze(Rows(), ("N,S,8", torch.tensor([5, 7])))
    assert cost.macs(N=3, S=11) == 3 * 8 * 5 * 8
    with pytest.raises(fxcost.errors.FxcostError):
        cost.macs(N=3, S=2)
    fixed = fxcost.analyze(Packed(), ("P@12,8", torch.tensor([[3, 4]])))
    assert "P=12" in fixed.fixed_dims["P"]


def test_given_values_are_not_changed() -> None:
    class Counting(nn.Module):
        def forward(self, x: Tensor, steps: Tensor) -> Tensor:
            steps += 1
            return x.repeat(int(steps[0]), 1)

    steps = torch.tensor([2])
    cost = fxcost.analyze(Counting(), ("N,8", steps))
    assert cost.output_bytes(N=5) == 4 * 3 * 5 * 8
    assert steps.tolist() == [2]


def test_a_spec_may_give_the_values() -> None:
    by_text = fxcost.analyze(Packed(), ("17,8", "i64[2,2]{3,4,1,5}"))
    by_tensor = fxcost.analyze(Packed(), ("17,8", torch.tensor([[3, 4], [1, 5]])))
    assert by_text.quantities == by_tensor.quantities
    with pytest.raises(fxcost.errors.SpecError, match="a value does not fit i8"):
        fxcost.analyze(Packed(), ("17,8", "i8[1,2]{3,400}"))
