"""Plans of recomputation at a point: bytes against MACs on top, for what is kept or for the peak of the whole step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fxcost.errors import SpecError, nearest
from fxcost.ir.graph import Graph
from fxcost.passes.recompute import Frontier, frontier
from fxcost.passes.recompute_peak import Curves
from fxcost.passes.recompute_problem import recompute_problem
from fxcost.passes.recompute_segments import segment_plans
from fxcost.pipeline import Facts

MEASURES = ("saved_activations", "peak_memory")
SAMPLED = 48
"""Plans of the frontier of kept bytes whose peaks are looked at."""


@dataclass(frozen=True)
class Plans:
    """The step as it is, then plans that no other beats, from the fewest MACs on.

    of       what is bounded: `saved_activations`, bytes kept from the forward to the backward pass, or `peak_memory`
    bytes    of each plan, and `macs` that it adds to the step
    bounds   (bytes, MACs): with at most so many bytes, no plan adds fewer MACs
    exact    the plans themselves are such bounds
    """

    of: str
    bytes: tuple[int, ...]
    macs: tuple[int, ...]
    bounds: tuple[tuple[int, int], ...]
    exact: bool
    curves: Curves = field(repr=False)
    _again: Callable[[int], tuple[int, ...]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.bytes)

    def within(self, budget: int) -> int | None:
        """The plan of fewest MACs within so many bytes; None where there is none."""
        return next((i for i, need in enumerate(self.bytes) if need <= budget), None)

    def least_macs(self, budget: int) -> int | None:
        """MACs that every plan within so many bytes adds; None where it is known that there is no such plan."""
        return next((macs for need, macs in self.bounds if need <= budget), None)

    @property
    def free(self) -> int:
        """The plan of fewest bytes that adds no MACs."""
        return max(i for i, macs in enumerate(self.macs) if macs == self.macs[0])

    def again(self, index: int) -> tuple[int, ...]:
        """Positions of the nodes that run again under a plan."""
        return self._again(index)


def plans_of(
    graph: Graph,
    facts: Facts,
    point: Mapping[str, int],
    of: str = "saved_activations",
    progress: Callable[[str], None] = lambda _: None,
) -> Plans:
    """All plans worth having at a point. Raises SpecError for an unknown measure or a graph that is no training step."""
    if of not in MEASURES:
        raise SpecError(f"of={of!r} is not one of {', '.join(MEASURES)}{nearest(of, MEASURES)}")
    problem = recompute_problem(graph, facts, point)
    curves = Curves.of(graph, facts, problem, point)
    progress("weighing what to keep")
    found = frontier(problem)
    if of == "peak_memory":
        return _by_peak(curves, found, progress)
    plain = problem.size_of(problem.wanted)
    if found.kept[0] >= plain:
        return Plans(of, found.kept, found.macs, found.bounds, found.exact, curves, found.again)

    def again(index: int) -> tuple[int, ...]:
        return found.again(index - 1) if index else ()

    return Plans(of, (plain, *found.kept), (0, *found.macs), found.bounds, found.exact, curves, again)


def _by_peak(curves: Curves, found: Frontier, progress: Callable[[str], None]) -> Plans:
    """Peaks of the plans by stretches and of some that keep little; no peak is below what is kept for it."""
    stretches, exact = segment_plans(curves, progress)
    last = len(found) - 1
    sampled = sorted({round(i * last / (SAMPLED - 1)) for i in range(SAMPLED)})
    candidates = dict.fromkeys([(), *stretches, *(found.again(i) for i in sampled)])
    macs_of = {operator.position: operator.macs for operator in curves.problem.operators}
    weighed = sorted((sum(macs_of[p] for p in again), curves.peak(again), again) for again in candidates)
    best: list[tuple[int, int, tuple[int, ...]]] = [(0, curves.peak(()), ())]
    for one in weighed:
        if one[1] < best[-1][1]:
            best.append(one)
    macs, peaks, again = zip(*best, strict=True)
    bounds = tuple(zip(peaks, macs, strict=True)) if exact else found.bounds
    return Plans("peak_memory", peaks, macs, bounds, exact, curves, lambda index: again[index])
