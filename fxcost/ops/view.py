"""Views, which do no work, and what is free at run time: assertions, size arithmetic, unpacking.

`reshape` and its like may copy; whether they do is a question of strides, which the storage pass answers.
"""

from __future__ import annotations

from fxcost.ir.expr import ZERO
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import reads, untouched

_VIEWS = (
    "view _unsafe_view _reshape_alias view_as unflatten transpose permute movedim "
    "moveaxis swapaxes swapdims t numpy_T mT mH matrix_H adjoint expand expand_as broadcast_to broadcast_tensors slice "
    "select narrow squeeze unsqueeze split split_with_sizes tensor_split hsplit vsplit dsplit chunk unsafe_split "
    "unsafe_split_with_sizes unsafe_chunk unbind alias detach lift lift_fresh view_as_real view_as_complex real imag "
    "positive conj _conj _neg_view resolve_conj resolve_neg as_strided diagonal linalg_diagonal unfold meshgrid "
    "atleast_1d atleast_2d atleast_3d requires_grad_ set_ pin_memory data values indices slice_inverse"
)


@rule(*aten(_VIEWS), kind="view")
def view(call: Call) -> OpCost:
    """The operand's memory under another shape: nothing is computed or moved."""
    return untouched(call)


@rule("aten.reshape", "aten.reshape_as", "aten.flatten", "aten.ravel", kind="view")
def reshape(call: Call) -> OpCost:
    """A view, or a copy that reads and writes every element where strides forbid a view.

    The traffic here is that of the copy; it counts only where the storage pass finds that one is made.
    """
    return OpCost(reads=reads(call, other=ZERO))


_FREE = (
    "item _local_scalar_dense is_nonzero Bool Int Float Complex IntImplicit FloatImplicit ScalarImplicit dim size "
    "numel stride storage_offset is_floating_point is_complex is_same_size result_type can_cast sym_size sym_numel "
    "sym_stride sym_storage_offset sym_is_contiguous sym_constrain_range sym_constrain_range_for_size "
    "_assert_tensor_metadata _assert_scalar _assert_async _functional_assert_async _functional_assert_scalar "
    "_make_dep_token _print _functional_sym_constrain_range _functional_sym_constrain_range_for_size "
    "_has_compatible_shallow_copy_type record_stream retain_grad"
)
_PYTHON = (
    "getitem add sub mul floordiv truediv mod neg pos pow eq ne lt le gt ge and_ or_ xor not_ abs index lshift rshift "
    "is_ is_not inv"
)
_MATH = "ceil floor sqrt trunc log log2 exp sin cos tan asin acos atan sinh cosh tanh pow isnan isinf gcd prod"
_TORCH = (
    "sym_max sym_min sym_float sym_int sym_not sym_ite sym_sum sym_sqrt _sym_sqrt _sym_sin _sym_cos _sym_log2 "
    "sym_fresh_size _check _check_is_size"
)


@rule(
    *aten(_FREE),
    *(f"_operator.{name}" for name in _PYTHON.split()),
    *(f"math.{name}" for name in _MATH.split()),
    *(f"torch.{name}" for name in _TORCH.split()),
    *(f"profiler.{name}" for name in ("_record_function_enter_new", "_record_function_exit", "_record_function_enter")),
    kind="free",
)
def free(call: Call) -> OpCost:
    """Assertions, size arithmetic, unpacking of results: nothing that is counted happens at run time."""
    return untouched(call)
