"""Static memory planning: an address for every buffer, in the smallest arena, with a bound beside it.

Greedy placement first; where it stays above the bound, the complete search of `fxcost.passes.memory_plan_search` asks
whether everything fits below the bound, under several strategies in turn with growing budgets. A height that is refuted
raises the bound. What comes back is the best plan so far, whenever it is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from fxcost.errors import Infeasible, InternalError, SpecError
from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_greedy import conflicts, cuts, portfolio, sweep
from fxcost.passes.memory_plan_problem import (
    Request,
    common_unit,
    components,
    large_first,
    load_bound,
    padded,
    requests_of,
    sections_of,
)
from fxcost.passes.memory_plan_search import Fitting, Strategy

MAX_SEARCHED = 6_000
"""Buffers linked by conflicts beyond which only greedy orders are tried."""

PATIENCE = 4
"""The first plan may take so many times as long as it took to look at the buffers, whatever the time limit: the plan
made in haste is several times as high."""

FIRST_BUDGET = 2_000
"""Nodes that each strategy may look at in the first round; every round grants a third as many more."""

STRATEGIES = tuple(
    Strategy(cell, value, flush)
    for flush in (False, True)
    for cell in ("tight low", "low", "tight", "few", "tight high")
    for value in ("size", "duration", "area")
)


LONG_LIVED_FIRST = tuple(
    s for s in reversed(STRATEGIES) if s.value == "duration" and s.cell in ("low", "few", "tight high")
)
"""What does best on packings without any waste, where many of the others come to the same; every second round."""


class NoPlan(Infeasible):
    """Nothing within the capacity was found; `proven` where there is nothing."""

    def __init__(self, message: str, proven: bool) -> None:
        super().__init__(message)
        self.proven = proven


@dataclass(frozen=True)
class Plan:
    """Where each buffer lies, and how good that is.

    offsets      byte address by buffer id, within its bank
    height       bytes of the arena that the plan needs, sizes padded to the alignment; summed over the banks
    load_bound   largest total size alive at one time: no plan is lower
    lower_bound  bytes that no plan stays under, as far as proven: the load bound, or more
    optimal      the height is the lower bound
    method       what found the plan
    stopped      why there is nothing better: proven, or what ended the search
    banks        bank number by buffer id, where there are several; `heights` bytes used in each
    """

    buffers: tuple[Request, ...] = field(repr=False)
    offsets: Mapping[str, int] = field(repr=False)
    height: int
    load_bound: int
    lower_bound: int
    optimal: bool
    method: str
    stopped: str
    capacity: int | tuple[int, ...] | None
    alignment: int
    heights: tuple[int, ...]
    banks: Mapping[str, int] = field(repr=False)
    nodes: int
    seconds: float

    @property
    def waste(self) -> float:
        """What the plan needs beyond the load bound, as a share of it."""
        return self.height / self.load_bound - 1 if self.load_bound else 0.0


@dataclass
class Part:
    """Buffers linked by conflicts, large ones first, in units; the best offsets so far and what is proven."""

    numbers: list[int]
    requests: list[Request]
    offsets: list[int]
    height: int
    lower: int
    method: str
    searchable: bool = False


def plan(
    buffers: Iterable[Any],
    capacity: int | Sequence[int] | None = None,
    *,
    alignment: int = 1,
    time_limit: float = 60.0,
    rounds: int | None = None,
) -> Plan:
    """Place buffers (id, lower, upper, size), alive from time `lower` until before `upper`, in the least memory.

    With `capacity` (bytes) the first plan that fits is returned; a sequence of capacities is several banks, and every
    buffer lies in one of them. Offsets are multiples of `alignment`, and sizes are padded to it.

    Deterministic unless the time limit (seconds) or Ctrl-C ends the search; then the best plan so far comes back.
    `rounds` ends it, too, after so many rounds of all strategies, each a third longer than the one before.
    Raises SpecError for malformed buffers, NoPlan when nothing within the capacity exists or is found in time.
    """
    started = time.monotonic()
    requests = requests_of(buffers)
    if not isinstance(alignment, int) or alignment < 1:
        raise SpecError(f"alignment={alignment!r}: expected a positive number of bytes")
    banks = _banks(capacity, alignment)
    bound = load_bound(requests, alignment)
    _refuse_what_cannot_fit(requests, banks, alignment, bound, capacity)
    planner = _Planner(requests, alignment, banks, bound, started, time_limit, rounds)
    planner.run()
    plan_ = planner.plan(capacity if isinstance(capacity, int | None) else tuple(capacity))
    if not planner.fits:
        proven = plan_.lower_bound > sum(bank // planner.unit * planner.unit for bank in banks)
        raise NoPlan(
            f"no plan fits into {named_capacity(capacity)} bytes"
            + (": proven by a complete search" if proven else f" as far as found ({plan_.stopped}); none is excluded")
            + f"; at most {bound:,} bytes are alive at one time"
            + (f", the best plan takes {plan_.height:,}" if len(banks) == 1 else ""),
            proven,
        )
    return plan_


def _banks(capacity: int | Sequence[int] | None, alignment: int) -> tuple[int, ...]:
    sizes = () if capacity is None else (capacity,) if isinstance(capacity, int) else tuple(capacity)
    if capacity is not None and not sizes:
        raise SpecError("capacity=(): expected a number of bytes, or one for each bank")
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise SpecError(f"capacity={capacity!r}: expected a number of bytes, or one for each bank")
    return tuple(size // alignment * alignment for size in sizes)


def named_capacity(capacity: int | Sequence[int] | None) -> str:
    """`1,024`, or `512 + 128` for two banks."""
    return f"{capacity:,}" if isinstance(capacity, int) else " + ".join(f"{c:,}" for c in capacity or ())


def _refuse_what_cannot_fit(
    requests: Sequence[Request],
    banks: tuple[int, ...],
    alignment: int,
    bound: int,
    capacity: int | Sequence[int] | None,
) -> None:
    if not banks:
        return
    if bound > sum(banks):
        raise NoPlan(f"no plan fits into {named_capacity(capacity)} bytes: {bound:,} bytes are alive at one time", True)
    for request in requests:
        if padded(request.size, alignment) > max(banks):
            raise NoPlan(
                f"buffer {request.id!r} takes {padded(request.size, alignment):,} bytes, more than the largest bank "
                f"({max(banks):,})",
                True,
            )


class _Planner:
    """One run of `plan`: parts, the best offsets of each, and what is proven so far. All in bytes but for the search."""

    def __init__(
        self,
        requests: tuple[Request, ...],
        alignment: int,
        banks: tuple[int, ...],
        bound: int,
        started: float,
        time_limit: float,
        rounds: int | None,
    ) -> None:
        self.requests, self.alignment, self.banks = requests, alignment, banks
        self.started, self.deadline, self.rounds = started, started + time_limit, rounds
        self.bound = bound
        sizes = [padded(r.size, alignment) for r in requests]
        self.unit = common_unit(sizes)
        self.edges = cuts([bank // self.unit for bank in banks])
        self.lower = bound // self.unit
        self.limit = sum(bank // self.unit for bank in banks) if banks else None
        self.goal = self.lower if self.limit is None else self.limit
        scaled: Sequence[Request] = requests
        if self.unit > 1 or alignment > 1:
            scaled = [r._replace(size=size // self.unit) for r, size in zip(requests, sizes, strict=True)]
        self.parts = [self._part(numbers, scaled) for numbers in components(requests)]
        self.nodes = 0
        self.stopped = ""

    def _part(self, numbers: list[int], scaled: Sequence[Request]) -> Part:
        numbers = large_first(scaled, numbers)
        mine = [scaled[i] for i in numbers]
        if self.edges:
            offsets = _stacked(mine, self.edges)
        else:
            now = time.monotonic()
            offsets = sweep(mine, max(self.deadline, now + PATIENCE * (now - self.started)))
        return Part(numbers, mine, offsets, _height(mine, offsets), load_bound(mine), "start, run-time first fit")

    @property
    def top(self) -> int:
        """Bytes up to the end of the last buffer, banks laid one after another."""
        idle = max((padded(r.size, self.alignment) for r in self.requests if r.lower == r.upper), default=0)
        return max(idle, self.unit * max((part.height for part in self.parts), default=0))

    @property
    def fits(self) -> bool:
        """Nothing lies beyond the capacity; what is left of a bank below one unit serves nobody."""
        return self.limit is None or all(part.height <= self.limit for part in self.parts)

    def run(self) -> None:
        """Improve part by part, the heaviest first, until each reaches the goal; Ctrl-C ends it."""
        try:
            self.parts.sort(key=lambda part: -part.lower)
            for part in self.parts:
                self._greedily(part)
            for part in self.parts:
                if part.height > self.goal and part.searchable:
                    self._search(part)
                self.lower = max(self.lower, part.lower)
                if self.limit is None:
                    self.goal = max(self.goal, part.height)
        except KeyboardInterrupt:
            self.stopped = "interrupted"

    def _greedily(self, part: Part) -> None:
        if part.height <= self.goal:
            return
        if self._out_of_time():
            return
        near = conflicts(part.requests)
        if near is None:
            self.stopped = self.stopped or "too many conflicts for a search"
            return
        part.searchable = len(part.requests) <= MAX_SEARCHED
        if not part.searchable:
            self.stopped = self.stopped or f"{len(part.requests):,} buffers are too many for a search"
        for name, offsets in portfolio(part.requests, near, self.edges):
            self._keep(part, offsets, name)
            if part.height <= self.goal or time.monotonic() > self.deadline:
                return

    def _keep(self, part: Part, offsets: list[int], method: str) -> None:
        height = _height(part.requests, offsets)
        if height < part.height:
            part.offsets, part.height, part.method = offsets, height, method

    def _search(self, part: Part) -> None:
        """Ask for the goal, round by round with growing budgets, and for heights half way to it."""
        problem = sections_of(part.requests)
        durations = [r.upper - r.lower for r in part.requests]
        fitting = Fitting(problem, self.goal, self.edges, durations)
        budget = max(FIRST_BUDGET, 4 * len(part.requests))
        for number in count():
            strategies = LONG_LIVED_FIRST * 2 if number % 2 else STRATEGIES
            for found in self._attempts(fitting, strategies, number, budget):
                if found is False:
                    part.lower = self.goal + fitting.short_by
                    if self.limit is not None:
                        return
                    self.goal = min(part.lower, part.height)
                    if self.goal == part.height:
                        return
                    fitting = Fitting(problem, self.goal, self.edges, durations)
                    break
                self._keep(part, found, "search")
                return
            if self._out_of_time() or self._out_of_rounds(number + 1):
                return
            if self.limit is None and part.height > self.goal + 1:
                self._improve(part, Fitting(problem, (self.goal + part.height) // 2, self.edges, durations), number)
            budget += budget // 3

    def _improve(self, part: Part, fitting: Fitting, number: int) -> None:
        """A plan below a height above the bound: not the best, but better than what there is."""
        for found in self._attempts(fitting, STRATEGIES[:6], number, max(FIRST_BUDGET, 4 * len(part.requests))):
            if found is not False:
                self._keep(part, found, "search")
            else:
                part.lower = max(part.lower, fitting.height + fitting.short_by)
            return

    def _attempts(self, fitting: Fitting, strategies: Sequence[Strategy], number: int, budget: int) -> Iterator[Any]:
        """Answers of a fitting, strategy by strategy: offsets, or False; nothing where a budget is used up."""
        for position, strategy in enumerate(strategies):
            before = fitting.nodes
            noisy = strategy._replace(noise=0.3 if number else 0.0, seed=100 * number + position)
            found = fitting.run(noisy, budget, self.deadline)
            self.nodes += fitting.nodes - before
            if found is not None:
                yield found
                return
            if self._out_of_time():
                return

    def _out_of_time(self) -> bool:
        if time.monotonic() <= self.deadline:
            return False
        self.stopped = "time limit"
        return True

    def _out_of_rounds(self, done: int) -> bool:
        if self.rounds is None or done < self.rounds:
            return False
        self.stopped = self.stopped or f"after {done} rounds"
        return True

    def plan(self, capacity: int | tuple[int, ...] | None) -> Plan:
        """What was found, in bytes, checked by replay."""
        address = dict.fromkeys((r.id for r in self.requests), 0)
        for part in self.parts:
            for i, offset in zip(part.numbers, part.offsets, strict=True):
                address[self.requests[i].id] = offset * self.unit
        starts = [edge * self.unit for edge in (0, *self.edges)]
        bank: dict[str, int] = {}
        if len(self.banks) > 1:
            tight = [edge * self.unit for edge in self.edges]
            bank = {name: sum(edge <= at for edge in tight) for name, at in address.items()}
            bank |= {r.id: self.banks.index(max(self.banks)) for r in self.requests if not r.size or r.lower == r.upper}
            placed = {r.id for r in self.requests if r.size and r.lower < r.upper}
            address = {name: at - starts[bank[name]] if name in placed else 0 for name, at in address.items()}
        whole: Sequence[Request] = self.requests
        if self.alignment > 1:
            whole = [r._replace(size=padded(r.size, self.alignment)) for r in self.requests]
        room: int | Sequence[int] | None = None
        if self.banks and self.fits:
            room = self.banks if len(self.banks) > 1 else self.banks[0]
        elif len(self.banks) > 1:
            room = [*self.banks[:-1], max(self.top, self.banks[-1])]
        try:
            heights = check_plan(whole, address, room, self.alignment, bank)
        except SpecError as error:
            raise InternalError(f"a memory plan that does not hold: {error}") from error
        height = sum(heights)
        lower = max(self.bound, self.unit * max([self.lower, *(part.lower for part in self.parts)]))
        optimal = height == lower
        worst = max(self.parts, key=lambda part: part.height, default=None)
        return Plan(
            buffers=self.requests,
            offsets=address,
            height=height,
            load_bound=self.bound,
            lower_bound=min(lower, height) if self.fits else lower,
            optimal=optimal,
            method=worst.method if worst else "nothing to place",
            stopped="optimal" if optimal else self.stopped or "it fits",
            capacity=capacity,
            alignment=self.alignment,
            heights=heights,
            banks=bank,
            nodes=self.nodes,
            seconds=time.monotonic() - self.started,
        )


def _height(requests: Sequence[Request], offsets: Sequence[int]) -> int:
    return max((offset + r.size for r, offset in zip(requests, offsets, strict=True)), default=0)


def _stacked(requests: Sequence[Request], edges: Sequence[int]) -> list[int]:
    """A plan of last resort that crosses no edge: beyond the last one, all on top of one another."""
    top, found = edges[-1], []
    for request in requests:
        found.append(top)
        top += request.size
    return found
