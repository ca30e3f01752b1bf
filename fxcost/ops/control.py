"""Control flow: a body's operations, as often as it runs.

The body's own counts are summed up where the graph is captured and stand in the node's attributes. How often a loop
runs, and which branch is taken, may be data: then a symbol of its own says it.
"""

from __future__ import annotations

from fxcost.ir.expr import ZERO, Expr, as_expr
from fxcost.ops.registry import Call, OpCost, rule


def _stated(call: Call, name: str) -> Expr:
    value = call.attr(name, 0)
    return as_expr(value) if isinstance(value, int | Expr) else ZERO


@rule("control.loop")
def loop(call: Call) -> OpCost:
    """T*M: T steps (scan, map: the length; while: a symbol) of a body with M multiply-accumulates.

    Operands are read once and results written once: what moves inside the body is not counted.
    """
    trips, body = _stated(call, "trips"), _stated(call, "body_macs")
    return OpCost(
        macs=trips * body,
        other_ops=trips * _stated(call, "body_other_ops"),
        formula="T*M",
        bind={"T": trips, "M": body},
    )


@rule("control.branch")
def branch(call: Call) -> OpCost:
    """p*A + (1 - p)*B: the branches' multiply-accumulates A and B; p is 1 where the first is taken, else 0.

    Operands are read once and results written once: what moves inside the branches is not counted.
    """
    taken = _stated(call, "taken")
    first, second = _stated(call, "first_macs"), _stated(call, "second_macs")
    others = [_stated(call, name) for name in ("first_other_ops", "second_other_ops")]
    return OpCost(
        macs=taken * first + (1 - taken) * second,
        other_ops=taken * others[0] + (1 - taken) * others[1],
        formula="p*A + (1 - p)*B",
        bind={"p": taken, "A": first, "B": second},
    )
