"""Recomputation: the fewest MACs on top for every number of bytes kept, each operator run twice at most.

Dynamic programming from the last operator of the forward pass to the first. What has been decided so far asks for a
set of blocks; for each such set all pairs of bytes and MACs are kept that no other pair beats. On a chain there is one
set at any place, so that this is the exact frontier of heterogeneous chains (as rotor's, with each operator run again
once at most); on other graphs there are as many as branches leave open. Where there are too many pairs or sets, some
are dropped, and a second sweep with pairs that are too good bounds what was lost from below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxcost.errors import InternalError
from fxcost.passes.recompute_problem import Operator, Problem

LABELS = 8_000
"""Pairs of bytes and MACs at one place, over all sets of blocks."""

SETS = 128
"""Sets of blocks asked for at one place."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Frontier:
    """Pairs that no other beats, from the fewest MACs on: `kept` bytes and `macs` on top.

    `bounds` are pairs that no plan gets below: with at most so many bytes, at least so many MACs. `exact`: the pairs
    themselves are.
    """

    problem: Problem = field(repr=False)
    kept: tuple[int, ...]
    macs: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    exact: bool
    _steps: tuple[_Step, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.kept)

    def within(self, kept_bytes: int) -> int | None:
        """The pair of fewest MACs that keeps at most so many bytes; None where there is none."""
        return next((i for i, kept in enumerate(self.kept) if kept <= kept_bytes), None)

    def least_macs(self, kept_bytes: int) -> int | None:
        """MACs on top that every plan needs that keeps at most so many bytes; None where no plan does."""
        return next((macs for kept, macs in self.bounds if kept <= kept_bytes), None)

    def again(self, index: int) -> tuple[int, ...]:
        """Positions of the operators that run again under one pair."""
        found = []
        for step in reversed(self._steps):
            if step.again[index]:
                found.append(step.position)
            index = int(step.origin[index])
        return tuple(sorted(found))


@dataclass(frozen=True)
class _Step:
    """How the pairs at one place came from those at the place before."""

    position: int
    origin: Numbers
    again: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Part:
    """Pairs that ask for one set of blocks: the slice of all pairs, and what the choice adds to them."""

    where: Numbers
    kept: int
    macs: int
    again: bool


def frontier(problem: Problem) -> Frontier:
    """All plans that no other beats at the problem's point."""
    kept, macs, steps, exact = _swept(problem, optimistic=False)
    lower = (kept, macs) if exact else _swept(problem, optimistic=True)[:2]
    bounds = tuple(zip(map(int, lower[0]), map(int, lower[1]), strict=True))
    return Frontier(problem, tuple(map(int, kept)), tuple(map(int, macs)), bounds, exact, tuple(steps))


