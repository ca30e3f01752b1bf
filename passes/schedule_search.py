"""The search for the best order: bounds first, then every set of finished operators that a budget lets one reach.

An order is a path through predecessor-closed sets of operators. For a budget, the search visits the sets that can be
reached without exceeding it, each once, whatever the path. A ready group that adds no bytes and fits the budget is run
at once (a *forced move*: it can stand first in whatever completes the set, since nothing after it then sees more bytes).
Reaching the end gives a better order; running out of sets proves that the budget is too small, and the smallest step
that was refused is a lower bound, because no path under it was cut. Budgets close in on the optimum from both sides.

The problem falls apart at groups that are comparable with all others: whatever the order, the same set is done there.
Each such *stretch* is searched by itself, and only as far as it matters for the whole.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from fxcost.passes.schedule_bounds import Bound, Link, cut_bound, forced_live, links_of
from fxcost.passes.schedule_groups import Partition, contracted, partition
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_incumbents import bytes_at_start, first_orders, successors, walk
from fxcost.passes.schedule_problem import Problem, peak_of

FIRST_LIMIT = 20_000
"""States that the first round of budgets may visit; each further round may visit four times as many."""

MOST_STATES = 2_000_000
"""States that one search may visit at all, because it keeps them in memory."""

BEAM_WIDTH = 24
"""States of equal depth that the beam keeps."""

BEAM_ROUNDS = 4
"""Budgets that the beam tries, halving the gap each time."""


@dataclass(frozen=True)
class Outcome:
    """The best order of operators found, and how far it is proven.

    `proof` names what proves the lower bound: `inputs` (alive at the start), `forced` (live blocks while operator
    `bound_op` runs), `cut` (a minimum cut before its group) or `search` (no state left). `stopped` says what ended the
    search early (`time limit`, `state limit`, `interrupted`), and is empty where nothing did. `states` counts the sets of
    finished operators that the search looked at, `groups` what contraction left to order.
    """

    order: tuple[int, ...]
    peak: int
    lower_bound: int
    proof: str
    bound_op: int | None
    groups: int
    states: int
    stopped: str


class Stopped(Exception):
    """The search ends early; the message says why."""


@dataclass
class Stretch:
    """Groups between two sets that every order passes: the best order so far, its peak, and what is proven."""

    start: int
    inside: int
    alive: int
    order: list[int]
    peak: int
    lower: int = 0


@dataclass
class Progress:
    """What is known so far; kept outside the functions that can be cut short at any moment."""

    problem: Problem
    order: Sequence[int]
    peak: int
    bound: Bound
    bound_op: int | None = None
    current: Partition | None = None
    stretches: list[Stretch] = field(default_factory=list)
    states: int = 0

    def offer(self, order: Sequence[int]) -> None:
        """Keep an order of operators if it is better."""
        peak = peak_of(self.problem, order)
        if peak < self.peak:
            self.order, self.peak = list(order), peak

    def prove(self, bound: Bound, current: Partition) -> None:
        """Keep a bound if it is better, with the operator of its group where that takes the most."""
        if bound.value > self.bound.value:
            self.bound = bound
            self.bound_op = None if bound.group is None else highest_operator(current, bound.group)

    @property
    def lower(self) -> int:
        """The best lower bound so far."""
        return max([self.bound.value, *(s.lower for s in self.stretches)])


def best_order(problem: Problem, time_limit: float = 60.0) -> Outcome:
    """The order of least peak, with a proof where time allows; Ctrl-C ends the search with what is known by then."""
    traced = list(range(problem.size))
    progress = Progress(problem, traced, peak_of(problem, traced), Bound(problem.start_bytes, None, "inputs"))
    deadline = time.monotonic() + time_limit
    stopped = ""

    def check() -> None:
        if time.monotonic() > deadline:
            raise Stopped("time limit")

    try:
        _improve(progress, check)
    except Stopped as reason:
        stopped = str(reason)
    except KeyboardInterrupt:
        stopped = "interrupted"
    if progress.current is not None and progress.stretches:
        progress.offer(operators_of(progress.current, [g for s in progress.stretches for g in s.order]))
    lower = min(progress.lower, progress.peak)
    proven_by_bound = progress.bound.value >= lower
    return Outcome(
        order=tuple(progress.order),
        peak=progress.peak,
        lower_bound=lower,
        proof=progress.bound.kind if proven_by_bound else "search",
        bound_op=progress.bound_op if proven_by_bound else None,
        groups=len(progress.current.groups) if progress.current is not None else problem.size,
        states=progress.states,
        stopped=stopped if progress.peak > lower else "",
    )


def operators_of(current: Partition, order: Sequence[int]) -> list[int]:
    """The operators of an order of groups."""
    return [op for g in order for op in current.groups[g]]


def highest_operator(current: Partition, g: int) -> int:
    """The operator of a group that runs when most is alive, by the group's own count."""
    profile = current.profiles[g]
    alive, best = 0, (-1, 0)
    for op, taken, saved, freed in zip(current.groups[g], profile.allocated, profile.saved, profile.freed, strict=True):
        alive += taken
        best = max(best, (alive - saved, -op))
        alive -= freed
    return -best[1]


