"""Lossless contraction: operators that some best order runs back to back, with what such a group needs step by step.

Two rules join groups, whatever the budget. Bytes alive are a submodular function of the set of operators done, so what
a group adds can only shrink as more is done before it; therefore

* *advance*: w can run as soon as v has. If w never adds bytes, and what it needs while it runs never exceeds what v
  gives back, then in any order w may move to right after v: nothing in between sees more bytes than before.
* *delay*: v is needed by w only. If v never takes bytes away, and while it runs never needs more than w does, then in
  any order v may move to right before w.

Each joined group is an operator of the contracted problem, with a profile instead of one step, and the rules hold for
it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fxcost.passes.schedule_hazards import by_priority, closure, members
from fxcost.passes.schedule_problem import INPUT, Problem


@dataclass(frozen=True)
class Wait:
    """A block that dies in the group if `others` are done by then: after step `at`, saving its bytes there if `saves`."""

    others: int
    size: int
    at: int
    saves: bool


@dataclass(frozen=True)
class Profile:
    """What a group does to memory, step by step: bytes allocated, saved by overwriting and freed in any case, and waits."""

    allocated: tuple[int, ...]
    saved: tuple[int, ...]
    freed: tuple[int, ...]
    waits: tuple[Wait, ...]
    known: dict[int, tuple[int, int]] = field(default_factory=dict, repr=False, compare=False)

    def at(self, done: int) -> tuple[int, int]:
        """(peak, net) bytes over what is alive, when `done` is the set of groups done before."""
        dying = self.dying(done)
        return self.known.get(dying) or self.with_dying(dying)

    def dying(self, done: int) -> int:
        """The waits that end in the group when `done` is the set of groups done before, as a bit mask."""
        found = 0
        for bit, wait in enumerate(self.waits):
            if not wait.others & ~done:
                found |= 1 << bit
        return found

    def with_dying(self, dying: int) -> tuple[int, int]:
        """(peak, net) when exactly the waits of the bit mask die."""
        if dying not in self.known:
            steps, net = self.steps(dying)
            self.known[dying] = (max(steps), net)
        return self.known[dying]

    def steps(self, dying: int) -> tuple[list[int], int]:
        """Bytes over what is alive before the group and while each operator runs, and the net bytes after it."""
        saved, freed = list(self.saved), list(self.freed)
        for bit in members(dying):
            wait = self.waits[bit]
            freed[wait.at] += wait.size
            if wait.saves:
                saved[wait.at] = wait.size
        alive, found = 0, [0]
        for taken, kept_back, given in zip(self.allocated, saved, freed, strict=True):
            alive += taken
            found.append(alive - kept_back)
            alive -= given
        return found, alive

    @property
    def most(self) -> tuple[int, int]:
        """Largest (peak, net) of any state: nothing dies that may live on."""
        return self.with_dying(0)

    @property
    def least(self) -> tuple[int, int]:
        """Smallest (peak, net) of any state: everything dies that can."""
        return self.with_dying(self.every_wait)

    @property
    def every_wait(self) -> int:
        """All waits, as a bit mask."""
        return (1 << len(self.waits)) - 1


@dataclass(frozen=True)
class Partition:
    """Groups of operators, numbered in a possible order; sets of groups are bit masks.

    groups    operators of each group in execution order
    before    groups that must be done before each one; `above` and `below` are all of them, and all that follow
    profiles  what each group does to memory
    """

    problem: Problem
    groups: tuple[tuple[int, ...], ...]
    before: tuple[int, ...]
    above: tuple[int, ...]
    below: tuple[int, ...]
    profiles: tuple[Profile, ...]

    @property
    def everything(self) -> int:
        """The set of all groups."""
        return (1 << len(self.groups)) - 1


def contracted(current: Partition, check: Callable[[], None] = lambda: None) -> Partition:
    """The groups left when no rule joins any two; `check` may stop the work by raising."""
    while pairs := joinable(current):
        check()
        current = joined(current, pairs)
    return current


class Pair(NamedTuple):
    """Groups `first` and `second` that may run back to back, by the rule `advance` or `delay`."""

    first: int
    second: int
    rule: str


def joined(current: Partition, pairs: Sequence[Pair]) -> Partition:
    """The partition with each pair as one group."""
    second = {pair.first: pair.second for pair in pairs}
    gone = set(second.values())
    groups = [
        operators + (current.groups[second[g]] if g in second else ())
        for g, operators in enumerate(current.groups)
        if g not in gone
    ]
    return partition(current.problem, groups)


def partition(problem: Problem, groups: Sequence[tuple[int, ...]]) -> Partition:
    """Number the groups in a possible order and work out how they depend on each other."""
    owner = {op: g for g, operators in enumerate(groups) for op in operators}
    wanted = [
        {owner[p] for op in operators for p in members(problem.before[op])} - {g} for g, operators in enumerate(groups)
    ]
    rank = {g: i for i, g in enumerate(by_priority(wanted, lambda g: groups[g][0]))}
    ordered = sorted(range(len(groups)), key=rank.__getitem__)
    before = tuple(sum(1 << rank[p] for p in wanted[g]) for g in ordered)
    above = closure(before)
    below = [0] * len(groups)
    for g in reversed(range(len(before))):
        for earlier in members(before[g]):
            below[earlier] |= below[g] | 1 << g
    home = {op: rank[g] for op, g in owner.items()}
    numbered = tuple(groups[g] for g in ordered)
    return Partition(
        problem, numbered, before, tuple(above), tuple(below), _profiles(problem, numbered, home, above, below)
    )


def _profiles(
    problem: Problem,
    groups: Sequence[tuple[int, ...]],
    home: dict[int, int],
    above: Sequence[int],
    below: Sequence[int],
) -> tuple[Profile, ...]:
    place = {op: i for operators in groups for i, op in enumerate(operators)}
    allocated = [[0] * len(operators) for operators in groups]
    saved = [[0] * len(operators) for operators in groups]
    freed = [[0] * len(operators) for operators in groups]
    waits: list[list[Wait]] = [[] for _ in groups]
    for number, block in enumerate(problem.blocks):
        if block.producer != INPUT:
            allocated[home[block.producer]][place[block.producer]] += block.size
        if block.kept:
            continue
        last: dict[int, int] = {}
        for op in members(block.touched):
            last[home[op]] = max(last.get(home[op], -1), place[op])
        touching = sum(1 << g for g in last)
        for g, at in last.items():
            if touching & below[g]:
                continue  # somebody after the group needs it
            others = touching & ~(above[g] | 1 << g)
            saves = number in problem.overwrites[groups[g][at]]
            if others:
                waits[g].append(Wait(others, block.size, at, saves))
            else:
                freed[g][at] += block.size
                saved[g][at] = block.size if saves else saved[g][at]
    return tuple(
        Profile(tuple(a), tuple(s), tuple(f), tuple(w))
        for a, s, f, w in zip(allocated, saved, freed, waits, strict=True)
    )


def joinable(current: Partition) -> list[Pair]:
    """Disjoint pairs (v, w) that may run back to back, by one of the two rules."""
    only_before = [_nearest(current.before[g], current.above) for g in range(len(current.groups))]
    direct_after = [0] * len(current.groups)
    for g, mask in enumerate(current.before):
        for earlier in members(mask):
            direct_after[earlier] |= 1 << g
    only_after = [_nearest(direct_after[g], current.below) for g in range(len(current.groups))]
    pairs: list[Pair] = []
    used: set[int] = set()
    for g in range(len(current.groups)):
        v, w = only_before[g], only_after[g]
        if g not in used and v is not None and v not in used and _may_advance(current, v, g):
            pairs.append(Pair(v, g, "advance"))
            used |= {v, g}
        elif g not in used and w is not None and w not in used and _may_delay(current, g, w):
            pairs.append(Pair(g, w, "delay"))
            used |= {g, w}
    return pairs


def _nearest(direct: int, beyond: Sequence[int]) -> int | None:
    """The one neighbour through which all others are reached, if there is one."""
    if not direct:
        return None
    candidates = members(direct)
    for g in (candidates[-1], candidates[0]):  # numbered in order: it is the last predecessor or the first successor
        if not direct & ~(beyond[g] | 1 << g):
            return g
    return None


def _may_advance(current: Partition, v: int, w: int) -> bool:
    first_peak, first_net = current.profiles[v].most
    peak, net = current.profiles[w].most
    return net <= 0 and peak <= first_peak - first_net


def _may_delay(current: Partition, v: int, w: int) -> bool:
    """Holds with overwriting, too: a group u that overwrites a block only because v has read it saves that block's bytes.

    Without v it saves nothing, but v's own net counts the block as dying and is not negative, so v's absence pays for it.
    """
    peak, net = current.profiles[v].least
    later_peak, _ = current.profiles[w].least
    return net >= 0 and peak - net <= later_peak
