"""Networks whose wiring leaves the scheduler a choice: RandWire and DARTS, and single Watts-Strogatz cells.

Weights are random, and seeded by whoever builds the model; wirings are seeded by themselves.
"""

from __future__ import annotations

import networkx
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def wiring(size: int, neighbours: int, seed: int) -> list[list[int]]:
    """A connected Watts-Strogatz graph WS(size, neighbours, 0.75) as the predecessors of each node; edges run upwards."""
    graph = networkx.connected_watts_strogatz_graph(size, neighbours, 0.75, seed=seed)
    return [sorted(other for other in graph[node] if other < node) for node in range(size)]


def ends(before: list[list[int]]) -> list[int]:
    """Nodes that no other one reads."""
    read = {other for others in before for other in others}
    return [node for node in range(len(before)) if node not in read]


def separable(channels: int, out: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """A depthwise and a pointwise convolution, and batch norm."""
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    return [depthwise, nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out)]


# -- RandWire (Xie, Kirillov, Girshick, He 2019: "Exploring randomly wired neural networks for image recognition") ----


class WiredNode(nn.Module):
    """Sum of the inputs, each weighted by the sigmoid of a parameter; ReLU, separable convolution, batch norm."""

    def __init__(self, inputs: int, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(inputs)) if inputs > 1 else None
        self.convolution = nn.Sequential(*separable(channels, out, stride=stride))

    def forward(self, *inputs: Tensor) -> Tensor:
        value = inputs[0]
        if self.mix is not None:
            weights = torch.sigmoid(self.mix)
            value = weights[0] * value
            for i, other in enumerate(inputs[1:], 1):
                value = value + weights[i] * other
        return self.convolution(F.relu(value))  # type: ignore[no-any-return]


class WiredStage(nn.Module):
    """A wiring of nodes; those without predecessors halve the resolution, the ends are averaged."""

    def __init__(self, size: int, channels: int, out: int, seed: int) -> None:
        super().__init__()
        self.before = wiring(size, 4, seed)
        self.nodes = nn.ModuleList(
            WiredNode(len(before), out, out, 1) if before else WiredNode(1, channels, out, 2) for before in self.before
        )

    def forward(self, x: Tensor) -> Tensor:
        values: list[Tensor] = []
        for node, before in zip(self.nodes, self.before, strict=True):
            values.append(node(*([values[i] for i in before] or [x])))
        last = [values[i] for i in ends(self.before)]
        return sum(last[1:], last[0]) / len(last)


class RandWire(nn.Module):
    """The small regime: a stem of two convolutions, three stages of WS(32, 4, 0.75), a classifier."""

    def __init__(self, seed: int, channels: int = 78, size: int = 32, classes: int = 1000) -> None:
        super().__init__()
        c = channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, c // 2, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c // 2),
            nn.ReLU(),
            nn.Conv2d(c // 2, c, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c),
        )
        widths = [c, c, 2 * c, 4 * c]
        self.stages = nn.Sequential(*(WiredStage(size, widths[i], widths[i + 1], 3 * seed + i) for i in range(3)))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(4 * c, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU())
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.stem(x)))
        return self.classifier(x.mean((2, 3)))  # type: ignore[no-any-return]


# -- DARTS (Liu, Simonyan, Yang 2019: "DARTS: Differentiable architecture search"), second-order cells on ImageNet ----

NORMAL = (("sep", 0), ("sep", 1), ("sep", 0), ("sep", 1), ("sep", 1), ("skip", 0), ("skip", 0), ("dil", 2))
REDUCTION = (("pool", 0), ("pool", 1), ("skip", 2), ("pool", 1), ("pool", 0), ("skip", 2), ("skip", 2), ("pool", 1))
"""DARTS_V2: two operations per node, each with the node that it reads; 0 and 1 are the two cells before."""


class FactorizedReduce(nn.Module):
    """Half the resolution by two 1x1 convolutions, one of them shifted by a pixel."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels, out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(channels, out // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))  # type: ignore[no-any-return]


def operation(kind: str, channels: int, stride: int) -> nn.Module:
    """One edge of a cell."""
    if kind == "pool":
        return nn.MaxPool2d(3, stride, 1)
    if kind == "skip":
        return FactorizedReduce(channels, channels) if stride == 2 else nn.Identity()
    if kind == "dil":
        return nn.Sequential(nn.ReLU(), *separable(channels, channels, 3, stride, 2))
    first, second = separable(channels, channels, 3, stride), separable(channels, channels)
    return nn.Sequential(nn.ReLU(), *first, nn.ReLU(), *second)


def squeeze(channels: int, out: int) -> nn.Module:
    """The 1x1 convolution in front of a cell."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))


class DartsCell(nn.Module):
    """Four nodes, each the sum of two operations on what was there before; their concatenation is the result."""

    def __init__(self, before: int, last: int, channels: int, *, reduce: bool, reduced_before: bool) -> None:
        super().__init__()
        self.before = FactorizedReduce(before, channels) if reduced_before else squeeze(before, channels)
        self.last = squeeze(last, channels)
        self.genes = REDUCTION if reduce else NORMAL
        self.operations = nn.ModuleList(
            operation(kind, channels, 2 if reduce and source < 2 else 1) for kind, source in self.genes
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [self.before(before), self.last(last)]
        for i in range(0, len(self.genes), 2):
            left, right = (self.operations[j](values[self.genes[j][1]]) for j in (i, i + 1))
            values.append(left + right)
        return torch.cat(values[2:], 1)


class Darts(nn.Module):
    """DARTS_V2 for ImageNet: 14 cells that start with 48 channels, two of them reductions."""

    def __init__(self, channels: int = 48, cells: int = 14, classes: int = 1000) -> None:
        super().__init__()
        c = channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, c // 2, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c // 2),
            nn.ReLU(),
            nn.Conv2d(c // 2, c, 3, 2, 1, bias=False),
            nn.BatchNorm2d(c),
        )
        self.second_stem = nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c))
        self.cells = nn.ModuleList()
        before, last, reduced = c, c, True
        for i in range(cells):
            reduce = i in (cells // 3, 2 * cells // 3)
            c *= 2 if reduce else 1
            self.cells.append(DartsCell(before, last, c, reduce=reduce, reduced_before=reduced))
            before, last, reduced = last, 4 * c, reduce
        self.classifier = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        before = self.stem(x)
        last = self.second_stem(before)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.classifier(last.mean((2, 3)))  # type: ignore[no-any-return]


# -- one cell ---------------------------------------------------------------------------------------------------------


class WiredCell(nn.Module):
    """A Watts-Strogatz cell without parameters: every node is the sigmoid of a sum, the ends are summed."""

    def __init__(self, size: int, neighbours: int, seed: int) -> None:
        super().__init__()
        self.before = wiring(size, neighbours, seed)

    def forward(self, x: Tensor) -> Tensor:
        values: list[Tensor] = []
        for before in self.before:
            inputs = [values[i] for i in before] or [x]
            values.append(torch.sigmoid(sum(inputs[1:], inputs[0])))
        last = [values[i] for i in ends(self.before)]
        return sum(last[1:], last[0])
