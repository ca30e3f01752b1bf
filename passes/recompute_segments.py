"""Recomputation for the least peak of the whole step: stretches of the forward pass that are made again as a whole.

A stretch lies between two places where one block carries all that comes later. While the backward pass is inside a
stretch, what is kept from before is alive, and nothing of what comes after: so peaks combine, and dynamic programming
over places weighs all choices of stretches. On a chain these are all plans that run an operator twice at most (Herrmann
et al., 2019, without running operators more often); elsewhere the inside of a stretch is kept, made again where that
takes no MACs, or made again as a whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fxcost.passes.recompute_graph import steps_with
from fxcost.passes.recompute_peak import Curves
from fxcost.passes.recompute_problem import Operator

PLACES = 40
LABELS = 250


@dataclass(frozen=True)
class Place:
    """After the operator `at` (of the problem's), where the `blocks` alone carry what comes later."""

    at: int
    blocks: int


@dataclass(frozen=True)
class _Stretch:
    """Bytes kept up to its end (without the block there), what is alive on top of what was kept before, and MACs."""

    kept: int
    alive: int
    macs: int
    again: tuple[int, ...]


@dataclass(frozen=True)
class _Label:
    """A choice of stretches up to a place: the last one, and the choice before it."""

    macs: int
    peak: int
    kept: int
    before: _Label | None
    stretch: _Stretch | None

    @property
    def again(self) -> tuple[int, ...]:
        found: list[int] = []
        label: _Label | None = self
        while label is not None and label.stretch is not None:
            found += label.stretch.again
            label = label.before
        return tuple(sorted(found))


def segment_plans(
    curves: Curves, progress: Callable[[str], None] = lambda _: None
) -> tuple[list[tuple[int, ...]], bool]:
    """Plans worth a look, as positions of nodes that run again; and whether no plan at all beats them (on chains)."""
    everywhere = _places(curves)
    places = everywhere
    if len(places) > PLACES:
        chosen = {round(i * (len(places) - 1) / (PLACES - 1)) for i in range(PLACES)}
        places = [place for i, place in enumerate(places) if i in chosen]
    local = _Local(curves, places)
    is_chain = places is everywhere and all(b.at - a.at == 1 for a, b in pairwise(places))
    labels: list[list[_Label]] = [[_Label(0, 0, 0, None, None)]]
    exact = is_chain
    for end in range(1, len(places)):
        progress(f"stretches that end at place {end} of {len(places) - 1}")
        found = []
        for start in range(end):
            for stretch in local.stretches(start, end):
                found += [
                    _Label(
                        before.macs + stretch.macs,
                        max(before.peak, before.kept + stretch.alive),
                        before.kept + stretch.kept,
                        before,
                        stretch,
                    )
                    for before in labels[start]
                ]
        kept = _undominated(found)
        exact = exact and len(kept) <= LABELS
        labels.append(kept[:: -(-len(kept) // LABELS)])
    return [label.again for label in labels[-1]], exact


def _undominated(found: Sequence[_Label]) -> list[_Label]:
    """Labels that no other beats in MACs, peak and kept bytes, fewest MACs first.

    Of those before, the pairs of peak and kept bytes that no other beats are enough to compare with: a staircase.
    """
    kept: list[_Label] = []
    peaks: list[int] = []
    bytes_kept: list[int] = []
    for one in sorted(found, key=lambda each: (each.macs, each.peak, each.kept)):
        at = bisect_right(peaks, one.peak)
        if at and bytes_kept[at - 1] <= one.kept:
            continue
        beaten = at
        while beaten < len(peaks) and bytes_kept[beaten] >= one.kept:
            beaten += 1
        peaks[at:beaten], bytes_kept[at:beaten] = [one.peak], [one.kept]
        kept.append(one)
    return kept


def _places(curves: Curves) -> list[Place]:
    """The start, where the inputs are; operators after which one block carries everything; the last one; the end."""
    operators = curves.problem.operators
    made = 0
    for operator in operators:
        made |= operator.makes
    inputs = ((1 << len(curves.problem.sizes)) - 1) & ~made
    later = [0]
    for operator in reversed(operators):
        later.append(later[-1] | operator.needs)
    later.reverse()  # needed from operator i on
    found, there = [Place(-1, inputs)], inputs
    for i, operator in enumerate(operators[:-1]):
        there |= operator.makes
        carried = there & later[i + 1]
        if carried.bit_count() == 1 and carried & operator.makes:
            found.append(Place(i, carried))
    last = len(operators) - 1
    return [*found, Place(last, operators[last].makes), Place(last + 1, 0)]


class _Local:
    """What single stretches cost, everything else kept."""

    def __init__(self, curves: Curves, places: Sequence[Place]) -> None:
        self.curves, self.places = curves, places
        problem, graph = curves.problem, curves.graph
        self.operators, self.wanted = problem.operators, problem.wanted
        number = {value: i for i, op in enumerate(self.operators) for value in _values(curves, op)}
        first_reads: list[tuple[int, int]] = []  # backward steps with the earliest operator whose block they read
        for position, node in enumerate(graph.nodes):
            if node.phase == "backward":
                roots = [problem.roots.get(each, "") for each in node.operands]
                read = [number[root] for root in roots if root in number]
                read += [-1 for root in roots if root in {v.id for v in graph.inputs}]
                if read:
                    first_reads.append((position, min(read)))
        begins = next(i for i, node in enumerate(graph.nodes) if node.phase == "backward")
        ends = len(graph.nodes)
        self.turn = [
            ends if p.at < 0 else next((at for at, earliest in first_reads if earliest < p.at), ends) for p in places
        ]
        self.turn[-1] = begins
        self.begins = begins
        self.base = [
            sum(problem.size_of(op.makes & self.wanted) for op in self.operators[: max(p.at, 0)])
            + (0 if p.at < 0 else problem.size_of(places[0].blocks & self.wanted))
            for p in places
        ]

    def stretches(self, start: int, end: int) -> list[_Stretch]:
        """The choices between two places; what is kept inside is one only between neighbours."""
        chosen = [self._again(start, end, only_free=False)]
        if end == start + 1:
            chosen += [self._again(start, end, only_free=True), ()]
        return [self._stretch(start, end, again) for again in dict.fromkeys(chosen)]

    def _again(self, start: int, end: int, *, only_free: bool) -> tuple[int, ...]:
        """Operators of a stretch that run again: those that are asked for, but not the one that makes its last block."""
        first, last = self.places[start].at + 1, self.places[end].at
        inside = self.operators[first:last] if self.places[end].blocks else self.operators[first : last + 1]
        asked, found = self.wanted, []
        for operator in reversed(inside):
            if operator.makes & asked and operator.repeatable and not (only_free and operator.macs):
                asked |= operator.needs
                found.append(operator.position)
        return tuple(reversed(found))

    def _stretch(self, start: int, end: int, again: tuple[int, ...]) -> _Stretch:
        graph, problem, chosen = self.curves.graph, self.curves.problem, set(again)
        first, last = self.places[start].at, self.places[end].at
        running = [op for op in self.operators if op.position in chosen]
        needed = self.wanted
        for operator in running:
            needed |= operator.needs
        inside = self.operators[first + 1 : last] if self.places[end].blocks else self.operators[first + 1 :]
        kept = problem.size_of(self.places[start].blocks & needed)
        kept += sum(problem.size_of(op.makes & needed) for op in inside if op.position not in chosen)
        from_position = self.operators[first].position + 1 if first >= 0 else -1
        to_position = self.operators[last].position if self.places[end].blocks else self.begins - 1
        trigger = -1
        most = 0
        steps = [(-1, False), *steps_with(graph, problem.roots, chosen)]
        for (position, copy), alive in reversed(list(zip(steps, self.curves.alive(chosen), strict=True))):
            trigger = trigger if copy else position
            forward = position < self.begins and not copy
            if from_position <= trigger <= to_position if forward else self.turn[end] <= trigger < self.turn[start]:
                most = max(most, alive)
        return _Stretch(kept, most - self.base[start], sum(op.macs for op in running), again)


def _values(curves: Curves, operator: Operator) -> list[str]:
    roots = curves.problem.roots
    return [v.id for v in curves.graph.nodes[operator.position].results if roots.get(v.id) == v.id]
