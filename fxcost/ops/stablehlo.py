"""StableHLO, as jax and torch-mlir emit it: every op by itself, before XLA fuses any.

Loops (`while`), branches, sorts, scatters and calls of libraries have no rule: how much they do is not in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fxcost.errors import ModelError
from fxcost.ir.expr import ONE, ZERO, Expr, minimum, product
from fxcost.ops.arithmetic import COMPARE, DIVIDE, ROOT, SIGMOID, TANH, TRANSCENDENTAL, per_result
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads, untouched


def _names(words: str, dialect: str = "stablehlo") -> Iterable[str]:
    return (f"{dialect}.{word}" for word in words.split())


def _positions(call: Call, name: str) -> tuple[int, ...]:
    value = call.attr(name, ())
    return tuple(item for item in value if isinstance(item, int)) if isinstance(value, tuple) else ()


@rule("stablehlo.dot_general", "stablehlo.dot")
def dot_general(call: Call) -> OpCost:
    """Result elements times the product of the contracted sizes: R*K."""
    left = call.tensor("lhs")
    inner = product(left.shape[dim] for dim in _positions(call, "lhs_contracting"))
    return OpCost(macs=call.result.numel * inner, formula="R*K", bind={"R": call.result.numel, "K": inner})


@rule("stablehlo.convolution", "stablehlo.dynamic_conv")
def convolution(call: Call) -> OpCost:
    """Result elements times the taps of one: R*Cin/g*k, padded taps included.

    Where the input is dilated (a transposed convolution) every input element meets all its taps: I*Cout/g*k, cropped ones
    included; the zeros between are not multiplied.
    """
    image, kernel = call.tensor("lhs"), call.tensor("rhs")
    place = call.attr("kernel_output_feature")
    groups = call.attr("feature_group_count", 1)
    if not isinstance(place, int) or not isinstance(groups, int):
        raise ModelError("a convolution needs to say which dimension of its kernel holds the output features")
    taps = product(size for dim, size in enumerate(kernel.shape) if dim != place)
    if any(step != 1 for step in _positions(call, "lhs_dilation")):
        spatial = product(kernel.shape[dim] for dim in _positions(call, "kernel_spatial"))
        each = kernel.shape[place] // groups * spatial
        return OpCost(macs=image.numel * each, formula="I*(Cout//g)*k", bind={"I": image.numel})
    return OpCost(macs=call.result.numel * taps, formula="R*T", bind={"R": call.result.numel, "T": taps})


@rule("stablehlo.reduce")
def reduce(call: Call) -> OpCost:
    """The body once for every element of the operands that are reduced."""
    return OpCost(other_ops=_reduced(call) * _body(call))


@rule("stablehlo.reduce_window")
def reduce_window(call: Call) -> OpCost:
    """The body for every element of every window: results times the window's size."""
    window = product(_positions(call, "window_dimensions"))
    return OpCost(other_ops=call.result.numel * window * _body(call))


def _reduced(call: Call) -> Expr:
    source = call.maybe("operands.0")
    return source.numel if source is not None else ZERO


def _body(call: Call) -> int:
    value = call.attr("ops_per_element", 1)
    return value if isinstance(value, int) else 1


_ONE = (
    "abs add and ceil compare divide floor maximum minimum multiply negate not or remainder round_nearest_afz "
    "round_nearest_even select shift_left shift_right_arithmetic shift_right_logical sign sqrt subtract xor is_finite "
    "popcnt count_leading_zeros real imag complex"
)
_LONG = "exponential exponential_minus_one log log_plus_one sine cosine tan atan2 cbrt"
_OPERATIONS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_ONE.split(), 1),
    **dict.fromkeys(_LONG.split(), TRANSCENDENTAL),
    "convert": 0,
    "reduce_precision": 0,
    "clamp": 2 * COMPARE,
    "rsqrt": ROOT + DIVIDE,
    "tanh": TANH,
    "logistic": SIGMOID,
    "power": 2 * TRANSCENDENTAL + 1,
}
_CHLO = "acos acosh asin asinh atan atanh bessel_i1e cosh digamma erf erf_inv erfc lgamma sinh tan"


@rule(*_names(" ".join(_OPERATIONS)), *_names(_CHLO, "chlo"), kind="pointwise")
def pointwise(call: Call) -> OpCost:
    """So many operations for every result element: one, those of a transcendental, or none for a conversion."""
    name = call.op.split(".")[1]
    operations = TRANSCENDENTAL if call.op.startswith("chlo.") else _OPERATIONS[name]
    return per_result(call, operations)


def operations_of(name: str) -> int:
    """Operations of an elementwise op, for the bodies of reductions."""
    return _OPERATIONS.get(name.removeprefix("stablehlo."), 1)


@rule(*_names("reshape bitcast_convert optimization_barrier get_tuple_element tuple"), kind="view")
def view(call: Call) -> OpCost:
    """The operand's memory under another shape: nothing is computed or moved."""
    return untouched(call)


@rule(
    *_names("broadcast_in_dim broadcast transpose concatenate slice dynamic_slice pad reverse iota dynamic_iota"),
    *_names("dynamic_broadcast_in_dim dynamic_reshape dynamic_pad real_dynamic_slice create_token"),
    kind="movement",
)
def copied(call: Call) -> OpCost:
    """A copy: what is taken of the source is read, every result element written."""
    if call.op.split(".")[1] not in {"slice", "dynamic_slice", "real_dynamic_slice"}:
        return OpCost()
    return OpCost(reads=reads(call, **{"operands.0": call.result.numel}))


@rule("stablehlo.gather", "stablehlo.dynamic_gather", "stablehlo.torch_index_select", kind="movement")
def gather(call: Call) -> OpCost:
    """Reads the elements taken, no more than there are, and the indices."""
    source = call.maybe("operands.0")
    taken = minimum(source.numel, call.result.numel) if source is not None else ONE
    return OpCost(reads=reads(call, **{"operands.0": taken}))


@rule("stablehlo.dynamic_update_slice", kind="movement")
def update(call: Call) -> OpCost:
    """A copy of the operand with the update stored in it; XLA may do it in place."""
    return OpCost()


@rule(*_names("rng rng_bit_generator"), kind="movement")
def random(call: Call) -> OpCost:
    """Random numbers count no operations; every element is written."""
    return OpCost()
