"""Losses: pointwise arithmetic on the prediction and a sum, counted per element of the prediction."""

from __future__ import annotations

from fxcost.ops.arithmetic import ADD, COMPARE, MULTIPLY, SOFTMAX, SOFTPLUS, TRANSCENDENTAL
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, Scratch, rule
from fxcost.ops.touched import reads

_TABLE: dict[str, tuple[int, str]] = {
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
    "smooth_l1_loss_backward huber_loss_backward": (
        ADD + COMPARE + 2 * MULTIPLY,
        "sign or slope, scaled",
    ),
    "binary_cross_entropy_backward": (3 * ADD + 3 * MULTIPLY, "difference over x * (1 - x), scaled"),
    "nll_loss_backward nll_loss2d_backward": (0, "zeros with one entry per sample"),
}


def _register(words: str, operations: int, reason: str, *, backward: bool) -> None:
    def loss(call: Call) -> OpCost:
        counted = call.result if backward else call.tensor(call.node.slots[0])
        return OpCost(other_ops=counted.numel * operations)

    loss.__doc__ = f"{operations} per element of the {'gradient' if backward else 'prediction'}: {reason}."
    rule(*aten(words))(loss)


for _words, (_operations, _reason) in _TABLE.items():
    _register(_words, _operations, _reason, backward=False)
for _words, (_operations, _reason) in _BACKWARD.items():
    _register(_words, _operations, _reason, backward=True)


@rule("aten.nll_loss", "aten.nll_loss_nd", "aten.nll_loss2d", "aten.nll_loss_forward", "aten.nll_loss2d_forward")
def nll_loss(call: Call) -> OpCost:
    """Picks one entry per sample and adds it: one operation and one element read per target."""
    targets = call.tensor("target").numel
    return OpCost(other_ops=targets, reads=reads(call, self=targets))


@rule("aten.cross_entropy_loss")
def cross_entropy(call: Call) -> OpCost:
    """log_softmax per element of the prediction, and one operation per sample to add the target's entry.

    The log_softmax lives inside, with one number for the total weight (torch-cpu).
    """
    prediction, target = call.tensor("self"), call.tensor("target")
    inside = Scratch("log_softmax", prediction.numel + 1, prediction.dtype.bytes)
    return OpCost(other_ops=prediction.numel * SOFTMAX + target.numel, scratch=(inside,))