def _improve(progress: Progress, check: Callable[[], None]) -> None:
    """Bounds, contraction, first orders, cuts, search: each step only while a gap is left."""
    problem = progress.problem
    if not problem.size:
        return
    single = partition(problem, [(op,) for op in range(problem.size)])
    progress.prove(forced_live(single, links_of(single)), single)
    for order in first_orders(single):
        progress.offer(operators_of(single, order))
    if progress.peak <= progress.lower:
        return
    progress.current = current = contracted(single, check)
    orders = first_orders(current)
    for order in orders:
        progress.offer(operators_of(current, order))
    links = links_of(current)
    progress.stretches = stretches_of(current, orders)
    explorer = Explorer(current, progress, check)
    for stretch in _open(progress):
        explorer.beam(stretch)
    for stretch in _open(progress):
        _cut(progress, current, links, stretch, check)
    for stretch in _open(progress):
        explorer.close(stretch)


def _open(progress: Progress) -> Iterator[Stretch]:
    """Stretches whose order is above what is proven for the whole, highest first; looked at again after each one."""
    for stretch in sorted(progress.stretches, key=lambda s: -s.peak):
        if min(stretch.peak, progress.peak) > progress.lower:
            yield stretch


def stretches_of(current: Partition, orders: Sequence[Sequence[int]]) -> list[Stretch]:
    """Cut the problem where one group is comparable with all others; each stretch with the best of the orders."""
    marks = {0, current.everything}
    for g, (above, below) in enumerate(zip(current.above, current.below, strict=True)):
        if above | below | 1 << g == current.everything:
            marks |= {above, above | 1 << g}
    found = []
    ends = sorted(marks, key=int.bit_count)
    alive = bytes_at_start(current)
    for start, end in pairwise(ends):
        inside = end & ~start
        best: tuple[int, list[int]] | None = None
        for order in orders:
            part = [g for g in order if inside >> g & 1]
            peak = max(walk(current, part, start, alive))
            if best is None or peak < best[0]:
                best = (peak, part)
        assert best is not None, "there are always first orders"
        found.append(Stretch(start, inside, alive, best[1], best[0]))
        done = start
        for g in best[1]:
            alive += current.profiles[g].at(done)[1]
            done |= 1 << g
    return found


def _cut(
    progress: Progress, current: Partition, links: Sequence[Link], stretch: Stretch, check: Callable[[], None]
) -> None:
    """Min-cut bounds, for groups whose step in the best order is above the bound so far: no other can raise it."""
    high = walk(current, stretch.order, stretch.start, stretch.alive)
    for step, g in sorted(zip(high, stretch.order, strict=True), key=lambda pair: (-pair[0], pair[1])):
        if step <= progress.lower:
            return
        check()
        value = cut_bound(current, links, g)
        progress.prove(Bound(value, g, "cut"), current)


class State(NamedTuple):
    """A set of groups that are done, those that are ready next, each with its (peak, net), and the bytes alive."""

    done: int
    ready: tuple[tuple[int, int, int], ...]
    alive: int


