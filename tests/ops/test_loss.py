"""Losses: arithmetic per element of the prediction."""

from __future__ import annotations

from tests.support.calls import cost, number

PAIR = {"self": "f32[4, 8]", "target": "f32[4, 8]"}


def test_pointwise_losses() -> None:
    # subtract, square, sum
    assert number(cost("aten.mse_loss", PAIR, result="f32[]").other_ops) == 32 * 3
    assert number(cost("aten.l1_loss", PAIR, result="f32[]").other_ops) == 32 * 3


def test_cross_entropy() -> None:
    found = cost("aten.cross_entropy_loss", {"self": "f32[4, 10]", "target": "i64[4]"}, result="f32[]")
    assert number(found.other_ops) == 40 * 19 + 4  # log_softmax, and one sum per sample
    assert number(found.scratch[0].nbytes) == 41 * 4


def test_picking_reads_one_entry_per_sample() -> None:
    found = cost("aten.nll_loss_forward", {"self": "f32[4, 10]", "target": "i64[4]"}, result=("f32[]", "f32[]"))
    assert (number(found.other_ops), number(found.reads[0])) == (4, 4)


def test_gradients() -> None:
    operands = {"grad_output": "f32[]", **PAIR}
    assert number(cost("aten.mse_loss_backward", operands, result="f32[4, 8]").other_ops) == 32 * 3
