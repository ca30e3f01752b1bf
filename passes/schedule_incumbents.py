"""First orders, good enough to start from: as traced, breadth first, depth first by size, and greedy by memory.

The last three are the orders that PyTorch's Inductor tries; what the search returns is never above any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fxcost.passes.schedule_groups import Partition
from fxcost.passes.schedule_hazards import by_priority, members


def walk(current: Partition, order: Sequence[int], done: int = 0, alive: int | None = None) -> list[int]:
    """Bytes alive at the peak of each group of the order, from a state on."""
    now = bytes_at_start(current) if alive is None else alive
    found = []
    for g in order:
        peak, net = current.profiles[g].at(done)
        found.append(now + peak)
        now += net
        done |= 1 << g
    return found


def bytes_at_start(current: Partition) -> int:
    """Bytes alive before the first group: inputs that somebody reads or keeps."""
    return sum(b.size for b in current.problem.blocks if b.producer < 0)


def first_orders(current: Partition) -> list[list[int]]:
    """Orders of all groups: as numbered (near to traced), breadth first, depth first, greedy by memory."""
    return [list(range(len(current.groups))), breadth_first(current), depth_first(current), greedy(current)]


def breadth_first(current: Partition) -> list[int]:
    """First ready, first run."""
    served: list[int] = []

    def serial(_: int) -> int:
        served.append(0)
        return len(served)

    return by_priority([members(mask) for mask in current.before], serial)


def depth_first(current: Partition) -> list[int]:
    """From the last groups back, whatever holds the most bytes first, each right after what it needs."""
    found: list[int] = []
    seen: set[int] = set()
    sizes = [profile.most[1] for profile in current.profiles]
    ends = [g for g in range(len(current.groups)) if not current.below[g]]
    stack = [(g, False) for g in reversed(ends)]
    while stack:
        g, ready = stack.pop()
        if ready:
            found.append(g)
        elif g not in seen:
            seen.add(g)
            stack.append((g, True))
            stack += [(p, False) for p in sorted(members(current.before[g]), key=lambda p: (sizes[p], -p))]
    return found


def greedy(current: Partition) -> list[int]:
    """Least memory first: while the peak so far is not exceeded, whatever frees the most; else the smallest step."""
    after = successors(current)
    left = [mask.bit_count() for mask in current.before]
    ready = [g for g, count in enumerate(left) if not count]
    now, done, highest = bytes_at_start(current), 0, 0
    found = []
    while ready:
        costs = [(*current.profiles[g].at(done), g) for g in ready]
        fitting = [(net, peak, g) for peak, net, g in costs if now + peak <= highest]
        g = min(fitting)[2] if fitting else min(costs)[2]
        peak, net = current.profiles[g].at(done)
        highest = max(highest, now + peak)
        now += net
        done |= 1 << g
        ready.remove(g)
        found.append(g)
        for later in after[g]:
            left[later] -= 1
            if not left[later]:
                ready.append(later)
    return found


def successors(current: Partition) -> list[list[int]]:
    """Groups that wait for each one directly."""
    after: list[list[int]] = [[] for _ in current.groups]
    for g, mask in enumerate(current.before):
        for earlier in members(mask):
            after[earlier].append(g)
    return after
