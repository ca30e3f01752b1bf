"""Small graphs written by hand or at random, and searches over all their orders that share nothing with the scheduler."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr
from fxcost.ir.graph import Effects, Graph, Node, State, Value
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from tests.support.wired import ends, wiring

VIEW = Effects(((0, 0),))
IN_PLACE = Effects(((0, 0),), (0,))


def value(name: str, elements: int | Expr = 1) -> Value:
    """A vector of bytes: `elements` is its size."""
    return Value(name, TensorType((as_expr(elements),), DType.U8))


def node(op: str, operands: Sequence[str], results: Sequence[Value], effects: Effects | None = None) -> Node:
    """A call whose name is that of its first result."""
    slots = tuple(f"tensors.{i}" for i in range(len(operands)))
    if op.startswith("aten.") and op != "aten.cat":
        slots = ("self", "other")[: len(operands)]
    return Node(results[0].id, op, tuple(operands), slots, {}, tuple(results), effects=effects or Effects())


def graph_of(inputs: Sequence[Value], nodes: Sequence[Node], outputs: Sequence[str], *states: State) -> Graph:
    """A graph without symbols."""
    return Graph("g", (), states, tuple(inputs), tuple(nodes), tuple(outputs))


def random_graph(seed: int, most: int = 9) -> Graph:
    """Three to `most` calls with one or two results, several readers, views, in-place writes and pointwise calls."""
    rng = random.Random(seed)
    inputs = [value(f"x{i}", rng.choice((1, 2, 4))) for i in range(rng.randint(1, 2))]
    sizes = {v.id: v.type.numel.constant or 0 for v in inputs if isinstance(v.type, TensorType)}
    nodes: list[Node] = []
    for i in range(rng.randint(3, most)):
        names = list(sizes)
        recent = names[-rng.choice((2, 4, 9)) :]
        kind = rng.choice(("mix", "mix", "mix", "split", "view", "write", "relu", "add"))
        first = rng.choice(recent)
        same = [n for n in names if sizes[n] == sizes[first]]
        if kind == "mix":
            operands = rng.sample(recent, min(len(recent), rng.randint(1, 3)))
            made = node("test.mix", operands, [value(f"v{i}", rng.choice((1, 2, 3, 4, 8)))])
        elif kind == "split":
            results = [value(f"v{i}", rng.choice((1, 2, 4))), value(f"w{i}", rng.choice((1, 2, 4)))]
            made = node("test.split", [first], results)
        elif kind == "view":
            made = node("aten.alias", [first], [value(f"v{i}", sizes[first])], VIEW)
        elif kind == "write":
            made = node("aten.relu_", [first], [value(f"v{i}", sizes[first])], IN_PLACE)
        elif kind == "relu":
            made = node("aten.relu", [first], [value(f"v{i}", sizes[first])])
        else:
            made = node("aten.add.Tensor", [first, rng.choice(same)], [value(f"v{i}", sizes[first])])
        nodes.append(made)
        sizes |= {v.id: v.type.numel.constant or 0 for v in made.results if isinstance(v.type, TensorType)}
    read = {operand for n in nodes for operand in n.operands}
    last = [v.id for n in nodes for v in n.results if v.id not in read]
    outputs = last if rng.random() < 0.5 else last[-1:]
    return graph_of(inputs, nodes, outputs)


@dataclass(frozen=True)
class Brute:
    """All orders of a graph of byte vectors, one by one; what follows a state is looked at once for each peak so far."""

    graph: Graph
    accounting: str
    inputs: str

    def best(self) -> int:
        """Least peak over all orders that keep data edges and the order of accesses one of which writes."""
        home: dict[str, str] = {v.id: v.id for v in self.graph.inputs}
        for call in self.graph.nodes:
            shared = {result: call.operands[operand] for result, operand in call.effects.views}
            for i, result in enumerate(call.results):
                home[result.id] = home[shared[i]] if i in shared else result.id
        needs = self._needs(home)
        size = {v.id: evaluate(v.type.numel, {}) for v in self.graph.values() if isinstance(v.type, TensorType)}
        virtual = self._virtual(home)
        for name in home:
            while home[name] in virtual:
                home[name] = home[virtual[home[name]]]
        touches = [{home[v] for v in (*c.operands, *(r.id for r in c.results))} for c in self.graph.nodes]
        start = {v.id for v in self.graph.inputs}
        kept = {home[o] for o in self.graph.outputs} | (start if self.inputs == "held" else set())
        free = start if self.inputs == "excluded" else set()
        best = [sum(size.values()) + 1]
        seen: dict[tuple[frozenset[int], frozenset[tuple[str, str]]], int] = {}

        def descend(done: frozenset[int], alive: frozenset[str], names: dict[str, str], peak: int) -> None:
            state = done, frozenset((name, block) for name, block in names.items() if block in alive)
            if peak >= min(best[0], seen.get(state, best[0])):
                return
            seen[state] = peak
            if len(done) == len(self.graph.nodes):
                best[0] = peak
                return
            for q in range(len(self.graph.nodes)):
                if q in done or not needs[q] <= done:
                    continue
                left = [p for p in range(len(self.graph.nodes)) if p != q and p not in done]
                later = {t for p in left for t in touches[p]} | kept
                step, now = self._run(q, alive, dict(names), home, later, size)
                needed = {block for name, block in step.items() if name in later}
                descend(done | {q}, now & needed, step, max(peak, sum(size[b] for b in now - free)))

        peak = sum(size[b] for b in start - free)
        read = set().union(*touches) | kept
        descend(frozenset(), frozenset(start & read), {b: b for b in start}, peak)
        return best[0]

    def _needs(self, home: dict[str, str]) -> list[set[int]]:
        """What must run before each call: makers of its operands, and accesses to its memory where either writes."""
        touches = [{home[v] for v in (*c.operands, *(r.id for r in c.results))} for c in self.graph.nodes]
        writes = [{home[c.operands[i]] for i in c.effects.writes} for c in self.graph.nodes]
        needs: list[set[int]] = []
        for q, later in enumerate(self.graph.nodes):
            found = set()
            for p, earlier in enumerate(self.graph.nodes[:q]):
                reads = bool({r.id for r in earlier.results} & set(later.operands))
                if reads or touches[q] & writes[p] or touches[p] & writes[q]:
                    found.add(p)
            needs.append(found)
        return needs

    def _virtual(self, home: dict[str, str]) -> dict[str, str]:
        """Fused: results of unary pointwise calls live in their operand, unless they must exist apart."""
        found: dict[str, str] = {}
        readers = {v: sum(v in c.operands for c in self.graph.nodes) for v in home}
        inputs = {v.id for v in self.graph.inputs}
        for call in self.graph.nodes:
            if self.accounting != "fused" or call.op not in {"aten.relu", "aten.add.Tensor"}:
                continue
            result, operands = call.results[0].id, set(call.operands)
            if len(operands) > 1:
                continue
            (operand,) = operands
            apart = operand in inputs or operand in self.graph.outputs or readers[operand] > 1
            if not (result in self.graph.outputs and apart):
                found[result] = operand
        return found

    def _run(
        self,
        q: int,
        alive: frozenset[str],
        names: dict[str, str],
        home: dict[str, str],
        later: set[str],
        size: dict[str, int],
    ) -> tuple[dict[str, str], frozenset[str]]:
        """Blocks while node q runs; `names` says in which block each value's storage lies."""
        call = self.graph.nodes[q]
        for result in call.results:
            if home[result.id] != result.id:
                continue
            block = result.id
            if self.accounting == "inplace" and call.op in {"aten.relu", "aten.add.Tensor"}:
                for operand in call.operands:
                    old = names[home[operand]]
                    others = [n for n, b in names.items() if b == old and n in later]
                    if not others and size[old] == size[result.id]:
                        block = old
                        break
            names[result.id] = block
            alive |= {block}
        return names, alive


