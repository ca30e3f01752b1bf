"""Running a stretch of a program patch by patch: its calls are written out once for every patch.

Tiles are cut as views, a border is laid around one where its patch touches the border of the map, and results are copied
to their places. Everything has the sizes of one point, which the program checks when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx.node import map_arg

from fxcost.errors import ModelError
from fxcost.integrate.reorder import _copied, reorder_in_place
from fxcost.ir.patches import Box, Patch, PatchedStage, Range, TileCall

aten = torch.ops.aten
PADDINGS = (aten.pad.default, aten.constant_pad_nd.default)


def patched(
    program: Any,
    names: Sequence[str],
    stages: Sequence[PatchedStage],
    shapes: Sequence[tuple[int, ...]],
    *,
    reorder: bool = False,
) -> torch.fx.GraphModule:
    """A GraphModule that runs the stages patch by patch; the original is untouched, parameters are shared.

    `names` are those of all nodes in the order analysed, to which `reorder` brings them first; `shapes` are those of the
    tensor inputs. Raises ModelError where the program is not the one that was analysed.
    """
    module = _module(program)
    graph = module.graph
    if reorder:
        reorder_in_place(graph, names)
    nodes = {node.name: node for node in graph.nodes}
    missing = next((name for name in names if name not in nodes), None)
    if missing is not None:
        raise ModelError(f"the program has no node {missing}: it is not the one that was analysed")
    fixed = [node for op in ("placeholder", "get_attr") for node in graph.nodes if node.op == op]
    for node in reversed(fixed):  # inputs, then parameters: there from the start
        graph._root.append(node)
    for stage in stages:
        _Writer(module, nodes, names, stage).write()
    _guard(graph, shapes)
    graph.lint()
    module.recompile()
    return module


def expect_shape(tensor: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise ModelError where an input has other sizes than those that the patches were cut for."""
    if tuple(tensor.shape) != tuple(shape):
        raise ModelError(f"these patches are for an input of {tuple(shape)}, this one has {tuple(tensor.shape)}")


def _module(program: Any) -> torch.fx.GraphModule:
    if isinstance(program, torch.export.ExportedProgram):
        module = program.module()
        for node in list(module.graph.nodes):
            if node.op == "call_module" and not node.users:  # the guards of the export: sizes are checked here
                module.graph.erase_node(node)
        return module
    if isinstance(program, torch.fx.GraphModule):
        graph, _ = _copied(program.graph)
        module = torch.fx.GraphModule(program, graph, type(program).__name__)
        module.meta.update(program.meta)
        return module
    raise ModelError(f"patches are for an ExportedProgram or a GraphModule, found {type(program).__name__}")


def _guard(graph: Any, shapes: Sequence[tuple[int, ...]]) -> None:
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    if len(placeholders) != len(shapes):
        raise ModelError(f"the program takes {len(placeholders)} inputs, the one that was analysed {len(shapes)}")
    behind = next(node for node in graph.nodes if node.op not in {"placeholder", "get_attr"})
    with graph.inserting_before(behind):
        for node, shape in zip(placeholders, shapes, strict=True):
            graph.call_function(expect_shape, (node, tuple(shape)))


