"""Recurrent layers: the products of all steps, layers and directions."""

from __future__ import annotations

import pytest

from fxcost.ir.expr import symbol
from tests.support.calls import cost, number

N, S = symbol("N"), symbol("S")


def parameters(
    gates: int, inputs: int, hidden: int, layers: int, directions: int, *, bias: bool = True
) -> dict[str, str]:
    """Weights in torch's order, by slot."""
    found: list[str] = []
    for layer in range(layers):
        width = inputs if layer == 0 else hidden * directions
        for _ in range(directions):
            rows = gates * hidden
            found += [f"f32[{rows}, {width}]", f"f32[{rows}, {hidden}]", *([f"f32[{rows}]"] * 2 if bias else [])]
    return {f"params.{i}": text for i, text in enumerate(found)}


@pytest.mark.parametrize(("op", "gates"), [("aten.lstm.input", 4), ("aten.gru.input", 3), ("aten.rnn_tanh.input", 1)])
def test_unrolled_products(op: str, gates: int) -> None:
    # two layers, both directions, 10 inputs, 6 hidden: per step and direction gates*6*(10 + 6), then gates*6*(12 + 6)
    operands = {"input": "f32[N, S, 10]", **parameters(gates, 10, 6, 2, 2)}
    found = cost(op, operands, result="f32[N, S, 12]", num_layers=2, bidirectional=True, batch_first=True)
    assert found.macs is N * S * 2 * gates * 6 * (16 + 18)
    assert found.formula == "T*W"


def test_lstm_arithmetic() -> None:
    # per hidden unit: sigmoid 3*18, tanh 2*15, 3 products, 1 sum, 4 sums of the gates' halves; two biases of 4*6
    operands = {"input": "f32[5, 1, 10]", **parameters(4, 10, 6, 1, 1)}
    found = cost("aten.lstm.input", operands, result="f32[5, 1, 6]")
    assert number(found.other_ops) == 5 * (6 * (54 + 30 + 3 + 1 + 4) + 48)


def test_projections() -> None:
    # 6 hidden units projected to 2: weights 24x10, 24x2 and 2x6
    operands = {"input": "f32[5, 1, 10]", "params.0": "f32[24, 10]", "params.1": "f32[24, 2]", "params.2": "f32[2, 6]"}
    found = cost("aten.lstm.input", operands, result="f32[5, 1, 2]")
    assert number(found.macs) == 5 * (240 + 48 + 12)
    assert number(found.other_ops) == 5 * 6 * 92


def test_packed_sequences_count_their_steps() -> None:
    operands = {"data": "f32[17, 10]", "batch_sizes": "i64[5]", **parameters(3, 10, 6, 1, 1, bias=False)}
    assert number(cost("aten.gru.data", operands, result="f32[17, 6]").macs) == 17 * 18 * 16


def test_cells_are_one_step() -> None:
    operands = {"input": "f32[N, 10]", "hx": "f32[N, 6]", "w_ih": "f32[18, 10]", "w_hh": "f32[18, 6]"}
    assert cost("aten.gru_cell", operands, result="f32[N, 6]").macs is N * 18 * 16


def test_library_layers() -> None:
    weights = {"weight0": "f32[24, 10]", "weight1": "f32[24, 6]", "weight2": "f32[24]", "weight3": "f32[24]"}
    found = cost("aten.mkldnn_rnn_layer", {"input": "f32[5, N, 10]", **weights}, result="f32[5, N, 6]", mode=2)
    assert found.macs is 5 * N * 24 * 16
    assert found.other_ops is 5 * N * (6 * 92 + 48)
    backward = {"input": "f32[5, N, 10]", "weight1": "f32[24, 10]", "weight2": "f32[24, 6]"}
    assert cost("aten.mkldnn_rnn_layer_backward", backward, result="f32[5, N, 10]").macs is 2 * found.macs
    whole = {"input": "f32[5, N, 10]", "weight.0": "f32[24, 10]", "weight.1": "f32[24, 6]", "hx": "f32[1, N, 6]"}
    assert cost("aten._cudnn_rnn", whole, result="f32[5, N, 6]", mode=2).macs is found.macs
