"""Reductions, scans, softmax and sorting: counted per *input* element."""

from __future__ import annotations

from collections.abc import Callable

from fxcost.ir.expr import Expr, total
from fxcost.ops import arithmetic
from fxcost.ops.registry import Call, OpCost, rule


def _input(call: Call) -> Expr:
    """Elements of the tensor that is reduced: the first operand."""
    return call.tensor(call.node.slots[0]).numel


def _per_input(operations: int, reason: str) -> Callable[[Call], OpCost]:
    def cost(call: Call) -> OpCost:
        return OpCost(other_ops=_input(call) * operations)

    cost.__doc__ = f"{operations} per input element: {reason}."
    return cost


_TABLE: dict[str, tuple[int, str]] = {
    "sum mean nansum nanmean prod amax amin aminmax max min argmax argmin any all count_nonzero trace": (1, "one pass"),
    "cumsum cumprod cummax cummin": (1, "one running operation"),
    "var std var_mean std_mean": (
        arithmetic.MEAN_AND_VARIANCE,
        "add for the mean; subtract, multiply, add for the variance",
    ),
    "logsumexp": (arithmetic.LOGSUMEXP, "maximum, subtract, exp, sum"),
    "logcumsumexp _logcumsumexp": (arithmetic.LOGSUMEXP, "maximum, subtract, exp, sum"),
    "softmax _softmax log_softmax _log_softmax _safe_softmax special_softmax special_log_softmax": (
        arithmetic.SOFTMAX,
        "maximum, subtract, exp, sum, and the division (log: subtraction)",
    ),
    "_softmax_backward_data": (4, "g * y, its sum, subtract, multiply"),
    "_log_softmax_backward_data": (arithmetic.TRANSCENDENTAL + 3, "sum of g, exp, multiply, subtract"),
    "sort argsort msort topk kthvalue median nanmedian mode quantile nanquantile unique_consecutive _unique2 unique_dim": (
        1,
        "one pass; how many comparisons a sort makes depends on its algorithm",
    ),
    "histc bincount bucketize searchsorted isin": (1, "one placement"),
    "equal allclose dist": (2, "a difference (or comparison) and its accumulation"),
    "masked_softmax": (arithmetic.SOFTMAX + 1, "softmax and the mask"),
}


def _register() -> None:
    for names, (operations, reason) in _TABLE.items():
        rule(*(f"aten.{name}" for name in names.split()))(_per_input(operations, reason))


_register()


@rule("aten.diff")
def diff(call: Call) -> OpCost:
    """One subtraction per result element and order."""
    order = call.attr("n", 1)
    return OpCost(other_ops=call.result.numel * (order if isinstance(order, int) else 1))


@rule("aten.cosine_similarity")
def cosine_similarity(call: Call) -> OpCost:
    """Three dot products: six per element of the larger operand, and a root and a division per result."""
    largest = max((t for t in call.operands if hasattr(t, "numel")), key=lambda t: t.rank)
    return OpCost(other_ops=total((largest.numel * 6, call.result.numel * 2)))


@rule("aten.pairwise_distance")
def pairwise_distance(call: Call) -> OpCost:
    """Subtract, add epsilon, power and sum: four per element of the first operand."""
    return OpCost(other_ops=_input(call) * 4)
