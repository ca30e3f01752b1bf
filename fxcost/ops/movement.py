"""Copies and rearrangements: no arithmetic, only traffic; by default every operand is read and every result written.

Gathers read the elements they take, not the table; in-place stores write only the places they hit.
"""

from __future__ import annotations

from fxcost.ir.expr import ZERO, Expr, maximum, minimum, product, total
from fxcost.ir.types import DType, TensorType
from fxcost.ops.names import aten
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import in_place, reads
from fxcost.ops.windows import covered_volume, windows_out


@rule(
    *aten("cat concat concatenate stack hstack vstack dstack column_stack row_stack clone contiguous lift_fresh_copy"),
    *aten(
        "roll flip fliplr flipud rot90 repeat tile repeat_interleave tril triu expand_copy block_diag cartesian_prod"
    ),
    *aten("combinations pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle diag diag_embed one_hot"),
    *aten("reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d"),
    *aten("_pad_circular nonzero nonzero_static argwhere _pack_padded_sequence"),
    kind="movement",
)
def copy(call: Call) -> OpCost:
    """Every source element is read once, every result element written once."""
    return OpCost()


@rule(
    *aten("view permute transpose t unsqueeze squeeze alias detach unbind split split_with_sizes", "_copy"),
    *aten("select slice narrow as_strided diagonal unfold", "_copy"),
    kind="movement",
)
def view_copy(call: Call) -> OpCost:
    """A view, copied: as many elements are read as written."""
    return OpCost(reads=reads(call, self=total(result.numel for result in call.results)))


@rule("aten.copy", kind="movement")
def copy_into(call: Call) -> OpCost:
    """Stores `src` in `self`: reads the source, writes the target."""
    return OpCost(reads=reads(call, self=ZERO))


@rule("aten.fill", "aten.zero", kind="movement")
def fill(call: Call) -> OpCost:
    """Writes every element, reads none."""
    return OpCost(reads=reads(call, self=ZERO))


@rule("aten.gather", "aten.index_select", "aten.take", "aten.take_along_dim", kind="movement")
def gather(call: Call) -> OpCost:
    """Reads the elements taken (one per result element, repeats included) and the indices."""
    return OpCost(reads=reads(call, self=call.result.numel))


@rule("aten.index", "aten._unsafe_index", "aten._unsafe_masked_index", kind="movement")
def index(call: Call) -> OpCost:
    """Reads the elements taken (one per result element, repeats included) and the whole of each index tensor."""
    return OpCost(reads=reads(call, self=call.result.numel))


@rule("aten.masked_select", kind="movement")
def masked_select(call: Call) -> OpCost:
    """Reads the mask and the elements it selects; how many those are is data."""
    return OpCost(reads=reads(call, self=call.result.numel))


def _places(call: Call, target: TensorType) -> Expr:
    """How many places an `index_put` stores to: the indices broadcast, times the dimensions that are not indexed."""
    indices = call.tensors("indices")
    if any(tensor.dtype in (DType.BOOL, DType.U8) for tensor in indices):
        return target.numel
    rank = max((tensor.rank for tensor in indices), default=0)
    shape = [ZERO + 1] * rank
    for tensor in indices:
        for position, size in enumerate(tensor.shape, rank - tensor.rank):
            if shape[position].constant == 1:
                shape[position] = size
    taken = {int(slot.rpartition(".")[2]) for slot in call.node.slots if slot.startswith("indices.")}
    rest = [size for position, size in enumerate(target.shape) if position not in taken]
    return product([*shape, *rest])


@rule("aten.index_put", "aten._unsafe_index_put", "aten._index_put_impl", kind="movement")
def index_put(call: Call) -> OpCost:
    """Stores values at indices. In place: only those places are written (and read, when accumulating).

    Otherwise a copy: all is written, and what is not overwritten is read. A mask counts as the whole tensor. With
    `accumulate`, one addition per place.
    """
    target = call.tensor("self")
    places = _places(call, target)
    accumulates = call.attr("accumulate", False) is True
    added = places if accumulates else ZERO
    if in_place(call):
        return OpCost(other_ops=added, reads=reads(call, self=added), writes={0: places})
    return OpCost(other_ops=added)


