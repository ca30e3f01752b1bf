"""Peak memory of a training step that makes some values again, in numbers at one point: quick, for many plans.

The same blocks and lifetimes as in `fxcost.passes.buffers`, eager accounting; a copy has blocks of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fxcost.errors import SpecError
from fxcost.ir.evaluate import where_known
from fxcost.ir.graph import Graph
from fxcost.ir.widths import activation_bytes
from fxcost.passes.buffers import STATE
from fxcost.passes.recompute_graph import steps_with
from fxcost.passes.recompute_problem import Problem
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class Curves:
    """Bytes alive during a step of `graph` at a point, whatever is made again."""

    graph: Graph = field(repr=False)
    problem: Problem = field(repr=False)
    sizes: Mapping[str, int] = field(repr=False)
    inputs: str

    @classmethod
    def of(cls, graph: Graph, facts: Facts, problem: Problem, point: Mapping[str, int]) -> Curves:
        """Raises SpecError under an accounting in which blocks are shared by more than views."""
        if facts.options.accounting != "eager":
            raise SpecError(
                f"accounting={facts.options.accounting!r}: recomputation is planned for eager execution alone"
            )
        owned = [root for root in dict.fromkeys(problem.roots.values()) if root != STATE]
        kinds = [graph.tensor(root) for root in owned]
        amounts = tuple(activation_bytes(kind, kind.numel, facts.options.activations) for kind in kinds)
        sizes = {root: size or 0 for root, size in zip(owned, where_known(amounts, point), strict=True)}
        return cls(graph, problem, sizes, facts.options.inputs)

    @cached_property
    def _touched(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """Roots of the operands and of the results of each node."""
        roots = self.problem.roots

        def owners(values: Collection[str]) -> tuple[str, ...]:
            return tuple(root for value in values if (root := roots.get(value, STATE)) != STATE)

        return tuple((owners(node.operands), owners([v.id for v in node.results])) for node in self.graph.nodes)

    def alive(self, again: Collection[int]) -> list[int]:
        """Bytes before the first node and while each one of the execution runs."""
        graph, roots = self.graph, self.problem.roots
        makers = {value.id: i for i, node in enumerate(graph.nodes) for value in node.results}
        inputs = [value.id for value in graph.inputs if value.id in self.sizes]
        chosen = set(again)
        first: dict[tuple[str, bool], int] = {(root, False): -1 for root in inputs}
        last: dict[tuple[str, bool], int] = dict(first)
        steps = 0
        for step, (position, copy) in enumerate(steps_with(graph, roots, chosen)):
            reads, writes = self._touched[position]
            late = copy or graph.nodes[position].phase == "backward"
            for root in reads:
                last[root, late and makers.get(root) in chosen] = step
            for root in writes:
                block = (root, copy or (late and makers.get(root) in chosen))
                first.setdefault(block, step)
                last[block] = step
            steps = step + 1
        kept = (*graph.outputs, *(value for _, value in graph.updates))
        kept = (*kept, *(inputs if self.inputs == "held" else ()))
        last |= {(roots[value], False): steps for value in kept if (roots.get(value, STATE), False) in first}
        change = [0] * (steps + 3)
        for block, born in first.items():
            if self.inputs == "excluded" and born == -1:
                continue
            change[born + 1] += self.sizes[block[0]]
            change[max(last[block], born) + 2] -= self.sizes[block[0]]
        found, now = [], 0
        for step in range(steps + 1):
            now += change[step]
            found.append(now)
        return found

    def peak(self, again: Collection[int]) -> int:
        """The most bytes alive at once."""
        return max(self.alive(again))
