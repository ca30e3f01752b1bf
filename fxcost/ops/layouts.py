"""Layout rules: strides and aliases of the operators whose results are not simply fresh and contiguous.

Views follow their definition. `reshape`, `flatten`, `contiguous` and casts copy or not by strides and types. Pointwise
results follow their operands as TensorIterator lays them out. Convolution, pooling, norm and resampling keep a
channels-last operand's format. On the CPU, fused attention stores its result as (N, S, H, D).
"""

from __future__ import annotations

from collections.abc import Callable

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import ONE, ZERO, Expr, as_expr
from fxcost.ir.predicate import TRUE
from fxcost.ir.types import DType, TensorType
from fxcost.ops.registry import find
from fxcost.ops.strides import (
    Layout,
    Scene,
    Strides,
    channels_last,
    condition,
    contiguous,
    is_contiguous,
    layout,
    like,
    suggests_channels_last,
    view_strides,
)


def _results(scene: Scene) -> tuple[TensorType, ...]:
    return scene.call.results


def _main(scene: Scene) -> tuple[int, TensorType, Strides]:
    """The first operand: what a view is a view of."""
    return scene.operand(scene.call.node.slots[0])


def _alias(strides: Strides, of: int) -> tuple[Layout, ...]:
    return (Layout(strides, of, TRUE),)


def _dim(scene: Scene, name: str, rank: int, default: int = 0) -> int:
    value = scene.call.attr(name, default)
    assert isinstance(value, int), f"{name} of {scene.call.op} is not a number"
    return value % max(rank, 1)


def _dims(scene: Scene, name: str, rank: int) -> list[int]:
    value = scene.call.attr(name)
    items = value if isinstance(value, tuple) else (value,)
    return [item % max(rank, 1) for item in items if isinstance(item, int)]


