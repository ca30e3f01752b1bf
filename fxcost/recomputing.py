"""Recomputation: a training step that makes some values again instead of keeping them. Made by `Cost.recompute`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.recompute_graph import recomputed_graph, steps_with
from fxcost.passes.recompute_plan import Plans
from fxcost.query.quantity import Quantity
from fxcost.query.shown import Shown


@dataclass(frozen=True)
class Recomputation(Shown):
    """The plan chosen at one point, with all that could have been.

    model       its name
    point       the sizes that it is planned for
    budget      bytes that were allowed, None where nobody said
    plans       every plan worth having, fewest MACs first, and bounds
    index       of the chosen one
    graph       the step as analysed, nothing made again
    plain       bytes kept and peak bytes without recomputation, and MACs of the whole step
    kept, peak  bytes of the chosen plan; `macs` are those that it adds
    cost        the step under the plan: all quantities as formulas
    """

    model: str
    point: Mapping[str, int]
    budget: int | None
    plans: Plans = field(repr=False)
    index: int
    graph: Graph = field(repr=False)
    plain: Mapping[str, int]
    kept: int
    peak: int
    macs: int
    cost: Any = field(repr=False, compare=False)

    @property
    def again(self) -> tuple[str, ...]:
        """Names of the nodes that run a second time, in order."""
        return tuple(self.graph.nodes[position].name for position in self.plans.again(self.index))

    @property
    def overhead(self) -> float:
        """MACs on top as a share of those of the step."""
        return self.macs / self.plain["macs"] if self.plain["macs"] else 0.0

    @property
    def least_macs(self) -> int:
        """MACs on top that every plan within the budget (or the bytes of this one) needs."""
        found = self.plans.least_macs(self.plans.bytes[self.index] if self.budget is None else self.budget)
        return 0 if found is None else found

    @property
    def optimal(self) -> bool:
        """Proven: no plan that runs an operator twice at most adds fewer MACs within the budget."""
        return self.macs <= self.least_macs

    @property
    def certificate(self) -> str:
        """How good the plan is, in words."""
        if self.optimal:
            return "optimal: no plan that runs each operator twice at most adds fewer MACs within the budget"
        gap = f"{self.macs - self.least_macs:,} MACs above a lower bound of {self.least_macs:,}"
        return f"the best of {len(self.plans):,} plans, {gap}"

    def __str__(self) -> str:
        from fxcost.report.recompute import recompute_text

        return recompute_text(self)

    def plot(self, path: str | Path) -> None:
        """Draw bytes against MACs on top, with the chosen plan, as PNG, SVG or PDF; raises SpecError without matplotlib."""
        from fxcost.report.recompute import draw_frontier

        draw_frontier(self, Path(path))

    def apply(
        self,
        model: Any,
        inputs: Sequence[Any],
        kwargs: Mapping[str, Any] | None = None,
        loss: Callable[[Any], Any] | None = None,
    ) -> Any:
        """The model and its loss as a module that trains under this plan: called with the inputs, it returns the loss.

        `inputs` are tensors of the plan's sizes; `loss` is the one that was analysed with. The parameters are the model's
        own, so that `loss.backward()` and an optimizer work as usual. Raises ModelError where the model's step at these
        sizes is not the one that was analysed.
        """
        from fxcost.integrate.recomputed import recomputed_step

        order = steps_with(self.graph, self.plans.curves.problem.roots, self.plans.again(self.index))
        return recomputed_step(model, inputs, kwargs, loss, self.graph, order)


@dataclass(frozen=True)
class Ruling:
    """One plan for the sizes from `low` to `high` (None: without end): bytes and MACs on top as formulas."""

    low: int
    high: int | None
    bytes: Quantity
    macs: Quantity
    again: tuple[str, ...]
    optimal: bool


@dataclass(frozen=True)
class Rulings(Shown):
    """Which plan is the cheapest within `budget` for which size of `wrt`.

    `proven`: each is, over all of its sizes. From `ends` on no plan is within the budget, as far as known; None where
    the list was cut short or goes on without end.
    """

    wrt: str
    budget: int
    of: str
    rows: tuple[Ruling, ...]
    ends: int | None
    proven: bool

    def __str__(self) -> str:
        from fxcost.report.recompute import rulings_text

        return rulings_text(self)


def with_plan(graph: Graph, plans: Plans, index: int) -> Graph:
    """The step in which the nodes of one plan run again."""
    return recomputed_graph(graph, plans.curves.problem.roots, plans.again(index))
