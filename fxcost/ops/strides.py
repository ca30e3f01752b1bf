"""Where results live: strides of tensors and which results are their operand under another shape.

Torch decides whether `reshape` or `contiguous` copies by looking at strides. This room repeats those decisions on
symbolic strides. Strides are in elements, one expression per dimension. Where only a size of one would turn a copy into
a view, the outcome is an alias *under a condition* (`reshape` after a transpose at S = 1).

`layout_of(call, strides, ...)` is the one entry; rules are registered by operator like cost rules are. An operator
without a layout rule gives fresh contiguous results, or plain aliases where its schema says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

from fxcost.errors import ModelError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import ONE, Expr, bounds, const, is_nonnegative
from fxcost.ir.predicate import FALSE, TRUE, Compare, Predicate, all_of, any_of
from fxcost.ir.types import TensorType
from fxcost.ops.registry import Call

Strides = tuple[Expr, ...]


@dataclass(frozen=True)
class Layout:
    """Strides of one result, and the operand it shares memory with where `when` holds."""

    strides: Strides
    of: int | None = None
    when: Predicate = FALSE


@dataclass(frozen=True)
class Scene:
    """What a layout rule sees: the call, its operands' strides, a generic point, the runtime's device."""

    call: Call
    strides: tuple[Strides | None, ...]
    hints: Mapping[str, int]
    device: str = "cpu"

    def operand(self, slot: str) -> tuple[int, TensorType, Strides]:
        """Position, type and strides of the tensor in `slot`."""
        position = self.call.index(slot)
        assert position is not None, f"{self.call.op} has no tensor {slot}"
        tensor = self.call.tensor(slot)
        return position, tensor, self.strides[position] or contiguous(tensor.shape)


LayoutRule = Callable[[Scene], tuple[Layout, ...]]
_LAYOUTS: dict[str, LayoutRule] = {}


def layout(*ops: str) -> Callable[[LayoutRule], LayoutRule]:
    """Register the layout rule of `ops` (packet names: `aten.reshape`)."""

    def register(function: LayoutRule) -> LayoutRule:
        for op in ops:
            assert op not in _LAYOUTS, f"{op} has two layout rules"
            _LAYOUTS[op] = function
        return function

    return register


def _find(op: str) -> LayoutRule | None:
    return _LAYOUTS.get(op) or _LAYOUTS.get(".".join(op.split(".")[:2]))


def has_layout(op: str) -> bool:
    """True when the operator has a layout rule of its own."""
    return _find(op) is not None


def layout_of(scene: Scene) -> tuple[Layout, ...]:
    """Layout of every result of a call (contiguous for scalars, which own no memory)."""
    node = scene.call.node
    found = _find(node.op)
    if found is None and node.effects.writes:
        return tuple(_written(scene, position) for position, _ in enumerate(node.results))
    if found is not None:
        return found(scene)
    views = dict(node.effects.views)
    return tuple(
        Layout(_shape_strides(value.type), views.get(position), TRUE if position in views else FALSE)
        for position, value in enumerate(node.results)
    )


def _written(scene: Scene, position: int) -> Layout:
    """An in-place result is the operand that the op writes."""
    target = dict(scene.call.node.effects.views).get(position, scene.call.node.effects.writes[0])
    strides = scene.strides[target]
    kind = scene.call.operands[target]
    return Layout(strides or _shape_strides(kind), target, TRUE)


def _shape_strides(kind: object) -> Strides:
    return contiguous(kind.shape) if isinstance(kind, TensorType) else ()


# -- strides -------------------------------------------------------------------------------------------------------
def contiguous(shape: tuple[Expr, ...]) -> Strides:
    """Row-major strides of a dense tensor."""
    strides: list[Expr] = []
    step = ONE
    for size in reversed(shape):
        strides.append(step)
        step = step * _at_least_one(size)
    return tuple(reversed(strides))


def _at_least_one(size: Expr) -> Expr:
    return ONE if size.constant == 0 else size


def is_contiguous(shape: tuple[Expr, ...], strides: Strides) -> bool:
    """Torch's test for generic sizes: dimensions of size one may have any stride."""
    step = ONE
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size.constant == 1:
            continue
        if stride is not step:
            return False
        step = step * size
    return True


