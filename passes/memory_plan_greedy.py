"""Placing buffers one after another, each at the lowest (or the tightest) address that is free for its whole lifetime.

Orders by size, duration, area and start, with first and best fit, are what planners in use today consist of. Nothing
is proven here; `fxcost.passes.memory_plan_search` does that.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from fxcost.passes.memory_plan_problem import Request

Key = Callable[[Request], tuple[int, ...]]

ORDERS: dict[str, Key] = {
    "size": lambda r: (-r.size, r.lower - r.upper, r.lower),
    "duration": lambda r: (r.lower - r.upper, -r.size, r.lower),
    "area": lambda r: (-r.size * (r.upper - r.lower), -r.size, r.lower),
    "start": lambda r: (r.lower, -r.size, -r.upper),
}
"""Sort keys of the portfolio."""

MAX_PAIRS = 3_000_000
"""Conflicting pairs beyond which the portfolio is left out: it looks at every pair once an order."""


MAX_SWEPT = 50_000
"""Buffers beyond which a sweep has a second plan at hand for when time runs out: sizes rounded to eight classes an octave,
gaps never joined. That takes the same time for each buffer, however many there are."""


def conflicts(requests: Sequence[Request], limit: int = MAX_PAIRS) -> list[list[int]] | None:
    """For each buffer the numbers of those that live at the same time; None for too many."""
    if len(requests) > MAX_SWEPT:
        return None
    order = sorted(range(len(requests)), key=lambda i: requests[i].lower)
    found: list[list[int]] = [[] for _ in requests]
    alive: list[int] = []
    pairs = 0
    for i in order:
        alive = [j for j in alive if requests[j].upper > requests[i].lower]
        pairs += len(alive)
        if pairs > limit:
            return None
        for j in alive:
            found[j].append(i)
        found[i] = alive.copy()
        alive.append(i)
    return found


def portfolio(
    requests: Sequence[Request], near: Sequence[Sequence[int]], banks: Sequence[int] = ()
) -> Iterator[tuple[str, list[int]]]:
    """Name and offsets for every order with first and with best fit; no buffer crosses an address in `banks`."""
    for name, key in ORDERS.items():
        order = sorted(range(len(requests)), key=lambda i: key(requests[i]))
        for best_fit in (False, True):
            yield f"{name}, {'best' if best_fit else 'first'} fit", place(requests, near, order, best_fit, banks)


def place(
    requests: Sequence[Request],
    near: Sequence[Sequence[int]],
    order: Sequence[int],
    best_fit: bool = False,
    banks: Sequence[int] = (),
) -> list[int]:
    """Offsets by number, placed in this order; `near` lists the conflicts of each buffer."""
    offsets: list[int] = [-1] * len(requests)
    for i in order:
        taken = [(offsets[j], offsets[j] + requests[j].size) for j in near[i] if offsets[j] >= 0]
        taken += [(edge, edge) for edge in banks]
        offsets[i] = _free(taken, requests[i].size, best_fit)
    return offsets


def _free(taken: list[tuple[int, int]], size: int, best_fit: bool) -> int:
    """The lowest free address for `size` bytes; with `best_fit` the one in the smallest gap, where there is a gap."""
    taken.sort()
    top, chosen, room = 0, -1, 0
    for start, end in taken:
        gap = start - top
        if gap >= size:
            if not best_fit:
                return top
            if chosen < 0 or gap < room:
                chosen, room = top, gap
        if end > top:
            top = end
    return top if chosen < 0 else chosen


def sweep(requests: Sequence[Request], deadline: float = math.inf) -> list[int]:
    """Offsets by first fit in order of time, as an allocator at run time gives them.

    Where that is not done by the deadline (as of time.monotonic), blocks of rounded sizes instead: fast for any number.
    """
    offsets = [0] * len(requests)
    events = sorted(
        [(r.upper, 0, i) for i, r in enumerate(requests)] + [(r.lower, 1, i) for i, r in enumerate(requests)]
    )
    starts: list[int] = []  # of the gaps below `top`, ascending
    ends: dict[int, int] = {}  # of the gap that starts there
    top = 0
    for number, (_, born, i) in enumerate(events):
        if len(requests) > MAX_SWEPT and not number & 4095 and time.monotonic() > deadline:
            return _by_class(requests, events)
        size = requests[i].size
        if born:
            at = next((k for k, start in enumerate(starts[:1000]) if ends[start] - start >= size), None)
            if at is None:
                offsets[i], top = top, top + size
                continue
            start = starts.pop(at)
            end = ends.pop(start)
            offsets[i] = start
            if start + size < end:
                insort(starts, start + size)
                ends[start + size] = end
        else:
            start, end = offsets[i], offsets[i] + size
            k = bisect_right(starts, start)
            if k < len(starts) and starts[k] == end:
                end = ends.pop(starts.pop(k))
            if k and ends[starts[k - 1]] == start:
                k -= 1
                start = starts.pop(k)
            if end == top:
                top = start
                ends.pop(start, None)
            else:
                starts.insert(k, start)
                ends[start] = end
    return offsets


def _by_class(requests: Sequence[Request], events: Sequence[tuple[int, int, int]]) -> list[int]:
    """A sweep that hands out blocks of rounded sizes and reuses them for the same rounded size."""
    offsets = [0] * len(requests)
    free: dict[int, list[int]] = {}
    top = 0
    for _, born, i in events:
        size = requests[i].size
        step = 1 << max(size.bit_length() - 4, 0)
        rounded = -(-size // step) * step
        same = free.setdefault(rounded, [])
        if not born:
            same.append(offsets[i])
        elif same:
            offsets[i] = same.pop()
        else:
            offsets[i], top = top, top + rounded
    return offsets


def cuts(banks: Sequence[int]) -> list[int]:
    """Addresses where one bank ends and the next begins, the banks laid one after another."""
    edges = [0]
    for size in banks:
        edges.append(edges[-1] + size)
    return [edge for _, edge in pairwise(edges)][:-1]
