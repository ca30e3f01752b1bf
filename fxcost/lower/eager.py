"""Lifetimes of a training step's values as eager torch has them, read off one run of it.

The run and the graph hold the same operators in the same order, but for views, for what nobody reads, and for names (a
trace knows no in-place operators). They are matched by name and bytes, then, between what matched, by bytes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from fxcost.capture.eager import Request, first_line
from fxcost.capture.eager_step import EagerStep, eager_step
from fxcost.ir.evaluate import evaluate
from fxcost.ir.graph import Graph, Node
from fxcost.ir.types import TensorType

_SAME = {"ones_like": "ones", "native_batch_norm": "_native_batch_norm_legit"}
"""Names of operators in a run -> in a graph."""


@dataclass(frozen=True)
class _Step:
    """A node or a call that makes memory or writes it: its position, its name, bytes of its tensors."""

    position: int
    name: str
    sizes: tuple[int, ...]


def lived(graph: Graph, request: Request) -> tuple[Graph, EagerStep | None]:
    """The graph with lifetimes as in one run of `request` at its own sizes, and that run.

    Without one, where the model does not run so, values die after their last reader, and a note says it.
    """
    point = {**graph.pinned, **{info.name: info.hint for info in graph.symbols if info.hint is not None}}
    try:
        run = eager_step(request, point)
        return as_run(graph, run), run
    except Exception as error:  # whatever the model raises
        why = first_line(error)
        note = f"eager torch's own lifetimes are not known ({why}): every value is taken to die after its last reader"
        return replace(graph, notes=(*graph.notes, note)), None


def as_run(graph: Graph, run: EagerStep) -> Graph:
    """The graph with what its nodes hold and overwrite in `run`, which began with the graph's own sizes."""
    pairs = list(_pairs(list(_nodes(graph, run)), list(_calls(run))))
    blocks = _blocks(graph, run, pairs)
    roots = _roots(graph)
    into = dict(_overwritten(graph, run, pairs, blocks, roots))
    holds: dict[int, list[str]] = {}
    read = _last_readers(graph, blocks, roots)
    first = {block: value for value, block in reversed(blocks.items())}
    for block, value in first.items():
        until = run.last.get(block, len(run.calls) - 1)
        at = max((position for position, call in pairs if call <= until), default=-1)
        if at > read.get(block, -1):
            holds.setdefault(at, []).append(value)
    nodes = (
        replace(node, holds=tuple(holds.get(position, ())), into=into.get(position))
        for position, node in enumerate(graph.nodes)
    )
    return replace(graph, nodes=tuple(nodes))


# -- what is matched -----------------------------------------------------------------------------------------------
def _nodes(graph: Graph, run: EagerStep) -> Iterator[_Step]:
    for position, node in enumerate(graph.nodes):
        sizes = tuple(size for _, size in _made(graph, node, run))
        if node.phase != "update" and sizes:
            yield _Step(position, node.op.split(".")[1] if "." in node.op else node.op, sizes)


def _made(graph: Graph, node: Node, run: EagerStep) -> list[tuple[str, int]]:
    """Tensors that a node makes, views apart, with their bytes."""
    views = {result for result, _ in _views(node)}
    made = [value for i, value in enumerate(node.results) if i not in views and isinstance(value.type, TensorType)]
    return [(value.id, _bytes(graph.tensor(value.id), run)) for value in made]


def _views(node: Node) -> tuple[tuple[int, int], ...]:
    return ((0, 0),) if node.op == "aten._unsafe_view" else node.effects.views


def _bytes(kind: TensorType, run: EagerStep) -> int:
    return evaluate(kind.numel, run.point) * kind.dtype.bytes


def _calls(run: EagerStep) -> Iterator[_Step]:
    for position, call in enumerate(run.calls):
        writes = call.name.endswith("_") and not call.name.endswith("__")
        if any(call.fresh) or (writes and any(block is not None for block in call.blocks)):
            name = call.name.removesuffix("_") if writes else call.name
            yield _Step(position, _SAME.get(name, name), call.sizes)


def _pairs(nodes: Sequence[_Step], calls: Sequence[_Step]) -> Iterator[tuple[int, int]]:
    """Positions of nodes and of their calls, ascending: equal in name and bytes, or between such ones in bytes."""
    for ours, theirs in _stretches(nodes, calls, lambda step: (step.name, step.sizes[0])):
        alike = _stretches(ours, theirs, lambda step: step.sizes[0])
        for left, right in (pair for stretch in alike for pair in zip(*stretch, strict=False)):
            if left.sizes[0] == right.sizes[0]:
                yield left.position, right.position


def _stretches(
    nodes: Sequence[_Step], calls: Sequence[_Step], key: Callable[[_Step], Any]
) -> Iterator[tuple[Sequence[_Step], Sequence[_Step]]]:
    """Both sequences cut into stretches that are equal, and stretches that differ."""
    found = SequenceMatcher(None, [key(step) for step in nodes], [key(step) for step in calls], autojunk=False)
    for _, i1, i2, j1, j2 in found.get_opcodes():
        yield nodes[i1:i2], calls[j1:j2]


# -- what it says --------------------------------------------------------------------------------------------------
def _blocks(graph: Graph, run: EagerStep, pairs: Sequence[tuple[int, int]]) -> dict[str, int]:
    """The block of each value that has been found in the run."""
    given = [value.id for value in graph.inputs if isinstance(value.type, TensorType)]
    found = dict(zip(given, run.inputs, strict=True)) if len(given) == len(run.inputs) else {}
    for position, number in pairs:
        call = run.calls[number]
        waiting = list(zip(call.sizes, call.blocks, strict=True))
        for value, size in _made(graph, graph.nodes[position], run):
            at = next((i for i, (other, _) in enumerate(waiting) if other == size), None)
            if at is not None:
                block = waiting[at][1]
                del waiting[: at + 1]
                if block is not None:
                    found[value] = block
    return found


def _roots(graph: Graph) -> dict[str, str]:
    """The value that each view is one of, by what operators say."""
    roots = {value.id: value.id for value in graph.values()}
    for node in graph.nodes:
        for result, operand in _views(node):
            roots[node.results[result].id] = roots[node.operands[operand]]
    return roots


def _overwritten(
    graph: Graph, run: EagerStep, pairs: Sequence[tuple[int, int]], blocks: dict[str, int], roots: dict[str, str]
) -> Iterator[tuple[int, int]]:
    """Nodes whose result lies where an operand was, with the operand's position."""
    for position, number in pairs:
        node, call = graph.nodes[position], run.calls[number]
        made = _made(graph, node, run)
        if any(call.fresh) or len(made) != 1 or made[0][0] not in blocks:
            continue
        owners = [blocks.get(roots[operand]) for operand in node.operands]
        if blocks[made[0][0]] in owners:
            yield position, owners.index(blocks[made[0][0]])


def _last_readers(graph: Graph, blocks: dict[str, int], roots: dict[str, str]) -> dict[int, int]:
    """The last node that reads or writes each block; what the call returns is read after all nodes."""
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        for value in (*node.operands, *(value.id for value in node.results)):
            block = blocks.get(roots[value])
            if block is not None:
                last[block] = position
    for output in graph.outputs:
        if roots[output] in blocks:
            last[blocks[roots[output]]] = len(graph.nodes)
    return last
