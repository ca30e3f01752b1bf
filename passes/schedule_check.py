"""A checker of execution orders: replays an order node by node and counts bytes; it knows nothing of the search.

Memory is replayed as a runtime would: blocks are made, touched and freed when nothing that is still to run touches
them. Hazards are checked by versions: every access to memory must find it written as often as in the traced order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph, Node
from fxcost.ir.predicate import holds
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.schedule_hazards import is_random, symbols_in
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts

GENERATOR = "the random generator"
"""Stands for the generator's state among the memory that nodes touch: every draw writes it."""


@dataclass
class Memory:
    """One block while it is replayed: nodes that still have to touch it, and whether its bytes count."""

    size: int
    form: Expr
    waiting: set[int]
    kept: bool
    counted: bool


def check_schedule(
    graph: Graph, facts: Facts, point: Mapping[str, int], order: Sequence[int], folded: Sequence[int] = ()
) -> int:
    """Peak bytes of an order of all nodes, by replay; `folded` nodes must come first and count nothing.

    Raises SpecError when the order is not one of all nodes, runs a node before what it needs, lets a write or a random
    draw pass another access to the same state, or folds what is not constant.
    """
    facts = facts.under(order=None)
    if sorted(order) != list(range(len(graph.nodes))):
        raise SpecError(f"an order names each of the {len(graph.nodes)} nodes once")
    if set(order[: len(folded)]) != set(folded):
        raise SpecError("folded nodes are done before: they must come first in the order")
    _check_folded(graph, facts, point, folded)
    _check_versions(graph, facts, point, order)
    return _replay(graph, facts, point, order, set(folded))


def _check_folded(graph: Graph, facts: Facts, point: Mapping[str, int], folded: Sequence[int]) -> None:
    constant = {state.value.id for state in graph.states} - {state for state, _ in graph.updates}
    shared = _shares(graph, facts, point, virtual=False)
    written = {shared.get(node.operands[i]) for node in graph.nodes for i in node.effects.writes}
    for position in sorted(folded):
        node = graph.nodes[position]
        touched = {*node.operands, *(value.id for value in node.results)}
        if is_random(node) or node.effects.writes or any(shared.get(value) in written for value in touched & {*shared}):
            raise SpecError(f"{node.name} ({node.op}) cannot be folded: it draws, writes, or touches what is written")
        if not constant.issuperset(node.operands):
            raise SpecError(f"{node.name} ({node.op}) cannot be folded: an input or an update reaches it")
        constant |= {value.id for value in node.results}


def _check_versions(graph: Graph, facts: Facts, point: Mapping[str, int], order: Sequence[int]) -> None:
    """Every operand is there, every size is known, every access finds the version that the traced order gives it."""
    shared = _shares(graph, facts, point, virtual=False)
    expected = _versions(graph, shared, range(len(graph.nodes)))
    found = _versions(graph, shared, order)
    there = {value.id for value in (*(s.value for s in graph.states), *graph.inputs)}
    decided_later = {s.name for s in graph.symbols if s.kind == "data"}
    decided_by: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for name in symbols_in(node) & decided_later:
            decided_by.setdefault(name, position)
    known: set[str] = set()
    for position in order:
        node = graph.nodes[position]
        known |= {name for name, first in decided_by.items() if first == position}
        missing = [operand for operand in node.operands if operand not in there]
        missing += sorted((symbols_in(node) & decided_later) - known)
        if missing:
            raise SpecError(f"{node.name} ({node.op}) runs before {', '.join(missing)} is there")
        for memory, version in expected[position].items():
            if found[position][memory] != version:
                raise SpecError(
                    f"{node.name} ({node.op}) finds {memory} after {found[position][memory]} writes; in the traced order "
                    f"it is after {version}"
                )
        there |= {value.id for value in node.results}


def _versions(graph: Graph, shared: Mapping[str, str], order: Sequence[int]) -> dict[int, dict[str, int]]:
    """For each node, how often each memory that it touches has been written before."""
    written: dict[str, int] = {}
    found: dict[int, dict[str, int]] = {}
    for position in order:
        node = graph.nodes[position]
        touched = {shared[v] for v in (*node.operands, *(r.id for r in node.results)) if v in shared}
        writes = {shared[node.operands[i]] for i in node.effects.writes if node.operands[i] in shared}
        if is_random(node):
            touched, writes = touched | {GENERATOR}, writes | {GENERATOR}
        found[position] = {memory: written.get(memory, 0) for memory in sorted(touched)}
        for memory in writes:
            written[memory] = written.get(memory, 0) + 1
    return found


