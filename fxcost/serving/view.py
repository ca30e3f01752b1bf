"""The serving view of a captured step: the same products, without what only the model's Python code moves.

Four rewrites, each of which is what serving engines do:

1. Caches are written in place: of a concatenation with the past only the new rows are written.
2. Grouped key heads are not repeated: attention reads keys and values as the cache stores them.
3. Attention is one kernel: neither scores nor masks are written; masks that follow from positions are not read.
4. Of the experts' matrices only those that some token meets are read: `experts` of them, a symbol of its own.

Two more where they are asked for: a cache with scales in groups (`fxcost.serving.quantised`), and latent attention in
absorbed form (`fxcost.serving.absorbed`).

What no rewrite matches stays as it is, and is said in the notes. MACs change in the absorbed form
alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fxcost.errors import SpecError
from fxcost.ir.expr import ZERO, symbol
from fxcost.ir.graph import Attribute, Effects, Graph, Node, Value
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from fxcost.ir.widths import Width
from fxcost.ops.registry import find
from fxcost.ops.serving import APPEND, ATTENTION, EXPERTS
from fxcost.passes.experts import GROUPED
from fxcost.serving.absorbed import absorb
from fxcost.serving.quantised import quantise

TOUCHED = "experts"
"""The symbol that says how many experts' matrices a step reads."""

STORED = {"fp32": DType.F32, "fp16": DType.F16, "bf16": DType.BF16, "fp8": DType.F8E4M3}
"""Element types that a cache is stored in without scales, by the name of their width."""

FUSED = "aten.scaled_dot_product_attention"
_STORE = "the cache is written in place: a step reads what it holds and writes the new rows"
_HEADS = "grouped key heads are read as stored, not repeated"
_KERNEL = "attention is one kernel: scores and masks from positions are not written out"
_SOME = "of the experts' matrices those that some token meets are read"
_ALONG = {
    "aten.to",
    "aten._to_copy",
    "aten.dropout",
    "aten.mul",
    "aten.div",
    "aten.tanh",
    "aten.add",
    "aten.masked_fill",
}
_SAME = {"reshape", "clone", "contiguous", "view", "_unsafe_view", "expand", "unsqueeze", "slice", "alias"}


def serving_view(
    graph: Graph, windows: tuple[int | None, ...], kept: Width | None = None, absorbed: bool = False
) -> Graph:
    """Rewrite a captured step whose outputs are logits and then keys and values of every layer.

    `windows` are the layers' windows (None: the whole past), `kept` how the cache is stored (None: as captured).
    What was rewritten is said in the graph's notes. Raises SpecError where latent attention is to be `absorbed`, and
    there is none.
    """
    work = Rewriting(graph)
    work.store_caches(None if kept is None or kept.grouped else STORED[kept.name])
    work.fuse_attention(windows)
    if absorbed and not absorb(work):
        raise SpecError(
            f"{graph.name}: no attention expands a compressed cache, as DeepSeek's does; there is nothing to absorb"
        )
    if kept is not None and kept.grouped:
        work.sweep()
        quantise(work, kept)
    work.read_some_experts()
    return work.finished()