def channels_last(shape: tuple[Expr, ...]) -> Strides:
    """Strides of a dense N,C,(D,)H,W tensor stored with the channel innermost."""
    batch, channels, *spatial = shape
    inner = contiguous((batch, *spatial, channels))
    return (inner[0], inner[-1], *inner[1:-1])


def suggests_channels_last(shape: tuple[Expr, ...], strides: Strides) -> bool:
    """Torch's `suggest_memory_format`: channels innermost, the ambiguous all-ones case counting as contiguous."""
    if len(shape) not in (4, 5):
        return False
    least = const(0)
    for position in (1, *range(len(shape) - 1, 1, -1), 0):
        size, stride = shape[position], strides[position]
        if size.constant == 0 or not is_nonnegative(stride - least):
            return False
        if position == 0 and least is strides[1]:
            return False
        least = stride * size if size.constant != 1 else stride
    return True


def like(tensor: TensorType, strides: Strides, shape: tuple[Expr, ...]) -> Strides:
    """Strides of a fresh result in the memory format that the operand suggests."""
    same_rank = len(shape) == tensor.rank
    return channels_last(shape) if same_rank and suggests_channels_last(tensor.shape, strides) else contiguous(shape)


# -- is a view possible? -------------------------------------------------------------------------------------------
def view_strides(
    shape: tuple[Expr, ...], strides: Strides, new_shape: tuple[Expr, ...], hints: Mapping[str, int]
) -> Strides | None:
    """Strides under which memory of (shape, strides) is `new_shape`, or None where torch must copy.

    The walk of ATen's `computeStride`: chunks of dimensions that are contiguous with each other are matched from the
    right. Equality of expressions is exact; which of two sizes is larger is decided at the generic point `hints`.
    """
    if not shape:
        return (ONE,) * len(new_shape)
    result: list[Expr] = [ONE] * len(new_shape)
    position = len(new_shape) - 1
    base, old_count, new_count = strides[-1], ONE, ONE
    for old in range(len(shape) - 1, -1, -1):
        old_count = old_count * shape[old]
        if old and (shape[old - 1].constant == 1 or strides[old - 1] is old_count * base):
            continue
        while position >= 0 and (new_shape[position].constant == 1 or _less(new_count, old_count, hints)):
            result[position] = new_count * base
            new_count = new_count * new_shape[position]
            position -= 1
        if new_count is not old_count:
            return None
        if old:
            base, old_count, new_count = strides[old - 1], ONE, ONE
    return tuple(result) if position == -1 else None


def _less(a: Expr, b: Expr, hints: Mapping[str, int]) -> bool:
    if a is b:
        return False
    low, high = bounds(b - a)
    if low is not None and low > 0:
        return True
    if high is not None and high <= 0:
        return False
    return evaluate(a, hints) < evaluate(b, hints)


def condition(scene: Scene, sizes: tuple[Expr, ...], fits: Callable[[Callable[[Expr], Expr]], bool]) -> Predicate:
    """When sizes of one make `fits` true although it is false for generic sizes.

    Every set of up to three of `sizes` that can be one is tried at a witness point that the model takes; `fits` gets a
    function that takes an expression to its value there. The minimal sets that work are the alternatives of the result.
    """
    candidates = [size for size in dict.fromkeys(sizes) if size.constant is None and bounds(size)[0] in (0, 1)]
    working: list[frozenset[Expr]] = []
    for count in (1, 2, 3):
        for chosen in combinations(candidates, count):
            if any(found <= set(chosen) for found in working):
                continue
            point = dict(scene.hints)
            for size in chosen:
                point |= dict.fromkeys(size.symbols, 1)
            if any(evaluate(size, point) != 1 for size in chosen):
                continue
            try:
                if fits(lambda value, at=point: const(evaluate(value, at))):  # type: ignore[misc]
                    working.append(frozenset(chosen))
            except ModelError:  # a size is divided by one that is zero there: no model runs at this point
                continue
    return any_of(all_of(Compare("==", size, ONE) for size in sorted(found, key=str)) for found in working)
