"""Losses: pointwise arithmetic on the prediction and a sum, counted per element of the prediction."""

from __future__ import annotations

from collections.abc import Callable

from fxcost.ops.arithmetic import ADD, COMPARE, MULTIPLY, SOFTMAX, SOFTPLUS, TRANSCENDENTAL
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads

_TABLE: dict[str, tuple[int, str]] = {
    "cross_entropy_loss": (SOFTMAX, "log_softmax; the pick of the target's entry is a gather"),
    "mse_loss": (2 * ADD + MULTIPLY, "subtract, square, sum"),
    "l1_loss": (3 * ADD, "subtract, absolute value, sum"),
    "smooth_l1_loss huber_loss": (3 * ADD + 2 * MULTIPLY + COMPARE, "difference, square or absolute value, sum"),
    "kl_div": (TRANSCENDENTAL + 2 * ADD + MULTIPLY, "target * (log(target) - x), sum"),
    "binary_cross_entropy": (2 * TRANSCENDENTAL + 3 * ADD + 2 * MULTIPLY, "two logarithms, two products, sums"),
    "binary_cross_entropy_with_logits": (SOFTPLUS + 3 * ADD + MULTIPLY, "softplus, product, subtract, add, sum"),
    "soft_margin_loss": (SOFTPLUS + ADD + MULTIPLY, "softplus of a product, sum"),
    "hinge_embedding_loss margin_ranking_loss": (3 * ADD + MULTIPLY + COMPARE, "product, margin, maximum, sum"),
    "cosine_embedding_loss triplet_margin_loss": (7, "dot products or distances, margin, sum"),
    "poisson_nll_loss": (TRANSCENDENTAL + 2 * ADD + MULTIPLY, "exp(x) - y * x, sum"),
}

_BACKWARD: dict[str, tuple[int, str]] = {
    "mse_loss_backward": (ADD + 2 * MULTIPLY, "subtract and two multiplications"),
    "l1_loss_backward smooth_l1_loss_backward huber_loss_backward": (
        ADD + COMPARE + 2 * MULTIPLY,
        "sign or slope, scaled",
    ),
    "binary_cross_entropy_backward": (3 * ADD + 3 * MULTIPLY, "difference over x * (1 - x), scaled"),
    "nll_loss_backward nll_loss2d_backward": (0, "zeros with one entry per sample"),
}


def _per_prediction(operations: int, reason: str) -> Callable[[Call], OpCost]:
    def cost(call: Call) -> OpCost:
        return OpCost(other_ops=call.tensor(call.node.slots[0]).numel * operations)

    cost.__doc__ = f"{operations} per element of the prediction: {reason}."
    return cost


def _per_gradient(operations: int, reason: str) -> Callable[[Call], OpCost]:
    def cost(call: Call) -> OpCost:
        return OpCost(other_ops=call.result.numel * operations)

    cost.__doc__ = f"{operations} per element of the gradient: {reason}."
    return cost


def _register() -> None:
    for names, (operations, reason) in _TABLE.items():
        rule(*(f"aten.{name}" for name in names.split()))(_per_prediction(operations, reason))
    for names, (operations, reason) in _BACKWARD.items():
        rule(*(f"aten.{name}" for name in names.split()))(_per_gradient(operations, reason))


_register()


@rule("aten.nll_loss", "aten.nll_loss_nd", "aten.nll_loss2d", "aten.nll_loss_forward", "aten.nll_loss2d_forward")
def nll_loss(call: Call) -> OpCost:
    """Picks one entry per sample and adds it: one operation and one element read per target."""
    targets = call.tensor("target").numel
    return OpCost(other_ops=targets, reads=reads(call, self=targets))
