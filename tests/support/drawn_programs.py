"""Programs drawn by hypothesis: views, copies that are views at some sizes, writes through views, branches of many widths.

A step names a move and the values that it takes, counted back from the last one. What a move may do is settled by
labels of the dimensions, never by their sizes, so that one capture with symbols is the program at every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

WIDTH = 4

MOVES = ["relu", "double", "add", "add", "wide", "mean", "transpose", "transpose", "flatten", "unflatten", "contiguous"]
MOVES += ["clone", "narrow", "relu_", "halve_row", "add_", "sort"]
STATEFUL = ["count", "read", "weight"]

Step = tuple[str, int, int]
Labels = tuple[tuple[str, ...], ...]
"""For each dimension the sizes that it is the product of."""


def programs(*, stateful: bool, steps: int = 14) -> st.SearchStrategy[list[Step]]:
    """Steps of a program; with `stateful` some of them use a buffer that is updated, and a parameter."""
    back = st.integers(0, 5)
    moves = MOVES + (STATEFUL if stateful else [])
    return st.lists(st.tuples(st.sampled_from(moves), back, back), min_size=4, max_size=steps)


class Drawn(nn.Module):
    """Takes N x S x 4 numbers and returns the last value and one from the middle."""

    count: Tensor

    def __init__(self, steps: Sequence[Step], *, stateful: bool) -> None:
        super().__init__()
        self.steps = steps
        if stateful:
            self.register_buffer("count", torch.ones(()))
            self.weight = nn.Parameter(torch.rand(WIDTH))

    def forward(self, x: Tensor) -> list[Tensor]:
        self.sizes = {"N": x.shape[0], "S": x.shape[1], "C": WIDTH, "half": WIDTH // 2, "3": 3}
        values: list[tuple[Tensor, Labels]] = [(x + 1, (("N",), ("S",), ("C",)))]
        for kind, first, second in self.steps:
            one, other = (values[-1 - back % len(values)] for back in (first, second))
            made = self.move(kind, one, other)
            if made is not None:
                values.append(made)
        return [values[-1][0], values[len(values) // 2][0]]

    def move(self, kind: str, one: tuple[Tensor, Labels], other: tuple[Tensor, Labels]) -> tuple[Tensor, Labels] | None:
        """A value and its labels, None where the move does not apply."""
        (t, labels), (u, others) = one, other
        simple: dict[str, Any] = {
            "relu": torch.relu,
            "double": lambda t: t * 2,
            "contiguous": Tensor.contiguous,
            "clone": torch.clone,
            "relu_": Tensor.relu_,
            "sort": lambda t: torch.sort(t, -1)[0],
        }
        if kind in simple:
            return simple[kind](t), labels
        if kind in {"add", "add_"} and labels == others:
            return (t.add_(u) if kind == "add_" else t + u), labels
        if kind == "add" and len(labels) == len(others):
            pairs = list(zip(labels, others, strict=True))
            return (t + u, tuple(a or b for a, b in pairs)) if all(a == b or () in (a, b) for a, b in pairs) else None
        if kind == "wide":
            return torch.cat([t, t + 1, t], 0), (("3", *labels[0]), *labels[1:])
        if kind == "mean":
            return t.mean(0, keepdim=True), ((), *labels[1:])
        if kind == "transpose" and len(labels) > 1:
            return t.transpose(0, 1), (labels[1], labels[0], *labels[2:])
        if kind == "flatten" and len(labels) > 1:
            return t.flatten(0, 1), ((*labels[0], *labels[1]), *labels[2:])
        if kind == "unflatten" and len(labels[0]) > 1:
            split = tuple((label,) for label in labels[0])
            return t.reshape(*(self.sizes[label] for label in labels[0]), *t.shape[1:]), (*split, *labels[1:])
        if kind == "narrow" and labels[-1] == ("C",):
            return t[..., 1 : 1 + WIDTH // 2], (*labels[:-1], ("half",))
        if kind == "halve_row":
            t[0].mul_(0.5)
            return t, labels
        if kind == "count":
            self.count.add_(t.mean())
        if kind == "read":
            return t * self.count, labels
        if kind == "weight" and labels[-1] == ("C",):
            return t + torch.tanh(self.weight) * 2, labels
        return None
