"""Common traffic: which operands and results a rule overrides."""

from __future__ import annotations

from fxcost.ir.expr import ZERO, Expr
from fxcost.ops.registry import Call, OpCost


def untouched(call: Call) -> OpCost:
    """No element is read or written: views, size arithmetic."""
    return OpCost(
        reads=dict.fromkeys(range(len(call.operands)), ZERO),
        writes=dict.fromkeys(range(len(call.node.results)), ZERO),
    )


def unread(call: Call) -> dict[int, Expr]:
    """Reads of an op that only looks at the types of its operands."""
    return dict.fromkeys(range(len(call.operands)), ZERO)


def reads(call: Call, **elements: Expr) -> dict[int, Expr]:
    """Read overrides by slot name; slots that hold no tensor here are left out."""
    positions = {slot: call.index(slot) for slot in elements}
    return {position: elements[slot] for slot, position in positions.items() if position is not None}


def in_place(call: Call) -> bool:
    """True for `aten.add_` and its like, which store into their first operand."""
    name = call.op.split(".")[1]
    return name.endswith("_") and not name.endswith("__")
