"""Does everything fit below a height? A complete search that fills memory from the floor up, with reasons for failure.

In every section (`memory_plan_problem`) the *floor* is the address below which all is decided. A *valley* is a run of
sections with one floor and higher neighbours. Buffers that reach over a wall of the valley lie above that wall; so at
the floor of any one section of it there lies either a buffer from inside the valley, or nothing, which wastes memory.
These cases exclude each other and are all there are: a node of the search chooses the section with the fewest, and a
section with none is raised to its wall at once. What a section may waste in all is its *slack*, the height less its
load; a negative slack refutes a node. Between waste and the next buffer it is enough to consider plans that are pushed
down, where every buffer rests on the floor, on a bank's edge or on another buffer.

A refuted node names the sections its refutation looked at. When the last buffer placed covers none of them, the
refutation holds without it, and the search jumps back over it. Refuted states (buffers left, waste by section) are
remembered, over restarts, too; parts that no buffer connects are solved apart; of two neighbours in a stack with the
same lifetime the one of the lower number lies below (callers number large buffers first).

Section bounds and pushed-down plans are known from Moffitt's MiniMalloc (2023), valleys from strip packing.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fxcost.passes.memory_plan_problem import Sections
from fxcost.passes.schedule_hazards import members

WALL = 1 << 200
"""Higher than any address: the neighbour of the outermost sections, and the floor of a section with nothing left."""

MAX_REMEMBERED = 1_000_000
"""Refuted states kept; more are explored, not remembered."""


class Strategy(NamedTuple):
    """Which section to decide first (`cell`), and which buffer to try there first (`value`; `flush`: level with a wall).

    `noise` shakes the order of the buffers, by the numbers that `seed` gives.
    """

    cell: str
    value: str
    flush: bool
    noise: float = 0.0
    seed: int = 0


class Cell(NamedTuple):
    """A section to decide: how many cases, what may be wasted there, its valley, floor and candidates."""

    cases: int
    slack: int
    section: int
    left: int
    right: int
    floor: int
    candidates: int


CELLS: dict[str, Callable[[Cell], tuple[int, ...]]] = {
    "tight low": lambda c: (c.slack > 0, c.floor, c.cases),
    "low": lambda c: (c.floor, c.cases + (c.slack > 0), c.slack),
    "tight": lambda c: (c.slack, c.cases, c.floor),
    "few": lambda c: (c.cases + (c.slack > 0), c.slack, c.floor),
    "tight high": lambda c: (c.slack > 0, -c.floor, c.cases),
}

VALUES: dict[str, Callable[[int, int], tuple[int, ...]]] = {  # of size and duration
    "size": lambda size, duration: (size, duration),
    "area": lambda size, duration: (size * duration,),
    "duration": lambda size, duration: (duration, size),
}


@dataclass
class State:
    """One node: sections low..high, floor and slack by section, buffers left and barred, waste as one big number."""

    low: int
    high: int
    floor: list[int]
    slack: list[int]
    left: int
    barred: int
    waste: int


@dataclass
class Frame:
    """A node whose children are being tried: cases that exclude each other, or parts that must all succeed."""

    parts: bool
    children: list[tuple[State, int, int, int]]  # state, sections it changed, buffer and its offset (or -1)
    reason: int
    raises: list[tuple[int, int]]
    key: tuple[int, int, int] | None
    placed: int
    next: int = 0
    changed: int = 0


@dataclass
class Fitting:
    """The search for one set of buffers and one height; its memory of refuted states serves every restart.

    `short_by` is the least height that was missing in any refutation so far: no height below `height + short_by` fits
    once this one is refuted. `edges` are addresses that no buffer may cross.
    """

    problem: Sections
    height: int
    edges: Sequence[int] = ()
    durations: Sequence[int] = ()
    nodes: int = 0
    short_by: int = WALL
    refuted: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes, first, after, loads = self.problem.sizes, self.problem.first, self.problem.after, self.problem.loads
        count, width = len(sizes), len(loads)
        self.cover = [0] * width
        starts, ends = [0] * (width + 1), [0] * (width + 1)
        self.span = []
        for i in range(count):
            starts[first[i]] |= 1 << i
            ends[after[i]] |= 1 << i
            self.span.append((1 << after[i]) - (1 << first[i]))
        alive = 0
        for s in range(width):
            alive = (alive & ~ends[s]) | starts[s]
            self.cover[s] = alive
        self.from_ = [0] * (width + 2)  # buffers that begin in this section or later
        for s in reversed(range(width + 1)):
            self.from_[s] = self.from_[s + 1] | starts[s]
        self.until = [0] * (width + 1)  # buffers that end before this section or earlier
        for s in range(width + 1):
            self.until[s] = (self.until[s - 1] if s else 0) | ends[s]
        self.meets = [  # buffers that share a section with this one, and itself
            self.everything & ~self.until[first[i]] & ~self.from_[after[i]] for i in range(count)
        ]
        same_run: dict[tuple[int, int], int] = {}
        same_all: dict[tuple[int, int, int], int] = {}
        self.before = []  # buffers of the same lifetime, another size and a lower number
        for i in range(count):
            run, all_ = (first[i], after[i]), (first[i], after[i], sizes[i])
            self.before.append(same_run.get(run, 0) & ~same_all.get(all_, 0))
            same_run[run] = same_run.get(run, 0) | 1 << i
            same_all[all_] = same_all.get(all_, 0) | 1 << i
        self.by_size = sorted(range(count), key=sizes.__getitem__)
        self.digits = max(self.height, 1).bit_length() + 1
        self.rank = list(range(count))
        self.strategy = Strategy("tight low", "size", False)

    @property
    def everything(self) -> int:
        """All buffers, as a bit mask."""
        return (1 << len(self.problem.sizes)) - 1

    def run(self, strategy: Strategy, budget: int, deadline: float) -> list[int] | bool | None:
        """Offsets by number; False where nothing fits, proven; None when the budget of nodes or the time is used up."""
        self.strategy = strategy
        self._order_values(strategy)
        slack = [self.height - load for load in self.problem.loads]
        short = max((-s for s in slack), default=0)
        if short > 0:
            self.short_by = min(self.short_by, short)
            return False
        width = len(slack)
        state: State | None = State(0, width, [0] * width, slack, self.everything, 0, 0)
        placed: list[tuple[int, int]] = []
        stack: list[Frame] = []
        limit = self.nodes + budget
        result = 0  # of the node that was finished last: the sections of its refutation, or 0 for success
        while True:
            if state is not None:
                self.nodes += 1
                if self.nodes >= limit or (not self.nodes & 63 and time.monotonic() > deadline):
                    return None
                expanded = self._expand(state, len(placed))
                if isinstance(expanded, Frame):
                    stack.append(expanded)
                    state = self._descend(expanded, placed)
                    if state is None:  # no case at all
                        result = self._close(stack.pop())
                    continue
                result, state = expanded, None
            if not stack:
                return False if result else self._offsets(placed)
            frame = stack[-1]
            if frame.parts:
                if result:
                    stack.pop()
                    result = explained(result, frame.raises)
                elif frame.next == len(frame.children):
                    stack.pop()
                else:
                    state = self._descend(frame, placed)
            elif result == 0:
                stack.pop()
            else:
                del placed[frame.placed :]
                if not result & frame.changed:  # the refutation does not need what was decided here
                    frame.reason = result
                    frame.next = len(frame.children)
                else:
                    frame.reason |= result
                state = self._descend(frame, placed)
                if state is None:
                    result = self._close(stack.pop())

    def _descend(self, frame: Frame, placed: list[tuple[int, int]]) -> State | None:
        """The next child of a frame, its buffer placed; None where there is none left."""
        if frame.next == len(frame.children):
            return None
        state, frame.changed, buffer, offset = frame.children[frame.next]
        frame.next += 1
        if buffer >= 0:
            placed.append((buffer, offset))
        return state

    def _close(self, frame: Frame) -> int:
        """Every case is refuted: remember that, and say why."""
        if frame.key is not None and len(self.refuted) < MAX_REMEMBERED:
            self.refuted[frame.key] = frame.reason
        return explained(frame.reason, frame.raises)

    def _offsets(self, placed: list[tuple[int, int]]) -> list[int]:
        offsets = [0] * len(self.problem.sizes)
        for buffer, offset in placed:
            offsets[buffer] = offset
        return offsets

    def _order_values(self, strategy: Strategy) -> None:
        generator = random.Random(strategy.seed)
        key = VALUES[strategy.value]

        def worth(i: int) -> tuple[float, ...]:
            main, *rest = key(self.problem.sizes[i], self.durations[i])
            return main * (1 + strategy.noise * shaken[i]), *rest, -i

        shaken = [generator.random() for _ in self.rank]
        for rank, i in enumerate(sorted(range(len(shaken)), key=worth, reverse=True)):
            self.rank[i] = rank

    def _expand(self, state: State, placed: int) -> Frame | int:
        """Raise what must be, then branch; or 0 where nothing is left, or the sections of a refutation."""
        raises: list[tuple[int, int]] = []
        cells: list[Cell] = []
        settled = False
        while not settled:
            cells.clear()
            settled = True
            for left, right, walls, floor in valleys(state):
                refuted = self._survey(state, left, right, walls, floor, cells, raises)
                if refuted is None:
                    settled = False
                elif refuted:
                    return explained(refuted, raises)
        if not cells:
            return 0
        parts = self._parts(state)
        if len(parts) > 1:
            return Frame(True, parts, 0, raises, None, placed)
        state.low, state.high = parts[0][0].low, parts[0][0].high
        key = (state.left, state.barred, state.waste)
        known = self.refuted.get(key)
        if known is not None:
            return explained(known, raises)
        best = min(cells, key=CELLS[self.strategy.cell])
        reason, children = self._branch(state, best)
        return Frame(False, children, reason, raises, key, placed)

    def _survey(
        self,
        state: State,
        left: int,
        right: int,
        walls: tuple[int, int],
        floor: int,
        cells: list[Cell],
        raises: list[tuple[int, int]],
    ) -> int | None:
        """List the cells of a valley. None when a section was raised, else 0, or the sections of a refutation."""
        remaining, slack, cover = state.left, state.slack, self.cover
        inside = remaining & self.from_[left] & self.until[right]
        usable = inside & ~state.barred
        begins, ends = self.from_[left], self.until[right]
        changed = False
        for s in range(left, right):
            covering = cover[s]
            candidates = usable & covering
            if candidates:
                if not changed:
                    cells.append(Cell(candidates.bit_count(), slack[s], s, left, right, floor, candidates))
                continue
            if inside & covering:  # all barred: the branch says why
                cells.append(Cell(0, slack[s], s, left, right, floor, 0))
                continue
            over = remaining & covering
            changed = True
            if not over:
                state.floor[s] = WALL
                state.waste &= ~(((1 << self.digits) - 1) << (s * self.digits))
                continue
            level = self._level(over, begins, ends, walls)
            raises.append((s, 1 << s | (1 << left) >> 1 | (1 << right if right < state.high else 0)))
            self._raise(state, s, level)
            if slack[s] < 0:
                self.short_by = min(self.short_by, -slack[s])
                return 1 << s
        return None if changed else 0

    def _raise(self, state: State, section: int, level: int) -> None:
        """Waste what lies between the floor and the level."""
        wasted = level - state.floor[section]
        state.floor[section] = level
        state.slack[section] -= wasted
        if state.slack[section] >= 0:
            state.waste += wasted << (section * self.digits)
        state.barred &= ~self.cover[section]

    @staticmethod
    def _level(over: int, begins: int, ends: int, walls: tuple[int, int]) -> int:
        """Where buffers that reach over a wall can begin at the lowest."""
        beyond_left, beyond_right = over & ~begins, over & ~ends
        level = WALL
        if beyond_left & ~beyond_right:
            level = walls[0]
        if beyond_right & ~beyond_left and walls[1] < level:
            level = walls[1]
        return max(walls) if level == WALL else level

    def _parts(self, state: State) -> list[tuple[State, int, int, int]]:
        """The runs of sections that buffers left connect; one run keeps the state."""
        cover, remaining = self.cover, state.left
        runs: list[tuple[int, int]] = []
        start = -1
        for s in range(state.low, state.high):
            if state.floor[s] == WALL:
                if start >= 0:
                    runs.append((start, s))
                start = -1
            elif start < 0:
                start = s
            elif not remaining & cover[s] & cover[s - 1]:
                runs.append((start, s))
                start = s
        if start >= 0:
            runs.append((start, state.high))
        if len(runs) == 1:
            state.low, state.high = runs[0]
            return [(state, 0, -1, 0)]
        found = []
        for low, high in runs:
            mine = remaining & ~self.until[low] & ~self.from_[high]
            waste = state.waste & (((1 << (high - low) * self.digits) - 1) << low * self.digits)
            part = State(low, high, state.floor[:], state.slack[:], mine, state.barred & mine, waste)
            found.append((part, 0, -1, 0))
        found.sort(key=lambda part: min(part[0].slack[part[0].low : part[0].high]))
        return found

    def _branch(self, state: State, cell: Cell) -> tuple[int, list[tuple[State, int, int, int]]]:
        """All cases for a cell, and the sections that say that these are all."""
        sizes, first, after = self.problem.sizes, self.problem.first, self.problem.after
        s, left, right, floor = cell.section, cell.left, cell.right, cell.floor
        walls = (
            state.floor[left - 1] if left > state.low else WALL,
            state.floor[right] if right < state.high else WALL,
        )
        reason = 1 << s | ((1 << left) >> 1 if left > state.low else 0) | (1 << right if right < state.high else 0)
        inside = state.left & self.from_[left] & self.until[right]
        barred = inside & state.barred & self.cover[s]
        over = state.left & self.cover[s] & ~inside
        lowest_wall = min(walls)
        if over and lowest_wall < WALL:  # do those inside reach up to the wall at all?
            missing = lowest_wall - floor - cell.slack - self._total(inside & self.cover[s])
            if missing > 0:
                self.short_by = min(self.short_by, missing)
                return reason, []
        for i in members(barred):
            reason |= self.span[i]
        choices = members(cell.candidates)
        rank = self.rank
        if self.strategy.flush:
            choices.sort(key=lambda i: (-self._level_with(i, cell, walls), rank[i]))
        else:
            choices.sort(key=rank.__getitem__)
        children: list[tuple[State, int, int, int]] = []
        tried: set[tuple[int, int, int]] = set()
        edge = self._edge_above(floor)
        for i in choices:
            begin, end, size = first[i], after[i], sizes[i]
            if (begin, end, size) in tried or floor + size > edge:
                continue
            tried.add((begin, end, size))
            higher = state.floor[:]
            higher[begin:end] = [floor + size] * (end - begin)
            remaining = state.left ^ (1 << i)
            bars = state.barred & ~self.meets[i]
            if floor + size < edge:  # neighbours across the edge of a bank cannot trade places
                bars |= self.before[i]
            bars &= remaining
            child = State(state.low, state.high, higher, state.slack[:], remaining, bars, state.waste)
            children.append((child, self.span[i], i, floor))
        level = min(self._level(over, self.from_[left], self.until[right], walls) if over else WALL, lowest_wall, edge)
        support = inside & ~self.cover[s]
        if support:
            level = min(level, floor + self._least(support))
        reason |= (1 << right) - (1 << left)
        if level < WALL:
            if level - floor <= cell.slack:
                child = State(
                    state.low, state.high, state.floor[:], state.slack[:], state.left, state.barred, state.waste
                )
                self._raise(child, s, level)
                children.append((child, 1 << s, -1, 0))
            else:
                self.short_by = min(self.short_by, level - floor - cell.slack)
        return reason, children

    def _edge_above(self, address: int) -> int:
        at = bisect_right(self.edges, address)
        return self.edges[at] if at < len(self.edges) else WALL

    def _level_with(self, i: int, cell: Cell, walls: tuple[int, int]) -> int:
        """How many walls a buffer would be level with, and whether it fills its valley."""
        top = cell.floor + self.problem.sizes[i]
        at_left, at_right = self.problem.first[i] == cell.left, self.problem.after[i] == cell.right
        return (at_left and top == walls[0]) + (at_right and top == walls[1]) + (at_left and at_right)

    def _total(self, mask: int) -> int:
        sizes = self.problem.sizes
        return sum(sizes[i] for i in members(mask))

    def _least(self, mask: int) -> int:
        return next(self.problem.sizes[i] for i in self.by_size if mask >> i & 1)


def valleys(state: State) -> list[tuple[int, int, tuple[int, int], int]]:
    """Runs of sections with one floor and no lower neighbour: (left, right, walls, floor)."""
    floor, high = state.floor, state.high
    found = []
    s = state.low
    before = WALL
    while s < high:
        here = floor[s]
        left = s
        s += 1
        while s < high and floor[s] == here:
            s += 1
        behind = floor[s] if s < high else WALL
        if here < WALL and before > here < behind:
            found.append((left, s, (before, behind), here))
        before = here
    return found


def explained(reason: int, raises: list[tuple[int, int]]) -> int:
    """Replace sections that were raised by what raised them."""
    for section, witnesses in reversed(raises):
        if reason >> section & 1:
            reason |= witnesses
    return reason
