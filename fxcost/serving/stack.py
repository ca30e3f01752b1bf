"""A stack of equal blocks, captured with few of them and put together in full.

Two blocks of every kind are in the captured graph. They are compared call by call (operators, arguments, types, what
feeds what); only where they are the same graph up to the names of values does one of them stand for the blocks that were
left out. The result is the whole graph, node by node: nothing downstream knows that it was not captured at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fxcost.errors import ModelError
from fxcost.ir.graph import Graph, Node, State, Value


class NotRepeatable(ModelError):
    """The captured blocks are no stack of equal parts; the model has to be captured whole."""


@dataclass(frozen=True)
class Parts:
    """The graph cut into what comes before the blocks, each block's nodes, and what comes after.

    `carried` are the values that each block hands to the next, in the order in which that one first reads them: for the
    last block in the order of a block that equals it. `own` are calls before all blocks that serve a template alone.
    """

    head: tuple[Node, ...]
    blocks: tuple[tuple[Node, ...], ...]
    tail: tuple[Node, ...]
    carried: tuple[tuple[str, ...], ...]
    own: Mapping[int, tuple[Node, ...]] = field(default_factory=dict)


def stacked(graph: Graph, path: str, templates: Sequence[int]) -> Graph:
    """The graph of the whole stack at module `path`; block k of it equals the captured block `templates[k]`.

    Raises NotRepeatable where the captured graph does not bear that out.
    """
    kept = sum(t == k for k, t in enumerate(templates))
    parts = cut(graph, path, kept)
    for template in sorted({t for k, t in enumerate(templates) if t != k}):
        parts = _with_twin(graph, parts, path, template)
    block_of = {value.id: k for k, nodes in enumerate(parts.blocks) for node in nodes for value in node.results}
    states, inputs, nodes = list(graph.states), list(graph.inputs), [*parts.head]
    for block in parts.blocks:
        nodes += block
    outputs, updates = list(graph.outputs), list(graph.updates)
    last = parts.carried[-1]
    for k in range(kept, len(templates)):
        template = templates[k]
        given, taken = parts.carried[template - 1], last
        if [graph.types[v] for v in given] != [graph.types[v] for v in parts.carried[-1]]:
            raise NotRepeatable(f"{graph.name}: block {template} of {path} takes something else than blocks hand on")
        calls = (*parts.own[template], *parts.blocks[template])
        made = _Copy(graph, calls, path, (template, k), dict(zip(given, taken, strict=True)))
        nodes += made.nodes()
        states += made.states
        inputs += made.inputs
        outputs += [made.names[o] for o in graph.outputs if block_of.get(o) == template]
        updates += [(made.names[a], made.names[b]) for a, b in graph.updates if a in made.names and b in made.names]
        last = tuple(made.names[v] for v in parts.carried[template])
    joined = dict(zip(parts.carried[-1], last, strict=True))
    nodes += [_reading(node, joined) for node in parts.tail]
    return replace(
        graph,
        states=tuple(states),
        inputs=tuple(inputs),
        nodes=tuple(nodes),
        outputs=tuple(outputs),
        updates=tuple(updates),
    )


def block_number(module: str, path: str) -> int | None:
    """Which block of the stack at `path` a module belongs to."""
    found = re.match(re.escape(path) + r"\.([0-9]+)(?:\.|$)", module)
    return int(found[1]) if found else None


def cut(graph: Graph, path: str, kept: int) -> Parts:
    """Cut the graph at its blocks; raises NotRepeatable where they do not follow one another, each through one value."""
    numbers = [block_number(node.module, path) for node in graph.nodes]
    places = [[i for i, n in enumerate(numbers) if n == k] for k in range(kept)]
    if not all(places) or any(n is not None and n >= kept for n in numbers):
        raise NotRepeatable(f"{graph.name}: the {kept} blocks of {path} are not all in the graph")
    starts = [found[0] for found in places] + [places[-1][-1] + 1]
    if starts != sorted(starts) or any(found[-1] >= end for found, end in zip(places, starts[1:], strict=True)):
        raise NotRepeatable(f"{graph.name}: the blocks of {path} do not run one after the other")
    blocks = tuple(graph.nodes[a:b] for a, b in pairwise(starts))
    head, tail = graph.nodes[: starts[0]], graph.nodes[starts[-1] :]
    return Parts(head, blocks, tail, tuple(_carried(graph, path, blocks, tail)))


def _carried(
    graph: Graph, path: str, blocks: Sequence[tuple[Node, ...]], tail: tuple[Node, ...]
) -> Iterator[tuple[str, ...]]:
    for k, block in enumerate(blocks):
        made = {value.id for node in block for value in node.results}
        follower, *beyond = (*blocks[k + 1 :], tail)
        read = tuple(dict.fromkeys(o for node in follower for o in node.operands if o in made))
        if any(o in made for nodes in beyond for node in nodes for o in node.operands):
            raise NotRepeatable(f"{graph.name}: block {k} of {path} hands on values past the next block")
        yield read


# -- are two blocks the same? ----------------------------------------------------------------------------------------
def _with_twin(graph: Graph, parts: Parts, path: str, template: int) -> Parts:
    """Find a block that is the same graph as the template; what the template hands on is what that one hands on."""
    if template < 1:
        raise NotRepeatable(f"{graph.name}: block 0 of {path} stands for others, with none to compare it with")
    for twin in range(len(parts.blocks) - 1):
        compared = None if twin == template else _Match(graph, parts, path, (twin, template))
        match = None if compared is None else compared.found()
        if compared is not None and match is not None:
            carried = list(parts.carried)
            carried[template] = tuple(match[v] for v in carried[twin])
            if not set(parts.carried[template]) <= set(carried[template]):
                continue
            own = {**parts.own, template: feeding(parts.head, compared.own)}
            return replace(parts, carried=tuple(carried), own=own)
    raise NotRepeatable(f"{graph.name}: no other captured block of {path} is the same graph as block {template}")


def feeding(nodes: Sequence[Node], values: Iterable[str]) -> tuple[Node, ...]:
    """Those of some nodes that these values come from, in their order."""
    needed, found = set(values), []
    for node in reversed(nodes):
        if any(v.id in needed for v in node.results):
            found.append(node)
            needed.update(node.operands)
    return tuple(reversed(found))


class _Match:
    """Two blocks compared: which value of the second plays the part of which value of the first."""

    def __init__(self, graph: Graph, parts: Parts, path: str, blocks: tuple[int, int]) -> None:
        self.graph, self.path, self.blocks = graph, path, blocks
        self.ours, self.theirs = (parts.blocks[k] for k in blocks)
        self.made = {v.id for node in self.theirs for v in node.results}
        self.before = set(parts.carried[blocks[1] - 1])
        self.inputs = {v.id for v in graph.inputs}
        self.head = {v.id: node for node in parts.head for v in node.results}
        self.match: dict[str, str] = {}
        self.own: list[str] = []

    def found(self) -> dict[str, str] | None:
        """The match, None where the blocks differ."""
        if len(self.ours) != len(self.theirs):
            return None
        if not all(self._same_call(a, b) for a, b in zip(self.ours, self.theirs, strict=True)):
            return None
        outputs = [[o in ids for o in self.graph.outputs].count(True) for ids in (self.match, set(self.match.values()))]
        one_to_one = len(set(self.match.values())) == len(self.match)
        return self.match if one_to_one and outputs[0] == outputs[1] else None

    def _same_call(self, a: Node, b: Node) -> bool:
        calls = [(n.op, n.slots, n.attrs, n.effects, n.phase, n.regions, [v.type for v in n.results]) for n in (a, b)]
        places = [_inside(n.module, self.path, k) for n, k in zip((a, b), self.blocks, strict=True)]
        if calls[0] != calls[1] or places[0] != places[1]:
            return False
        for left, right in zip(a.operands, b.operands, strict=True):
            if self.match.setdefault(left, right) != right or not self._corresponds(left, right):
                return False
        self.match |= {v.id: w.id for v, w in zip(a.results, b.results, strict=True)}
        return True

    def _corresponds(self, left: str, right: str) -> bool:
        """May these two values play the same part? Values made inside were compared where they were made."""
        if left == right:
            return True  # both read something that all blocks share
        if self.graph.types[left] != self.graph.types[right]:
            return False
        states = self.graph.state_of.get(left), self.graph.state_of.get(right)
        if states != (None, None):
            return _twin_states(*states, self.path, self.blocks)
        if left in self.inputs or right in self.inputs:
            return left in self.inputs and right in self.inputs
        if right in self.made or right in self.before:
            return True
        if self._alike(left, right):
            self.own.append(right)
            return True
        return False

    def _alike(self, left: str, right: str) -> bool:
        """Two values made before all blocks by the same calls: what the trace does to constants of the code."""
        a, b = self.head.get(left), self.head.get(right)
        if a is None or b is None or (a.op, a.slots, a.attrs, a.effects) != (b.op, b.slots, b.attrs, b.effects):
            return False
        return all(self._corresponds(x, y) for x, y in zip(a.operands, b.operands, strict=True))


def _twin_states(a: State | None, b: State | None, path: str, blocks: tuple[int, int]) -> bool:
    if a is None or b is None:
        return False
    if a.kind == b.kind == "constant":
        return True  # what the trace lifted out of the code; the types are the same
    inside = [{_inside(p, path, k) for p in s.paths} for s, k in zip((a, b), blocks, strict=True)]
    return (a.kind, a.trainable) == (b.kind, b.trainable) and inside[0] == inside[1] and None not in inside[0]


def _inside(module: str, path: str, block: int) -> str | None:
    """The rest of a path behind `path.block`; None where it lies elsewhere."""
    prefix = f"{path}.{block}"
    if module != prefix and not module.startswith(prefix + "."):
        return None if module else ""
    return module[len(prefix) :]


# -- one more block --------------------------------------------------------------------------------------------------
class _Copy:
    """A block made from a template, with the states and inputs that are its own.

    `numbers` are those of template and copy, `names` what values are called in the copy: at first those it is given.
    """

    def __init__(
        self, graph: Graph, block: tuple[Node, ...], path: str, numbers: tuple[int, int], names: dict[str, str]
    ) -> None:
        self.path, self.numbers, self.block, self.names = path, numbers, block, names
        read = {o for node in block for o in node.operands}
        names_here = {node.name for node in block}
        own = [s for s in graph.states if s.value.id in read and self._is_own(graph, s, names_here)]
        self.states = [replace(s, value=self._value(s.value), paths=self._state_paths(s)) for s in own]
        inputs = [v for v in graph.inputs if v.id in read and _own_input(graph, v, block)]
        self.inputs = [self._value(v) for v in inputs]

    def _is_own(self, graph: Graph, state: State, here: set[str]) -> bool:
        readers = {graph.nodes[i].name for i in graph.readers.get(state.value.id, ())}
        constant = state.kind == "constant" and readers <= here
        return constant or any(block_number(p, self.path) == self.numbers[0] for p in state.paths)

    def nodes(self) -> list[Node]:
        """The block's nodes under new names."""
        made = []
        for node in self.block:
            operands = tuple(self.names.get(o, o) for o in node.operands)
            results = tuple(self._value(v) for v in node.results)
            name = self._named(node.name)
            made.append(
                replace(node, name=name, operands=operands, results=results, module=self._paths((node.module,))[0])
            )
        return made

    def _value(self, value: Value) -> Value:
        self.names[value.id] = self._named(value.id)
        return Value(self.names[value.id], value.type)

    def _named(self, name: str) -> str:
        return f"{name}_b{self.numbers[1]}"

    def _state_paths(self, state: State) -> tuple[str, ...]:
        found = self._paths(state.paths)
        return found if found != state.paths else tuple(self._named(p) for p in found)

    def _paths(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        old, new = (f"{self.path}.{k}" for k in self.numbers)
        return tuple(new + p[len(old) :] if block_number(p, self.path) == self.numbers[0] else p for p in paths)


def _own_input(graph: Graph, value: Value, block: tuple[Node, ...]) -> bool:
    """An input that this block alone reads: its part of the cache."""
    names = {node.name for node in block}
    return all(graph.nodes[i].name in names for i in graph.readers.get(value.id, ()))


def _reading(node: Node, names: Mapping[str, str]) -> Node:
    return replace(node, operands=tuple(names.get(o, o) for o in node.operands))