class Rewriting:
    """A graph while it is rewritten: nodes by name in their order, producers by value."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = {node.name: node for node in graph.nodes}
        self.made = {value.id: node.name for node in graph.nodes for value in node.results}
        self.types = dict(graph.types)
        self.notes: dict[str, None] = {}
        self.inputs = list(graph.inputs)
        self.outputs = graph.outputs
        self.updates = list(graph.updates)
        self.symbols = graph.symbols
        self.caches: dict[str, int] = {}  # values that are a cache with its new rows -> layer

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for inputs and the model's own tensors."""
        name = self.made.get(value)
        return None if name is None else self.nodes.get(name)

    def insert_before(self, name: str, *added: Node) -> None:
        """Put nodes in front of another one."""
        before = list(self.nodes.items())
        place = list(self.nodes).index(name)
        self.nodes = dict([*before[:place], *((node.name, node) for node in added), *before[place:]])
        self.made |= {value.id: node.name for node in added for value in node.results}

    def insert_behind(self, name: str, node: Node) -> None:
        """Put a node behind another one."""
        names = list(self.nodes)
        follower = names[names.index(name) + 1 :]
        if follower:
            self.insert_before(follower[0], node)
        else:
            self.nodes[node.name] = node

    def remove(self, name: str) -> None:
        """Leave a node out that writes into something which no one reads any more."""
        del self.nodes[name]

    # -- 1: caches -----------------------------------------------------------------------------------------------------
    def store_caches(self, kept: DType | None) -> None:
        """Concatenations that give the cache's next state become appends; such states are no outputs any more."""
        own = {value.id for value in self.graph.inputs}
        for position, output in enumerate(self.graph.outputs[1:]):
            node = self._concatenation(output)
            if node is None:
                self.notes[
                    f"layer {position // 2}: what its cache does was not recognised, and is counted as captured"
                ] = None
                continue
            past, new = node.operands
            result = self.types[node.results[0].id]
            assert isinstance(result, TensorType)
            dtype = kept or result.dtype
            if past in own:
                self._retype(past, dtype)
            else:  # a step without a past: room for the cache is the caller's
                past = f"cache_{position}"
                empty = TensorType((*result.shape[:-2], ZERO, result.shape[-1]), dtype)
                self.inputs.append(Value(past, empty))
                self.types[past] = empty
            stored = Value(node.results[0].id, TensorType(result.shape, dtype))
            self.nodes[node.name] = replace(
                node,
                op=APPEND,
                operands=(past, new),
                slots=("cache", "new"),
                attrs={},
                results=(stored,),
                effects=Effects(views=((0, 0),), writes=(0,)),
            )
            self.types[stored.id] = stored.type
            self.caches[stored.id] = position // 2
            self.updates.append((past, stored.id))
            self.notes[_STORE] = None
        self.outputs = self.graph.outputs[:1]
        self._follow(self.caches)

    def _concatenation(self, value: str) -> Node | None:
        node = self.producer(value)
        while node is not None and node.op.split(".")[1] in {"slice", "alias"}:
            node = self.producer(node.operands[0])
        return node if node is not None and node.op.startswith("aten.cat") and len(node.operands) == 2 else None

    def _retype(self, value: str, dtype: DType) -> None:
        kind = self.types[value]
        assert isinstance(kind, TensorType)
        self.types[value] = TensorType(kind.shape, dtype)
        self.inputs = [Value(v.id, self.types[v.id]) for v in self.inputs]

    def _follow(self, caches: Iterable[str]) -> None:
        """Views of a cache have its element type."""
        kept = {value: self.types[value].dtype for value in caches}  # type: ignore[union-attr]
        for name, node in list(self.nodes.items()):
            found = find(node.op)
            if found is None or found.kind != "view" or not node.operands or node.operands[0] not in kept:
                continue
            dtype = kept[node.operands[0]]
            results = tuple(
                Value(v.id, TensorType(v.type.shape, dtype)) if isinstance(v.type, TensorType) else v
                for v in node.results
            )
            self.nodes[name] = replace(node, results=results)
            self.types |= {v.id: v.type for v in results}
            kept |= dict.fromkeys((v.id for v in results), dtype)

    # -- 2 and 3: attention --------------------------------------------------------------------------------------------
    def fuse_attention(self, windows: tuple[int | None, ...]) -> None:
        """One kernel for every attention, whether the model's code calls one or spells it out."""
        for node in list(self.nodes.values()):
            if node.op.startswith(FUSED):
                operands = dict(zip(node.slots, node.operands, strict=True))
                mask = operands.get("attn_mask")
                if mask is not None and not self._of_positions(mask):
                    continue
                self._fused(node, operands["query"], operands["key"], operands["value"], windows)
            elif node.op.startswith(("aten.softmax", "aten._softmax")):
                spelled = self._spelled_out(node)
                if spelled is not None:
                    self._fused(*spelled, windows)

    def _fused(self, node: Node, query: str, key: str, value: str, windows: tuple[int | None, ...]) -> None:
        stored = [self._as_stored(v, _heads(self.types[v])) for v in (key, value)]
        if stored != [key, value]:
            self.notes[_HEADS] = None
        layer = next((self.caches[v] for v in stored if v in self.caches), None)
        window = windows[layer] if layer is not None and layer < len(windows) else None
        attrs: dict[str, Attribute] = {} if window is None else {"window": window}
        self.nodes[node.name] = replace(
            node,
            op=ATTENTION,
            operands=(query, *stored),
            slots=("query", "key", "value"),
            attrs=attrs,
            effects=Effects(),
        )
        self.notes[_KERNEL] = None

    def _as_stored(self, value: str, heads: str) -> str:
        """Behind copies that repeat heads: the tensor that is repeated; the value itself where there is none."""
        wanted, found = self.types[value], value
        current = value
        while (node := self.producer(current)) is not None and node.op.split(".")[1] in _SAME and node.operands:
            current = node.operands[0]
            kind = self.types[current]
            if not isinstance(kind, TensorType) or not isinstance(wanted, TensorType) or kind.rank != wanted.rank:
                continue
            if (kind.shape[0], *kind.shape[2:]) != (wanted.shape[0], *wanted.shape[2:]) or _heads(kind) == "":
                continue
            if int(heads or 1) % int(_heads(kind)) == 0:
                found = current
        return found

    def _spelled_out(self, softmax: Node) -> tuple[Node, str, str, str] | None:
        """`softmax(scale * q @ k.T + mask) @ v`: its last product, and query, key and value."""
        scores = self._scores(softmax.operands[0])
        used = self._user_along(softmax.results[0].id)
        if scores is None or used is None:
            return None
        query, turned = scores.operands
        turn = self.producer(turned)
        if turn is None or not turn.op.startswith("aten.transpose") or not _turns_last(turn, self.types[turned]):
            return None
        kinds = [self.types[v] for v in (query, turn.operands[0], used.operands[1])]
        if not all(isinstance(kind, TensorType) and kind.rank == 4 for kind in kinds):
            return None
        return used, query, turn.operands[0], used.operands[1]

    def _scores(self, value: str) -> Node | None:
        """The product behind scaling, capping and masking, all of which no one else reads."""
        node = self.producer(value)
        while node is not None and not node.op.startswith("aten.matmul"):
            if _packet(node) not in _ALONG or not self._read_once(value):
                return None
            if not all(self._of_positions(o) for o in node.operands[1:]):
                return None
            value = node.operands[0]
            node = self.producer(value)
        return node if node is not None and self._read_once(value) else None

    def _user_along(self, value: str) -> Node | None:
        """The product that reads a softmax, behind casts and dropout."""
        while True:
            users = [node for node in self.nodes.values() if value in node.operands]
            if len(users) != 1 or value in self.outputs:
                return None
            (user,) = users
            if user.op.startswith("aten.matmul"):
                return user if user.operands[0] == value else None
            if _packet(user) not in {"aten.to", "aten._to_copy", "aten.dropout"}:
                return None
            value = user.results[0].id

    def _read_once(self, value: str) -> bool:
        return len(self.graph.readers.get(value, ())) == 1 and value not in self.graph.outputs

    def _of_positions(self, value: str) -> bool:
        """True for what neither inputs nor parameters enter into: it follows from sizes alone."""
        given = {v.id for v in self.inputs}
        waiting, seen = [value], {value}
        while waiting:
            current = waiting.pop()
            state = self.graph.state_of.get(current)
            if current in given or (state is not None and state.kind != "constant"):
                return False
            node = self.producer(current)
            fresh = [o for o in (node.operands if node is not None else ()) if o not in seen]
            waiting += fresh
            seen.update(fresh)
        return True

    # -- 4: experts ----------------------------------------------------------------------------------------------------
    def read_some_experts(self) -> None:
        """Grouped products read as many matrices as a symbol says."""
        most = 0
        for name, node in list(self.nodes.items()):
            slot = GROUPED.get(node.op)
            kind = self.types[node.operands[node.slots.index(slot)]] if slot in node.slots else None
            if not isinstance(kind, TensorType) or kind.rank != 3 or kind.shape[0].constant is None:
                continue
            most = max(most, kind.shape[0].constant)
            self.nodes[name] = replace(node, op=EXPERTS, attrs={**node.attrs, TOUCHED: symbol(TOUCHED)})
        if most:
            self.symbols = (*self.symbols, SymbolInfo(TOUCHED, max=most, hint=most))
            self.notes[_SOME] = None

    def sweep(self) -> None:
        """Leave out what is no longer needed."""
        wanted = {*self.outputs, *(v for _, v in self.updates)}
        self.nodes = {node.name: node for node in _needed(list(self.nodes.values()), wanted)}

    # -- the end -------------------------------------------------------------------------------------------------------
    def finished(self) -> Graph:
        """The graph of what is still needed, its notes extended."""
        self.sweep()
        notes = (*self.graph.notes, *(f"serving: {note}" for note in self.notes))
        return replace(
            self.graph,
            symbols=self.symbols,
            inputs=tuple(Value(v.id, self.types[v.id]) for v in self.inputs),
            nodes=tuple(self.nodes.values()),
            outputs=self.outputs,
            updates=tuple(self.updates),
            notes=notes,
        )


def _packet(node: Node) -> str:
    return ".".join(node.op.split(".")[:2])


def _heads(kind: object) -> str:
    """How many heads a tensor has, as text; empty where that is no number."""
    heads = kind.shape[1].constant if isinstance(kind, TensorType) and kind.rank == 4 else None
    return "" if heads is None else str(heads)


def _turns_last(node: Node, kind: object) -> bool:
    rank = kind.rank if isinstance(kind, TensorType) else 0
    dims = [node.attrs.get(name) for name in ("dim0", "dim1")]
    return rank > 0 and {d % rank for d in dims if isinstance(d, int)} == {rank - 2, rank - 1}


def _needed(nodes: list[Node], wanted: set[str]) -> tuple[Node, ...]:
    """The nodes whose results are wanted, or that write into something; in their order."""
    needed = set(wanted)
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.effects.writes or any(value.id in needed for value in node.results):
            kept.append(node)
            needed.update(node.operands)
    return tuple(reversed(kept))
