"""Time of collectives on a target's interconnect: the model of Hockney, the best algorithm for the size of the message.

    time = steps * latency of a message + bytes on the longest path / bandwidth

(fxcost/ops/exchanges.py has steps and bytes by algorithm). A direct exchange, a pairwise one and a tree need a switch or a
link between every two devices; on a ring or a torus only the ring's algorithms are offered, and of a torus's links all are
taken to work. Times are whole picoseconds, rounded up, so that which algorithm is best stays an exact formula.

A collective does not overlap with anything in this model: its time is an upper bound of what it adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from fxcost.ir.expr import ONE, Expr, as_expr, ceildiv, minimum
from fxcost.ops.exchanges import ALGORITHMS, Exchange, sending
from fxcost.target import Interconnect, Target

PS_PER_S: Final = 10**12
WITHOUT_A_SWITCH: Final = frozenset(["ring"])


def offered(kind: str, link: Interconnect) -> tuple[str, ...]:
    """Algorithms of a kind of collective that the topology can run."""
    everywhere = link.topology in ("switch", "mesh")
    return tuple(name for name in ALGORITHMS[kind] if everywhere or name in WITHOUT_A_SWITCH)


def picoseconds(exchange: Exchange, nbytes: Expr, own_bytes: Expr | None, link: Interconnect) -> dict[str, Expr]:
    """Time by algorithm; empty where the interconnect states no bandwidth. A latency that is not stated counts as none."""
    if link.bandwidth_bytes_per_s is None:
        return {}
    each = Fraction(PS_PER_S) / Fraction(link.bandwidth_bytes_per_s)
    latency = round(Fraction(repr(link.latency_s or 0.0)) * PS_PER_S)
    found: dict[str, Expr] = {}
    for algorithm in offered(exchange.kind, link):
        sent = sending(exchange.kind, algorithm, exchange.devices, nbytes, own_bytes)
        if sent is not None:
            found[algorithm] = sent.steps * latency + ceildiv(sent.longest * each.numerator, as_expr(each.denominator))
    return found


def fastest(times: Mapping[str, Expr]) -> Expr:
    """The least of the times."""
    return minimum(*times.values())


def unstated(target: Target, exchange: Exchange) -> Iterator[tuple[str, bool]]:
    """What is missing of a collective's time, and whether all of it is; one device alone sends nothing."""
    if exchange.devices.constant == 1:
        return
    link = target.interconnect
    if link is None:
        yield f"time of collectives: {target.name} states no interconnect", True
        return
    if link.bandwidth_bytes_per_s is None:
        yield f"time of collectives: {target.name} states no bandwidth for {link.name}", True
    elif link.latency_s is None:
        yield f"latency of messages: {target.name} states none for {link.name}", False
    many = exchange.devices.constant
    if many is not None and link.devices is not None and many > link.devices:
        yield (
            f"the network between nodes: {many} devices do not fit one node of {link.devices} {target.name}, and all are "
            f"taken to be connected by {link.name}",
            False,
        )


@dataclass(frozen=True)
class Piece:
    """From messages of `from_bytes` on, up to the next piece, `algorithm` is the fastest; `seconds` at zero bytes."""

    algorithm: str
    from_bytes: Fraction


def best_by_size(kind: str, devices: int, link: Interconnect) -> tuple[Piece, ...]:
    """Which algorithm is the fastest for which message: the lower envelope of lines, in closed form.

    Two algorithms with a and b steps and u*n and v*n bytes on their longest paths take equally long where
    n = latency * bandwidth * (a - b) / (v - u). Roundings to whole bytes and picoseconds are left out. Of algorithms that
    are equally fast everywhere the first one is named.
    """
    latency, bandwidth = Fraction(repr(link.latency_s or 0.0)), Fraction(link.bandwidth_bytes_per_s or 1)
    lines: list[tuple[str, Fraction, Fraction]] = []
    scale = devices * 2  # a message that every algorithm divides evenly
    for name in offered(kind, link):
        sent = sending(kind, name, ONE * devices, ONE * scale)
        if sent is not None:
            steps, longest = sent.steps.constant, sent.longest.constant
            assert steps is not None, "devices are a number"
            assert longest is not None, "bytes are a number"
            lines.append((name, steps * latency, Fraction(longest, scale) / bandwidth))
    pieces: list[Piece] = []
    at = Fraction(0)
    current = min(lines, key=lambda line: (line[1], line[2]))
    while True:
        pieces.append(Piece(current[0], at))
        flatter = [line for line in lines if line[2] < current[2]]
        crossings = [((line[1] - current[1]) / (current[2] - line[2]), line[2], line) for line in flatter]
        if not crossings:
            return tuple(pieces)
        at, _, current = min(crossings, key=lambda found: found[:2])
