"""Schedule: the best order found at a point, and what to do with it. Made by `Cost.schedule`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.memory_plan import Plan
from fxcost.passes.memory_plan_graph import plan_of
from fxcost.passes.schedule import BestOrder
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.timeline import Timeline, timeline
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class Schedule(BestOrder):
    """The best order of a graph at a point; `facts` are those that it was found under."""

    graph: Graph = field(repr=False)
    facts: Facts = field(repr=False, compare=False)
    point: Mapping[str, int]
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes by name, in execution order."""
        return tuple(self.graph.nodes[position].name for position in self.order)

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
        self, capacity: int | Sequence[int] | None = None, *, alignment: int = 1, time_limit: float = 60.0
    ) -> Plan:
        """Offsets of every block in an arena, in this order: at the peak where they can be packed that tightly.

        `capacity` is the arena's bytes, or those of several banks; without it the least height is sought. Raises as
        `fxcost.plan`.
        """
        fold = bool(self.folded)
        return plan_of(
            self.graph,
            self.facts,
            self.point,
            self.order,
            fold=fold,
            capacity=capacity,
            alignment=alignment,
            time_limit=time_limit,
        )

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
