"""Schedule: the best order found at a point, and what to do with it. Made by `Cost.schedule`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.memory_plan import Plan
from fxcost.passes.memory_plan_graph import plan_of
from fxcost.passes.memory_plan_orders import plan_over_orders
from fxcost.passes.schedule import BestOrder
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.timeline import Timeline, timeline
from fxcost.pipeline import Facts
from fxcost.query.shown import Shown


@dataclass(frozen=True)
class SchedulePlan(Plan):
    """A memory plan with the schedule that it is for.

    schedule  the order of this plan: the one that was asked, or another one that needs less memory
    orders    how many orders were planned
    floor     bytes that no plan of any order stays under, as far as proven, sizes padded to the alignment
    """

    schedule: Schedule = field(repr=False)
    orders: int
    floor: int

    @property
    def best(self) -> bool:
        """Proven: no order has a lower plan."""
        return self.height <= self.floor


@dataclass(frozen=True)
class Schedule(BestOrder, Shown):
    """The best order of a graph at a point; `facts` are those that it was found under."""

    graph: Graph = field(repr=False)
    facts: Facts = field(repr=False, compare=False)
    point: Mapping[str, int]
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes by name, in execution order."""
        return tuple(self.graph.nodes[position].name for position in self.order)

    def __str__(self) -> str:
        from fxcost.report.schedule import schedule_text

        return schedule_text(self.graph, self).rstrip()

    def timelines(self) -> dict[str, Timeline]:
        """Who is alive when: in the `traced` order and in this one, the `best`."""
        fold = bool(self.folded)
        return {
            name: timeline(self.graph, self.facts, self.point, order, fold=fold)
            for name, order in (("traced", None), ("best", self.order))
        }

    def plot(self, path: str | Path) -> None:
        """Draw memory over execution, traced against best, as PNG, SVG or PDF; raises SpecError without matplotlib."""
        from fxcost.report.timeline import draw_schedule

        at = ", ".join(f"{name}={size}" for name, size in self.point.items())
        draw_schedule(self.graph, self, at, self.timelines(), Path(path))

    def plan(
        self,
        capacity: int | Sequence[int] | None = None,
        *,
        alignment: int = 1,
        time_limit: float = 60.0,
        other_orders: bool = True,
    ) -> SchedulePlan:
        """Offsets of every block in an arena: at the peak where they can be packed that tightly.

        Where this order cannot, other orders are tried before a byte is given up; `SchedulePlan.schedule` is the one that
        the plan is for. `other_orders=False` keeps to this order. `capacity` is the arena's bytes, or those of several
        banks; without it the least height is sought. Raises as `fxcost.plan`.
        """
        fold = bool(self.folded)
        if not other_orders:
            found = plan_of(
                self.graph,
                self.facts,
                self.point,
                self.order,
                fold=fold,
                capacity=capacity,
                alignment=alignment,
                time_limit=time_limit,
            )
            return SchedulePlan(**vars(found), schedule=self, orders=1, floor=self.lower_bound)
        joint = plan_over_orders(
            self.graph,
            self.facts,
            self.point,
            self.order,
            self.lower_bound,
            fold=fold,
            capacity=capacity,
            alignment=alignment,
            time_limit=time_limit,
        )
        chosen = self if joint.order == self.order else self._reordered(joint.order, joint.peak)
        return SchedulePlan(**vars(joint.plan), schedule=chosen, orders=joint.orders, floor=joint.floor)

    def _reordered(self, order: tuple[int, ...], peak: int) -> Schedule:
        """This schedule in another order, chosen for its memory plan."""
        optimal = peak == self.lower_bound
        note = "" if optimal else f"; the peak of the order chosen for its plan is {peak:,} bytes"
        return replace(self, order=order, peak=peak, optimal=optimal, certificate=self.certificate + note)

    def apply(self, program: Any) -> Any:
        """The program that was analysed, with its nodes in this order; nodes of parameters alone become constants.

        An ExportedProgram or GraphModule; the original stays as it is, its parameters are shared. Raises ModelError where
        it is another program, SpecError where the order was changed so that it lets a write or a random draw pass another
        access to the same state.
        """
        from fxcost.integrate.reorder import reordered, through_origins

        check_schedule(self.graph, self.facts, self.point, self.order, self.folded)
        folded = tuple(self.graph.nodes[position].name for position in self.folded)
        names = self.names
        if self.origins and set(self.origins.values()) <= {node.name for node in program.graph.nodes}:
            names, folded = through_origins(names, folded, self.origins)  # the GraphModule that was given
        return reordered(program, names, folded)
