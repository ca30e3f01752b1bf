"""Order and offsets together: where the best order cannot be packed at its peak, other orders are tried.

Whether lifetimes can be packed without waste depends on the order that made them, and orders of one peak differ in it.
Alignment matters, too: padded sizes may prefer another order than the plain ones. So the order that is given is planned
first; while its plan is above what no order stays under, further orders are drawn whose peak is low enough to do better:
by a complete enumeration, which ends early on small graphs and proves what it finds, and by a random walk beside it,
which moves operators within the order and reaches far into large graphs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.memory_plan import NoPlan, Plan, named_capacity, plan
from fxcost.passes.memory_plan_graph import lifetimes, with_blocks
from fxcost.passes.memory_plan_problem import Request, padded, sections_of
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import INPUT, Problem, peak_of, problem_of
from fxcost.passes.schedule_search import best_order
from fxcost.pipeline import Facts

FIRST_ROUNDS = 6
"""Rounds of the search for offsets in the order that is given, before others are tried."""

OTHER_ROUNDS = 2
"""Rounds for each of the others: many orders looked at briefly are worth more than few looked at for long."""

MOST_DRAWN = 5_000
"""Orders drawn at most; those whose buffers meet in the same way as in an earlier one are not planned again."""

MOST_STEPS = 400_000
"""Steps of the complete enumeration, after which it gives up and leaves the field to the random walk."""


@dataclass(frozen=True)
class OrderedPlan:
    """A plan with the order that it is for.

    order    positions of all nodes; `peak` bytes alive in it at most, without padding
    orders   how many orders were planned
    floor    bytes that no plan of any order stays under, sizes padded to the alignment, as far as proven
    """

    plan: Plan
    order: tuple[int, ...]
    peak: int
    orders: int
    floor: int


def plan_over_orders(
    graph: Graph,
    facts: Facts,
    point: Mapping[str, int],
    order: Sequence[int],
    floor: int,
    *,
    fold: bool = True,
    capacity: int | Sequence[int] | None = None,
    alignment: int = 1,
    time_limit: float = 60.0,
) -> OrderedPlan:
    """Offsets for the order given, or for another one where that needs less memory.

    `floor` is a number of bytes that no order stays under. With a capacity the first plan that fits is returned.
    Deterministic unless the time limit (seconds) or Ctrl-C ends the search. Raises NoPlan where no order was found that
    fits, SpecError as `plan` does.
    """
    problem = problem_of(graph, facts, point, fold=fold)
    number = {position: op for op, position in enumerate(problem.positions)}
    first = [number[position] for position in order if position in number]
    search = _Search(problem, first, floor, capacity, alignment, time.monotonic() + time_limit)
    found = search.run()
    positions = (*problem.folded, *(problem.positions[op] for op in search.order))
    chosen = tuple(order) if search.order == first else positions
    _, home = lifetimes(problem, search.order)
    return OrderedPlan(with_blocks(found, home), chosen, peak_of(problem, search.order), search.orders, search.floor)


def aligned(problem: Problem, alignment: int) -> Problem:
    """The problem with every size padded to a multiple of the alignment."""
    if alignment == 1:
        return problem
    blocks = tuple(replace(block, size=padded(block.size, alignment)) for block in problem.blocks)
    read = sum(block.size for block in problem.blocks if block.producer == INPUT)
    unused = padded(max(problem.start_bytes - read, 0), alignment)
    start = sum(block.size for block in blocks if block.producer == INPUT) + unused
    return replace(problem, blocks=blocks, start_bytes=start)


class _Search:
    """One run: the best plan so far with its order, and what is proven."""

    def __init__(
        self,
        problem: Problem,
        first: list[int],
        floor: int,
        capacity: int | Sequence[int] | None,
        alignment: int,
        deadline: float,
    ) -> None:
        self.problem, self.first, self.capacity, self.alignment = problem, first, capacity, alignment
        self.padded = aligned(problem, alignment)
        self.floor, self.deadline = floor, deadline
        self.best: Plan | None = None
        self.order = first
        self.orders = 0
        self.seen: set[Any] = set()
        self.undecided = False
        self.refusal: NoPlan | None = None

    @property
    def room(self) -> int:
        """Bytes that a further order may have alive at one time to be of use."""
        if self.capacity is None:
            return self.best.height - 1 if self.best is not None else 1 << 200
        return self.capacity if isinstance(self.capacity, int) else sum(self.capacity)

    @property
    def done(self) -> bool:
        """Nothing better can be found, or need be."""
        if self.best is not None and (self.capacity is not None or self.best.height <= self.floor):
            return True
        return self.room < self.floor

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return max(self.deadline - time.monotonic(), 0.0)

    def run(self) -> Plan:
        """The best plan; raises NoPlan where there is a capacity and nothing fits."""
        try:
            self._offer(self.first, FIRST_ROUNDS)
            if self.alignment > 1 and not self.done:
                outcome = best_order(self.padded, self.left / 4)
                self.floor = max(self.floor, outcome.lower_bound)
                self._offer(list(outcome.order), FIRST_ROUNDS)
            if not self.done:
                self._others()
            if not self.done and (self.undecided or self.best is None or not self.best.optimal):
                self._offer(self.order, None)
        except KeyboardInterrupt:
            if self.best is None:
                raise
        if self.best is not None:
            return self.best
        assert self.refusal is not None, "an order was refused where none was planned"
        proven = self.floor > self.room
        if self.orders < 2 and not proven:
            raise self.refusal
        raise NoPlan(
            f"no plan fits into {named_capacity(self.capacity)} bytes in any order"
            + (": proven" if proven else f" as far as found ({self.orders:,} were tried)")
            + f"; no order stays under {self.floor:,}; in the best one: {self.refusal}",
            proven,
        )

    def _offer(self, order: list[int], rounds: int | None) -> None:
        """Plan an order, and keep the plan if it is better."""
        requests, _ = lifetimes(self.problem, order)
        meeting = _meeting(requests)
        if rounds is not None and meeting in self.seen:
            return
        self.orders += meeting not in self.seen
        self.seen.add(meeting)
        limit = self.capacity
        if self.capacity is None and self.best is not None and rounds is not None:
            limit = self.room
        try:
            found = plan(requests, limit, alignment=self.alignment, time_limit=self.left, rounds=rounds)
            if limit is not self.capacity:  # it fits below the best so far: now as low as it goes
                lower = plan(requests, None, alignment=self.alignment, time_limit=self.left, rounds=rounds)
                found = lower if lower.height <= found.height else replace(found, capacity=None)
        except NoPlan as refusal:
            self.refusal = self.refusal or refusal
            self.undecided |= not refusal.proven
            return
        self.undecided |= self.capacity is None and not found.optimal
        if self.best is None or self.capacity is not None or found.height < self.best.height:
            self.best, self.order = found, order

    def _others(self) -> None:
        """Draw orders from the enumeration and from the walk in turn, while there is time and something to gain."""
        lowest = min((self.order, self.first), key=lambda order: peak_of(self.padded, order))
        every = every_order(self.padded, lambda: self.room)
        walk = random_walk(self.padded, lowest, lambda: self.room)
        for _ in range(MOST_DRAWN):
            if self.done or not self.left:
                return
            drawn = next(every, None)
            if drawn is None:  # all have been drawn
                if not self.undecided:
                    self.floor = max(self.floor, self.room + 1)
                return
            for order in (drawn, next(walk, None)):
                if order and not self.done:
                    self._offer(order, OTHER_ROUNDS)


def _meeting(requests: Sequence[Request]) -> Any:
    """Which buffers meet which, up to what matters for offsets."""
    real = sorted(r for r in requests if r.size and r.lower < r.upper)
    sections = sections_of(real)
    return tuple(r.id for r in real), sections.first, sections.after


def every_order(problem: Problem, budget: Callable[[], int], seed: int = 0) -> Iterator[list[int]]:
    """All orders whose peak is within the budget, one by one; empty lists once the enumeration takes too long.

    The budget may fall meanwhile. Sets of finished operators that lead to no order are visited once.
    """
    rng = random.Random(seed)
    n, everything = problem.size, (1 << problem.size) - 1
    made: list[int] = [0] * n
    touching: list[list[tuple[int, int]]] = [[] for _ in range(n)]  # mask and size of blocks that may die there
    for block in problem.blocks:
        if block.producer != INPUT:
            made[block.producer] += block.size
        if not block.kept:
            for op in members(block.touched):
                touching[op].append((block.touched, block.size))
    reusable = [
        [(problem.blocks[i].touched, problem.blocks[i].size) for i in found if not problem.blocks[i].kept]
        for found in problem.overwrites
    ]
    dead: set[int] = set()

    def moves(done: int, alive: int) -> Iterator[tuple[int, int, int]]:
        """Operators that can run next within the budget, with what is done and alive after each."""
        ready = [op for op in range(n) if not done >> op & 1 and not problem.before[op] & ~done]
        rng.shuffle(ready)
        for op in ready:
            after = done | 1 << op
            saved = next((size for mask, size in reusable[op] if not mask & ~after), 0)
            if alive + made[op] - saved <= budget() and after not in dead:
                yield op, after, alive + made[op] - sum(size for mask, size in touching[op] if not mask & ~after)

    start = sum(b.size for b in problem.blocks if b.producer == INPUT)
    if problem.start_bytes > budget():
        return
    order: list[int] = []
    stack = [(0, moves(0, start), False)]
    for _ in range(MOST_STEPS):
        done, following, fruitful = stack.pop()
        if done == everything:
            yield order.copy()
            fruitful, step = True, None
        else:
            step = next(following, None)
        if step is not None:
            op, after, alive = step
            stack += [(done, following, fruitful), (after, moves(after, alive), False)]
            order.append(op)
            continue
        if not fruitful:
            dead.add(done)
        if not stack:
            return
        below, rest, found = stack.pop()
        stack.append((below, rest, found or fruitful))
        order.pop()
    while True:
        yield []


def random_walk(
    problem: Problem, first: Sequence[int], budget: Callable[[], int], seed: int = 0
) -> Iterator[list[int]]:
    """Orders within the budget, each a few moves of single operators away from the one before; without end.

    Ends at once where the first order is not within the budget.
    """
    rng = random.Random(seed)
    after: list[list[int]] = [[] for _ in first]
    before = [members(mask) for mask in problem.before]
    for op, earlier in enumerate(before):
        for other in earlier:
            after[other].append(op)
    order = list(first)
    while order and peak_of(problem, order) <= budget():
        for _ in range(rng.choice((1, 2, 4, 8))):
            place = {op: at for at, op in enumerate(order)}
            at = rng.randrange(len(order))
            op = order[at]
            low = max((place[other] + 1 for other in before[op]), default=0)
            high = min((place[other] - 1 for other in after[op]), default=len(order) - 1)
            to = rng.randint(low, high)
            moved = [*order[:at], *order[at + 1 :]]
            moved.insert(to, op)
            if to != at and peak_of(problem, moved) <= budget():
                order = moved
        yield order.copy()
