"""Buffers: the memory blocks of one execution, with sizes and lifetimes.

Views and in-place results share their base's block. Where sizes decide whether a value is a view (a reshape at S = 1),
every combination of those conditions is a *case* of its own. Parameters and other state own no block here.

In traced order and eager accounting, memory is what eager torch makes of it, as far as nodes tell (`Node.holds` and
`Node.into`). Any other order is run by a program, which frees every value after its last reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import TRUE, AllOf, AnyOf, Predicate, all_of, comparisons, decide, negate
from fxcost.ir.symbols import ranges_of
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, register_pass

MAX_CONDITIONS = 4
"""With more distinct comparisons than this the generic case alone is counted, and the conditions become guards."""

STATE = ""
"""Root of everything that lives in the model's own tensors."""


@dataclass(frozen=True)
class Buffer:
    """A block of `size` bytes, alive from step `first` to step `last`, holding `values`.

    Step -1 is before the first node; step k is the node at position k of the order.
    """

    id: str
    size: Expr
    first: int
    last: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """The buffers under one combination of the storage conditions."""

    when: Predicate
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Buffers:
    """All cases; `guards` are conditions that were assumed false because there were too many."""

    cases: tuple[Case, ...]
    guards: tuple[Predicate, ...]
    order: tuple[int, ...]


@register_pass(
    "buffers",
    provides=Buffers,
    requires=(Storage, Groups, Costs),
    options=("accounting", "inputs", "activations", "order"),
)
def buffers(graph: Graph, facts: Facts) -> Buffers:
    """Lifetimes in the order of the options, traced order by default."""
    storage = facts[Storage]
    order = facts.options.order or tuple(range(len(graph.nodes)))
    conditions = storage.conditions
    atoms = tuple(dict.fromkeys(atom for condition in conditions for atom in comparisons(condition)))
    guards: tuple[Predicate, ...] = ()
    if len(atoms) > MAX_CONDITIONS:
        guards, conditions, atoms = tuple(negate(c) for c in conditions), (), ()
    ranges = ranges_of(graph.symbols)
    cases = []
    for values in product((False, True), repeat=len(atoms)):
        truth: dict[Predicate, bool] = dict(zip(atoms, values, strict=True))
        when = all_of(atom if holds else negate(atom) for atom, holds in truth.items())
        if decide(when, ranges) is not False:
            chosen = {condition: _follows(condition, truth) for condition in conditions}
            cases.append(Case(when, _blocks(graph, facts, order, chosen)))
    return Buffers(tuple(cases), guards, order)


