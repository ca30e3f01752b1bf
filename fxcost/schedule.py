"""Schedule: the best order found at a point, and what to do with it. Made by `Cost.schedule`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.passes.schedule import BestOrder
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class Schedule(BestOrder):
    """The best order of a graph at a point; `facts` are those that it was found under."""

    graph: Graph = field(repr=False)
    facts: Facts = field(repr=False, compare=False)
    point: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes by name, in execution order."""
        return tuple(self.graph.nodes[position].name for position in self.order)

    def apply(self, program: Any) -> Any:
        """The program that was analysed, with its nodes in this order; nodes of parameters alone become constants.

        An ExportedProgram or GraphModule; the original stays as it is, its parameters are shared. Raises ModelError where
        it is another program.
        """
        from fxcost.integrate.reorder import reordered

        folded = tuple(self.graph.nodes[position].name for position in self.folded)
        return reordered(program, self.names, folded)
