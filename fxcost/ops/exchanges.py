"""What a collective sends: bytes and messages by algorithm, as formulas in the message and the number of devices.

P devices exchange a message of n bytes: what each device holds before an all-reduce, a reduce-scatter, an all-to-all or a
broadcast, and what it holds after an all-gather. An algorithm runs in `steps` messages one after the other. `sent` is what
a device sends, the mean over the devices rounded up: every device's own where P divides the message. `longest` is what
passes one after the other on the longest path, so that

    time = steps * latency of a message + longest / bandwidth of one device in one direction

which is the model of Hockney. Additions are on the way and not counted in time. Algorithms, with their sources:

ring      neighbours on a ring. All-reduce as reduce-scatter, then all-gather, in P pieces: 2*(P-1) steps, 2*(P-1)/P*n
          sent (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 2009). Reduce-scatter and all-gather:
          half of that. All-to-all, block by block around the ring: P-1 steps, n*(P-1)/2 sent. Broadcast and reduce,
          P pieces along a chain: 2*(P-1) steps.
tree      a binomial tree, store and forward, L = ceil(log2 P): broadcast or reduce in L steps of n, all-reduce as reduce,
          then broadcast, in 2*L (Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations
          in MPICH", IJHPCA 2005). Needs a number P: a logarithm is no formula here.
pairwise  all-to-all in P-1 exchanges of n/P with one partner each (the same paper).
direct    everybody sends to everybody at once: one step; an all-reduce of one shot sends the whole message P-1 times
          (as in TensorRT-LLM and vLLM for short messages). Needs a switch or a link between every two.

A ring, a pairwise and a direct exchange send the same in all but what is said above.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fxcost.ir.expr import ONE, ZERO, Expr, ceildiv, minimum
from fxcost.ir.types import TensorType

REFERENCE: Final[Mapping[str, str]] = {
    "all_reduce": "ring",
    "all_gather": "ring",
    "reduce_scatter": "ring",
    "all_to_all": "pairwise",
    "broadcast": "ring",
    "reduce": "ring",
}
"""Every kind of collective, with the algorithm whose bytes are counted where no machine is named: none sends less."""

ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "all_reduce": ("ring", "tree", "direct"),
    "all_gather": ("ring", "direct"),
    "reduce_scatter": ("ring", "direct"),
    "all_to_all": ("pairwise", "ring", "direct"),
    "broadcast": ("ring", "tree", "direct"),
    "reduce": ("ring", "tree", "direct"),
}
"""Algorithms by kind of collective."""


@dataclass(frozen=True)
class Exchange:
    """A collective among `devices`: its message as tensors (several where torch coalesces them).

    `own` is how many elements of the message a device keeps to itself, where that is no P-th part (uneven all-to-all).
    """

    kind: str
    message: tuple[TensorType, ...]
    devices: Expr
    own: Expr | None = None


@dataclass(frozen=True)
class Sending:
    """One algorithm: messages one after the other, bytes that a device sends, bytes on the longest path."""

    steps: Expr
    sent: Expr
    longest: Expr


def sending(kind: str, algorithm: str, devices: Expr, nbytes: Expr, own_bytes: Expr | None = None) -> Sending | None:
    """What an algorithm sends for a message of `nbytes`; None where it does not apply. See the module's docstring.

    `own_bytes` is the part of an all-to-all's message that stays where it is.
    """
    others, once = devices - 1, minimum(devices - 1, ONE)
    part = ceildiv(others * nbytes, devices) if own_bytes is None else nbytes - own_bytes
    if algorithm not in ALGORITHMS[kind]:
        return None
    if algorithm == "tree":
        if devices.constant is None:
            return None
        levels = (devices.constant - 1).bit_length()
        reduces_too = 2 if kind == "all_reduce" else 1
        mean = ceildiv(reduces_too * others * nbytes, devices)
        return Sending(ONE * (reduces_too * levels), mean, nbytes * (reduces_too * levels))
    match kind, algorithm:
        case "all_reduce", "ring":
            both = ceildiv(2 * others * nbytes, devices)
            return Sending(2 * others, both, both)
        case "all_reduce", _:
            return Sending(once, others * nbytes, others * nbytes)
        case "all_to_all", "ring":
            around = ceildiv(others * nbytes, ONE * 2)
            return Sending(others, around, around)
        case (("broadcast" | "reduce"), "ring"):
            return Sending(2 * others, part, ceildiv(2 * others * nbytes, devices))
        case (("broadcast" | "reduce"), _):
            return Sending(once, part, others * nbytes)
    return Sending(once if algorithm == "direct" else others, part, part)


def wire_bytes(exchange: Exchange, nbytes: Expr, own_bytes: Expr | None = None) -> Expr:
    """Bytes that one device sends under the algorithm of REFERENCE."""
    found = sending(exchange.kind, REFERENCE[exchange.kind], exchange.devices, nbytes, own_bytes)
    return ZERO if found is None else found.sent