class _Writer:
    """Writes one stage into the graph in place of its nodes."""

    def __init__(self, module: Any, nodes: dict[str, Any], names: Sequence[str], stage: PatchedStage) -> None:
        self.module, self.graph, self.stage = module, module.graph, stage
        self.names, self.nodes = names, nodes
        self.originals = [nodes[name] for name in names[stage.first : stage.stop]]
        inside = set(self.originals)
        self.behind = next(node for node in self.graph.nodes if node in inside)
        self.kept: dict[tuple[Any, int, int], tuple[Any, Box]] = {}

    def write(self) -> None:
        """All patches, then the whole results for who reads them later; the nodes that they replace go."""
        whole = {}
        with self.graph.inserting_before(self.behind):
            for value in self.stage.outputs:
                example = self.nodes[value].meta["val"]
                size = [int(n) for n in self._whole_shape(value, example)]
                whole[value] = self._call(
                    aten.empty.memory_format, size, dtype=example.dtype, device=torch.device("cpu")
                )
            for number, patch in enumerate(self.stage.patches):
                self._patch(patch, number, whole)
        inside = set(self.originals)
        for value, made in whole.items():
            self.nodes[value].replace_all_uses_with(made, delete_user_cb=lambda user: user not in inside)
            self.nodes[value] = made
        for node in reversed(self.originals):
            self.graph.erase_node(node)

    def _whole_shape(self, value: str, example: Any) -> tuple[Any, ...]:
        boxes = [store.box for patch in self.stage.patches for store in patch.stores if store.value == value]
        rows, columns = max(box.rows[1] for box in boxes), max(box.columns[1] for box in boxes)
        return (*example.shape[:-2], rows, columns)

    def _call(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        return self.graph.call_function(target, args, kwargs)

    def _patch(self, patch: Patch, number: int, whole: dict[str, Any]) -> None:
        tiles: dict[Any, tuple[Any, Box]] = {}
        for call in patch.calls:
            node = self.nodes[self.names[call.node]]
            made = self._tile(node, call, tiles)
            box = call.made
            if call.joined is not None:
                made, box = self._joined(node, call, made), call.joined
            for index, kept in enumerate(call.kept):
                self.kept[node, number, index] = self._call(aten.clone.default, self._cut(made, box, kept)), kept
            tiles[node] = made, box
            for store in patch.stores:
                if store.after == call.node:
                    tile, there = tiles[self.nodes[store.value]]
                    place = self._slice(whole[store.value], store.box.rows, store.box.columns)
                    self._call(aten.copy_.default, place, self._cut(tile, there, store.box))

    def _joined(self, node: Any, call: TileCall, made: Any) -> Any:
        """What is made and what other patches kept, in one tile."""
        assert call.joined is not None
        example = node.meta["val"]
        (top, bottom), (left, right) = call.joined.rows, call.joined.columns
        size = [int(n) for n in (*example.shape[:-2], bottom - top, right - left)]
        tile = self._call(aten.empty.memory_format, size, dtype=example.dtype, device=torch.device("cpu"))
        pieces = [(made, call.made, call.made)]
        pieces += [(*self.kept[node, part.patch, part.index], part.box) for part in call.parts]
        for piece, there, wanted in pieces:
            self._call(aten.copy_.default, self._cut(tile, call.joined, wanted), self._cut(piece, there, wanted))
        return tile

    def _cut(self, tile: Any, there: Box, wanted: Box) -> Any:
        if there == wanted:
            return tile
        (top, _), (left, _) = there.rows, there.columns
        rows = wanted.rows[0] - top, wanted.rows[1] - top
        columns = wanted.columns[0] - left, wanted.columns[1] - left
        return self._slice(
            tile, rows if wanted.rows != there.rows else None, columns if wanted.columns != there.columns else None
        )

    def _slice(self, tensor: Any, rows: Range | None, columns: Range | None) -> Any:
        for dim, span in ((-2, rows), (-1, columns)):
            if span is not None:
                tensor = self._call(aten.slice.Tensor, tensor, dim, span[0], span[1])
        return tensor

    def _tile(self, node: Any, call: TileCall, tiles: dict[Any, tuple[Any, Box]]) -> Any:
        """The call of one patch."""
        operands: list[Any] = []
        map_arg((node.args, node.kwargs), lambda n: operands.append(n))
        if len(operands) != len(call.reads):
            raise ModelError(
                f"{node.name} has {len(operands)} tensor arguments, {len(call.reads)} when it was analysed"
            )
        cut = []
        for operand, read in zip(operands, call.reads, strict=True):
            if read.box is None:
                cut.append(operand)
            elif operand in tiles:
                cut.append(self._cut(*tiles[operand], read.box))
            else:
                cut.append(self._whole_cut(operand, read.box))
        if any(call.border) and node.target not in PADDINGS:
            at = next(i for i, read in enumerate(call.reads) if read.box is not None)
            cut[at] = self._bordered(cut[at], call, self._lowest(node) if call.fill is None else call.fill)
        waiting = iter(cut)
        args, kwargs = map_arg((node.args, node.kwargs), lambda _: next(waiting))
        return self._rewritten(node, call, args, kwargs)

    def _whole_cut(self, operand: Any, box: Box) -> Any:
        """A view of a whole map; no view where the map is taken whole."""
        example = operand.meta.get("val")
        if example is not None and tuple(example.shape[-2:]) == (
            box.rows[1] - box.rows[0],
            box.columns[1] - box.columns[0],
        ):
            return operand
        return self._slice(operand, box.rows, box.columns)

    def _bordered(self, tile: Any, call: TileCall, fill: Any) -> Any:
        above, below, left, right = call.border
        return self._call(aten.constant_pad_nd.default, tile, [left, right, above, below], fill)

    def _lowest(self, node: Any) -> Any:
        dtype = node.meta["val"].dtype
        return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min

    def _rewritten(self, node: Any, call: TileCall, args: Any, kwargs: Any) -> Any:
        """The operator on a tile: its padding is what the tile still needs on both sides."""
        target, schema = node.target, node.target._schema
        given = dict(zip([a.name for a in schema.arguments], args, strict=False)) | dict(kwargs)
        name = str(target).rpartition(".")[0]
        if target in PADDINGS:
            return self._bordered(given["self"], call, given.get("value") or 0.0)
        if name == "aten.conv2d":
            target, given["padding"] = aten.conv2d.default, list(call.padding)
        elif name == "aten.convolution":
            given["padding"] = list(call.padding)
        elif name in {"aten.max_pool2d", "aten.avg_pool2d"}:
            given |= {"padding": list(call.padding), "ceil_mode": False}
            if call.counts is not None:
                given["divisor_override"] = 1
                summed = self._call(target, given.pop("self"), **given)
                return self._call(aten.div_.Tensor, summed, self._divisors(node, call))
        else:
            return self._call(target, *args, **kwargs)
        return self._call(target, given.pop(schema.arguments[0].name), **given)

    def _divisors(self, node: Any, call: TileCall) -> Any:
        """Elements in every window of the tile, a constant of the program."""
        assert call.counts is not None
        rows, columns = (torch.tensor(tally, dtype=node.meta["val"].dtype) for tally in call.counts)
        name = f"fxcost_divisors_{sum(1 for _ in self.module.named_buffers())}"
        self.module.register_buffer(name, rows[:, None] * columns[None, :], persistent=False)
        return self.graph.get_attr(name)
