"""Results keep the format of their operands, or do not: a copy that `contiguous` then makes is seen in a real run's peak."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fxcost

Move = Callable[[Tensor], Tensor]
FIRST_TWO = torch.tensor([0, 1])

FORMATS: dict[str, tuple[Move, tuple[int, ...]]] = {
    "rows first": (lambda x: x.transpose(0, 1) * 1, (3, 5, 4)),
    "columns first": (lambda x: x.transpose(1, 2) * 1, (3, 5, 4)),
    "turned": (lambda x: x.permute(2, 0, 1) * 1, (3, 5, 4)),
    "channels last": (lambda x: x.to(memory_format=torch.channels_last), (2, 3, 4, 6)),
    "heads last": (lambda x: x.permute(0, 2, 1, 3) * 1, (2, 3, 4, 6)),
}

MOVES: dict[str, Move] = {
    "sort": lambda x: x.sort(-1)[0],
    "places of a sort": lambda x: x.sort(0)[1],
    "argsort": lambda x: x.argsort(-1),
    "topk": lambda x: x.topk(2, -1)[0],
    "flip": lambda x: x.flip(0),
    "rot90": lambda x: x.rot90(),
    "rot180": lambda x: x.rot90(2, (0, 2)),
    "roll": lambda x: x.roll(1, 0),
    "diff": lambda x: x.diff(dim=0),
    "cumsum": lambda x: x.cumsum(0),
    "softmax": lambda x: x.softmax(-1),
    "index_fill": lambda x: x.index_fill(0, FIRST_TWO[:1], 1.0),
    "index_put": lambda x: x.index_put((FIRST_TWO[:1],), torch.zeros(())),
    "select_scatter": lambda x: x.select_scatter(x[0], 0, 0),
    "slice_scatter": lambda x: x.slice_scatter(x[:1], 0, 0, 1),
    "by rows": lambda x: x[FIRST_TWO],
    "by columns": lambda x: x[:, FIRST_TWO],
    "by a table": lambda x: x[FIRST_TWO[:, None], FIRST_TWO],
    "by the last": lambda x: x[..., torch.tensor([[0, 1], [1, 2]])],
    "by ends": lambda x: x[FIRST_TWO, :, FIRST_TWO],
    "index_select": lambda x: x.index_select(0, FIRST_TWO),
    "gather": lambda x: x.gather(0, torch.zeros(1, *x.shape[1:], dtype=torch.long)),
    "cat": lambda x: torch.cat([x, x]),
    "pad": lambda x: functional.pad(x, (1, 1)),
    "clone": torch.clone,
    "zeros_like": torch.zeros_like,
    "double": lambda x: x.double(),
    "to contiguous": lambda x: x.to(memory_format=torch.contiguous_format),
    "sum": lambda x: x.sum(1),
    "gelu": functional.gelu,
    "where": lambda x: torch.where(x > 0, x, x + 1),
}


class Moved(nn.Module):
    def __init__(self, arrange: Move, move: Move) -> None:
        super().__init__()
        self.arrange, self.move = arrange, move

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        arranged = self.arrange(x)
        return self.move(arranged).contiguous(), arranged


@pytest.mark.parametrize("name", MOVES)
def test_what_contiguous_copies_is_as_measured(name: str) -> None:
    for label, (arrange, sizes) in FORMATS.items():
        x = torch.rand(*sizes)
        program = torch.export.export(Moved(arrange, MOVES[name]), (x,), strict=False)
        cost = fxcost.analyze(program, check=False)
        assert fxcost.measure_peak(program, (x,)).values == cost.peak_memory(), label


def test_a_tensor_of_the_wanted_format_is_taken_as_it_is() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            last = x.to(memory_format=torch.channels_last)
            return functional.avg_pool2d(last.to(memory_format=torch.channels_last), 2).contiguous(
                memory_format=torch.channels_last
            )

    x = torch.rand(2, 3, 8, 8)
    program = torch.export.export(Twice(), (x,), strict=False)
    measured = fxcost.measure_peak(program, (x,))
    assert measured.values == fxcost.analyze(program, check=False).peak_memory() == 4 * (2 * 3 * 64 * 2)