def cell(size: int, neighbours: int, seed: int, *, adds: bool = False) -> Graph:
    """A Watts-Strogatz cell, every tensor one byte, a node one call; `adds` sums the operands of a node pair by pair."""
    before = wiring(size, neighbours, seed)
    nodes: list[Node] = []

    def joined(name: str, names: list[str]) -> list[str]:
        for i in range(len(names) - 1 if adds else 0):
            nodes.append(
                node("test.add", [names[0] if not i else f"{name}_{i - 1}", names[i + 1]], [value(f"{name}_{i}")])
            )
        return [nodes[-1].name] if adds and len(names) > 1 else names

    for i, sources in enumerate(before):
        operands = joined(f"s{i}", [f"v{source}" for source in sources] or ["x"])
        nodes.append(node("test.node", operands, [value(f"v{i}")]))
    last = joined("out", [f"v{i}" for i in ends(before)])
    if not adds:
        nodes.append(node("test.join", last, [value("out")]))
    return graph_of([value("x")], nodes, [nodes[-1].results[0].id])


def resized(
    graph: Graph, forms: Mapping[int, Expr], symbols: Sequence[SymbolInfo], domain: Sequence[Predicate]
) -> Graph:
    """The graph with a formula for each of its sizes: values of equal size stay so."""

    def form(old: Value) -> Value:
        assert isinstance(old.type, TensorType)
        return Value(old.id, TensorType((forms[old.type.numel.constant or 0],), old.type.dtype))

    nodes = tuple(replace(call, results=tuple(map(form, call.results))) for call in graph.nodes)
    inputs = tuple(map(form, graph.inputs))
    return replace(graph, symbols=tuple(symbols), inputs=inputs, nodes=nodes, domain=tuple(domain))
