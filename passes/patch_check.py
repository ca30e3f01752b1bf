"""A checker of patched execution: replays every call of every patch and counts bytes; it knows nothing of the sweep.

What runs is what `fxcost.integrate.patched` writes into a program: tiles are cut without a copy, a border is a buffer of
its own, results are copied to their places, and memory is freed when nothing that is still to run reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from fxcost.errors import SpecError
from fxcost.ir.patches import Box, PatchedStage, TileCall
from fxcost.passes._patch_setting import Setting


@dataclass
class _Memory:
    """Blocks alive, by name, and the most bytes so far."""

    size: dict[str, int] = field(default_factory=dict)
    peak: int = 0

    def make(self, name: str, size: int) -> None:
        self.size[name] = size
        self.peak = max(self.peak, sum(self.size.values()))

    def free(self, names: Sequence[str]) -> None:
        for name in names:
            self.size.pop(name, None)


def check_patches(setting: Setting, stages: Sequence[PatchedStage]) -> int:
    """Peak bytes of a run with these stages, in the eager accounting.

    Raises SpecError where stages overlap, a call reads what is not there, or the results of a stage are not whole.
    """
    at = 0
    for stage in stages:
        if stage.first < at or stage.stop > setting.size:
            raise SpecError("stages overlap or leave the graph")
        at = stage.stop
        _whole(setting, stage)
    memory = _Memory()
    blocks = {f"block {i}": life for i, life in enumerate(setting.lives)}
    for name, life in blocks.items():
        if life.first < 0:
            memory.make(name, life.size)
    position = 0
    memory.free([n for n, life in blocks.items() if life.last < 0])
    pending: list[PatchedStage | None] = [*stages, None]
    for following in pending:
        for node in range(position, following.first if following else setting.size):
            for name, life in blocks.items():
                if life.first == node:
                    memory.make(name, life.size)
            memory.free([n for n, life in blocks.items() if life.last == node])
        if following is not None:
            _run(setting, following, memory)
            position = following.stop
    return memory.peak


def _whole(setting: Setting, stage: PatchedStage) -> None:
    """Every place of every result is stored once, and lies in the tile that it comes from."""
    for value in stage.outputs:
        shape = setting.shapes[value]
        filled = np.zeros((shape.rows, shape.columns), dtype=int)
        for patch in stage.patches:
            for store in patch.stores:
                if store.value == value:
                    filled[slice(*store.box.rows), slice(*store.box.columns)] += 1
        if (filled != 1).any():
            raise SpecError(f"{value} is not put together whole")


def _owner(setting: Setting, value: str) -> str:
    while value in setting.base:
        value = setting.base[value]
    return value


def _inside(box: Box | None, other: Box) -> bool:
    if box is None:
        return False
    rows = other.rows[0] <= box.rows[0] and box.rows[1] <= other.rows[1]
    return rows and other.columns[0] <= box.columns[0] and box.columns[1] <= other.columns[1]


def _run(setting: Setting, stage: PatchedStage, memory: _Memory) -> None:
    """One stage: its results first, then patch after patch, what it reads for the last time freed in the last one."""
    for value in stage.outputs:
        memory.make(f"block {setting.block_of[value]}", _bytes(setting, value, None))
    entering = {
        f"block {i}" for i, life in enumerate(setting.lives) if life.first < stage.first <= life.last < stage.stop
    }
    for number, patch in enumerate(stage.patches):
        final = number == len(stage.patches) - 1
        there: dict[str, Box] = {}
        readers: dict[str, int] = {}
        staying = {f"block {i}" for i in range(len(setting.lives))} - (entering if final else set())
        joined = {setting.graph.nodes[c.node].results[0].id for c in patch.calls if c.joined}

        def memory_of(value: str, joined: set[str] = joined) -> str:
            while value in setting.base and value not in joined:
                value = setting.base[value]
            node = setting.defined.get(value, -1)
            if node < stage.first:
                return f"block {setting.block_of[value]}" if value in setting.block_of else ""
            return value

        for call in patch.calls:
            for read in call.reads:
                readers[memory_of(read.value)] = call.node
            result = setting.graph.nodes[call.node].results[0].id
            readers[memory_of(result)] = max(readers.get(memory_of(result), -1), call.node)
        for store in patch.stores:
            name = memory_of(store.value)
            readers[name] = max(readers.get(name, -1), store.after)
        for call in patch.calls:
            node = setting.graph.nodes[call.node]
            result = node.results[0].id
            for read in call.reads:
                inner = read.box is not None and setting.defined.get(read.value, -1) >= stage.first
                if inner and not _inside(read.box, there[read.value]):
                    raise SpecError(f"{node.name} reads rows of {read.value} that this patch does not have")
            dying = [name for name, last in readers.items() if last == call.node and name not in staying]
            bordered = any(call.border) and not _is_border(setting, call)
            if bordered:
                read = next(r for r in call.reads if r.box is not None)
                assert read.box is not None
                height = read.box.rows[1] - read.box.rows[0] + call.border[0] + call.border[1]
                width = read.box.columns[1] - read.box.columns[0] + call.border[2] + call.border[3]
                memory.make("border", _bytes(setting, read.value, height * width))
                memory.free([n for n in dying if n == memory_of(read.value)])
            name = memory_of(result)
            made = _bytes(setting, result, call.made.area)
            shares = result in setting.base
            if call.joined is None:
                there[result] = call.made
                if not shares:
                    memory.make(name, made)
            else:
                if not shares:
                    memory.make("made", made)
                there[result] = call.joined
                _joined(call, number, result, memory)
            memory.free(["border"])
            staying_on = {name, memory_of(setting.base[result]) if shares else name} if call.joined else set()
            memory.free([n for n in dying if n not in staying_on])
            if call.joined is not None:
                memory.make(name, _bytes(setting, result, there[result].area))
                memory.free(["made", *(_kept(result, part.patch, part.index) for part in call.parts if part.last)])
                memory.free([n for n in dying if n != name])
            for index, box in enumerate(call.kept):
                if not _inside(box, there[result]):
                    raise SpecError(f"{node.name} keeps what this patch does not have")
                memory.make(_kept(result, number, index), _bytes(setting, result, box.area))
    memory.free(sorted(entering))


def _kept(value: str, patch: int, index: int) -> str:
    return f"kept {value} {patch} {index}"


def _joined(call: TileCall, number: int, value: str, memory: _Memory) -> None:
    """What is made and the parts of earlier patches are the joined tile, each place once."""
    assert call.joined is not None
    boxes = [call.made, *(part.box for part in call.parts)]
    if sum(box.area for box in boxes) != call.joined.area or any((a & b).area for a, b in combinations(boxes, 2)):
        raise SpecError(f"patch {number}: the parts of {value} do not make its tile")
    for part, box in zip(call.parts, boxes[1:], strict=True):
        if not _inside(box, call.joined) or _kept(value, part.patch, part.index) not in memory.size:
            raise SpecError(f"patch {number}: {value} takes what patch {part.patch} does not keep any more")


def _is_border(setting: Setting, call: TileCall) -> bool:
    return setting.graph.nodes[call.node].op in {"aten.pad", "aten.constant_pad_nd"}


def _bytes(setting: Setting, value: str, area: int | None) -> int:
    shape = setting.shapes[value]
    places = shape.rows * shape.columns if area is None else area
    return (places * shape.bits + 7) // 8
