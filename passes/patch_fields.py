"""Halos as formulas: which rows of every value some rows of a result need, for every H and W at once.

Rows [a, b) of the result need of a value the rows from max(0, a*stride - before) to min((b - 1)*stride - before + reach,
end). `stride`, `before` and `reach` are numbers, composed window by window; `end`, what the whole result needs, is an
expression in the sizes: rows beyond it no window looks at. Exact where windows leave no gaps (kernel at least the stride,
no dilation); with gaps a patch may need less at the border, which a point shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, floordiv, maximum, minimum, total
from fxcost.ir.graph import Graph
from fxcost.ops.locality import Axis, Local, locality
from fxcost.passes.cost import Costs, call_of
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts


@dataclass(frozen=True)
class Field:
    """What results need of a value along one axis; see the module's docstring."""

    stride: int
    before: int
    reach: int
    end: Expr

    def range(self, first: Expr | int, stop: Expr | int) -> tuple[Expr, Expr]:
        """Rows of the value that rows [first, stop) of the result need."""
        low = maximum(0, first * self.stride - self.before)
        return low, minimum((stop - 1) * self.stride - self.before + self.reach, self.end)

    def seen_through(self, axis: Axis, size: Expr) -> Field:
        """The field of the operand of a call whose result has this field."""
        return Field(
            self.stride * axis.stride,
            self.before * axis.stride + axis.before,
            (self.reach - 1) * axis.stride + axis.reach,
            minimum(size, (self.end - 1) * axis.stride - axis.before + axis.reach),
        )

    def hull(self, other: Field | None) -> Field:
        """The field of both readers of a value; raises SpecError where they are of another resolution."""
        if other is None:
            return self
        if self.stride != other.stride:
            raise SpecError("two branches see a value at different strides: their halo has no one formula")
        before = max(self.before, other.before)
        after = max(self.reach - self.before, other.reach - other.before)
        return Field(self.stride, before, before + after, maximum(self.end, other.end))


def fields(graph: Graph, facts: Facts, first: int, stop: int) -> Mapping[str, tuple[Field, Field]]:
    """Rows and columns of every value that the result of node `stop - 1` needs, by nodes from `first` on.

    Raises SpecError where a node needs its whole maps, or another result than that one is read later.
    """
    homes = facts[Storage].homes
    result = graph.nodes[stop - 1].results[0].id
    shape = graph.tensor(result).shape
    found = {result: (Field(1, 0, 1, shape[-2]), Field(1, 0, 1, shape[-1]))}
    for position in range(stop - 1, first - 1, -1):
        node = graph.nodes[position]
        local = locality(call_of(graph, node, homes))
        made = node.results[0].id if node.results else ""
        if not isinstance(local, Local):
            raise SpecError(f"{node.name} cannot be cut: {local}")
        readers = graph.readers.get(made, ())
        if made != result and (made in graph.outputs or any(reader >= stop for reader in readers)):
            raise SpecError(f"{node.name} is read after the stage: its halo depends on the patches, too")
        if made not in found:
            raise SpecError(f"{node.name}: nothing reads it")
        for index in local.moving:
            operand = node.operands[index]
            sizes, known = graph.tensor(operand).shape[-2:], found.get(operand)
            rows, columns = (f.seen_through(a, s) for f, a, s in zip(found[made], local.axes, sizes, strict=True))
            found[operand] = rows.hull(known[0] if known else None), columns.hull(known[1] if known else None)
    return found


def stage_macs(graph: Graph, facts: Facts, first: int, stop: int, rows: int, columns: int) -> Expr:
    """MACs of a stage in rows x columns patches as a formula, halos computed twice included.

    Holds where every patch has a row and a column of the result. Raises SpecError as `fields`.
    """
    seen = fields(graph, facts, first, stop)
    shape = graph.tensor(graph.nodes[stop - 1].results[0].id).shape
    macs = []
    for position in range(first, stop):
        value = graph.nodes[position].results[0].id
        height, width = (
            _length(field, size, parts)
            for field, size, parts in zip(seen[value], shape[-2:], (rows, columns), strict=True)
        )
        own = graph.tensor(value).shape
        place = floordiv(facts[Costs].rows[position].macs, own[-2] * own[-1])
        macs.append(place * height * width)
    return total(macs)


def _length(field: Field, size: Expr, parts: int) -> Expr:
    """Rows that all strips of a result of that size need together."""
    edges = [floordiv(size * i, parts) for i in range(parts + 1)]
    spans = [field.range(low, high) for low, high in pairwise(edges)]
    return total(stop - first for first, stop in spans)
