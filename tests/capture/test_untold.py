"""Models that ask torch whether they are traced, and have the way for traces wrong: they are traced without being told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxcost
from tests.support.counter import MacCounter


class Masked(nn.Module):
    """Leaves its mask out where it is told of a trace, and reads it all the same; `selects` by data too."""

    def __init__(self, selects: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)
        self.selects = selects

    def forward(self, x: Tensor) -> Tensor:
        mask: Any = None if torch.compiler.is_compiling() else torch.ones(x.shape[:2], device=x.device)
        found: Tensor = self.linear(x) * mask[:, :, None]
        return found[found[..., 0] > 0] if self.selects else found


@pytest.mark.parametrize("selects", [False, True])
def test_what_is_wrong_for_traces_alone_is_captured_with_its_sizes(selects: bool) -> None:
    model = Masked(selects).eval()
    cost = fxcost.analyze(model, "N,S,8")
    assert {"N", "S"} <= set(cost.symbols)
    assert not cost.unknown_ops
    for batch, length in ((1, 1), (3, 7)):
        with MacCounter() as counter:
            model(torch.rand(batch, length, 8))
        assert cost.macs(N=batch, S=length) == counter.macs == batch * length * 8 * 4


@pytest.mark.parametrize("error", ["of shapes", "of its own"])
def test_an_error_in_the_way_for_traces_is_no_reason_to_record(error: str) -> None:
    class Checked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.linear(x)
            if not torch.compiler.is_compiling():
                return found
            if error == "of its own":
                raise ValueError("the mask should be of another size")
            return found.view(-1, 3)

    cost = fxcost.analyze(Checked(), "N,8")
    assert (str(cost.macs), str(cost.standing)) == ("32*N", "exact")


def test_flags_of_torch_are_as_before() -> None:
    fxcost.analyze(Masked(True), "N,S,8")
    assert not torch.compiler.is_compiling()
    assert not torch.compiler.is_exporting()
