"""The best execution order of a graph at a point, with a proof; and a checker that knows nothing of how it was found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import holds
from fxcost.ir.symbols import check_point
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.schedule_problem import Problem, peak_of, problem_of
from fxcost.passes.schedule_search import Outcome, best_order
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class BestOrder:
    """An execution order at one point, its peak, and how far it is proven.

    order        positions of all nodes in execution order; `folded` ones come first
    peak         bytes of this order, `traced_peak` of the traced one
    lower_bound  bytes that no order stays under; `optimal` where the peak equals it
    certificate  in words, why the bound holds, or what is left open
    folded       nodes that no input reaches: done before, their results counted as little as parameters
    groups       what contraction left to order; `states` the sets of finished nodes that the search looked at
    """

    order: tuple[int, ...]
    peak: int
    traced_peak: int
    lower_bound: int
    optimal: bool
    certificate: str
    folded: tuple[int, ...]
    groups: int
    states: int
    seconds: float

    @property
    def gap(self) -> float:
        """How much lower the best order could be at most, as a share of the peak."""
        return 1 - self.lower_bound / self.peak if self.peak else 0.0


def schedule(
    graph: Graph, facts: Facts, point: Mapping[str, int], time_limit: float = 60.0, *, fold: bool = True
) -> BestOrder:
    """The order of least peak memory at a point, under the accounting and input mode of `facts`.

    Deterministic unless the time limit (seconds) or Ctrl-C ends the search; then the best order so far comes back with
    the lower bound proven by then. With `fold`, nodes that no input reaches count as done before; without it
    `traced_peak` is exactly `peak_memory`.

    Raises SpecError for a point that is not complete or not in the ranges, OutsideDomain where a guard is false there.
    """
    started = time.perf_counter()
    at = complete_point(graph, point)
    problem = problem_of(graph, facts, at, fold=fold)
    outcome = best_order(problem, time_limit)
    order = (*problem.folded, *(problem.positions[op] for op in outcome.order))
    return BestOrder(
        order=order,
        peak=outcome.peak,
        traced_peak=peak_of(problem, range(problem.size)),
        lower_bound=outcome.lower_bound,
        optimal=outcome.peak == outcome.lower_bound,
        certificate=certificate(graph, problem, outcome),
        folded=problem.folded,
        groups=outcome.groups,
        states=outcome.states,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Verdict:
    """An order at a point it was not found at: its peak there, beside the best one and what is proven about that.

    `best` is True where the order is proven best, False where a better one is known, None where neither is proven.
    """

    peak: int
    best_peak: int
    lower_bound: int

    @property
    def best(self) -> bool | None:
        """Proven (True), refuted (False) or open (None)."""
        if self.peak > self.best_peak:
            return False
        return True if self.peak == self.lower_bound else None


def judge(graph: Graph, facts: Facts, point: Mapping[str, int], found: BestOrder, time_limit: float = 60.0) -> Verdict:
    """Whether an order found elsewhere is best at a point, too.

    Raises as `schedule` does, and SpecError where the order cannot run: other values share memory at other sizes.
    """
    at = complete_point(graph, point)
    here = check_schedule(graph, facts, at, found.order, found.folded)
    outcome = best_order(problem_of(graph, facts, at, fold=bool(found.folded)), time_limit)
    return Verdict(here, min(here, outcome.peak), outcome.lower_bound)


def complete_point(graph: Graph, point: Mapping[str, int]) -> dict[str, int]:
    """The point as integers; raises where a symbol is missing or a guard of the graph is false."""
    at = check_point(graph.symbols, point)
    missing = [s.name for s in graph.symbols if s.name not in at]
    if missing:
        raise SpecError(f"an order is found at one point: give a size to {', '.join(missing)}, too")
    for guard in graph.domain:
        if not holds(guard, at):
            where = ", ".join(f"{name}={size}" for name, size in at.items())
            raise OutsideDomain(f"the graph holds where {guard}, which is false at {where}; capture the model there")
    return at


def certificate(graph: Graph, problem: Problem, outcome: Outcome) -> str:
    """Why the lower bound holds, in words, and what is left open."""
    low = f"{outcome.lower_bound:,} bytes"
    node = "" if outcome.bound_op is None else graph.nodes[problem.positions[outcome.bound_op]].name
    why = {
        "inputs": f"the inputs take {low} before the first node runs",
        "forced": f"while {node} runs, blocks of {low} are alive in every order: made before it in every order, and "
        "needed by it or by what can only follow",
        "cut": f"some best order runs {outcome.groups} groups of nodes back to back; whatever groups have run when that "
        f"of {node} starts, it and what is alive then take at least {low}: a minimum cut over all such sets",
        "search": f"no order stays under {low}: every set of finished nodes within reach was explored "
        f"({outcome.states:,} states)",
    }[outcome.proof]
    if outcome.peak == outcome.lower_bound:
        return f"optimal: {why}"
    return (
        f"not proven ({outcome.stopped}): the peak is {outcome.peak:,} bytes, "
        f"{100 * (outcome.peak - outcome.lower_bound) / outcome.peak:.1f} % above the bound; {why}"
    )
