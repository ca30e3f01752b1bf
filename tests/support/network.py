"""Devices that send each other pieces, one step after the other: a simulator that knows nothing of formulas.

What a device holds of a piece is the set of devices whose numbers are in it. A piece that arrives is added to what is held
(`adds`, which must not count anybody twice) or takes its place. The simulator counts elements sent, by device and by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Piece = Any
Holdings = list[dict[Any, frozenset[int]]]


@dataclass(frozen=True)
class Send:
    """One piece on its way from a device to another."""

    source: int
    target: int
    piece: Piece
    adds: bool = False


@dataclass
class Network:
    """P devices; `sizes` are the elements of the pieces."""

    devices: int
    sizes: Callable[[Piece], int]
    holdings: Holdings
    sent: list[int] = field(default_factory=list)
    steps: int = 0
    longest: int = 0

    def run(self, algorithm: Iterable[list[Send]]) -> Network:
        """Send step by step; a device sends what it held before the step."""
        self.sent = [0] * self.devices
        for step in algorithm:
            before = [dict(held) for held in self.holdings]
            busy = [0] * self.devices
            for send in step:
                moved = before[send.source][send.piece]
                here = self.holdings[send.target]
                if send.adds:
                    assert not here[send.piece] & moved, "counted twice"
                    moved = here[send.piece] | moved
                here[send.piece] = moved
                busy[send.source] += self.sizes(send.piece)
            self.sent = [a + b for a, b in zip(self.sent, busy, strict=True)]
            self.steps += 1
            self.longest += max(busy)
        return self


def split(elements: int, parts: int) -> list[int]:
    """Sizes of parts that are as equal as can be."""
    return [elements // parts + (part < elements % parts) for part in range(parts)]


def ring_reduce_scatter(devices: int) -> Iterator[list[Send]]:
    """Device d ends up with the sum of piece d + 1."""
    for step in range(devices - 1):
        yield [Send(d, (d + 1) % devices, (d - step) % devices, adds=True) for d in range(devices)]


def ring_all_gather(devices: int, first: int = 0) -> Iterator[list[Send]]:
    """Device d begins with piece d + first."""
    for step in range(devices - 1):
        yield [Send(d, (d + 1) % devices, (d + first - step) % devices) for d in range(devices)]


def ring_all_reduce(devices: int) -> Iterator[list[Send]]:
    """Reduce-scatter, then all-gather."""
    yield from ring_reduce_scatter(devices)
    yield from ring_all_gather(devices, first=1)


def tree_reduce(devices: int) -> Iterator[list[Send]]:
    """To device 0 along a binomial tree, the whole message as piece 0."""
    stride = 1
    while stride < devices:
        yield [Send(d, d - stride, 0, adds=True) for d in range(stride, devices, 2 * stride)]
        stride *= 2


def tree_broadcast(devices: int) -> Iterator[list[Send]]:
    """From device 0 along a binomial tree."""
    stride = 1 << max(devices - 1, 0).bit_length()
    while stride > 1:
        stride //= 2
        yield [Send(d, d + stride, 0) for d in range(0, devices, 2 * stride) if d + stride < devices]


def tree_all_reduce(devices: int) -> Iterator[list[Send]]:
    """Reduce, then broadcast."""
    yield from tree_reduce(devices)
    yield from tree_broadcast(devices)


def direct_all_reduce(devices: int) -> Iterator[list[Send]]:
    """Everybody sends all to everybody; the message of device d is piece d."""
    if devices > 1:
        yield [Send(d, other, d) for d in range(devices) for other in range(devices) if other != d]


def chain_broadcast(devices: int) -> Iterator[list[Send]]:
    """P pieces from device 0 along a chain, one behind the other."""
    for step in range(2 * (devices - 1)):
        yield [Send(d, d + 1, step - d) for d in range(devices - 1) if 0 <= step - d < devices]


def pairwise_all_to_all(devices: int) -> Iterator[list[Send]]:
    """Piece (source, target) goes straight from one to the other; one partner a step."""
    for step in range(1, devices):
        yield [Send(d, (d + step) % devices, (d, (d + step) % devices)) for d in range(devices)]


def ring_all_to_all(devices: int) -> Iterator[list[Send]]:
    """Every piece goes around the ring until it is there; each step moves all that are still on their way."""
    for step in range(devices - 1):
        yield [
            Send((source + step) % devices, (source + step + 1) % devices, (source, (source + far) % devices))
            for source in range(devices)
            for far in range(step + 1, devices)
        ]
