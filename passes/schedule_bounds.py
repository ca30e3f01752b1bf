"""Lower bounds on the peak of every order, each with the operator that proves it.

*Forced live*: while an operator runs, every block is alive that was made by something before it (in every order) and is
needed by it or by something after it. *Min-cut*: when an operator starts, some set X of operators is done that holds all
its predecessors, none of its successors, and with every operator its predecessors; the cheapest X is a minimum cut, and
what is alive after it plus what the operator takes is a bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fxcost.passes.schedule_groups import Partition
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import INPUT

UNLIMITED = 1 << 200
"""Capacity of an edge that no cut may take; sizes in bytes are far below."""


@dataclass(frozen=True)
class Bound:
    """Every order needs at least `value` bytes: while `group` runs, or at the start where that is None."""

    value: int
    group: int | None
    kind: str  # inputs | forced | cut


@dataclass(frozen=True)
class Link:
    """A block between groups: made by group `producer` (or INPUT), read by the groups of the bit mask `readers`."""

    size: int
    producer: int
    readers: int
    kept: bool


def links_of(current: Partition) -> tuple[Link, ...]:
    """Blocks that are alive between groups, seen from the groups."""
    home = {op: g for g, operators in enumerate(current.groups) for op in operators}
    found = []
    for block in current.problem.blocks:
        producer = INPUT if block.producer == INPUT else home[block.producer]
        readers = 0
        for op in members(block.touched):
            readers |= 1 << home[op]
        readers &= ~(1 << producer) if producer != INPUT else -1
        if readers or block.kept:
            found.append(Link(block.size, producer, readers, block.kept))
    return tuple(found)


def forced_live(current: Partition, links: Sequence[Link]) -> Bound:
    """The best forced-live bound over all groups."""
    best = Bound(current.problem.start_bytes, None, "inputs")
    for g, before in enumerate(forced_alive(current, links)):
        value = before + current.profiles[g].least[0]
        if value > best.value:
            best = Bound(value, g, "forced")
    return best


def forced_alive(current: Partition, links: Sequence[Link]) -> list[int]:
    """For each group, the bytes alive before it starts in every order."""
    alive = [0] * len(current.groups)
    for link in links:
        # Alive before g runs in every order: made above g, and read by g or below it.
        after = current.everything if link.producer == INPUT else current.below[link.producer]
        if not link.kept:
            needed = link.readers
            for g in members(link.readers):
                needed |= current.above[g]
            after &= needed
        for g in members(after):
            alive[g] += link.size
    return alive


def cut_bound(current: Partition, links: Sequence[Link], g: int, since: int = 0) -> int:
    """The least bytes that can be alive before group `g` starts, plus the least that it takes; `since` is done already."""
    done, later = current.above[g] | since, current.below[g] | 1 << g
    free = current.everything & ~(done | later)
    numbers = {other: i + 2 for i, other in enumerate(members(free))}  # 0 is done for sure, 1 is not done for sure
    network = Network(2 + len(numbers))
    constant = current.profiles[g].least[0]
    for link in links:
        made_before = link.producer == INPUT or done >> link.producer & 1
        if not made_before and not free >> link.producer & 1:
            continue
        origin = 0 if made_before else numbers[link.producer]
        if link.kept or link.readers & later:
            if made_before:
                constant += link.size
            else:
                network.connect(origin, 1, link.size)
            continue
        waiting = members(link.readers & free)
        if len(waiting) == 1:
            network.connect(origin, numbers[waiting[0]], link.size)
        elif waiting:
            block = network.add()
            network.connect(origin, block, link.size)
            for reader in waiting:
                network.connect(block, numbers[reader], UNLIMITED)
    for other, number in numbers.items():
        for earlier in members(current.before[other] & free):
            network.connect(number, numbers[earlier], UNLIMITED)
    return constant + network.max_flow()


class Network:
    """A flow network from vertex 0 to vertex 1 (Dinic's algorithm: shortest augmenting paths, level by level)."""

    def __init__(self, vertices: int) -> None:
        self.edges: list[list[int]] = [[] for _ in range(vertices)]  # edge e and its reverse e ^ 1
        self.target: list[int] = []
        self.room: list[int] = []

    def add(self) -> int:
        """A new vertex."""
        self.edges.append([])
        return len(self.edges) - 1

    def connect(self, source: int, target: int, capacity: int) -> None:
        """An edge of this capacity."""
        for start, end, room in ((source, target, capacity), (target, source, 0)):
            self.edges[start].append(len(self.target))
            self.target.append(end)
            self.room.append(room)

    def max_flow(self) -> int:
        """The largest flow, which is the smallest cut; uses the capacities up."""
        total = 0
        while (level := self._levels())[1] >= 0:
            position = [0] * len(self.edges)
            while pushed := self._push(level, position):
                total += pushed
        return total

    def _levels(self) -> list[int]:
        level = [-1] * len(self.edges)
        level[0] = 0
        queue = deque([0])
        while queue:
            vertex = queue.popleft()
            for edge in self.edges[vertex]:
                if self.room[edge] and level[self.target[edge]] < 0:
                    level[self.target[edge]] = level[vertex] + 1
                    queue.append(self.target[edge])
        return level

    def _push(self, level: Sequence[int], position: list[int]) -> int:
        """Send flow along one path of the level graph; dead ends are not looked at again."""
        path: list[int] = []
        vertex = 0
        while vertex != 1:
            edges = self.edges[vertex]
            while position[vertex] < len(edges):
                edge = edges[position[vertex]]
                if self.room[edge] and level[self.target[edge]] == level[vertex] + 1:
                    break
                position[vertex] += 1
            if position[vertex] < len(edges):
                path.append(edges[position[vertex]])
                vertex = self.target[path[-1]]
            elif path:
                vertex = self.target[path.pop() ^ 1]
                position[vertex] += 1
            else:
                return 0
        pushed = min(self.room[edge] for edge in path)
        for edge in path:
            self.room[edge] -= pushed
            self.room[edge ^ 1] += pushed
        return pushed
