"""`stablehlo`: what its attributes say of products, convolutions and reductions, as plain attributes of the node."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from fxcost.dialects.operations import Elements, Operation, Shaped
from fxcost.dialects.structured import weight
from fxcost.dialects.translate import Fresh, Held, Tensor, Translator
from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Attribute
from fxcost.ops.registry import find
from fxcost.ops.stablehlo import operations_of

_LIST = re.compile(r"(\w+)\s*=\s*\[([0-9,\s]*)\]")
_LAYOUTS = re.compile(r"\[([^\]]*)\]\s*x\s*\[([^\]]*)\]\s*->\s*\[([^\]]*)\]")
_PAIRS = {"stablehlo.dot_general", "stablehlo.dot", "stablehlo.convolution", "stablehlo.dynamic_conv"}
_VIEWS = {"stablehlo.reshape", "stablehlo.bitcast_convert", "stablehlo.optimization_barrier"}


def hlo(to: Translator, op: Operation) -> bool:
    """Ops of `stablehlo` and `chlo` that have a rule."""
    if not op.name.startswith(("stablehlo.", "chlo.")) or find(op.name) is None or not op.results:
        return False
    held = [to.env[number] for number in op.operands]
    slots = ["lhs", "rhs"] if op.name in _PAIRS else [f"operands.{i}" for i in range(len(held))]
    operands: list[tuple[str, Held]] = list(zip(slots, held, strict=False))
    if op.name in _VIEWS and len(op.results) == 1 and isinstance(op.results[0].type, Shaped):
        to.view(op, "operands.0", None)
        return True
    if op.name == "stablehlo.broadcast_in_dim" and isinstance(held[0], Fresh):
        assert isinstance(op.results[0].type, Shaped)
        to.env[op.results[0].id] = Fresh(to.formed(op.results[0].type, None))  # one number everywhere, still
        return True
    to.emit(op, op.name, operands, _attributes(op), _shapes(op, held))
    return True


def _attributes(op: Operation) -> dict[str, Attribute]:
    if op.name == "stablehlo.dot":
        shaped = op.types[0]
        return {"lhs_contracting": (len(shaped.dims) - 1,)} if isinstance(shaped, Shaped) else {}
    if op.name == "stablehlo.dot_general":
        lists = dict(_LIST.findall(str(op.attrs.get("dot_dimension_numbers", ""))))
        return {
            "lhs_contracting": _numbers(lists.get("lhs_contracting_dimensions", "")),
            "lhs_batching": _numbers(lists.get("lhs_batching_dimensions", "")),
        }
    if op.name in _PAIRS:
        return _convolution(op)
    if op.name in {"stablehlo.reduce", "stablehlo.reduce_window"}:
        body = [inner for block in op.blocks for inner in block.operations[:-1]]
        found: dict[str, Attribute] = {"ops_per_element": sum(_operations(inner) for inner in body)}
        window = op.attrs.get("window_dimensions")
        return found | ({"window_dimensions": tuple(window)} if window is not None else {})
    return {}


def _operations(op: Operation) -> int:
    if op.name.startswith("stablehlo."):
        return 0 if op.name == "stablehlo.constant" else operations_of(op.name)
    return weight(op.name)


def _convolution(op: Operation) -> dict[str, Attribute]:
    """`[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]`: where the kernel has its output features and its window."""
    match = _LAYOUTS.search(str(op.attrs.get("dimension_numbers", "")))
    if match is None:
        return {}
    kernel = [part.strip() for part in match[2].split(",")]
    return {
        "kernel_output_feature": kernel.index("o") if "o" in kernel else None,
        "kernel_spatial": tuple(i for i, part in enumerate(kernel) if part.isdecimal()),
        "feature_group_count": op.attrs.get("feature_group_count", 1),
        "batch_group_count": op.attrs.get("batch_group_count", 1),
        "lhs_dilation": tuple(op.attrs.get("lhs_dilation", ())),
    }


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


Shape = Sequence[Expr | None]


def _shapes(op: Operation, held: Sequence[Held]) -> list[Shape] | None:
    """Sizes of the result that follow from those of the operands; what does not follow stays open."""
    forms = [each.type for each in held if isinstance(each, Tensor | Fresh)]
    shaped = op.results[0].type
    if not isinstance(shaped, Shaped) or None not in shaped.dims or len(op.results) > 1 or not forms:
        return None
    name, found = op.name.removeprefix("stablehlo."), find(op.name)
    shape: Shape | None = None
    if found is not None and found.kind == "pointwise":
        shape = next((form.shape for form in forms if form.rank == len(shaped.dims)), None)
    elif name in _INFERRED and len(forms) == len(held):
        shape = _INFERRED[name](op, [form.shape for form in forms])
    return None if shape is None or len(shape) != len(shaped.dims) else [shape]


def _dot_shape(op: Operation, shapes: Sequence[Shape]) -> Shape:
    lists = {n: _numbers(t) for n, t in _LIST.findall(str(op.attrs.get("dot_dimension_numbers", "")))}
    left, right = shapes[0], shapes[1]
    batch = lists.get("lhs_batching_dimensions", ())
    rows = [s for dim, s in enumerate(left) if dim not in {*batch, *lists.get("lhs_contracting_dimensions", ())}]
    gone = {*lists.get("rhs_batching_dimensions", ()), *lists.get("rhs_contracting_dimensions", ())}
    return [*(left[dim] for dim in batch), *rows, *(s for dim, s in enumerate(right) if dim not in gone)]


def _convolution_shape(op: Operation, shapes: Sequence[Shape]) -> Shape:
    """Every spatial size is that of the windows that fit: (dilated input + padding - dilated kernel)//stride + 1."""
    match = _LAYOUTS.search(str(op.attrs.get("dimension_numbers", "")))
    if match is None:
        return ()
    image, kernel, result = ([part.strip() for part in text.split(",")] for text in match.groups())
    sizes: dict[str, Expr | None] = {
        "b": shapes[0][image.index("b")],
        "f": shapes[1][kernel.index("o")],
    }
    spatial = [part for part in result if part.isdecimal()]
    padding = op.attrs.get("padding")
    pads = padding.numbers if isinstance(padding, Elements) and padding.numbers else (0,) * 2 * len(spatial)
    for place in spatial:
        at = int(place)
        lengths = [
            _dilated(shape[names.index(place)], _at(op, which, at))
            for names, shape, which in ((image, shapes[0], "lhs_dilation"), (kernel, shapes[1], "rhs_dilation"))
        ]
        sizes[place] = _windows(lengths[0], lengths[1], pads[2 * at] + pads[2 * at + 1], _at(op, "window_strides", at))
    return [sizes.get(part) for part in result]