@rule("aten.scatter", "aten.index_copy", "aten.index_fill", "aten.masked_scatter", "aten.put", kind="movement")
def scatter(call: Call) -> OpCost:
    """Stores elements at indices. In place: the places hit are written, `self` is not read; otherwise all is copied.

    A reduction (`reduce`) adds one operation per index and reads the places hit.
    """
    hit = _hit(call)
    combined = hit if call.attr("reduce") is not None else ZERO
    if in_place(call):
        return OpCost(other_ops=combined, reads=reads(call, self=combined, src=hit), writes={0: hit})
    return OpCost(other_ops=combined, reads=reads(call, src=hit))


@rule("aten.scatter_add", "aten.scatter_reduce", "aten.index_add", "aten.index_reduce", kind="movement")
def scatter_add(call: Call) -> OpCost:
    """One addition (or other reduction) per element stored. In place, only the places hit are read and written."""
    hit = _hit(call)
    if in_place(call):
        return OpCost(other_ops=hit, reads=reads(call, self=hit, src=hit), writes={0: hit})
    return OpCost(other_ops=hit, reads=reads(call, src=hit))


def _hit(call: Call) -> Expr:
    """Elements stored: one per index, or whole slices for the one-dimensional index of `index_*`."""
    source = call.maybe("source")
    if source is not None:
        return source.numel
    index = call.maybe("index")
    target = call.tensor("self")
    if index is None:
        return target.numel
    dim = call.attr("dim", 0)
    if call.op.startswith("aten.index_fill") and isinstance(dim, int) and target.rank:
        rest = [size for position, size in enumerate(target.shape) if position != dim % target.rank]
        return product([index.numel, *rest])
    return index.numel


@rule("aten.slice_scatter", "aten.select_scatter", "aten.as_strided_scatter", "aten.diagonal_scatter", kind="movement")
def view_scatter(call: Call) -> OpCost:
    """A copy of `self` with a part replaced: reads the part's source and the rest of `self`, writes all."""
    return OpCost(reads=reads(call, self=call.tensor("self").numel - call.tensor("src").numel))


@rule(
    "aten.slice_backward",
    "aten.select_backward",
    "aten.diagonal_backward",
    "aten.unfold_backward",
    "aten.index_select_backward",
    "aten.value_selecting_reduction_backward",
    kind="movement",
)
def view_backward(call: Call) -> OpCost:
    """Zeros with the gradient in its place: reads the gradient, writes all."""
    return OpCost()


@rule("aten.pad", "aten.constant_pad_nd", kind="movement")
def pad(call: Call) -> OpCost:
    """Copies the input into a larger result; negative padding leaves out what it cuts off."""
    source = call.tensor("self")
    amounts = call.ints("pad", 0) if call.attr("pad") else ()
    kept = list(source.shape)
    for position, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=False)):
        dimension = source.rank - 1 - position
        kept[dimension] = kept[dimension] + minimum(before, 0) + minimum(after, 0)
    return OpCost(reads=reads(call, self=product(maximum(size, 0) for size in kept)))


@rule(*aten(" ".join(f"{mode}_pad{n}d_backward" for mode in ("reflection", "replication") for n in (1, 2, 3))))
def pad_backward(call: Call) -> OpCost:
    """Adds every element of the output gradient to its place; the input is not read."""
    return OpCost(other_ops=call.tensor("grad_output").numel, reads=reads(call, self=ZERO))


@rule("aten.im2col", kind="movement")
def im2col(call: Call) -> OpCost:
    """Every window as a column; reads the elements that some window covers, writes each as often as it is covered."""
    source = call.tensor("self")
    kernel, padding = call.ints("kernel_size", 2, 1), call.ints("padding", 2)
    stride, dilation = call.ints("stride", 2, 1), call.ints("dilation", 2, 1)
    inner = source.shape[-2:]
    counts = tuple(
        windows_out(size, k, s, d, 2 * p)
        for size, k, s, d, p in zip(inner, kernel, stride, dilation, padding, strict=True)
    )
    seen = covered_volume(call, inner, counts, kernel, tuple((p, p) for p in padding))
    return OpCost(reads=reads(call, self=product(source.shape[:-2]) * seen))


@rule("aten.col2im", kind="movement")
def col2im(call: Call) -> OpCost:
    """Columns added back into place: one addition per column element."""
    return OpCost(other_ops=call.tensor("self").numel)
