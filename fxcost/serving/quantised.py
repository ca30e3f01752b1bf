"""Caches that are stored quantised: packed rows with scales beside them, which attention reads as they are.

The stored form follows fxcost/ir/widths.py: a head's row of keys or values is packed for itself, with a 16-bit scale for
every group of its channels, and for int4 an 8-bit zero point. Whatever else reads such a cache gets it written out first,
as transformers' own quantised cache does for everything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fxcost.ir.expr import Expr
from fxcost.ir.graph import Effects, Node, Value
from fxcost.ir.types import DType, TensorType
from fxcost.ir.widths import Width, packed_bytes, scale_bytes
from fxcost.ops.serving import APPEND, ATTENTION, DEQUANTISE, LATENT

if TYPE_CHECKING:
    from fxcost.serving.view import Rewriting

READERS = {ATTENTION: ("key", "value"), LATENT: ("latent", "rope")}
"""Operators that read a cache as it is stored, and where they take it."""

_STORE = "is stored with scales in groups, which are read and written with it"
_WHOLE = "a quantised cache is written out in the type to compute in for what is no attention"


def quantise(work: Rewriting, kept: Width) -> None:
    """Store every cache that is appended to in a width with groups."""
    for node in [n for n in work.nodes.values() if n.op == APPEND]:
        _quantised(work, node, kept)
        work.notes[f"{kept.name} cache: it {_STORE}"] = None


def _quantised(work: Rewriting, node: Node, kept: Width) -> None:
    past, new = node.operands
    (stored,) = node.results
    whole = stored.type
    assert isinstance(whole, TensorType), "caches are tensors"
    scales = f"{past}_scales"
    kinds = {name: _stored_types(work.types[name], kept) for name in (past, stored.id)}
    work.types |= {past: kinds[past][0], scales: kinds[past][1]}
    work.inputs.append(Value(scales, kinds[past][1]))
    results = tuple(
        Value(v, kind) for v, kind in zip((stored.id, f"{stored.id}_scales"), kinds[stored.id], strict=True)
    )
    work.types |= {value.id: value.type for value in results}
    work.updates.append((scales, results[1].id))
    work.nodes[node.name] = replace(
        node,
        operands=(past, new, scales),
        slots=("cache", "new", "scales"),
        results=results,
        effects=Effects(views=((0, 0), (1, 2)), writes=(0, 2)),
    )
    _read(work, node, results, whole)


def _read(work: Rewriting, append: Node, results: tuple[Value, ...], whole: TensorType) -> None:
    """Readers that know how take the stored form, with its scales; others what is written out."""
    stored, scales = (value.id for value in results)
    others = False
    for name, node in list(work.nodes.items()):
        if name == append.name or stored not in node.operands:
            continue
        places = [slot for slot, o in zip(node.slots, node.operands, strict=True) if o == stored]
        if set(places) <= set(READERS.get(node.op, ())):
            slots = (*node.slots, *(f"{slot}_scales" for slot in places))
            work.nodes[name] = replace(node, operands=(*node.operands, *(scales for _ in places)), slots=slots)
            continue
        others = True
        operands = tuple(f"{stored}_whole" if o == stored else o for o in node.operands)
        work.nodes[name] = replace(node, operands=operands)
    if others:
        out = Value(f"{stored}_whole", whole)
        work.types[out.id] = whole
        made = Node(f"{append.name}_whole", DEQUANTISE, (stored, scales), ("cache", "scales"), {}, (out,))
        work.insert_behind(append.name, replace(made, module=append.module, source=append.source))
        work.notes[_WHOLE] = None


def _stored_types(kind: object, kept: Width) -> tuple[TensorType, TensorType]:
    """The packed rows and their scales, both in whole bytes."""
    assert isinstance(kind, TensorType), "caches are tensors"
    *rows, last = kind.shape
    dtype = DType.F8E4M3 if not kept.integer else DType.I8 if kept.bits == 8 else DType.U8

    def row(nbytes: Expr) -> tuple[Expr, ...]:
        return (*rows, nbytes)

    return TensorType(row(packed_bytes(last, kept.bits)), dtype), TensorType(row(scale_bytes(last, kept)), DType.U8)
