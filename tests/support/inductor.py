"""Inductor's orders and its estimate of peak memory, driven alone: stand-ins for its nodes, made from our blocks.

`torch._inductor.memory` knows of nodes, of buffers with their sizes, and of who reads them; that is what it gets here.
A node that makes no block (a view, a write in place) makes one of no bytes, so that what follows it can name it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from torch._inductor import memory
from torch.utils._ordered_set import OrderedSet

from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import INPUT, Problem


@dataclass(eq=False)
class Buffer:
    """A block that an operator makes, as Inductor asks for it."""

    name: str
    mpi_buffer: memory.MemoryPlanningInfoForBuffer

    def get_name(self) -> str:
        return self.name


@dataclass(eq=False)
class StandIn:
    """An operator, as Inductor asks for it."""

    number: int
    mpi_node: memory.MemoryPlanningInfoForNode
    outputs: list[Buffer] = field(default_factory=list)
    unmet_dependencies: list[SimpleNamespace] = field(default_factory=list)

    def get_outputs(self) -> list[Buffer]:
        return self.outputs

    def get_buffer_names(self) -> list[str]:
        return [buffer.name for buffer in self.outputs]


class Inductor:
    """Inductor's view of a problem without overwriting."""

    def __init__(self, problem: Problem) -> None:
        assert not any(problem.overwrites), "Inductor knows nothing of results that overwrite an operand"
        self.nodes: Any = [StandIn(op, memory.MemoryPlanningInfoForNode(index=op)) for op in range(problem.size)]
        self.inputs: dict[str, memory.FreeableInputBuffer] = {}
        self.buffers: Any = {}
        self.kept: OrderedSet[str] = OrderedSet(block.id for block in problem.blocks if block.kept)
        for block in problem.blocks:
            readers = self._nodes(op for op in members(block.touched) if op != block.producer)
            made = memory.MemoryPlanningInfoForBuffer(block.size, block.size, readers, readers)
            if block.producer == INPUT:
                buffer: Any = memory.FreeableInputBuffer(block.id, made)
                self.inputs[block.id] = buffer
            else:
                buffer = Buffer(block.id, made)
                self._give(self.nodes[block.producer], buffer)
            for reader in readers:
                reader.mpi_node.pred_buffers.add(buffer)
        after: list[list[int]] = [[] for _ in self.nodes]
        for op, mask in enumerate(problem.before):
            for earlier in members(mask):
                after[earlier].append(op)
        for node in self.nodes:
            if not node.outputs:
                none = memory.MemoryPlanningInfoForBuffer(0, 0, OrderedSet(), OrderedSet())
                self._give(node, Buffer(f"nothing of {node.number}", none))
        for node in self.nodes:
            earlier_nodes = self._nodes(members(problem.before[node.number]))
            node.mpi_node.pred_nodes = earlier_nodes
            node.mpi_node.succ_nodes = self._nodes(after[node.number])
            node.unmet_dependencies = [SimpleNamespace(name=e.outputs[0].name) for e in earlier_nodes]

    def _nodes(self, numbers: Any) -> Any:
        return OrderedSet(self.nodes[number] for number in numbers)

    def _give(self, node: StandIn, buffer: Buffer) -> None:
        node.outputs.append(buffer)
        node.mpi_node.size += buffer.mpi_buffer.size_alloc
        self.buffers[buffer.name] = buffer

    def orders(self) -> dict[str, list[int]]:
        """The three orders that Inductor tries beside the traced one."""
        with deep_recursion():
            found = {
                "LPMF": memory.topological_sort_lpmf(self.nodes, self.inputs, self.buffers, self.kept),
                "BFS": memory.topological_sort_bfs(self.nodes),
                "DFS": memory.topological_sort_dfs(self.nodes),
            }
        return {name: [node.number for node in order] for name, order in found.items()}  # type: ignore[attr-defined]

    def peak(self, order: Sequence[int]) -> int:
        """Inductor's estimate for an order of the operators."""
        return memory.estimate_peak_memory([self.nodes[op] for op in order], self.inputs, self.kept)[0]


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Inductor's depth-first order calls itself once for each node of a chain."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
