"""Control flow: a body's operations, traffic and memory, as often as it runs.

The body's own counts are summed up where the graph is captured and stand in the node's attributes. How often a loop
runs, and which branch is taken, may be data: then a symbol of its own says it.
"""

from __future__ import annotations

from fxcost.ir.expr import ONE, ZERO, Expr, as_expr, const, maximum
from fxcost.ir.types import TensorType
from fxcost.ops.registry import Call, OpCost, Scratch, rule


def _stated(call: Call, name: str) -> Expr:
    value = call.attr(name, 0)
    return as_expr(value) if isinstance(value, int | Expr) else ZERO


def _reads(call: Call, *bodies: tuple[str, Expr]) -> dict[int, Expr]:
    """Elements read of each operand: what the bodies, each as often as it runs, read of their inputs.

    A body's inputs are the last operands in their order; those before them (what a branch depends on) are read once.
    """
    found: dict[int, Expr] = {}
    tensors = [place for place, kind in enumerate(call.operands) if isinstance(kind, TensorType)]
    for name, times in bodies:
        reads = call.attr(f"{name}_reads", ())
        assert isinstance(reads, tuple)
        for place, elements in zip(reversed(tensors), reversed(reads), strict=False):
            if isinstance(elements, int | Expr):
                found[place] = found.get(place, ZERO) + times * elements
    return found


@rule("control.loop")
def loop(call: Call) -> OpCost:
    """T*M: T steps (scan, map: the length; while: a symbol) of a body with M multiply-accumulates.

    A step reads of its inputs what the body reads of them, and moves the body's own values, which are memory inside this
    op while a step runs. Results are written once more, where the steps' results are put together.
    """
    trips, body = _stated(call, "trips"), _stated(call, "body_macs")
    return OpCost(
        macs=trips * body,
        other_ops=trips * _stated(call, "body_other_ops"),
        reads=_reads(call, ("body", trips)),
        scratch=(Scratch("values of a step", _stated(call, "body_peak_bytes"), 1),),
        inside_reads=trips * _stated(call, "body_read_bytes"),
        inside_writes=trips * _stated(call, "body_write_bytes"),
        formula="T*M",
        bind={"T": trips, "M": body},
    )


@rule("control.branch")
def branch(call: Call) -> OpCost:
    """p*A + (1 - p)*B: the branches' multiply-accumulates A and B; p is 1 where the first is taken, else 0.

    Traffic is that of the branch taken; memory inside is the larger of the two.
    """
    taken = _stated(call, "taken")

    def either(name: str) -> Expr:
        return taken * _stated(call, f"first_{name}") + (ONE - taken) * _stated(call, f"second_{name}")

    first, second = _stated(call, "first_macs"), _stated(call, "second_macs")
    inside = maximum(_stated(call, "first_peak_bytes"), _stated(call, "second_peak_bytes"))
    return OpCost(
        macs=either("macs"),
        other_ops=either("other_ops"),
        reads=_reads(call, ("first", taken), ("second", const(1) - taken)),
        scratch=(Scratch("values of a branch", inside, 1),),
        inside_reads=either("read_bytes"),
        inside_writes=either("write_bytes"),
        formula="p*A + (1 - p)*B",
        bind={"p": taken, "A": first, "B": second},
    )
