"""Recomputation in numbers: which blocks of memory the backward pass reads, and which operator makes each one again.

A block that the backward pass reads is either kept from the forward pass, which costs its bytes, or made again when it is
first needed, which costs the MACs of the operator that makes it and asks for what that operator reads. Views cost nothing
and go with their block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError
from fxcost.ir.evaluate import where_known
from fxcost.ir.graph import Graph, Node
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.buffers import STATE
from fxcost.passes.cost import Costs
from fxcost.passes.schedule_hazards import is_random
from fxcost.passes.schedule_problem import block_roots
from fxcost.pipeline import Facts

NORM = "aten._native_batch_norm_legit"
"""A batch norm that keeps running statistics: run again, it computes the batch's own and leaves those alone."""


@dataclass(frozen=True)
class Operator:
    """A node of the forward pass at `position`; sets of blocks are bit masks.

    It `makes` blocks, reads the blocks that it `needs`, and costs `macs`; one that draws random numbers or writes where
    others read is not `repeatable`.
    """

    position: int
    macs: int
    makes: int
    needs: int
    repeatable: bool


@dataclass(frozen=True)
class Problem:
    """What may be kept or made again at one point.

    operators  those of the forward pass that make blocks, in traced order
    sizes      bytes of each block
    wanted     blocks that the backward pass reads, a bit mask
    roots      the value whose block each value lives in, STATE for the model's own tensors
    """

    operators: tuple[Operator, ...]
    sizes: tuple[int, ...]
    wanted: int
    roots: Mapping[str, str]

    def size_of(self, blocks: int) -> int:
        """Bytes of a set of blocks."""
        return sum(size for bit, size in enumerate(self.sizes) if blocks >> bit & 1)


def recompute_problem(graph: Graph, facts: Facts, point: Mapping[str, int]) -> Problem:
    """The choices at a point that binds every symbol. Raises SpecError where the graph has no backward pass."""
    if not any(node.phase == "backward" for node in graph.nodes):
        raise SpecError(f"{graph.name} has no backward pass: recomputation is for training steps (mode='training')")
    roots = block_roots(graph, facts, point)
    made = {value.id for node in graph.nodes if node.phase == "forward" for value in node.results}
    own = [v for v in (*(value.id for value in graph.inputs), *sorted(made)) if roots.get(v) == v]
    bits = {root: 1 << number for number, root in enumerate(own)}
    needs = _needs(graph, roots, bits)
    kinds = [graph.tensor(root) for root in own]
    amounts = tuple(activation_bytes(kind, kind.numel, facts.options.activations) for kind in kinds)
    macs = tuple(row.macs for row in facts[Costs].rows)
    numbers = where_known((*amounts, *macs), point)
    if any(number is None for number in numbers):
        raise SpecError("recomputation is planned at a point: give every symbol a size (at=..., --at)")
    known = [number or 0 for number in numbers]
    inputs = {value.id for value in graph.inputs} if facts.options.inputs == "excluded" else set()
    sizes, counts = (
        tuple(0 if root in inputs else size for root, size in zip(own, known, strict=False)),
        known[len(own) :],
    )
    barred = _barred(graph, roots)
    operators = []
    for position, node in enumerate(graph.nodes):
        makes = sum(bits.get(value.id, 0) for value in node.results)
        if node.phase == "forward" and makes:
            reads = _union(needs.get(operand, 0) for operand in node.operands)
            operators.append(Operator(position, counts[position], makes, reads, position not in barred))
    read = (operand for node in graph.nodes if node.phase == "backward" for operand in node.operands)
    return Problem(tuple(operators), sizes, _union(bits.get(roots.get(v, STATE), 0) for v in read), roots)


def _union(masks: object) -> int:
    found = 0
    for mask in masks:  # type: ignore[attr-defined]
        found |= mask
    return found


def _needs(graph: Graph, roots: Mapping[str, str], bits: Mapping[str, int]) -> dict[str, int]:
    """Blocks that each value of the forward pass is made of: its own, or for a view those of what it views."""
    found = {value.id: bits.get(value.id, 0) for value in graph.inputs}
    for node in graph.nodes:
        if node.phase != "forward":
            continue
        for value in node.results:
            if roots.get(value.id) == value.id:
                found[value.id] = bits[value.id]
            else:
                found[value.id] = _union(found.get(operand, 0) for operand in node.operands)
    return found


def _barred(graph: Graph, roots: Mapping[str, str]) -> set[int]:
    """Nodes of the forward pass that cannot run a second time with the same outcome."""
    found: set[int] = set()
    written: dict[str, int] = {}
    states: set[str] = set()
    forward = [(i, node) for i, node in enumerate(graph.nodes) if node.phase == "forward"]
    for position, node in forward:
        for operand in (node.operands[i] for i in node.effects.writes):
            if roots.get(operand, STATE) == STATE:
                states.add(operand)
            else:
                written[roots[operand]] = position
    for position, node in forward:
        touched = [*node.operands, *(value.id for value in node.results)]
        overwritten = any(position <= written.get(roots.get(value, STATE), -1) for value in touched)
        stateful = node.op != NORM and not states.isdisjoint(node.operands)
        if overwritten or stateful or is_random(node) or node.regions or not _of_tensors(node):
            found.add(position)
    return found


def _of_tensors(node: Node) -> bool:
    return all(isinstance(value.type, TensorType) for value in node.results)
