"""Static memory planning in numbers: buffers on an axis of sections, independent parts, what never matters.

Two buffers conflict when their lifetimes overlap. All that counts of time is therefore which sets of buffers are alive
at once and cannot be enlarged: the maximal cliques of the interval graph. A *section* is one of them, in order of time;
a buffer covers an unbroken run of sections, and two buffers conflict exactly when they share one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fxcost.errors import SpecError

MANY = 50_000
"""Buffers from which on arrays do what loops would take seconds for."""


class Request(NamedTuple):
    """A buffer to place: `size` bytes, alive from time `lower` until before time `upper`."""

    id: str
    lower: int
    upper: int
    size: int


@dataclass(frozen=True)
class Sections:
    """Buffers by number: size, first section and section after the last; and the total size in every section."""

    sizes: tuple[int, ...]
    first: tuple[int, ...]
    after: tuple[int, ...]
    loads: tuple[int, ...]


def requests_of(buffers: Iterable[Any]) -> tuple[Request, ...]:
    """Check and copy (id, lower, upper, size) tuples; the bounds and sizes are integers.

    Raises SpecError for a lifetime that ends before it begins, a negative size, or an id that is used twice.
    """
    found: list[Request] = []
    seen: set[str] = set()
    for position, buffer in enumerate(buffers):
        try:
            name, lower, upper, size = buffer
            if not type(lower) is type(upper) is type(size) is int:
                lower, upper, size = _integer(lower), _integer(upper), _integer(size)
        except (TypeError, ValueError):
            raise SpecError(
                f"buffer {position}: found {buffer!r}; expected (id, lower, upper, size) with three integers"
            ) from None
        request = Request(str(name), lower, upper, size)
        if request.id in seen:
            raise SpecError(f"buffer {position}: the id {request.id!r} is used twice; every buffer needs its own")
        if lower > upper:
            raise SpecError(f"buffer {request.id!r}: its lifetime ends at {upper}, before it begins at {lower}")
        if size < 0:
            raise SpecError(f"buffer {request.id!r}: its size is {size}; expected zero bytes or more")
        seen.add(request.id)
        found.append(request)
    return tuple(found)


def _integer(number: Any) -> int:
    if isinstance(number, float):
        raise TypeError
    return int(number.__index__())


def padded(size: int, alignment: int) -> int:
    """The size rounded up to a multiple of the alignment."""
    return -(-size // alignment) * alignment


def common_unit(sizes: Iterable[int]) -> int:
    """The largest number that divides every size; 1 where there is none."""
    return math.gcd(*sizes) or 1


def load_bound(requests: Sequence[Request], alignment: int = 1) -> int:
    """Bytes that no plan stays under: the largest total size alive at one time, each size a multiple of `alignment`."""
    if (columns := _columns(requests)) is not None:
        return _load_of_many(columns, alignment)
    events: defaultdict[int, int] = defaultdict(int)
    alive = most = 0
    for _, lower, upper, size in requests:
        if alignment > 1:
            size = padded(size, alignment)
        if lower < upper:
            events[lower] += size
            events[upper] -= size
        elif size > most:  # never alive, but inside the arena
            most = size
    for time in sorted(events):
        alive += events[time]
        most = max(most, alive)
    return most


def _load_of_many(columns: tuple[NDArray[np.int64], ...], alignment: int) -> int:
    lower, upper, sizes = columns
    sizes = -(-sizes // alignment) * alignment
    live = lower < upper
    if not live.any():
        return int(sizes.max(initial=0))
    times = np.concatenate([lower[live], upper[live]])
    order = np.argsort(times, kind="stable")
    alive = np.cumsum(np.concatenate([sizes[live], -sizes[live]])[order])
    last = np.append(np.diff(times[order]) != 0, True)  # of several events at one time, what is left after all
    return int(max(sizes[~live].max(initial=0), alive[last].max(initial=0)))


def components(requests: Sequence[Request]) -> Iterator[list[int]]:
    """Numbers of the buffers that are linked by conflicts, part by part in order of time; only what takes memory."""
    if (columns := _columns(requests)) is not None:
        lower, upper, sizes = columns
        order = np.lexsort((upper, lower))
        order = order[(sizes[order] > 0) & (lower[order] < upper[order])]
        begins = 1 + np.flatnonzero(lower[order][1:] >= np.maximum.accumulate(upper[order])[:-1])
        yield from (part.tolist() for part in np.split(order, begins) if len(part))
        return
    live = [i for i, r in enumerate(requests) if r.size and r.lower < r.upper]
    live.sort(key=lambda i: (requests[i].lower, requests[i].upper))
    part: list[int] = []
    end = 0
    for i in live:
        if part and requests[i].lower >= end:
            yield part
            part = []
        end = max(end, requests[i].upper) if part else requests[i].upper
        part.append(i)
    if part:
        yield part


def large_first(requests: Sequence[Request], numbers: list[int]) -> list[int]:
    """The numbers in order of falling size; of equals the earlier first."""
    if len(numbers) > MANY and (columns := _columns(requests)) is not None:
        lower, upper, sizes = (column[numbers] for column in columns)
        order: list[int] = np.asarray(numbers)[np.lexsort((upper, lower, -sizes))].tolist()
        return order
    return sorted(numbers, key=lambda i: (-requests[i].size, requests[i].lower, requests[i].upper))


def _columns(requests: Sequence[Request]) -> tuple[NDArray[np.int64], ...] | None:
    """Lower, upper and size as arrays, where there are many and 64 bits hold all that is summed up."""
    if len(requests) <= MANY:
        return None
    columns = [r.lower for r in requests], [r.upper for r in requests], [r.size for r in requests]
    most = max(-min(columns[0]), max(columns[1]), 2 * sum(columns[2]))
    if most >= 1 << 62:
        return None
    return tuple(np.array(column, dtype=np.int64) for column in columns)


def sections_of(requests: Sequence[Request]) -> Sections:
    """Lay buffers of positive lifetime on sections: a section ends where a buffer dies after another was born."""
    events = sorted(
        [(r.upper, 0, i) for i, r in enumerate(requests)] + [(r.lower, 1, i) for i, r in enumerate(requests)]
    )
    first, after = [0] * len(requests), [0] * len(requests)
    loads: list[int] = []
    alive, grown = 0, False
    for _, born, i in events:
        if born:
            first[i] = len(loads)
            alive += requests[i].size
            grown = True
        else:
            if grown:
                loads.append(alive)
                grown = False
            after[i] = len(loads)
            alive -= requests[i].size
    return Sections(tuple(r.size for r in requests), tuple(first), tuple(after), tuple(loads))
