"""What must run before what: data edges, hazards on shared memory, random draws; and which nodes are constant.

A write to memory, in place or to a buffer of the model, stays behind every access that it follows in the traced order,
and before every access that follows it; so do draws of random numbers among each other. Sizes that only the data
decides are there once the first node that speaks of them has run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Mapping, Sequence

from fxcost.ir.expr import Expr
from fxcost.ir.graph import Attribute, Graph, Node
from fxcost.ir.predicate import Predicate, holds
from fxcost.ir.types import TensorType
from fxcost.ops.names import aten
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts

RANDOM = frozenset(
    aten(
        "rand rand_like randn randn_like randint randint_like randperm normal_functional uniform uniform_ normal normal_ "
        "exponential exponential_ geometric geometric_ log_normal log_normal_ cauchy cauchy_ random random_ bernoulli "
        "bernoulli_ multinomial poisson binomial native_dropout dropout feature_dropout alpha_dropout "
        "feature_alpha_dropout dropout_ rrelu rrelu_with_noise"
    )
)
"""Operators that draw from the generator: drawn in another order, the numbers would be others."""


def dependences(graph: Graph, facts: Facts, point: Mapping[str, int], number: Mapping[int, int]) -> tuple[int, ...]:
    """Direct predecessors: producers of operands, hazards on memory, draws of random numbers, data-decided sizes."""
    maker = {v.id: op for position, op in number.items() for v in graph.nodes[position].results}
    memory = memory_of(graph, facts[Storage], truth_at(facts[Storage], point))
    data_symbols = {s.name for s in graph.symbols if s.kind == "data"}
    before = []
    writer: dict[str, int] = {}
    since: dict[str, int] = {}  # who touched the memory after its last writer
    sized: dict[str, int] = {}
    drawn = counted = 0  # who drew random numbers last; who has given numbers so far
    for position, op in number.items():
        node = graph.nodes[position]
        mask = 0
        for operand in node.operands:
            mask |= 1 << maker[operand] if operand in maker else 0
        written = {memory[node.operands[i]] for i in node.effects.writes if node.operands[i] in memory}
        touched = dict.fromkeys(memory[v] for v in (*node.operands, *(r.id for r in node.results)) if v in memory)
        for root in touched:
            mask |= writer.get(root, 0)
            if root in written:
                mask |= since.get(root, 0)
                writer[root], since[root] = 1 << op, 0
            else:
                since[root] = since.get(root, 0) | 1 << op
        if data_symbols:
            for name in sorted(symbols_in(node) & data_symbols):
                mask |= sized.setdefault(name, 1 << op) | counted
            if any(not isinstance(value.type, TensorType) for value in node.results):
                counted |= 1 << op
        if is_random(node):
            mask |= drawn
            drawn = 1 << op
        before.append(mask & ~(1 << op))
    return tuple(before)


def memory_of(graph: Graph, storage: Storage, truth: Mapping[Predicate, bool]) -> dict[str, str]:
    """The value whose memory each tensor value really shares at a point: states apart, nothing virtual."""
    roots = {value.id: value.id for value in graph.values() if isinstance(value.type, TensorType)}
    for node in graph.nodes:
        for value in node.results:
            alias = storage.aliases.get(value.id)
            if alias is not None and alias.of in roots and truth.get(alias.when, True):
                roots[value.id] = roots[alias.of]
    return roots


def symbols_in(node: Node) -> set[str]:
    """Names of the symbols in a node's attributes and in the shapes of its results."""
    found: set[str] = set()

    def visit(attribute: Attribute) -> None:
        if isinstance(attribute, tuple):
            for part in attribute:
                visit(part)
        elif isinstance(attribute, Expr):
            found.update(attribute.symbols)

    visit(tuple(node.attrs.values()))
    for value in node.results:
        if isinstance(value.type, TensorType):
            visit(value.type.shape)
    return found


def is_random(node: Node) -> bool:
    """True when the node draws random numbers."""
    return ".".join(node.op.split(".")[:2]) in RANDOM and node.attrs.get("train", True) is not False


def constant_nodes(graph: Graph, storage: Storage) -> tuple[int, ...]:
    """Nodes whose results no input, no size, no write and no random number reaches: a runtime computes them once."""
    memory = memory_of(graph, storage, {})
    written = {memory[node.operands[i]] for node in graph.nodes for i in node.effects.writes}
    kept = {*graph.outputs, *(value for _, value in graph.updates)}
    replaced = {state for state, _ in graph.updates}
    known = {state.value.id for state in graph.states} - replaced - written
    found = []
    for position, node in enumerate(graph.nodes):
        results = {value.id for value in node.results}
        plain = not (node.effects.writes or node.regions or is_random(node) or symbols_in(node))
        free = results and not results & kept and not {memory.get(result, result) for result in results} & written
        if plain and free and known.issuperset(node.operands):
            known |= results
            found.append(position)
    return tuple(found)


def truth_at(storage: Storage, point: Mapping[str, int]) -> dict[Predicate, bool]:
    """Which of the storage conditions hold at a point."""
    return {condition: holds(condition, point) for condition in storage.conditions}


def members(mask: int) -> list[int]:
    """Numbers of the bits that are set, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def closure(before: Sequence[int]) -> list[int]:
    """All operators that must be done before each one; operators are numbered in a possible order."""
    found: list[int] = []
    for direct in before:
        mask = direct
        for op in members(direct):
            mask |= found[op]
        found.append(mask)
    return found


def by_priority(before: Sequence[Collection[int]], priority: Callable[[int], int]) -> list[int]:
    """A possible order: of all that is ready the lowest priority first, asked for when something becomes ready."""
    after: list[list[int]] = [[] for _ in before]
    for g, earlier in enumerate(before):
        for e in earlier:
            after[e].append(g)
    left = [len(earlier) for earlier in before]
    ready = [(priority(g), g) for g, count in enumerate(left) if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        _, g = heapq.heappop(ready)
        found.append(g)
        for later in after[g]:
            left[later] -= 1
            if not left[later]:
                heapq.heappush(ready, (priority(later), later))
    return found