def _follows(condition: Predicate, truth: Mapping[Predicate, bool]) -> bool:
    """Truth of a condition, given that of its comparisons."""
    if isinstance(condition, AllOf):
        return all(_follows(part, truth) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(_follows(part, truth) for part in condition.parts)
    return truth[condition]


def roots_of(
    graph: Graph, storage: Storage, virtual: Mapping[str, str], truth: Mapping[Predicate, bool]
) -> dict[str, str]:
    """The value whose block each tensor value lives in; STATE for the model's own tensors."""
    roots = {state.value.id: STATE for state in graph.states}
    roots |= {value.id: value.id for value in graph.inputs if isinstance(value.type, TensorType)}
    for node in graph.nodes:
        for value in node.results:
            if not isinstance(value.type, TensorType):
                continue
            alias = storage.aliases.get(value.id)
            if alias is not None and (alias.when == TRUE or truth.get(alias.when, False)):
                roots[value.id] = roots[alias.of]
            else:
                roots[value.id] = roots[virtual[value.id]] if value.id in virtual else value.id
    return roots


def _blocks(graph: Graph, facts: Facts, order: tuple[int, ...], truth: Mapping[Predicate, bool]) -> tuple[Buffer, ...]:
    groups, options = facts[Groups], facts.options
    roots = roots_of(graph, facts[Storage], groups.virtual, truth)
    step = {position: at for at, position in enumerate(order)}
    as_run = options.accounting == "eager" and not options.order
    if as_run:
        roots = _where_run(graph, roots)
    last = _last_uses(graph, roots, step)
    if as_run:
        held = ((roots[value], at) for at, node in enumerate(graph.nodes) for value in node.holds if value in roots)
        last |= {root: max(at, last.get(root, -1)) for root, at in held}
    if options.inputs == "held":
        last |= {roots[v.id]: len(order) for v in graph.inputs if v.id in roots}
    if options.accounting == "inplace":
        roots = _overwritten(graph, facts, roots, order, last)
        last = _last_uses(graph, roots, step) | (
            {roots[v.id]: len(order) for v in graph.inputs if v.id in roots} if options.inputs == "held" else {}
        )
    first = {value.id: -1 for value in graph.inputs}
    first |= {v.id: step[i] for i, node in enumerate(graph.nodes) for v in node.results}
    members: dict[str, list[str]] = {}
    for value, root in roots.items():
        members.setdefault(root, []).append(value)
    excluded = {STATE} | ({v.id for v in graph.inputs} if options.inputs == "excluded" else set())
    found = []
    for root, values in members.items():
        if root not in excluded:
            form = groups.stored.get(root, graph.tensor(root))
            size = activation_bytes(form, form.numel, options.activations)
            found.append(Buffer(root, size, first[root], max(last.get(root, -1), first[root]), tuple(values)))
    return tuple(found)


def _last_uses(graph: Graph, roots: Mapping[str, str], step: Mapping[int, int]) -> dict[str, int]:
    last: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        for operand in node.operands:
            root = roots.get(operand)
            if root is not None:
                last[root] = max(last.get(root, -1), step[position])
        for value in node.results:  # a view keeps its base alive at least until it is made
            root = roots.get(value.id)
            if root is not None:
                last[root] = max(last.get(root, -1), step[position])
    for kept in _kept(graph):
        if kept in roots:
            last[roots[kept]] = len(step)
    return last


def _where_run(graph: Graph, roots: Mapping[str, str]) -> dict[str, str]:
    """The same with each result that eager torch puts into an operand's memory in that memory."""
    moved: dict[str, str] = {}

    def root_of(value: str) -> str:
        root = roots[value]
        while root in moved:
            root = moved[root]
        return root

    for node in graph.nodes:
        if node.into is None or roots.get(node.results[0].id) != node.results[0].id:
            continue
        target = root_of(node.operands[node.into])
        if target not in {STATE, node.results[0].id}:
            moved[node.results[0].id] = target
    return {value: root_of(value) for value in roots}


def _kept(graph: Graph) -> Iterable[str]:
    """Values that outlive the call: outputs, and new contents of buffers."""
    return (*graph.outputs, *(value for _, value in graph.updates))


def _overwritten(
    graph: Graph, facts: Facts, roots: dict[str, str], order: tuple[int, ...], last: Mapping[str, int]
) -> dict[str, str]:
    """Let every pointwise result take the block of an operand of equal size that dies there."""
    costs, storage = facts[Costs], facts[Storage]
    merged: dict[str, str] = {}
    ends = dict(last)

    def root_of(value: str) -> str:
        root = roots[value]
        while root in merged:
            root = merged[root]
        return root

    for at, position in enumerate(order):
        node = graph.nodes[position]
        if costs.rows[position].kind not in {"pointwise", "affine"} or len(node.results) != 1:
            continue
        result = node.results[0]
        if not isinstance(result.type, TensorType) or roots.get(result.id) != result.id or result.id in storage.aliases:
            continue
        size = activation_bytes(result.type, result.type.numel, facts.options.activations)
        for operand in node.operands:
            root = root_of(operand) if operand in roots else STATE
            if root == STATE or root == result.id or ends.get(root) != at:
                continue
            kind = graph.tensor(root)
            if activation_bytes(kind, kind.numel, facts.options.activations) is size:
                merged[result.id] = root
                ends[root] = max(ends.get(result.id, at), at)
                break
    return {value: root_of(value) for value in roots}
