"""Calls for rules, written by hand: `call("aten.relu", {"self": "f32[N, 8]"}, result="f32[N, 8]")`."""

from __future__ import annotations

from collections.abc import Mapping

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, product, symbol
from fxcost.ir.graph import Attribute, Node, Value
from fxcost.ir.types import DType, TensorType, ValueType
from fxcost.ops.registry import Call, OpCost, find


def size(text: str) -> Expr:
    """A size such as `3`, `N` or `2*H`."""
    factors = [part.strip() for part in text.split("*")]
    return product(as_expr(int(part)) if part.isdecimal() else symbol(part) for part in factors)


def tensor(text: str) -> TensorType:
    """A tensor type as it prints: `f32[N, 3, 224, 224]`, `i64[]`."""
    dtype, _, dims = text.partition("[")
    return TensorType(tuple(size(dim) for dim in dims.rstrip("]").split(",") if dim.strip()), DType.of(dtype))


def call(op: str, operands: Mapping[str, str], *, result: str | tuple[str, ...] = (), **attrs: Attribute) -> Call:
    """A call of `op`; `operands` gives a tensor type by slot."""
    results = (result,) if isinstance(result, str) else result
    types: tuple[ValueType, ...] = tuple(tensor(text) for text in operands.values())
    node = Node(
        name="node",
        op=op,
        operands=tuple(f"%{i}" for i in range(len(types))),
        slots=tuple(operands),
        attrs=attrs,
        results=tuple(Value(f"%r{i}", tensor(text)) for i, text in enumerate(results)),
    )
    return Call(node, types, ("activation",) * len(types))


def cost(op: str, operands: Mapping[str, str], *, result: str | tuple[str, ...] = (), **attrs: Attribute) -> OpCost:
    """What the rule of `op` says of such a call."""
    return cost_of(call(op, operands, result=result, **attrs))


def cost_of(made: Call) -> OpCost:
    """What the rule of a call says; its formula is checked against its MACs on the way."""
    found = find(made.op)
    assert found is not None, f"{made.op} has no rule"
    answer = found.function(made)
    assert formula_value(answer) is answer.macs, f"{made.op}: {answer.formula} is not {answer.macs}"
    return answer


def formula_value(answer: OpCost) -> Expr:
    """The printed formula, evaluated with the letters that it binds."""
    scope: dict[str, object] = {"__builtins__": {}}
    value = eval(answer.formula, scope, dict(answer.bind)) if answer.formula else 0
    assert isinstance(value, int | Expr)
    return as_expr(value)


def number(value: Expr | None, **env: int) -> int:
    """The value of an expression at a point."""
    assert value is not None
    return evaluate(value, env)
