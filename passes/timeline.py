"""Memory over execution: which blocks are alive while each node runs, under an order at a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fxcost.ir.graph import Graph
from fxcost.passes.schedule_hazards import members
from fxcost.passes.schedule_problem import INPUT, problem_of, steps
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class Step:
    """A node while it runs, and the bytes alive then."""

    node: str
    module: str
    bytes: int


@dataclass(frozen=True)
class Life:
    """A block of memory, named after the value that made it: alive from step `first` to step `last`, both included.

    Inputs of the graph are there from step 0; what no step reads, an unused input, is not listed.
    """

    value: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Timeline:
    """Steps in execution order, the blocks alive during them, and `start_bytes` before the first one: all inputs."""

    steps: tuple[Step, ...]
    lives: tuple[Life, ...]
    start_bytes: int

    @property
    def peak(self) -> int:
        """Bytes at the highest moment."""
        return max([self.start_bytes, *(step.bytes for step in self.steps)])

    @property
    def highest(self) -> int | None:
        """The first step at the peak; None where that is the start."""
        return next((i for i, step in enumerate(self.steps) if step.bytes == self.peak > self.start_bytes), None)

    def alive(self, step: int) -> tuple[Life, ...]:
        """Blocks alive during a step, the largest first."""
        here = (life for life in self.lives if life.first <= step <= life.last)
        return tuple(sorted(here, key=lambda life: (-life.bytes, life.first, life.value)))


def timeline(
    graph: Graph, facts: Facts, point: Mapping[str, int], order: Sequence[int] | None = None, *, fold: bool = True
) -> Timeline:
    """The timeline of an order of all nodes (None: the traced one) at a complete point.

    With `fold`, nodes that no input reaches are no steps and their results no blocks, as in `schedule`.
    """
    problem = problem_of(graph, facts, point, fold=fold)
    number = {position: op for op, position in enumerate(problem.positions)}
    ops = [number[position] for position in (order or problem.positions) if position in number]
    place = {op: i for i, op in enumerate(ops)}
    nodes = [graph.nodes[problem.positions[op]] for op in ops]
    bytes_ = steps(problem, ops)
    lives = []
    for block in problem.blocks:
        touching = [place[op] for op in members(block.touched)]
        first = 0 if block.producer == INPUT else place[block.producer]
        last = len(ops) - 1 if block.kept else max(touching)
        lives.append(Life(block.id, block.size, first, last))
    return Timeline(
        tuple(Step(node.name, node.module, size) for node, size in zip(nodes, bytes_, strict=True)),
        tuple(sorted(lives, key=lambda life: (life.first, life.value))),
        problem.start_bytes,
    )
