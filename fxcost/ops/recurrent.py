"""Recurrent layers and cells: the products of all steps, layers and directions, unrolled.

Each weight matrix is applied once per step and sequence, so MACs are steps times the elements of all matrices,
whatever the gates are (4 for LSTM, 3 for GRU), with a projection as with several layers and both directions.
"""

from __future__ import annotations

from collections.abc import Sequence

from fxcost.ir.expr import Expr, product, total
from fxcost.ir.types import TensorType
from fxcost.ops.arithmetic import ADD, COMPARE, MULTIPLY, SIGMOID, TANH, per_result
from fxcost.ops.registry import Call, OpCost, rule

# Per hidden unit after the products. The halves that come from input and state are added, gate by gate.
_LSTM = 3 * SIGMOID + 2 * TANH + 3 * MULTIPLY + ADD + 4 * ADD
_GRU = 2 * SIGMOID + TANH + 3 * MULTIPLY + 2 * ADD + 3 * ADD
_UNIT = {"lstm": (_LSTM, 4), "gru": (_GRU, 3), "rnn_tanh": (TANH + ADD, 1), "rnn_relu": (COMPARE + ADD, 1)}


def _recurrent(steps: Expr, weights: Sequence[TensorType], flavour: str) -> OpCost:
    """`steps` counts sequence positions times batch; vectors among `weights` are biases, one addition per element."""
    per_unit, gates = _UNIT[flavour]
    matrices = [weight for weight in weights if weight.rank == 2]
    biases = [weight for weight in weights if weight.rank == 1]
    rows = matrices[0].shape[0]  # one row per gate and hidden unit; a projection has others
    hidden = total(rows for matrix in matrices if matrix.shape[0] is rows) // (2 * gates)
    elements = total(m.numel for m in matrices)
    return OpCost(
        macs=steps * elements,
        other_ops=steps * (hidden * per_unit + total(b.numel for b in biases)),
        formula="T*W",
        bind={"T": steps, "W": elements},
    )


def _flavour(call: Call) -> str:
    name = call.op.split(".")[1].removesuffix("_cell")
    return name if name in _UNIT else "rnn_tanh"


@rule("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")
def layers(call: Call) -> OpCost:
    """T*W: T steps (sequence positions times batch), W elements of all weight matrices, layers and directions.

    Other operations per step: biases, the sums of the gates' halves, sigmoids, tanhs and the state's arithmetic.
    Packed sequences count the steps they hold. Temporaries of the runtime are not declared.
    """
    packed = call.maybe("data")
    steps = packed.shape[0] if packed is not None else product(call.tensor("input").shape[:-1])
    return _recurrent(steps, call.tensors("params"), _flavour(call))


@rule("aten.lstm_cell", "aten.gru_cell", "aten.rnn_tanh_cell", "aten.rnn_relu_cell")
def cell(call: Call) -> OpCost:
    """One step: N*W with N sequences and W elements of the two weight matrices."""
    weights = [t for slot in ("w_ih", "w_hh", "b_ih", "b_hh") if (t := call.maybe(slot))]
    return _recurrent(product(call.tensor("input").shape[:-1]), weights, _flavour(call))


_MODES = {0: "rnn_relu", 1: "rnn_tanh", 2: "lstm", 3: "gru"}


@rule("aten.mkldnn_rnn_layer")
def mkldnn_layer(call: Call) -> OpCost:
    """One layer and direction in the CPU library: T*W as for the operator above it."""
    mode = call.attr("mode", 2)
    weights = [call.tensor(f"weight{n}") for n in range(4)]
    kept = weights if call.attr("has_biases", True) is True else weights[:2]
    return _recurrent(
        product(call.tensor("input").shape[:-1]), kept, _MODES.get(mode if isinstance(mode, int) else 2, "lstm")
    )


@rule("aten._cudnn_rnn")
def cudnn_layers(call: Call) -> OpCost:
    """All layers in the GPU library: T*W as for the operator above it."""
    mode = call.attr("mode", 2)
    flavour = _MODES.get(mode if isinstance(mode, int) else 2, "lstm")
    return _recurrent(product(call.tensor("input").shape[:-1]), call.tensors("weight"), flavour)


@rule("aten._thnn_fused_lstm_cell")
def fused_lstm_cell(call: Call) -> OpCost:
    """What an LSTM cell does after its products, per hidden unit: three sigmoids, two tanhs, the state's arithmetic."""
    return per_result(call, _LSTM)


@rule("aten.mkldnn_rnn_layer_backward")
def mkldnn_layer_backward(call: Call) -> OpCost:
    """Gradients of one layer and direction: the MACs of forward for inputs and states, and again for the weights."""
    elements = total(call.tensor(slot).numel for slot in ("weight1", "weight2"))
    steps = product(call.tensor("input").shape[:-1])
    return OpCost(macs=2 * steps * elements, formula="2*T*W", bind={"T": steps, "W": elements})


@rule("aten._thnn_fused_gru_cell")
def fused_gru_cell(call: Call) -> OpCost:
    """What a GRU cell does after its products, per hidden unit: two sigmoids, a tanh, the state's arithmetic."""
    return per_result(call, _GRU)
