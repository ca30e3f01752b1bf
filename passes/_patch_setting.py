"""A graph at one point as the patch pass sees it: windows of every node, sizes of every value, blocks with their lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from fxcost.errors import SpecError
from fxcost.ir.evaluate import compiled, evaluate
from fxcost.ir.expr import Expr, symbol
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import holds
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.ops.locality import Local, locality
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs, call_of
from fxcost.passes.fuse import Groups
from fxcost.passes.schedule_hazards import is_random
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

MOST_BITS = 1 << 60
"""Of all tensors together: no sum over a sweep then passes what int64 holds, borders and kept halos included."""


@dataclass(frozen=True)
class Shape:
    """Rows, columns and bits of one place (all images and channels) of a value."""

    rows: int
    columns: int
    bits: int

    def nbytes(self, area: Numbers) -> Numbers:
        """Bytes of so many places."""
        return (area * self.bits + 7) // 8


@dataclass(frozen=True)
class Life:
    """A block of memory of the graph as it stands: alive from step `first` to step `last`."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Setting:
    """Everything that depends on the point and the options, and on no patch.

    local    how each node can be cut, or why not
    shapes   of every value that has rows and columns
    block_of the block that each value lives in, a position in `lives`; absent for the model's own tensors
    base     the operand that a value shares its memory with: views, in-place results, what is never materialised
    written  values whose memory a node writes into, by node
    last     the last node that reads each value; the number of nodes where it outlives the call
    over     nodes whose result a runtime may write over an operand, in an order in which that one dies there
    direct   a runtime pads on the way and writes results in their place: no buffer for a border, no tile beside
    """

    graph: Graph
    point: Mapping[str, int]
    local: tuple[Local | str, ...]
    shapes: Mapping[str, Shape]
    lives: tuple[Life, ...]
    block_of: Mapping[str, int]
    base: Mapping[str, str]
    written: tuple[frozenset[str], ...]
    last: Mapping[str, int]
    defined: Mapping[str, int]
    macs: tuple[int, ...]
    traffic: tuple[tuple[int, int, int], ...]
    over: frozenset[int]
    direct: bool
    start: int

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.graph.nodes)

    @cached_property
    def alive(self) -> tuple[int, ...]:
        """Bytes alive while each node runs on whole maps."""
        change = [0] * (self.size + 2)
        for life in self.lives:
            change[max(life.first, 0)] += life.size
            change[life.last + 1] -= life.size
        return tuple(accumulate(change))[: self.size]

    @cached_property
    def peak(self) -> int:
        """Bytes at the peak without patches."""
        return max((self.start, *self.alive))

    @cached_property
    def total_macs(self) -> int:
        """MACs without patches."""
        return sum(self.macs)