def _shares(graph: Graph, facts: Facts, point: Mapping[str, int], *, virtual: bool) -> dict[str, str]:
    """The value in whose memory each tensor lives at the point; with `virtual`, what a fused runtime never makes, too."""
    aliases = facts[Storage].aliases
    inside = facts[Groups].virtual if virtual else {}
    found: dict[str, str] = {}
    for value in graph.values():
        if not isinstance(value.type, TensorType):
            continue
        alias = aliases.get(value.id)
        if alias is not None and holds(alias.when, point):
            found[value.id] = found[alias.of]
        else:
            found[value.id] = found[inside[value.id]] if value.id in inside else value.id
    return found


def _replay(graph: Graph, facts: Facts, point: Mapping[str, int], order: Sequence[int], folded: set[int]) -> int:
    options = facts.options
    home = _shares(graph, facts, point, virtual=True)
    outside = {s.value.id for s in graph.states} | {v.id for i in folded for v in graph.nodes[i].results}
    inputs = {value.id for value in graph.inputs}
    memories: dict[str, Memory] = {}
    for value in graph.values():
        if home.get(value.id) == value.id and value.id not in outside:
            stored = facts[Groups].stored.get(value.id, graph.tensor(value.id))
            form = activation_bytes(stored, stored.numel, options.activations)
            held = value.id in inputs and options.inputs == "held"
            counted = value.id not in inputs or options.inputs != "excluded"
            memories[value.id] = Memory(evaluate(form, point), form, set(), held, counted)
    for position, node in enumerate(graph.nodes):
        for memory in _touched(node, home, memories):
            memory.waiting.add(position)
    for kept in (*graph.outputs, *(value for _, value in graph.updates)):
        if home.get(kept) in memories:
            memories[home[kept]].kept = True
    alive = peak = sum(m.size for value, m in memories.items() if value in inputs and m.counted)
    alive -= sum(memories[v].size for v in inputs & {*memories} if _ends(memories[v], set()) and memories[v].counted)
    for position in order:
        node = graph.nodes[position]
        heir = options.accounting == "inplace" and _may_overwrite(node, position, facts)
        for value in node.results:
            if value.id not in memories:
                continue
            taken = _dying(node, position, home, memories, memories[value.id]) if heir else None
            if taken is not None:
                taken.waiting |= memories[value.id].waiting
                taken.kept = memories[value.id].kept
                memories[value.id] = taken
            elif memories[value.id].counted:
                alive += memories[value.id].size
        peak = max(peak, alive)
        for memory in _touched(node, home, memories):
            memory.waiting.discard(position)
            if _ends(memory, set()) and memory.counted:
                alive -= memory.size
    return peak


def _touched(node: Node, home: Mapping[str, str], memories: Mapping[str, Memory]) -> list[Memory]:
    """Memory of the node's operands and results, each once."""
    found: dict[int, Memory] = {}
    for value in (*node.operands, *(result.id for result in node.results)):
        if home.get(value) in memories:
            found.setdefault(id(memories[home[value]]), memories[home[value]])
    return list(found.values())


def _ends(memory: Memory, apart_from: set[int]) -> bool:
    return not memory.kept and not memory.waiting - apart_from


def _may_overwrite(node: Node, position: int, facts: Facts) -> bool:
    """In-place accounting: one pointwise result that is no alias, nor may be one."""
    pointwise = facts[Costs].rows[position].kind in {"pointwise", "affine"}
    return pointwise and len(node.results) == 1 and node.results[0].id not in facts[Storage].aliases


def _dying(
    node: Node, position: int, home: Mapping[str, str], memories: Mapping[str, Memory], result: Memory
) -> Memory | None:
    """The first operand's memory of the result's size that nothing else needs."""
    for operand in node.operands:
        memory = memories.get(home.get(operand, ""))
        if memory is not None and memory.form is result.form and _ends(memory, {position}):
            return memory
    return None
