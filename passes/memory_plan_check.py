"""A checker of memory plans that knows nothing of how they are made: no overlap, inside the arena, aligned."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from fxcost.errors import SpecError
from fxcost.passes.memory_plan_problem import Request

CHUNK = 2_000
Place = tuple[int, int, int, str]  # bank, offset, end, id


class _Alive:
    """Places in order of their addresses, in chunks, so that a quarter of a million at once are no burden."""

    def __init__(self) -> None:
        self.chunks: list[list[Place]] = [[]]
        self.least: list[Place] = []  # the first of every chunk but the first

    def add(self, here: Place) -> list[Place]:
        """Put one in; returns its neighbours."""
        k = bisect_right(self.least, here)
        chunk = self.chunks[k]
        at = bisect_left(chunk, here)
        before = chunk[at - 1 : at] or next((c[-1:] for c in reversed(self.chunks[:k]) if c), [])
        after = chunk[at : at + 1] or next((c[:1] for c in self.chunks[k + 1 :] if c), [])
        chunk.insert(at, here)
        if len(chunk) > CHUNK:
            half = chunk[CHUNK // 2 :]
            del chunk[CHUNK // 2 :]
            self.chunks.insert(k + 1, half)
            self.least.insert(k, half[0])
        return before + after

    def remove(self, here: Place) -> None:
        k = bisect_right(self.least, here)
        chunk = self.chunks[k]
        del chunk[bisect_left(chunk, here)]
        if not chunk and k:
            del self.chunks[k], self.least[k - 1]


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
    real = [i for i, r in enumerate(requests) if r.size and r.lower < r.upper]
    events = [(requests[i].lower, 1, i) for i in real] + [(requests[i].upper, 0, i) for i in real]
    events.sort()
    alive = _Alive()
    for _, born, i in events:
        request = requests[i]
        start = offsets[request.id]
        here = (bank_of[request.id], start, start + request.size, request.id)
        if not born:
            alive.remove(here)
            continue
        for other in alive.add(here):
            if other[0] == here[0] and other[1] < here[2] and here[1] < other[2]:
                raise SpecError(
                    f"buffers {other[3]!r} at {other[1]}..{other[2]} and {request.id!r} at {start}..{here[2]} overlap "
                    f"at time {request.lower}"
                )
    return tuple(heights)
