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

from fxcost.errors import SpecError


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


def components(requests: Sequence[Request]) -> Iterator[list[int]]:
    """Numbers of the buffers that are linked by conflicts, part by part in order of time; only what takes memory."""
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