class Explorer:
    """Visits sets of finished groups under a budget. Costs of groups come from tables: this is the hot loop."""

    def __init__(self, current: Partition, progress: Progress, check: Callable[[], None]) -> None:
        self.current = current
        self.progress = progress
        self.check = check
        self.after = successors(current)
        self.before = current.before
        self.costs = [profile.at for profile in current.profiles]
        self.refused = 0
        self.related = _related(current)

    def first(self, stretch: Stretch) -> State:
        """The state before a stretch."""
        ready = (g for g in members(stretch.inside) if not self.before[g] & ~stretch.start)
        return State(stretch.start, tuple((g, *self.costs[g](stretch.start)) for g in ready), stretch.alive)

    def run(self, state: State, g: int, net: int, goal: int) -> State:
        """The state after a ready group, within the goal; costs change only where a block is shared with that group."""
        done, related, costs = state.done | 1 << g, self.related[g], self.costs
        ready = []
        for entry in state.ready:
            other = entry[0]
            if related >> other & 1:
                ready.append((other, *costs[other](done)))
            elif other != g:
                ready.append(entry)
        for later in self.after[g]:
            if not self.before[later] & ~done and goal >> later & 1:
                ready.append((later, *costs[later](done)))
        return State(done, tuple(ready), state.alive + net)

    def settle(self, state: State, budget: int, goal: int) -> tuple[State, list[int]]:
        """Make forced moves until there is none."""
        moves: list[int] = []
        moved = True
        while moved:
            moved = False
            for g, peak, net in state.ready:
                if net <= 0 and state.alive + peak <= budget:
                    state = self.run(state, g, net, goal)
                    moves.append(g)
                    moved = True
                    break
        return state, moves

    def children(self, state: State, budget: int, goal: int) -> Iterator[tuple[State, list[int]]]:
        """States after one free move and the forced ones behind it; notes the smallest step that was refused."""
        for g, peak, net in state.ready:
            if state.alive + peak > budget:
                self.refused = min(self.refused, state.alive + peak)
                continue
            child, moves = self.settle(self.run(state, g, net, goal), budget, goal)
            yield child, [g, *moves]

    def search(self, stretch: Stretch, budget: int, limit: int) -> list[int] | int | None:
        """An order within the budget, or the next budget worth trying, or None when the limit of states is reached."""
        goal = stretch.start | stretch.inside
        self.refused = 1 << 200
        state, moves = self.settle(self.first(stretch), budget, goal)
        parents: dict[int, tuple[int, list[int]]] = {state.done: (-1, moves)}
        heap = [(-state.done.bit_count(), state.alive, 0, state)]
        visited = 0
        while heap:
            state = heapq.heappop(heap)[3]
            if state.done == goal:
                return _path(parents, goal)
            if visited >= limit:
                return None
            visited += 1
            self.progress.states += 1
            if not visited & 255:
                self.check()
            for child, moves in self.children(state, budget, goal):
                if child.done not in parents:
                    parents[child.done] = (state.done, moves)
                    heapq.heappush(heap, (-child.done.bit_count(), child.alive, len(parents), child))
        return self.refused

    def beam(self, stretch: Stretch) -> None:
        """Better orders, found by keeping the states of each depth with the fewest bytes alive, under a few budgets."""
        low = self.progress.lower
        for _ in range(BEAM_ROUNDS):
            if stretch.peak <= low:
                return
            budget = (low + stretch.peak - 1) // 2
            found = self._beam(stretch, budget)
            if found is None:
                low = budget + 1
            else:
                self.take(stretch, found)

    def _beam(self, stretch: Stretch, budget: int) -> list[int] | None:
        goal = stretch.start | stretch.inside
        state, moves = self.settle(self.first(stretch), budget, goal)
        parents: dict[int, tuple[int, list[int]]] = {state.done: (-1, moves)}
        levels: dict[int, list[State]] = {state.done.bit_count(): [state]}
        while levels:
            self.check()
            depth = min(levels)
            states = sorted(levels.pop(depth), key=lambda s: (s.alive, s.done))[:BEAM_WIDTH]
            for state in states:
                if state.done == goal:
                    return _path(parents, goal)
                for child, moves in self.children(state, budget, goal):
                    if child.done not in parents:
                        parents[child.done] = (state.done, moves)
                        levels.setdefault(child.done.bit_count(), []).append(child)
        return None

    def take(self, stretch: Stretch, order: list[int]) -> None:
        """Keep a better order of a stretch."""
        stretch.order, stretch.peak = order, max(walk(self.current, order, stretch.start, stretch.alive))

    def close(self, stretch: Stretch) -> None:
        """Move the budget until the stretch's order is proven, or as low as the bound of the whole.

        First just under the best order: that finds improvements while there are any. A budget that is left undecided at
        the limit of states is halved towards the bound, where fewer states are within reach; then the limit grows.
        """
        limit = FIRST_LIMIT
        while True:
            undecided = stretch.peak
            while undecided - 1 >= (low := self.progress.lower):
                just_under = undecided == stretch.peak
                budget = undecided - 1 if just_under else (low + undecided - 1) // 2
                answer = self.search(stretch, budget, limit)
                if isinstance(answer, list):
                    self.take(stretch, answer)
                    undecided = min(undecided, stretch.peak)
                elif answer is None:
                    undecided = budget
                else:
                    stretch.lower = max(stretch.lower, min(answer, stretch.peak))
            if stretch.peak <= self.progress.lower:
                return
            if limit >= MOST_STATES:
                raise Stopped("state limit")
            limit = min(4 * limit, MOST_STATES)


def _related(current: Partition) -> list[int]:
    """For each group, the groups whose cost its running may change: they wait for it to free a block."""
    found = [0] * len(current.groups)
    for g, profile in enumerate(current.profiles):
        for wait in profile.waits:
            for other in members(wait.others):
                found[other] |= 1 << g
    return found


def _path(parents: dict[int, tuple[int, list[int]]], goal: int) -> list[int]:
    """Moves from the first state to the goal."""
    parts: list[list[int]] = []
    while goal >= 0:
        goal, moves = parents[goal]
        parts.append(moves)
    return [g for moves in reversed(parts) for g in moves]
