"""A checker of memory plans that knows nothing of how they are made: no overlap, inside the arena, aligned."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from fxcost.errors import SpecError
from fxcost.passes.memory_plan_problem import Request


def check_plan(
    requests: Sequence[Request],
    offsets: Mapping[str, int],
    capacity: int | Sequence[int] | None = None,
    alignment: int = 1,
    banks: Mapping[str, int] | None = None,
) -> tuple[int, ...]:
    """Highest address used in each bank (one without `banks`), by replaying the lifetimes.

    Raises SpecError when a buffer has no offset, begins off the alignment or below zero, ends beyond its bank, or
    shares a byte with another one that is alive at the same time.
    """
    sizes = [None] if capacity is None else [capacity] if isinstance(capacity, int) else list(capacity)
    bank_of = {r.id: (banks or {}).get(r.id, 0) for r in requests}
    heights = [0] * len(sizes)
    for request in requests:
        offset, bank = offsets.get(request.id), bank_of[request.id]
        if offset is None or not 0 <= bank < len(sizes):
            raise SpecError(f"buffer {request.id!r} has no place in the plan")
        if offset < 0 or offset % alignment:
            raise SpecError(f"buffer {request.id!r} begins at {offset}; expected a multiple of {alignment}")
        end, limit = offset + request.size, sizes[bank]
        if limit is not None and end > limit:
            raise SpecError(f"buffer {request.id!r} ends at {end}, beyond its arena of {limit} bytes")
        heights[bank] = max(heights[bank], end)
    events = [(r.lower, 1, r) for r in requests if r.size and r.lower < r.upper]
    events += [(r.upper, 0, r) for _, _, r in events]
    events.sort(key=lambda event: event[:2])
    alive: list[tuple[int, int, int, str]] = []  # (bank, offset, end, id), sorted
    for _, born, request in events:
        start = offsets[request.id]
        here = (bank_of[request.id], start, start + request.size, request.id)
        at = bisect_left(alive, here)
        if not born:
            del alive[at]
            continue
        for other in alive[max(at - 1, 0) : at + 1]:
            if other[0] == here[0] and other[1] < here[2] and here[1] < other[2]:
                raise SpecError(
                    f"buffers {other[3]!r} at {other[1]}..{other[2]} and {request.id!r} at {start}..{here[2]} overlap "
                    f"at time {request.lower}"
                )
        alive.insert(at, here)
    return tuple(heights)