def setting_of(graph: Graph, facts: Facts, point: Mapping[str, int]) -> Setting:
    """The setting at a point that binds every symbol, nodes in traced order.

    Raises SpecError where a symbol has no size, or sizes are beyond what is counted in.
    """
    missing = [s.name for s in graph.symbols if s.name not in point]
    if missing:
        raise SpecError(f"patches are cut at a point: give a size for {', '.join(missing)}")
    facts = facts.under(order=None)
    storage, groups, options = facts[Storage], facts[Groups], facts.options
    case = next(c for c in facts[Buffers].cases if holds(c.when, point))
    sizes = _numbers([buffer.size for buffer in case.buffers], point)
    lives = tuple(Life(sizes[buffer.size], buffer.first, buffer.last) for buffer in case.buffers)
    block_of = {value: i for i, buffer in enumerate(case.buffers) for value in buffer.values}
    base = {v: a.of for v, a in storage.aliases.items() if holds(a.when, point)} | dict(groups.virtual)
    defined = {value.id: k for k, node in enumerate(graph.nodes) for value in node.results}
    last, maps = last_uses(graph), maps_of(graph)
    rows = facts[Costs].rows
    wanted = [size for kind in maps.values() for size in (*kind.shape[-2:], kind.numel)]
    wanted += [size for row in rows for size in (row.macs, row.read_bytes, row.write_bytes, row.weight_bytes)]
    numbers = _numbers(wanted, point)
    shapes = {}
    for value, kind in maps.items():
        height, width = (numbers[size] for size in kind.shape[-2:])
        bits = bits_of(kind, options.activations)
        shapes[value] = Shape(height, width, bits * (numbers[kind.numel] // max(1, height * width)))
    if sum(shape.rows * shape.columns * shape.bits for shape in shapes.values()) >= MOST_BITS:
        raise SpecError(
            "patches are counted in 64 bits: at these sizes all tensors together have more than 2**60 of them"
        )
    return Setting(
        graph,
        point,
        windows_of(graph, storage),
        shapes,
        lives,
        block_of,
        base,
        tuple(frozenset(node.operands[i] for i in node.effects.writes) for node in graph.nodes),
        last,
        defined,
        tuple(numbers[row.macs] for row in rows),
        tuple((numbers[row.read_bytes], numbers[row.write_bytes], numbers[row.weight_bytes]) for row in rows),
        may_overwrite(facts),
        options.accounting != "eager",
        sum(life.size for life in lives if life.first < 0),
    )


def _numbers(values: Iterable[Expr], point: Mapping[str, int]) -> dict[Expr, int]:
    """Every value at the point; compiled once for all of them and all points."""
    wanted = tuple(dict.fromkeys(values))
    names = tuple(sorted(point))
    return dict(zip(wanted, compiled(wanted, names)(*(point[name] for name in names)), strict=True))


def may_overwrite(facts: Facts) -> frozenset[int]:
    """Positions of calls that the accounting lets write over an operand where nothing reads that one later."""
    if facts.options.accounting != "inplace":
        return frozenset()
    return frozenset(k for k, row in enumerate(facts[Costs].rows) if row.kind in {"pointwise", "affine"})


def bits_of(kind: TensorType, activations: str | None) -> int:
    """Bits of one element as it is stored."""
    return evaluate(activation_bytes(kind, symbol("b") * 8, activations), {"b": 1})


def maps_of(graph: Graph) -> dict[str, TensorType]:
    """Values that have rows and columns."""
    return {v.id: v.type for v in graph.values() if isinstance(v.type, TensorType) and v.type.rank >= 2}


def last_uses(graph: Graph) -> dict[str, int]:
    """The last node that reads each value; the number of nodes where it outlives the call."""
    kept = {*graph.outputs, *(value for _, value in graph.updates)}
    return {value: graph.readers[value][-1] for value in graph.readers} | dict.fromkeys(kept, len(graph.nodes))


def windows_of(graph: Graph, storage: Storage) -> tuple[Local | str, ...]:
    """How each node can be cut, or why not."""
    return tuple(_local(graph, k, storage) for k in range(len(graph.nodes)))


def _local(graph: Graph, position: int, storage: Storage) -> Local | str:
    node = graph.nodes[position]
    if is_random(node):
        return "it draws random numbers"
    if node.regions:
        return "it has a body of its own"
    if any(node.operands[i] in storage.homes for i in node.effects.writes):
        return "it writes into the model's own tensors"
    return locality(call_of(graph, node, storage.homes))


def cuts(setting: Setting) -> Sequence[int]:
    """Positions where a stage may begin or end: before every node that is not pointwise on one map, and at both ends.

    A unary pointwise node joins its producer: it needs no halo, and a tile of its operand where it would need the map.
    """
    found = [0]
    for k in range(1, setting.size):
        kind = setting.local[k]
        unary = isinstance(kind, Local) and kind.form == "pointwise" and len(kind.moving) == 1
        if not (unary and _reads_the_one_before(setting, k)):
            found.append(k)
    return (*found, setting.size)


def _reads_the_one_before(setting: Setting, position: int) -> bool:
    return any(setting.defined.get(operand) == position - 1 for operand in setting.graph.nodes[position].operands)
