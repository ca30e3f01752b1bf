"""Normalisations, by their textbook passes per element; numbers per channel or per row are not counted.

Statistics of the data cost 4 per element (mean: add; variance: subtract, multiply, add), normalising 2, weight and bias
one each. With stored statistics batch norm is one multiplication and one addition per element, whatever is stored.
"""

from __future__ import annotations

from fxcost.ir.expr import ZERO, Expr, product
from fxcost.ir.types import TensorType
from fxcost.ops import arithmetic
from fxcost.ops.registry import Call, OpCost, Scratch, rule
from fxcost.ops.touched import reads


def _affine(call: Call) -> int:
    """Operations per element for the weight and the bias that are there."""
    return int(call.maybe("weight") is not None) + int(call.maybe("bias") is not None)


def uses_data_statistics(call: Call) -> bool:
    """True when a batch or instance norm computes mean and variance from its input."""
    if call.op.startswith("aten._native_batch_norm_legit_no_training"):
        return False
    if call.op.startswith("aten._batch_norm_with_update"):
        return True
    flag = call.attr("use_input_stats" if call.op.startswith("aten.instance_norm") else "training", False)
    return flag is True or call.maybe("running_mean") is None


def _by_data(call: Call, scratch: tuple[Scratch, ...] = ()) -> OpCost:
    per_element = arithmetic.MEAN_AND_VARIANCE + arithmetic.NORMALISE + _affine(call)
    return OpCost(other_ops=call.result.numel * per_element, scratch=scratch)


def _statistics(source: TensorType, call: Call, rows: Expr) -> tuple[Scratch, ...]:
    """Mean and reciprocal deviation of every row, in the parameters' type where there are parameters."""
    width = (call.maybe("weight") or source).dtype.bytes
    return (Scratch("mean and rstd", rows * 2, width),)


@rule(
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten.cudnn_batch_norm",
    "aten.miopen_batch_norm",
    "aten._batch_norm_impl_index",
    "aten._batch_norm_no_update",
    "aten._batch_norm_with_update",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_functional",
    "aten._native_batch_norm_legit_no_training",
    kind="affine",
)
def batch_norm(call: Call) -> OpCost:
    """With stored statistics: 2 per element, one multiplication and one addition (scale and shift are per channel).

    With the batch's own statistics: 4 for mean and variance, 2 to normalise, 1 each for weight and bias; a layer of its
    own then, not foldable.
    """
    if not uses_data_statistics(call):
        return OpCost(other_ops=call.result.numel * arithmetic.AFFINE)
    source = call.tensor("input")
    inside = call.op.startswith("aten.batch_norm")  # the others return mean and deviation
    return _by_data(call, _statistics(source, call, source.shape[1]) if inside else ())


@rule("aten.instance_norm")
def instance_norm(call: Call) -> OpCost:
    """Per element: 4 for mean and variance, 2 to normalise, 1 each for weight and bias; 2 with stored statistics.

    Mean and reciprocal deviation of every channel of every sample live inside (torch-cpu).
    """
    if not uses_data_statistics(call):
        return OpCost(other_ops=call.result.numel * arithmetic.AFFINE)
    source = call.tensor("input")
    return _by_data(call, _statistics(source, call, source.shape[0] * source.shape[1]))


@rule("aten.layer_norm")
def layer_norm(call: Call) -> OpCost:
    """Per element: 4 for mean and variance, 2 to normalise, 1 each for weight and bias.

    Mean and reciprocal deviation of every row live inside (torch-cpu).
    """
    source = call.tensor("input")
    return _by_data(call, _statistics(source, call, product(source.shape[: source.rank - _normalized(call)])))


def _normalized(call: Call) -> int:
    shape = call.attr("normalized_shape")
    return len(shape) if isinstance(shape, tuple) else 1


