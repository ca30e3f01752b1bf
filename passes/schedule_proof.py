"""Why an order is the best one, as inequalities between block sizes: the proof holds wherever all of them do.

The argument that closes the search at one point is made of comparisons between sums of block sizes: a step of the order is
its highest, two groups may run back to back, a forced move adds nothing and fits, a step is refused. Each is linear in
the sizes, and its rule is sound at any point where it holds. So the comparisons are recorded as rows of coefficients,
and one search proves the order for every size of the input at which no row changes its sign.

To record a sum of sizes, the same arithmetic is done on two numbers side by side: on the bytes at the point, which
decide, and on one long integer that has a digit per distinct size, which counts how often each size is in the sum.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fxcost.ir.expr import ZERO, Expr
from fxcost.passes.schedule_bounds import forced_alive, forced_live, links_of
from fxcost.passes.schedule_groups import Partition, joinable, joined, partition
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_incumbents import bytes_at_start, first_orders, successors
from fxcost.passes.schedule_problem import Problem, steps
from fxcost.passes.schedule_search import Stretch, stretches_of

DIGIT_BITS = 40
"""Bits of a digit: a size occurs far fewer than 2**39 times in a sum."""

MOST_STATES = 100_000
"""Sets of finished groups that one proof may visit."""

Row = tuple[int, ...]
"""How often each amount occurs in a sum."""


@dataclass(frozen=True)
class Proof:
    """An order and the comparisons that prove it: no order needs less where every one of them holds.

    amounts      distinct sizes, as formulas in bytes; rows are parallel to them
    order        operators of the problem, in execution order
    peak         how often each amount is in the highest step of the order
    at_least     sums that must be zero or more; `above` sums that must be more than zero
    kind         inputs, forced (blocks alive while one operator runs) or search
    """

    amounts: tuple[Expr, ...]
    order: tuple[int, ...]
    peak: Row
    at_least: tuple[Row, ...]
    above: tuple[Row, ...]
    kind: str
    states: int

    @property
    def peak_amount(self) -> Expr:
        """The peak as a formula, where the proof holds."""
        return sum((amount * count for amount, count in zip(self.amounts, self.peak, strict=True)), ZERO)


@dataclass
class _Record:
    """Sums that a proof needs to be zero or more, or above zero, as long integers."""

    at_least: dict[int, None] = field(default_factory=dict)
    above: dict[int, None] = field(default_factory=dict)

    def note(self, amount: int) -> None:
        """The sum must not be negative."""
        if amount:
            self.at_least[amount] = None

    def note_above(self, amount: int) -> None:
        """The sum must be positive."""
        self.above[amount] = None


@dataclass(frozen=True)
class _Twin:
    """One partition in bytes at the point, and the same one counted."""

    bytes: Partition
    count: Partition


def prove(problem: Problem, order: Sequence[int], time_limit: float = 60.0) -> Proof | None:
    """The comparisons that prove an order of operators best; None where it is not, or the limits are reached."""
    deadline = time.monotonic() + time_limit
    amounts, counted = with_counts(problem)
    record = _Record()
    goal, peak = _highest(problem, counted, order, record)
    single = [(op,) for op in range(problem.size)]
    twin = _Twin(partition(problem, single), partition(counted, single))
    kind = _proven_by_bound(twin, goal, peak, record)
    states = 0
    if not kind:
        twin = _contracted(twin, record)
        explored = _proven_by_search(twin, goal, peak, record, deadline)
        if explored is None:
            return None
        kind, states = "search", explored
    width = len(amounts)
    return Proof(
        amounts,
        tuple(order),
        _row(peak, width),
        _rows(record.at_least, width, strict=False),
        _rows(record.above, width, strict=True),
        kind,
        states,
    )


def with_counts(problem: Problem) -> tuple[tuple[Expr, ...], Problem]:
    """The distinct sizes, and the problem with digits for sizes: what it adds up says how often each size is in it."""
    amounts = tuple(dict.fromkeys([*(block.amount for block in problem.blocks), problem.start]))
    digit = {amount: 1 << (DIGIT_BITS * place) for place, amount in enumerate(amounts)}
    blocks = tuple(replace(block, size=digit[block.amount]) for block in problem.blocks)
    return amounts, replace(problem, blocks=blocks, start_bytes=digit[problem.start])


def step_rows(problem: Problem, order: Sequence[int]) -> tuple[Row, ...]:
    """The distinct steps of an order, the start among them, as rows over the amounts of `with_counts`."""
    amounts, counted = with_counts(problem)
    sums = dict.fromkeys([counted.start_bytes, *steps(counted, order)])
    return tuple(_row(packed, len(amounts)) for packed in sums)


def _highest(problem: Problem, counted: Problem, order: Sequence[int], record: _Record) -> tuple[int, int]:
    """The peak of the order in bytes and counted; its step must stay the highest."""
    sizes = [problem.start_bytes, *steps(problem, order)]
    sums = [counted.start_bytes, *steps(counted, order)]
    goal = max(sizes)
    peak = sums[sizes.index(goal)]
    for other in dict.fromkeys(sums):
        record.note(peak - other)
    return goal, peak


def _proven_by_bound(twin: _Twin, goal: int, peak: int, record: _Record) -> str:
    """What is alive at the start or while one operator runs, in every order, is the peak already."""
    if twin.bytes.problem.start_bytes == goal:
        record.note(twin.count.problem.start_bytes - peak)
        return "inputs"
    bound = forced_live(twin.bytes, links_of(twin.bytes))
    if bound.value < goal or bound.group is None:
        return ""
    g = bound.group
    bytes_, counts = (p.profiles[g].steps(p.profiles[g].every_wait)[0] for p in (twin.bytes, twin.count))
    alive = forced_alive(twin.count, links_of(twin.count))[g]
    record.note(alive + counts[bytes_.index(max(bytes_))] - peak)
    return "forced"


def _contracted(twin: _Twin, record: _Record) -> _Twin:
    """Contraction, with what each joined pair rests on."""
    while pairs := joinable(twin.bytes):
        for v, w, rule in pairs:
            first, second = twin.bytes.profiles[v], twin.bytes.profiles[w]
            counted_first, counted_second = twin.count.profiles[v], twin.count.profiles[w]
            if rule == "advance":
                high, sums = first.steps(0)[0], counted_first.steps(0)
                later, net = counted_second.steps(0)
                record.note(-net)
                room = sums[0][high.index(max(high))] - sums[1]
                for step in later:
                    record.note(room - step)
            else:
                sums = counted_first.steps(first.every_wait)
                high, later = second.steps(second.every_wait)[0], counted_second.steps(second.every_wait)[0]
                record.note(sums[1])
                room = later[high.index(max(high))]
                for step in sums[0]:
                    record.note(room - (step - sums[1]))
        twin = _Twin(joined(twin.bytes, pairs), joined(twin.count, pairs))
    return twin


def _proven_by_search(twin: _Twin, goal: int, peak: int, record: _Record, deadline: float) -> int | None:
    """Exhaust one stretch under the peak; the states that took, or None where no stretch can be closed."""
    stretches = stretches_of(twin.bytes, first_orders(twin.bytes))
    for stretch in sorted(stretches, key=lambda s: -s.peak):
        if stretch.peak < goal:
            return None
        attempt = _Record(dict(record.at_least), dict(record.above))
        states = _exhausted(twin, stretch, goal, peak, attempt, deadline)
        if states is not None:
            record.at_least, record.above = attempt.at_least, attempt.above
            return states
    return None


def _exhausted(twin: _Twin, stretch: Stretch, goal: int, peak: int, record: _Record, deadline: float) -> int | None:
    """Visit every set of groups within reach under the peak; None where the end of the stretch is reached, too."""
    everything = stretch.start | stretch.inside
    after, before = successors(twin.bytes), twin.bytes.before
    start = _alive_counted(twin.count, stretch.start)
    first = [g for g in members(stretch.inside) if not before[g] & ~stretch.start]
    waiting = [(stretch.start, tuple(first), stretch.alive, start)]
    seen: set[int] = set()
    while waiting:
        done, ready, alive, counted = waiting.pop()
        forced = True
        while forced:
            forced = False
            for g in ready:
                high, net = twin.bytes.profiles[g].at(done)
                if net <= 0 and alive + high < goal:
                    sums, counted_net = twin.count.profiles[g].steps(twin.count.profiles[g].dying(done))
                    record.note(-counted_net)
                    for step in sums:
                        record.note_above(peak - counted - step)
                    done, ready = _run(g, done, ready, after, before, everything)
                    alive, counted, forced = alive + net, counted + counted_net, True
                    break
        if done == everything or len(seen) >= MOST_STATES or time.monotonic() > deadline:
            return None
        if done in seen:
            continue
        seen.add(done)
        for g in ready:
            profile = twin.bytes.profiles[g]
            high, net = profile.at(done)
            dying = profile.dying(done)
            if alive + high < goal:
                later, waits = _run(g, done, ready, after, before, everything)
                if later not in seen:
                    counted_net = twin.count.profiles[g].steps(dying)[1]
                    waiting.append((later, waits, alive + net, counted + counted_net))
                continue
            own, sums = profile.steps(dying)[0], twin.count.profiles[g].steps(dying)[0]
            record.note(counted + sums[own.index(high)] - peak)
    return len(seen)


def _run(
    g: int, done: int, ready: tuple[int, ...], after: Sequence[Sequence[int]], before: Sequence[int], everything: int
) -> tuple[int, tuple[int, ...]]:
    """The set of groups done after one more, and the groups that are ready then."""
    done |= 1 << g
    new = tuple(later for later in after[g] if not before[later] & ~done and everything >> later & 1)
    return done, (*(other for other in ready if other != g), *new)


def _alive_counted(current: Partition, done: int) -> int:
    """What is alive when a set of groups is done; it depends on the set alone."""
    alive, before = bytes_at_start(current), 0
    for g in members(done):  # groups are numbered in a possible order
        profile = current.profiles[g]
        alive += profile.steps(profile.dying(before))[1]
        before |= 1 << g
    return alive


def _rows(sums: dict[int, None], width: int, *, strict: bool) -> tuple[Row, ...]:
    """The recorded sums as rows, without those that cannot fail: sizes are never negative."""
    rows = (_row(amount, width) for amount in sums)
    return tuple(row for row in rows if strict or min(row) < 0)


def _row(packed: int, width: int) -> Row:
    """The digits of a long integer; a digit of the upper half stands for a negative count."""
    found = []
    full, half = 1 << DIGIT_BITS, 1 << (DIGIT_BITS - 1)
    for _ in range(width):
        digit = packed & (full - 1)
        digit -= full if digit >= half else 0
        found.append(digit)
        packed = (packed - digit) >> DIGIT_BITS
    return tuple(found)
