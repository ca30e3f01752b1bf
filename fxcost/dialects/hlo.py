"""`stablehlo`: what its attributes say of products, convolutions and reductions, as plain attributes of the node."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fxcost.dialects.operations import Operation, Shaped
from fxcost.dialects.structured import weight
from fxcost.dialects.translate import Fresh, Held, Tensor, Translator
from fxcost.ir.expr import Expr
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


def _shapes(op: Operation, held: Sequence[Held]) -> list[Sequence[Expr | None]] | None:
    """Open sizes of elementwise results are those of an operand of the same rank."""
    found = find(op.name)
    forms = [each.type for each in held if isinstance(each, Tensor | Fresh)]
    shaped = op.results[0].type
    if found is None or found.kind != "pointwise" or not isinstance(shaped, Shaped):
        return None
    like = next((form for form in forms if form.rank == len(shaped.dims)), None)
    return None if like is None or len(op.results) > 1 else [like.shape]