@rule("aten.group_norm")
def group_norm(call: Call) -> OpCost:
    """Per element: 4 for mean and variance, 2 to normalise, 1 each for weight and bias.

    Mean and reciprocal deviation of every group live inside (torch-cpu).
    """
    source = call.tensor("input")
    return _by_data(call, _statistics(source, call, source.shape[0] * call.ints("num_groups", 1, 1)[0]))


@rule("aten.native_layer_norm", "aten.native_group_norm")
def native_norm(call: Call) -> OpCost:
    """Per element: 4 for mean and variance, 2 to normalise, 1 each for weight and bias; statistics are results."""
    return _by_data(call)


@rule("aten.rms_norm")
def rms_norm(call: Call) -> OpCost:
    """Per element: multiply and add for the mean square, one multiplication to normalise, one for the weight.

    On torch-cpu this is a chain of operators: the square lives beside the means, later the normalised input beside its
    product with the weight; 16-bit types are computed in float32.
    """
    source = call.tensor("input")
    size, rows = source.numel, product(source.shape[: source.rank - _normalized(call)])
    weighted, width = call.maybe("weight") is not None, source.dtype.bytes
    if width >= 4:
        nbytes = (size + rows if weighted else 2 * rows) * width
    else:
        nbytes = (3 * size + rows if weighted else 2 * size + 2 * rows) * 4 - size * width
    return OpCost(other_ops=size * (3 + _affine(call)), scratch=(Scratch("temporaries", nbytes, 1),))


@rule("aten._fused_rms_norm")
def fused_rms_norm(call: Call) -> OpCost:
    """Per element: multiply and add for the mean square, one multiplication to normalise, one for the weight."""
    return OpCost(other_ops=call.result.numel * (3 + _affine(call)))


@rule("aten._weight_norm", "aten._weight_norm_interface")
def weight_norm(call: Call) -> OpCost:
    """Direction times length, v * (g / |v|): square, add and one multiplication per element of v.

    `_weight_norm` holds the norms, one per element of g (torch-cpu).
    """
    lengths = call.tensor("g")
    returned = call.op.startswith("aten._weight_norm_interface")
    norms = () if returned else (Scratch("norms", lengths.numel, lengths.dtype.bytes),)
    return OpCost(other_ops=call.tensor("v").numel * 3, scratch=norms)


@rule("aten._weight_norm_interface_backward")
def weight_norm_backward(call: Call) -> OpCost:
    """Per element of v: multiply and add for the gradient of g; two multiplications and a subtraction for that of v."""
    return OpCost(other_ops=call.tensor("saved_v").numel * 5)


@rule("aten.linalg_vector_norm", "aten.norm", "aten.linalg_norm", "aten.frobenius_norm", "aten.linalg_matrix_norm")
def vector_norm(call: Call) -> OpCost:
    """Two per input element: the power (or absolute value) and the sum (or maximum)."""
    slot = "self" if call.maybe("self") else "A"
    return OpCost(other_ops=call.tensor(slot).numel * 2)


@rule("aten.renorm")
def renorm(call: Call) -> OpCost:
    """Two per element for the norms, one for the scaling."""
    return OpCost(other_ops=call.result.numel * 3)


@rule(
    "aten.native_layer_norm_backward",
    "aten.native_group_norm_backward",
    "aten.native_batch_norm_backward",
    "aten.batch_norm_backward",
    "aten.cudnn_batch_norm_backward",
    "aten._fused_rms_norm_backward",
)
def norm_backward(call: Call) -> OpCost:
    """Per element: 2 to normalise again, 2 for each of the two sums that run through the statistics, 4 to combine.

    Weight and bias gradients, where `output_mask` asks for them: multiply and add, and add.
    """
    source = call.maybe("input") or call.result
    mask = call.attr("output_mask")
    wanted = mask if isinstance(mask, tuple) else ()
    parameters = 2 * int(wanted[1:2] == (True,)) + int(wanted[2:3] == (True,))
    return OpCost(other_ops=source.numel * (10 + parameters), reads=reads(call, bias=ZERO))