def _at(op: Operation, name: str, place: int) -> int:
    values = op.attrs.get(name) or ()
    return int(values[place]) if place < len(values) else 1


def _dilated(size: Expr | None, step: int) -> Expr | None:
    return None if size is None else (size - 1) * step + 1


def _windows(size: Expr | None, window: Expr | None, padding: int, stride: int) -> Expr | None:
    return None if size is None or window is None else (size + padding - window) // stride + 1


def _transposed(op: Operation, shapes: Sequence[Shape]) -> Shape:
    return [shapes[0][int(dim)] for dim in op.attrs.get("permutation", ())]


def _broadcast(op: Operation, shapes: Sequence[Shape]) -> Shape:
    """A size that is open in the result and not one in the operand is the operand's."""
    shaped = op.results[0].type
    assert isinstance(shaped, Shaped)
    found: list[Expr | None] = [None] * len(shaped.dims)
    for position, dim in enumerate(op.attrs.get("broadcast_dimensions", ())):
        size = shapes[0][position]
        found[int(dim)] = None if size is None or size.constant == 1 else size
    return found


def _reduced(op: Operation, shapes: Sequence[Shape]) -> Shape:
    gone = set(op.attrs.get("dimensions", ()))
    return [size for dim, size in enumerate(shapes[0]) if dim not in gone]


def _joined(op: Operation, shapes: Sequence[Shape]) -> Shape:
    dim = int(op.attrs.get("dimension", 0))
    known = [size for shape in shapes if (size := shape[dim]) is not None]
    found = list(shapes[0])
    found[dim] = total(known) if len(known) == len(shapes) else None
    return found


_INFERRED: Mapping[str, Callable[[Operation, Sequence[Shape]], Shape]] = {
    "dot_general": _dot_shape,
    "convolution": _convolution_shape,
    "transpose": _transposed,
    "broadcast_in_dim": _broadcast,
    "reduce": _reduced,
    "concatenate": _joined,
}