# -- views ---------------------------------------------------------------------------------------------------------
@layout(
    "aten.alias", "aten.detach", "aten.detach_", "aten.lift", "aten.requires_grad_", "aten.conj", "aten.resolve_conj"
)
@layout("_c10d_functional.wait_tensor", "_c10d_functional_autograd.wait_tensor", "c10d_functional.wait_tensor")
def _identity(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias(strides, of)


@layout("aten.transpose", "aten.swapaxes", "aten.swapdims", "aten.transpose_")
def _transpose(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    names = ("dim0", "dim1") if "dim0" in scene.call.node.attrs else ("axis0", "axis1")
    first, second = (_dim(scene, name, tensor.rank) for name in names)
    order = list(range(tensor.rank))
    order[first], order[second] = order[second], order[first]
    return _alias(tuple(strides[i] for i in order), of)


@layout("aten.permute")
def _permute(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    return _alias(tuple(strides[i] for i in _dims(scene, "dims", tensor.rank)), of)


@layout("aten.movedim")
def _movedim(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    source, target = _dims(scene, "source", tensor.rank), _dims(scene, "destination", tensor.rank)
    rest = iter(i for i in range(tensor.rank) if i not in source)
    order = [source[target.index(i)] if i in target else next(rest) for i in range(tensor.rank)]
    return _alias(tuple(strides[i] for i in order), of)


@layout("aten.t", "aten.numpy_T", "aten.t_")
def _reverse(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias(tuple(reversed(strides)), of)


@layout("aten.mT", "aten.mH", "aten.adjoint")
def _matrix_transpose(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias((*strides[:-2], strides[-1], strides[-2]), of)


@layout("aten.expand", "aten.expand_as", "aten.broadcast_to")
def _expand(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    shape = scene.call.result.shape
    missing = len(shape) - tensor.rank
    kept = tuple(
        stride if size is new else as_expr(0)
        for size, stride, new in zip(tensor.shape, strides, shape[missing:], strict=True)
    )
    return _alias((as_expr(0),) * missing + kept, of)


@layout("aten.unsqueeze", "aten.unsqueeze_")
def _unsqueeze(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    at = _dim(scene, "dim", tensor.rank + 1)
    step = tensor.shape[at] * strides[at] if at < tensor.rank else ONE
    return _alias((*strides[:at], step, *strides[at:]), of)


@layout("aten.squeeze", "aten.squeeze_")
def _squeeze(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    named = _dims(scene, "dim", tensor.rank) if scene.call.attr("dim") is not None else range(tensor.rank)
    dropped = {i for i in named if tensor.shape[i].constant == 1}
    kept = tuple(s for i, s in enumerate(strides) if i not in dropped)
    if len(kept) != scene.call.result.rank:  # a size that is one only here: the result's shape says which went
        kept = view_strides(tensor.shape, strides, scene.call.result.shape, scene.hints) or contiguous(
            scene.call.result.shape
        )
    return _alias(kept, of)


@layout("aten.slice", "aten.narrow")
def _slice(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    at = _dim(scene, "dim", tensor.rank)
    step = scene.call.attr("step", 1)
    step = step if isinstance(step, int | Expr) else 1
    return _alias((*strides[:at], strides[at] * step, *strides[at + 1 :]), of)


@layout("aten.select")
def _select(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    at = _dim(scene, "dim", tensor.rank)
    return _alias((*strides[:at], *strides[at + 1 :]), of)


@layout("aten.split", "aten.split_with_sizes", "aten.chunk", "aten.tensor_split", "aten.hsplit", "aten.unsafe_chunk")
def _split(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias(strides, of) * len(scene.call.node.results)


@layout("aten.unbind")
def _unbind(scene: Scene) -> tuple[Layout, ...]:
    return _select(scene) * len(scene.call.node.results)


@layout("aten.diagonal")
def _diagonal(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    first, second = _dim(scene, "dim1", tensor.rank, 0), _dim(scene, "dim2", tensor.rank, 1)
    kept = tuple(s for i, s in enumerate(strides) if i not in (first, second))
    return _alias((*kept, strides[first] + strides[second]), of)


@layout("aten.unfold")
def _unfold(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    at = _dim(scene, "dimension", tensor.rank)
    step = scene.call.attr("step", 1)
    step = step if isinstance(step, int | Expr) else 1
    return _alias((*strides[:at], strides[at] * step, *strides[at + 1 :], strides[at]), of)


@layout("aten.as_strided")
def _as_strided(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, _ = _main(scene)
    return _alias(scene.call.ints("stride", tensor.rank, 1), of)


@layout("aten.view_as_real")
def _view_as_real(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias((*(s * 2 for s in strides), ONE), of)


@layout("aten.real", "aten.imag")
def _real(scene: Scene) -> tuple[Layout, ...]:
    of, _, strides = _main(scene)
    return _alias(tuple(s * 2 for s in strides), of)


@layout("aten.view", "aten._unsafe_view", "aten.view_as", "aten.unflatten", "aten._reshape_alias")
def _view(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    shape = scene.call.result.shape
    return _alias(view_strides(tensor.shape, strides, shape, scene.hints) or contiguous(shape), of)


# -- a view where strides allow it, else a copy --------------------------------------------------------------------
@layout("aten.reshape", "aten.flatten", "aten.reshape_as", "aten.ravel", "aten.flatten_dense_tensors")
def _reshape(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    shape = scene.call.result.shape
    viewed = view_strides(tensor.shape, strides, shape, scene.hints)
    if viewed is not None:
        return _alias(viewed, of)

    def fits(at: Callable[[Expr], Expr]) -> bool:
        return (
            view_strides(tuple(map(at, tensor.shape)), tuple(map(at, strides)), tuple(map(at, shape)), {}) is not None
        )

    return (Layout(contiguous(shape), of, condition(scene, tensor.shape, fits)),)


@layout("aten.contiguous")
def _contiguous(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    if scene.call.attr("memory_format") == "channels_last" and tensor.rank in (4, 5):
        wanted = channels_last(tensor.shape)
        return _alias(strides, of) if suggests_channels_last(tensor.shape, strides) else (Layout(wanted),)
    if is_contiguous(tensor.shape, strides):
        return _alias(strides, of)

    def fits(at: Callable[[Expr], Expr]) -> bool:
        return is_contiguous(tuple(map(at, tensor.shape)), tuple(map(at, strides)))

    return (Layout(contiguous(tensor.shape), of, condition(scene, tensor.shape, fits)),)


@layout("aten.to", "aten.type_as", "aten.float", "aten.half", "aten.bfloat16", "aten.double", "aten.int", "aten.long")
def _cast(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    same = tensor.dtype is scene.call.result.dtype and scene.call.attr("copy") is not True
    wanted = scene.call.attr("memory_format")
    if wanted not in ("contiguous", "channels_last"):
        return _alias(strides, of) if same else (Layout(_dense(tensor, strides)),)
    last = suggests_channels_last(tensor.shape, strides)
    if same and last == (wanted == "channels_last"):  # what looks so is taken as it is
        return _alias(strides, of)
    return (Layout(channels_last(tensor.shape) if wanted == "channels_last" else contiguous(tensor.shape)),)


@layout(
    "aten.dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.feature_alpha_dropout", "aten.native_dropout"
)
def _dropout(scene: Scene) -> tuple[Layout, ...]:
    of, tensor, strides = _main(scene)
    idle = scene.call.attr("train") is not True or scene.call.attr("p") == 0.0
    fresh = Layout(_dense(tensor, strides))
    return (Layout(strides, of, TRUE) if idle else fresh, *(fresh for _ in scene.call.node.results[1:]))


# -- fresh results that follow their operands ----------------------------------------------------------------------
def _dense(tensor: TensorType, strides: Strides) -> Strides:
    """Strides of a copy in preserved format: the operand's own when dense, else the operand's order made dense."""
    order = _outer_to_inner(tensor.shape, [(tensor.shape, strides)], {})
    return _packed(tensor.shape, order)


def _packed(shape: tuple[Expr, ...], order: list[int]) -> Strides:
    found: dict[int, Expr] = {}
    step = ONE
    for position in reversed(order):
        found[position] = step
        step = step * shape[position]
    return tuple(found[i] for i in range(len(shape)))


def _outer_to_inner(
    shape: tuple[Expr, ...], operands: list[tuple[tuple[Expr, ...], Strides]], hints: dict[str, int]
) -> list[int]:
    """TensorIterator's order of dimensions: sorted by the operands' strides, first operand that decides wins."""
    point = hints or {
        n: 7 + 2 * i for i, n in enumerate(sorted({s for _, t in operands for e in t for s in e.symbols}))
    }
    for size in shape:
        for name in size.symbols:
            point.setdefault(name, 7)
    values = [[evaluate(s, point) if s is not None else 0 for s in _aligned(shape, o)] for o in operands]
    sizes = [evaluate(s, point) for s in shape]
    order = list(range(len(shape) - 1, -1, -1))  # innermost first, as TensorIterator counts

    def swaps(inner: int, outer: int) -> int:
        for strides in values:
            a, b = strides[inner], strides[outer]
            if a == 0 or b == 0:
                continue
            if a != b:
                return 1 if a > b else -1
            if sizes[inner] > sizes[outer]:
                return 1
        return 0

    for start in range(1, len(order)):
        position = start
        for below in range(start - 1, -1, -1):
            verdict = swaps(order[below], order[position])
            if verdict > 0:
                order[below], order[position] = order[position], order[below]
                position = below
            elif verdict < 0:
                break
    return order[::-1]


def _aligned(shape: tuple[Expr, ...], operand: tuple[tuple[Expr, ...], Strides]) -> list[Expr | None]:
    """Strides of an operand against the result's dimensions; None where it is broadcast or has size one."""
    sizes, strides = operand
    missing = len(shape) - len(sizes)
    fitted = [
        None if size.constant == 1 and new.constant != 1 else stride
        for size, stride, new in zip(sizes, strides, shape[missing:], strict=True)
    ]
    return [None] * missing + fitted


def pointwise(scene: Scene) -> tuple[Layout, ...]:
    """Fresh results laid out as TensorIterator lays out an elementwise result of these operands."""
    operands = [
        (kind.shape, strides or contiguous(kind.shape))
        for kind, strides in zip(scene.call.operands, scene.strides, strict=True)
        if isinstance(kind, TensorType) and kind.rank
    ]
    return tuple(Layout(_iterated(scene, tensor.shape, operands)) for tensor in _results(scene))


def _iterated(scene: Scene, shape: tuple[Expr, ...], operands: list[tuple[tuple[Expr, ...], Strides]]) -> Strides:
    if any(len(sizes) > len(shape) for sizes, _ in operands):  # where(condition): places of what is true, one by one
        return contiguous(shape)
    full = [(sizes, strides) for sizes, strides in operands if sizes == shape]
    if len(full) == len(operands):
        if all(is_contiguous(sizes, strides) for sizes, strides in full):
            return contiguous(shape)
        if all(suggests_channels_last(sizes, strides) for sizes, strides in full):
            return channels_last(shape)
    return _packed(shape, _outer_to_inner(shape, operands, dict(scene.hints)))


@layout(
    "aten.clone",
    "aten.empty_like",
    "aten.zeros_like",
    "aten.ones_like",
    "aten.full_like",
    "aten.rand_like",
    "aten.randn_like",
    "aten._to_copy",
)
def _clone(scene: Scene) -> tuple[Layout, ...]:
    _, tensor, strides = _main(scene)
    wanted = scene.call.attr("memory_format")
    if wanted == "contiguous":
        return (Layout(contiguous(tensor.shape)),)
    if wanted == "channels_last":
        return (Layout(channels_last(tensor.shape)),)
    return (Layout(_dense(tensor, strides)),)


@layout(
    *(f"aten.{name}" for name in ("sort", "argsort", "msort", "flip", "fliplr", "flipud", "index_fill", "index_put")),
    *(f"aten.{name}_scatter" for name in ("select", "slice", "diagonal")),
)
def _copied(scene: Scene) -> tuple[Layout, ...]:
    """Results in the format of the first operand, of which they are a changed copy or its places."""
    _, tensor, strides = _main(scene)
    return tuple(Layout(_dense(tensor, strides)) for _ in _results(scene))


@layout("aten.rot90")
def _rot90(scene: Scene) -> tuple[Layout, ...]:
    """A flipped copy, seen transposed after an odd number of turns."""
    _, tensor, strides = _main(scene)
    dense = list(_dense(tensor, strides))
    turns, dims = scene.call.attr("k", 1), scene.call.attr("dims", (0, 1))
    if isinstance(turns, int) and turns % 2 and isinstance(dims, tuple):
        first, second = (dim % tensor.rank for dim in dims if isinstance(dim, int))
        dense[first], dense[second] = dense[second], dense[first]
    return (Layout(tuple(dense)),)


@layout("aten.diff")
def _diff(scene: Scene) -> tuple[Layout, ...]:
    """A difference of two slices of the operand, or of what is put before and after it."""
    _, _, strides = _main(scene)
    shape = scene.call.result.shape
    if len(scene.call.operands) > 1:
        return (Layout(contiguous(shape)),)
    return (Layout(_packed(shape, _outer_to_inner(shape, [(shape, strides)], dict(scene.hints)))),)


@layout("aten.index")
def _index(scene: Scene) -> tuple[Layout, ...]:
    """Laid out by TensorIterator: over the operand, which stands still along what is chosen, and over the indices.

    Chosen dimensions that are not neighbours go to the front.
    """
    _, tensor, strides = _main(scene)
    shape = scene.call.result.shape
    chosen: list[int] = []
    indices: list[tuple[TensorType, Strides]] = []
    dim = 0
    for position in range(tensor.rank):
        if scene.call.index(f"indices.{position}") is None:
            dim += 1
            continue
        _, index, steps = scene.operand(f"indices.{position}")
        masks = index.rank if index.dtype in (DType.BOOL, DType.U8) else 0
        chosen += range(dim, dim + (masks or 1))
        dim += masks or 1
        indices += [] if masks else [(index, steps)]
    kept = [at for at in range(tensor.rank) if at not in chosen]
    front = chosen[0] if chosen == list(range(chosen[0], chosen[-1] + 1)) else 0
    behind = len(kept) - front
    still = (ZERO,) * (len(shape) - len(kept))
    source = (*(strides[at] for at in kept[:front]), *still, *(strides[at] for at in kept[front:]))
    operands = [(shape, source)]
    for index, steps in indices:
        missing = len(shape) - behind - index.rank
        operands.append(
            ((ONE,) * missing + index.shape + (ONE,) * behind, (ZERO,) * missing + tuple(steps) + (ZERO,) * behind)
        )
    return (Layout(_packed(shape, _outer_to_inner(shape, operands, dict(scene.hints)))),)


@layout("aten.linalg_cross", "aten.cross")
def _fresh(scene: Scene) -> tuple[Layout, ...]:
    return tuple(Layout(contiguous(result.shape)) for result in _results(scene))


@layout(
    *(f"aten.{name}" for name in ("conv1d", "conv2d", "conv3d", "convolution", "_convolution")),
    *(f"aten.conv_transpose{n}d" for n in (1, 2, 3)),
)
def _convolution(scene: Scene) -> tuple[Layout, ...]:
    shape = scene.call.result.shape
    formats = [scene.operand(slot) for slot in ("input", "weight")]
    last = any(suggests_channels_last(tensor.shape, strides) for _, tensor, strides in formats)
    return (Layout(channels_last(shape) if last and len(shape) in (4, 5) else contiguous(shape)),)


@layout(
    *(
        f"aten.{kind}_pool{n}d"
        for kind in ("max", "avg", "adaptive_avg", "adaptive_max", "_adaptive_avg")
        for n in (2, 3)
    ),
    "aten.max_pool2d_with_indices",
    "aten.batch_norm",
    "aten._native_batch_norm_legit",
    "aten._native_batch_norm_legit_functional",
    "aten._native_batch_norm_legit_no_training",
    "aten.native_batch_norm",
    "aten.group_norm",
    "aten.upsample_bilinear2d",
    "aten.upsample_nearest2d",
    "aten.upsample_bicubic2d",
    "aten.upsample_nearest3d",
    "aten.upsample_trilinear3d",
    "aten._upsample_nearest_exact2d",
    "aten._upsample_bilinear2d_aa",
    "aten._upsample_bicubic2d_aa",
    "aten.constant_pad_nd",
    "aten.pixel_shuffle",
    "aten.pixel_unshuffle",
    "aten.channel_shuffle",
)
def _keeps_format(scene: Scene) -> tuple[Layout, ...]:
    _, tensor, strides = _main(scene)
    return tuple(Layout(like(tensor, strides, result.shape)) for result in _results(scene))


@layout("aten.pad")
def _pad(scene: Scene) -> tuple[Layout, ...]:
    _, tensor, strides = _main(scene)
    if scene.call.attr("mode", "constant") == "constant":
        return (Layout(like(tensor, strides, scene.call.result.shape)),)
    return (Layout(contiguous(scene.call.result.shape)),)


@layout("aten.cat", "aten.concat", "aten.concatenate")
def _cat(scene: Scene) -> tuple[Layout, ...]:
    shape = scene.call.result.shape
    parts = [
        (kind.shape, strides or contiguous(kind.shape))
        for kind, strides in zip(scene.call.operands, scene.strides, strict=True)
        if isinstance(kind, TensorType)
    ]
    last = all(suggests_channels_last(sizes, strides) for sizes, strides in parts)
    return (Layout(channels_last(shape) if last and len(shape) in (4, 5) else contiguous(shape)),)


@layout("aten.scaled_dot_product_attention", "aten._scaled_dot_product_flash_attention_for_cpu")
def _attention(scene: Scene) -> tuple[Layout, ...]:
    """On the CPU the flash kernel runs for equal head sizes, no grouped heads and no dropout: (N, S, H, D) in memory."""
    call = scene.call
    shape = call.result.shape
    query, key, value = (call.tensor(slot) for slot in ("query", "key", "value"))
    flash = (
        scene.device == "cpu"
        and len(shape) == 4
        and query.shape[-1] is value.shape[-1]
        and query.shape[1] is key.shape[1]
        and call.attr("dropout_p", 0.0) == 0.0
        and all(scene.operand(slot)[2][-1] is ONE for slot in ("query", "key", "value"))
    )
    first = contiguous(shape)
    if flash:
        inner = contiguous((shape[0], shape[2], shape[1], shape[3]))
        first = (inner[0], inner[2], inner[1], inner[3])
    return (Layout(first), *(Layout(contiguous(r.shape)) for r in _results(scene)[1:]))


def layout_of_pointwise(scene: Scene) -> tuple[Layout, ...] | None:
    """The pointwise layout for ops whose cost rule is pointwise and which have no layout rule of their own."""
    found = find(scene.call.op)
    return pointwise(scene) if found is not None and found.kind == "pointwise" and scene.call.results else None
