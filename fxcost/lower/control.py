"""Control flow: what stands in the graph for a loop or a branch whose bodies' operations were summed up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from fxcost.ir.expr import ONE, ZERO, Expr, maximum, total
from fxcost.ir.graph import Attribute, Node
from fxcost.ir.types import TensorType, ValueType
from fxcost.ops.kinds import kind_of
from fxcost.ops.registry import Call, find

CONTROL_FLOW = {"hop.cond", "hop.scan", "hop.map_impl", "hop.while_loop"}
COUNTED_AS = "its bodies' operations, traffic and memory are counted as often as they run, at the widths as written"


@dataclass(frozen=True)
class Body:
    """What one run of a body costs.

    `reads` are elements read of each of its inputs, by their number; `read_bytes` and `write_bytes` are moved between
    its own values, which take `peak_bytes` at most.
    """

    macs: Expr
    other_ops: Expr
    reads: tuple[Expr, ...]
    read_bytes: Expr
    write_bytes: Expr
    peak_bytes: Expr

    def attributes(self, prefix: str) -> dict[str, Attribute]:
        """The counts by name, as the rules of `fxcost.ops.control` read them."""
        found = {f"{prefix}_{each.name}": getattr(self, each.name) for each in fields(self) if each.name != "reads"}
        return {**found, f"{prefix}_reads": self.reads}


def summed(
    nodes: Sequence[Node], types: Mapping[str, ValueType], inputs: Sequence[str], outputs: Collection[str]
) -> Body | None:
    """What one run of the nodes costs; None where one of them has no rule."""
    owner: dict[str, str] = {}  # a view -> the value whose memory it is
    reads, last = dict.fromkeys(inputs, ZERO), {}
    macs, others, read, written = ZERO, ZERO, ZERO, ZERO
    for position, node in enumerate(nodes):
        found = find(node.op)
        if found is None:
            return None
        call = Call(node, tuple(types[operand] for operand in node.operands))
        cost = found.function(call)
        macs, others = macs + cost.macs, others + cost.other_ops
        for result, viewed in node.effects.views:
            whole = node.operands[viewed]
            owner[node.results[result].id] = owner.get(whole, whole)
        for operand in node.operands:
            last[owner.get(operand, operand)] = position
        if kind_of(call) in {"view", "free"}:
            continue
        for place, (operand, kind) in enumerate(zip(node.operands, call.operands, strict=True)):
            if not isinstance(kind, TensorType) or (operand in node.operands[:place] and place not in cost.reads):
                continue
            elements, base = cost.reads.get(place, kind.numel), owner.get(operand, operand)
            if base in reads:
                reads[base] = reads[base] + elements
            else:
                read = read + elements * kind.dtype.bytes
        for place, value in enumerate(node.results):
            if isinstance(value.type, TensorType):
                written = written + cost.writes.get(place, value.type.numel) * value.type.dtype.bytes
    kept = {owner.get(value, value) for value in outputs}
    peak = _peak(nodes, last, owner, kept)
    return Body(macs, others, tuple(reads[name] for name in inputs), read, written, peak)


def _peak(nodes: Sequence[Node], last: Mapping[str, int], owner: Mapping[str, str], kept: Collection[str]) -> Expr:
    """The most bytes alive at once of what the nodes make; what is returned lives to the end."""
    alive: dict[str, Expr] = {}
    steps = [ZERO]
    for position, node in enumerate(nodes):
        for value in node.results:
            if isinstance(value.type, TensorType) and value.id not in owner:
                alive[value.id] = value.type.nbytes
        steps.append(total(alive.values()))
        for name in [n for n in alive if last.get(n, position) <= position and n not in kept]:
            del alive[name]
    return maximum(*dict.fromkeys(steps))


def described(
    op: str, node: Any, bodies: Sequence[Body], size: Callable[[Any], Expr], decided: Callable[[int | None], Expr]
) -> tuple[str, dict[str, Attribute]]:
    """The operator and attributes that take the place of `node`.

    `size` reads one of torch's sizes; `decided` makes a symbol for what only the data decides, with its greatest value.
    """
    if op == "hop.cond":
        first, second = bodies
        # Branches that differ in which of their inputs they read alone cost the same.
        alike = replace(first, reads=()) == replace(second, reads=()) and total(first.reads) is total(second.reads)
        taken = ONE if alike else decided(1)
        return "control.branch", {**first.attributes("first"), **second.attributes("second"), "taken": taken}
    if op == "hop.while_loop":
        trips = decided(None)
    else:  # a list of tensors, whose first dimension is that of the steps
        trips = size(node.args[2 if op == "hop.scan" else 1][0].meta["val"].shape[0])
    return "control.loop", {"trips": trips, **bodies[-1].attributes("body")}
