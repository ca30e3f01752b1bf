"""Random programs of views, copies, in-place and fused ops: the predicted peak is the measured one, byte for byte.

Each program is captured once with symbolic N and S; then, at other sizes (one among them, where copies become views),
the same program is exported statically, run on the CPU, and its storages are tracked.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import fxcost
from fxcost.errors import OutsideDomain

WIDTH = 4
SIZES = [(3, 5), (1, 7), (4, 1), (1, 1), (2, 4)]
MOVES = [
    "transpose",
    "permute",
    "contiguous",
    "flatten",
    "heads",
    "relu",
    "relu_",
    "double",
    "cat",
    "expand",
    "linear",
    "softmax",
    "center",
    "matmul",
    "chunk",
    "unsqueeze",
    "clone",
    "attention",
    "half",
    "stack",
    "conv",
    "norm",
    "dropout",
    "where",
    "sub_",
]


class Program(torch.nn.Module):
    """A straight line of `steps` random moves; each takes one of the last few values.

    Which moves apply is settled once, at a size where no two dimensions are equal: the program is the same for all.
    """

    def __init__(self, seed: int, steps: int) -> None:
        super().__init__()
        self.seed = seed
        self.linear: Any = torch.nn.Linear(WIDTH, WIDTH)
        self.norm: Any = torch.nn.LayerNorm(WIDTH)
        self.conv: Any = torch.nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.plan: list[tuple[str, bool]] = []
        draw = random.Random(seed)
        kinds = [draw.choice(MOVES) for _ in range(steps)]
        self.run(torch.rand(7, 11, WIDTH), [(kind, False) for kind in kinds], settle=True)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the last value and up to two others."""
        return self.run(x, self.plan)

    def run(self, x: torch.Tensor, plan: list[tuple[str, bool]], *, settle: bool = False) -> list[torch.Tensor]:
        """Make the moves; with `settle` find out which of them meet a tensor whose own size allows them."""
        draw = random.Random(self.seed + 1)
        values = [x + 1]
        for kind, fits in plan:
            value = draw.choice(values[-4:])
            if settle:
                at = 1 if kind == "conv" else -1
                fits = value.dim() > 1 and value.shape[at] == WIDTH
                self.plan.append((kind, fits))
            values.append(self.move(kind, value, draw, fits))
        return [values[-1], *draw.sample(values, min(2, len(values)))]

    def move(self, kind: str, t: torch.Tensor, draw: random.Random, fits: bool) -> Any:
        """One move, or the value itself where the move does not apply."""
        rank, whole = t.dim(), fits
        if kind == "transpose":
            return t.transpose(*draw.sample(range(rank), 2))
        if kind == "permute":
            return t.permute(draw.sample(range(rank), rank))
        if kind == "flatten" and rank >= 3:
            first = draw.randrange(rank - 1)
            return t.flatten(first, first + 1)
        if kind == "heads" and whole and rank <= 4:
            return t.reshape(*t.shape[:-1], 2, WIDTH // 2)
        if kind == "matmul" and rank <= 3:
            return torch.matmul(t, t.transpose(-1, -2)) @ t
        if kind == "chunk" and whole:
            left, right = t.chunk(2, -1)
            return torch.cat([right, left], -1)
        if kind == "unsqueeze" and rank <= 3:
            return t.unsqueeze(draw.randrange(rank + 1))
        if kind == "attention" and rank == 4:
            return F.scaled_dot_product_attention(t, t, t)
        if kind == "stack" and rank <= 3:
            return torch.stack([t, t], 0)[1]
        if kind == "conv" and rank == 3 and fits:
            return self.conv(t)
        if kind == "linear" and whole:
            return self.linear(t)
        if kind == "norm" and whole:
            return self.norm(t)
        plain: dict[str, Any] = {
            "contiguous": lambda: t.contiguous(),
            "relu": lambda: torch.relu(t),
            "relu_": lambda: t.clone().relu_(),
            "double": lambda: t + t,
            "cat": lambda: torch.cat([t, t], 0)[: t.shape[0]],
            "expand": lambda: t.unsqueeze(0).expand(2, *t.shape)[0],
            "softmax": lambda: t.softmax(-1),
            "center": lambda: t - t.mean(-1, keepdim=True),
            "clone": lambda: t.clone(),
            "half": lambda: t.to(torch.float16).to(torch.float32),
            "dropout": lambda: F.dropout(t, 0.5, training=False),
            "where": lambda: torch.where(t > 0, t, 0.0),
            "sub_": lambda: (t * 1).sub_(1),
        }
        return plain[kind]() if kind in plain else t


def mismatches(seed: int) -> tuple[int, list[Any]]:
    """How many sizes were compared, and where prediction and run differ."""
    model = Program(seed, random.Random(seed).randint(3, 12)).eval()
    cost = fxcost.analyze(model, f"N,S,{WIDTH}", check=False)
    wrong: list[Any] = []
    compared = 0
    for batch, length in SIZES:
        point = {n: v for n, v in {"N": batch, "S": length}.items() if n in cost.symbols}
        try:
            predicted = cost.peak_memory.at(point)
        except OutsideDomain:
            continue
        inputs = (torch.rand(batch, length, WIDTH),)
        with torch.no_grad():
            program = torch.export.export(model, inputs, strict=False)
        measured = fxcost.measure_peak(program, inputs)
        compared += 1
        if predicted != measured.values:
            wrong.append((seed, point, predicted, measured))
    return compared, wrong


@pytest.mark.parametrize("seed", range(8))
def test_random_programs(seed: int) -> None:
    """A few programs in every run of the tests."""
    compared, wrong = mismatches(seed)
    assert not wrong
    assert compared


@pytest.mark.slow
def test_many_random_programs() -> None:
    """Many more, some of which are outside their domain at one of the sizes."""
    results = [mismatches(seed) for seed in range(100, 300)]
    assert [w for _, wrong in results for w in wrong] == []
    assert sum(compared for compared, _ in results) > 500
