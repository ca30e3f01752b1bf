"""Reductions, scans, softmax and sorting: counted per *input* element."""

from __future__ import annotations

from fxcost.ir.expr import Expr, total
from fxcost.ops import arithmetic
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule

_TABLE: dict[str, tuple[int, str]] = {
    "sum mean nansum nanmean prod amax amin aminmax max min argmax argmin any all count_nonzero trace": (1, "one pass"),
    "_is_all_true _is_any_true": (1, "one pass"),
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
    "sort argsort msort topk kthvalue median nanmedian mode quantile nanquantile unique_consecutive _unique2": (
        1,
        "one pass; how many comparisons a sort makes depends on its algorithm",
    ),
    "histc bincount bucketize searchsorted isin": (1, "one placement"),
    "equal allclose dist": (2, "a difference (or comparison) and its accumulation"),
}


def _input(call: Call) -> Expr:
    """Elements of the tensor that is reduced: the first operand."""
    return call.tensor(call.node.slots[0]).numel


def _register(words: str, operations: int, reason: str) -> None:
    def reduction(call: Call) -> OpCost:
        return OpCost(other_ops=_input(call) * operations)

    reduction.__doc__ = f"{operations} per input element: {reason}."
    rule(*aten(words))(reduction)


for _words, (_operations, _reason) in _TABLE.items():
    _register(_words, _operations, _reason)


@rule("aten.diff")
def diff(call: Call) -> OpCost:
    """One subtraction per result element and order."""
    order = call.attr("n", 1)
    return OpCost(other_ops=call.result.numel * (order if isinstance(order, int) else 1))


@rule("aten.cosine_similarity")
def cosine_similarity(call: Call) -> OpCost:
    """Three dot products: six per element of the larger operand, and a root and a division per result."""
    largest = max(call.tensor("x1"), call.tensor("x2"), key=lambda tensor: tensor.rank)
    return OpCost(other_ops=total((largest.numel * 6, call.result.numel * 2)))


@rule("aten.pairwise_distance")
def pairwise_distance(call: Call) -> OpCost:
    """Subtract, add epsilon, power and sum: four per element of the first operand."""
    return OpCost(other_ops=_input(call) * 4)