def _swept(problem: Problem, *, optimistic: bool) -> tuple[Numbers, Numbers, list[_Step], bool]:
    if sum(problem.sizes) >= 1 << 62 or sum(each.macs for each in problem.operators) >= 1 << 62:
        raise InternalError("sizes beyond 64 bits are not planned for")
    kept, macs = np.zeros(1, np.int64), np.zeros(1, np.int64)
    asked = {problem.wanted: np.zeros(1, np.int64)}
    steps: list[_Step] = []
    exact = True
    for operator in reversed(problem.operators):
        parts = _choices(problem, operator, asked)
        if len(parts) > SETS:
            exact = False
            parts = _fewer(parts, kept, macs, optimistic=optimistic)
        room = max(2, LABELS // len(parts))
        found = {}
        for blocks, pieces in parts.items():
            found[blocks], whole = _undominated(pieces, kept, macs, room, optimistic=optimistic)
            exact = exact and whole
        kept, macs, asked, step = _joined(operator.position, found)
        steps.append(step)
    last = [_Part(where, problem.size_of(blocks), 0, again=False) for blocks, where in asked.items()]
    ended, whole = _undominated(last, kept, macs, LABELS, optimistic=optimistic)
    kept, macs, _, step = _joined(-1, {0: ended})
    return kept, macs, [*steps, step], exact and whole


def _choices(problem: Problem, operator: Operator, asked: Mapping[int, Numbers]) -> dict[int, list[_Part]]:
    """For every set asked for before this operator: the pairs that lead there, by keeping or by running it again."""
    found: dict[int, list[_Part]] = {}
    for blocks, where in asked.items():
        here = blocks & operator.makes
        rest = blocks & ~operator.makes
        if not here:
            found.setdefault(blocks, []).append(_Part(where, 0, 0, again=False))
            continue
        more = rest | operator.needs
        if operator.repeatable:
            found.setdefault(more, []).append(_Part(where, 0, operator.macs, again=True))
        if not operator.repeatable or operator.macs or more != rest:  # else running it again costs nothing at all
            found.setdefault(rest, []).append(_Part(where, problem.size_of(here), 0, again=False))
    return found


_Pairs = tuple[Numbers, Numbers, Numbers, npt.NDArray[np.bool_]]


def _undominated(
    parts: Sequence[_Part], kept: Numbers, macs: Numbers, room: int, *, optimistic: bool
) -> tuple[_Pairs, bool]:
    """Pairs that no other beats, fewest MACs first, at most `room`; and whether that is all of them."""
    origin = np.concatenate([part.where for part in parts])
    new_kept = np.concatenate([kept[part.where] + part.kept for part in parts])
    new_macs = np.concatenate([macs[part.where] + part.macs for part in parts])
    again = np.concatenate([np.full(len(part.where), part.again) for part in parts])
    order = np.lexsort((new_kept, new_macs))
    lowest = np.minimum.accumulate(new_kept[order])
    better = np.ones(len(order), bool)
    better[1:] = new_kept[order][1:] < lowest[:-1]
    order = order[better]
    if len(order) <= room:
        return (new_kept[order], new_macs[order], origin[order], again[order]), True
    picked = np.unique(np.linspace(0, len(order) - 1, room).round().astype(np.int64))
    chosen = order[picked]
    fewest = new_macs[chosen]
    if optimistic:  # each stands for those before it, too, with the fewest MACs among them
        fewest = new_macs[order[np.concatenate([[0], picked[:-1] + 1])]]
    return (new_kept[chosen], fewest, origin[chosen], again[chosen]), False


def _joined(position: int, found: Mapping[int, _Pairs]) -> tuple[Numbers, Numbers, dict[int, Numbers], _Step]:
    """All pairs of a place in one row, with where each set's lie."""
    asked, start = {}, 0
    for blocks, pairs in found.items():
        asked[blocks] = np.arange(start, start + len(pairs[0]))
        start += len(pairs[0])
    kept, macs, origin, again = (np.concatenate(column) for column in zip(*found.values(), strict=True))
    return kept, macs, asked, _Step(position, origin, again)


def _fewer(
    parts: Mapping[int, list[_Part]], kept: Numbers, macs: Numbers, *, optimistic: bool
) -> dict[int, list[_Part]]:
    """SETS sets of blocks: those that ask for least; optimistic, the others become one that asks for what all ask for."""

    def promise(blocks: int) -> tuple[float, int]:
        pieces = parts[blocks]
        fewest = min(int(macs[part.where].min()) + part.macs for part in pieces)
        least = min(int(kept[part.where].min()) + part.kept for part in pieces)
        return fewest / (1 + int(macs.max())) + least / (1 + int(kept.max())), blocks.bit_count()

    ranked = sorted(parts, key=promise)
    chosen = {blocks: parts[blocks] for blocks in ranked[: SETS - 1]}
    others = ranked[SETS - 1 :]
    if optimistic:
        common = others[0]
        for blocks in others[1:]:
            common &= blocks
        chosen[common] = [*chosen.get(common, ()), *(part for blocks in others for part in parts[blocks])]
    else:
        chosen[others[0]] = parts[others[0]]
    return chosen
