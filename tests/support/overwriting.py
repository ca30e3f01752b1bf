"""A small runtime for patches that overwrites in place or fuses: what the accountings `inplace` and `fused` speak of.

It runs the calls of a plan on real tensors and counts the bytes of the storages that it still holds. It knows the boxes
of a plan, and nothing of how its peak was predicted. Padding is laid on the way; a result is made in its place in the
whole map where the tile is just that place; what to overwrite is decided once for the graph, not for every patch.

inplace  a pointwise result is written over the first operand of equal size that nothing reads later
fused    a unary pointwise result is never stored: whoever reads it computes it from its operand
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import map_arg
from torch.nn import functional as F

from fxcost.ir.patches import Box, Patch, PatchedStage, TileCall

aten = torch.ops.aten


@dataclass(frozen=True)
class Place:
    """Where a value lies: rows and columns `box` of it in a tensor; without a box the whole of it."""

    tensor: Tensor
    box: Box | None = None

    def cut(self, wanted: Box | None) -> Tensor:
        """A view of a part."""
        if wanted is None or self.tensor.dim() < 4:
            return self.tensor
        (top, left) = (self.box.rows[0], self.box.columns[0]) if self.box else (0, 0)
        (first, stop), (low, high) = wanted.rows, wanted.columns
        return self.tensor[..., first - top : stop - top, low - left : high - left]


@dataclass
class Runtime:
    """Runs a program's nodes in order, some of them in patches; `peak` is the most bytes that it held."""

    module: Any
    accounting: str
    peak: int = 0
    held: dict[str, Place] = field(default_factory=dict)
    tiles: dict[str, Place] = field(default_factory=dict)  # of the patch that runs
    kept: dict[tuple[str, int, int], Place] = field(default_factory=dict)
    keeping: frozenset[int] = frozenset()  # first nodes of stages whose patches keep halos: their results are copied

    def __post_init__(self) -> None:
        """Decide what shares memory: once, for whole maps."""
        self.fx = {node.name: node for node in self.module.graph.nodes}
        self.calls = [node for node in self.module.graph.nodes if node.op == "call_function"]
        self.names = [node.name for node in self.calls]
        output = next(node for node in self.module.graph.nodes if node.op == "output")
        self.outputs = [node.name for node in output.all_input_nodes]
        self.lives_in: dict[str, str] = {}  # views, in-place results
        self.overwrites: dict[str, str] = {}
        self.virtual: dict[str, str] = {}
        for node in self.calls:
            shared = self._shared(node)
            if shared is not None:
                self.lives_in[node.name] = shared
        if self.accounting == "fused":
            self._never_stored()
        else:
            self._over_dying_operands()

    @staticmethod
    def _operands(node: Any) -> list[str]:
        """Operands that are no parameters of the model."""
        return [operand.name for operand in node.all_input_nodes if operand.op != "get_attr"]

    @staticmethod
    def _shared(node: Any) -> str | None:
        """The operand whose memory torch itself gives the result: views, and operators that write."""
        schema = node.target._schema
        if schema.returns and schema.returns[0].alias_info is not None:
            return str(node.args[0].name)
        return str(node.args[0].name) if node.target is aten.dropout.default and not node.args[2] else None

    @staticmethod
    def _pointwise(node: Any) -> bool:
        if node.target is aten.clone.default:
            return False  # a copy that the model asked for stays one
        return torch.Tag.pointwise in node.target.tags or node.target is aten.batch_norm.default

    def _never_stored(self) -> None:
        inputs = {name for name, node in self.fx.items() if node.op == "placeholder"}
        for node in self.calls:
            operands = set(self._operands(node))
            if not self._pointwise(node) or len(operands) != 1 or node.name in self.lives_in:
                continue
            (operand,) = operands
            if self._size(operand) != self._size(node.name):
                continue
            others = len({user.name for user in self.fx[operand].users}) > 1
            if node.name in self.outputs and (operand in inputs or operand in self.outputs or others):
                continue
            self.virtual[node.name] = operand

    def _over_dying_operands(self) -> None:
        last: dict[str, int] = {}
        for k, node in enumerate(self.calls):
            for name in (*self._operands(node), node.name):
                last[self.memory(name)] = k
        last |= {self.memory(name): len(self.calls) for name in self.outputs}
        for k, node in enumerate(self.calls):
            if not self._pointwise(node) or node.name in self.lives_in:
                continue
            for operand in self._operands(node):
                memory = self.memory(operand)
                if last[memory] == k and self._size(memory) == self._size(node.name):
                    self.overwrites[node.name] = operand
                    last[memory] = last[node.name]
                    break

    def _size(self, name: str) -> int:
        example: Tensor = self.fx[name].meta["val"]
        return example.numel() * example.element_size()

    def memory(self, name: str) -> str:
        """The value whose memory this one lives in, on whole maps."""
        for links in (self.lives_in, self.overwrites, self.virtual):
            if name in links:
                return self.memory(links[name])
        return name

    # -- reading and writing -----------------------------------------------------------------------------------------
    def read(self, name: str, box: Box | None) -> Tensor:
        """A part of a value; what is never stored is computed from its operand now."""
        place = self.tiles.get(name) or self.held.get(name)
        if place is not None:
            return place.cut(box)
        node = self.fx[name]
        if name in self.virtual:
            return self._called(node, lambda operand: self.read(operand.name, box))
        raise AssertionError(f"{name} is read and is not there any more")

    def _called(self, node: Any, value: Any) -> Tensor:
        args, kwargs = map_arg(
            (node.args, node.kwargs), lambda n: self._constant(n) if n.op == "get_attr" else value(n)
        )
        result: Tensor = node.target(*args, **kwargs)
        return result

    def _constant(self, node: Any) -> Tensor:
        found: Any = self.module
        for part in node.target.split("."):
            found = getattr(found, part)
        return found  # type: ignore[no-any-return]

    def _sources(self, name: str) -> Iterable[str]:
        """The values that a reader of this one looks at: itself, or what it is computed from."""
        while name in self.virtual and name not in self.tiles and name not in self.held:
            name = self.virtual[name]
        yield name

    def note(self) -> None:
        """Count what is held now."""
        places = (*self.held.values(), *self.tiles.values(), *self.kept.values())
        storages = {p.tensor.untyped_storage()._cdata: p.tensor.untyped_storage().nbytes() for p in places}
        self.peak = max(self.peak, sum(storages.values()))

    # -- the whole run -----------------------------------------------------------------------------------------------
    def run(self, inputs: Mapping[str, Tensor], stages: Sequence[PatchedStage]) -> list[Tensor]:
        """The outputs; inputs are dropped after their last reader."""
        self.held = {name: Place(tensor.clone()) for name, tensor in inputs.items()}
        self.note()
        at = 0
        for stage in stages:
            self._nodes(range(at, stage.first))
            self._stage(stage)
            at = stage.stop
        self._nodes(range(at, len(self.calls)))
        return [self.read(name, None) for name in self.outputs]

    def _nodes(self, positions: Iterable[int]) -> None:
        for k in positions:
            node = self.calls[k]
            if node.name not in self.virtual:
                self.held[node.name] = Place(self._made(node))
            self.note()
            self._drop(self._wanted(k + 1))

    def _made(self, node: Any) -> Tensor:
        over = self.overwrites.get(node.name)
        if node.name in self.lives_in and self.lives_in[node.name] in self.virtual:
            over = self.memory(node.name)  # written into what is computed on the way: it is stored from now on
        made = self._called(node, lambda operand: self.read(operand.name, None))
        if over is None:
            return made
        there = self.held[over].tensor
        there.copy_(made)
        return there

    def _wanted(self, position: int, calls: Iterable[TileCall] = ()) -> set[str]:
        """What nodes from a position on, some calls before them, and the caller still read."""
        wanted = {o for node in self.calls[position:] for o in self._operands(node)} | {*self.outputs}
        wanted |= {o for call in calls for o in self._operands(self.calls[call.node])}
        return {source for name in wanted for source in self._sources(name)}

    def _drop(self, wanted: set[str]) -> None:
        for name in [name for name in self.held if name not in wanted]:
            del self.held[name]

    # -- a stage -----------------------------------------------------------------------------------------------------
    def _stage(self, stage: PatchedStage) -> None:
        whole: dict[str, Tensor] = {}
        for value in stage.outputs:
            example = self.fx[value].meta["val"]
            whole[value] = torch.empty(tuple(int(size) for size in example.shape), dtype=example.dtype)
            self.held[f"result {value}"] = Place(whole[value])
        for number, patch in enumerate(stage.patches):
            self.tiles = {}
            self._patch(stage, patch, number, whole)
        self.tiles, self.kept = {}, {}
        for value, tensor in whole.items():
            del self.held[f"result {value}"]
            owner = value
            while owner in self.virtual and not self.finished(owner):
                owner = self.virtual[owner]
            self.held[owner] = Place(tensor)
        self._drop(self._wanted(stage.stop))

    def finished(self, value: str) -> bool:
        """Whether a value is written into memory by an operator of the model that works in place."""
        return value in self.lives_in

    def _patch(self, stage: PatchedStage, patch: Patch, number: int, whole: Mapping[str, Tensor]) -> None:
        parts = {store.value: store.box for store in patch.stores}
        cached = stage.first in self.keeping
        final = number == len(stage.patches) - 1
        for index, call in enumerate(patch.calls):
            node = self.calls[call.node]
            later = patch.calls[index + 1 :]
            reads = {o for each in later for o in self._operands(self.calls[each.node])}
            reads |= {store.value for store in patch.stores if store.after >= call.node}
            if node.name not in self.virtual:
                self.tiles[node.name] = self._tile(node, call, parts, whole, cached)
            self.note()
            self._drop_tiles({*reads, node.name})
            if final:
                results = {f"result {value}" for value in stage.outputs}
                self._drop(results | self._wanted(stage.stop, later) | {*self._sources(node.name)})
            if call.joined is not None:
                self._join(node, call, number)
                self._drop_tiles({*reads, node.name})
            for i, box in enumerate(call.kept):
                self.kept[node.name, number, i] = Place(self.read(node.name, box).clone(), box)
            self.note()
            for store in patch.stores:
                if store.after == call.node:
                    self._store(store.value, store.box, whole[store.value])
            reads -= {store.value for store in patch.stores if store.after == call.node} - {
                o for each in later for o in self._operands(self.calls[each.node])
            }
            self._drop_tiles(reads)

    def _drop_tiles(self, reads: Iterable[str]) -> None:
        wanted = {source for name in reads for source in self._sources(name)}
        for name in [name for name in self.tiles if name not in wanted]:
            del self.tiles[name]

    def _store(self, value: str, box: Box, whole: Tensor) -> None:
        (source,) = self._sources(value)
        place = Place(whole).cut(box)
        tile = self.tiles[source].cut(box)
        if tile.data_ptr() != place.data_ptr():
            place.copy_(tile)

    def _tile(
        self, node: Any, call: TileCall, parts: Mapping[str, Box], whole: Mapping[str, Tensor], cached: bool
    ) -> Place:
        made = self._on_tile(node, call)
        over = self.overwrites.get(node.name)
        if node.name in self.lives_in:
            over = self.memory(node.name) if self.lives_in[node.name] in self.virtual else self.lives_in[node.name]
        if over in self.tiles:  # a map that comes from outside the stage is read by other patches, too
            there = self.tiles[over]
            there.cut(call.made).copy_(made)
            return there
        result = next((v for v in parts if self.memory(v) == self.memory(node.name)), None)
        if result is not None and not cached and parts[result] == call.made:
            there = Place(Place(whole[result]).cut(call.made), call.made)
            there.tensor.copy_(made)
            return there
        return Place(made, call.made)

    def _on_tile(self, node: Any, call: TileCall) -> Tensor:
        boxes = {read.value: read.box for read in call.reads}
        args, kwargs = map_arg(
            (node.args, node.kwargs),
            lambda n: self._constant(n) if n.op == "get_attr" else self.read(n.name, boxes[n.name]),
        )
        above, below, left, right = call.border
        given = dict(zip([a.name for a in node.target._schema.arguments], args, strict=False)) | dict(kwargs)
        first = next(iter(given))
        if node.target in (aten.pad.default, aten.constant_pad_nd.default):
            return F.pad(given[first], (left, right, above, below), value=given.get("value") or 0.0)
        if node.target in (aten.conv2d.default, aten.conv2d.padding, aten.max_pool2d.default, aten.avg_pool2d.default):
            fill = float("-inf") if node.target is aten.max_pool2d.default else 0.0
            given[first] = F.pad(given[first], (left, right, above, below), value=fill)
            given["padding"] = list(call.padding)
            target = aten.conv2d.default if node.target is aten.conv2d.padding else node.target
            given |= {"ceil_mode": False} if "pool" in str(target) else {}
            given |= {"divisor_override": 1} if call.counts else {}
            made: Tensor = target(**given)
            if call.counts:
                made = made / torch.outer(*(torch.tensor(tally, dtype=made.dtype) for tally in call.counts))
            return made
        result: Tensor = node.target(*args, **kwargs)
        return result

    def _join(self, node: Any, call: TileCall, number: int) -> None:
        assert call.joined is not None
        (top, bottom), (left, right) = call.joined.rows, call.joined.columns
        made = self.read(node.name, call.made)
        there = Place(made.new_empty((*made.shape[:-2], bottom - top, right - left)), call.joined)
        there.cut(call.made).copy_(made)
        for part in call.parts:
            there.cut(part.box).copy_(self.kept[node.name, part.patch, part.index].cut(part.box))
        self.kept["joining", number, call.node] = there
        self.note()
        del self.kept["joining", number, call.node]
        for part in call.parts:
            if part.last:
                del self.kept[node.name, part.patch, part.index]
        self.tiles[node.name] = there
