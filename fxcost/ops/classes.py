"""Classes of calls: finer than families, for what a runtime achieves rather than for what is counted.

A depthwise convolution and a dense one are counted by one formula, but no library runs them at one rate. A class is
its family's name, or `FAMILY_VARIANT` where calls of a family behave differently; who knows nothing of a class falls
back to its family, which is what comes before the underscore.

conv         conv_pointwise (1x1 kernels), conv_depthwise (one input channel a group), conv_grouped, conv_transposed
matmul       matmul_linear (by a parameter), else products of activations
norm         norm_batch (stored statistics), else norms over the data
pool         pool_max, pool_average
elementwise  elementwise_composed (clamps, hard activations), elementwise_transcendental (exp, sigmoid, GELU ...)
reduce       reduce_softmax
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fxcost.ir.expr import ONE, as_expr
from fxcost.ir.types import TensorType
from fxcost.ops import arithmetic
from fxcost.ops.elementwise import OPERATIONS
from fxcost.ops.kinds import kind_of
from fxcost.ops.registry import Call, all_rules, find

VARIANTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "conv": ("pointwise", "depthwise", "grouped", "transposed"),
        "matmul": ("linear",),
        "norm": ("batch",),
        "pool": ("max", "average"),
        "elementwise": ("composed", "transcendental"),
        "reduce": ("softmax",),
    }
)
"""Variants by family."""


def known_classes() -> set[str]:
    """Every class that a call can belong to, families among them."""
    families = {rule.family for rule in all_rules().values()}
    return families | {f"{family}_{variant}" for family, variants in VARIANTS.items() for variant in variants}


def class_of(call: Call) -> str:
    """The class of a call; `unknown` for an operator without a rule."""
    found = find(call.op)
    if found is None:
        return "unknown"
    name = call.op.split(".")[1]
    variant = _variant(found.family, name, call)
    return f"{found.family}_{variant}" if variant else found.family


def _variant(family: str, name: str, call: Call) -> str:
    match family:
        case "conv":
            return _conv_variant(name, call)
        case "matmul":
            return "linear" if _multiplies_a_parameter(call) else ""
        case "norm":
            return "batch" if kind_of(call) == "affine" else ""
        case "pool":
            return "max" if "max_" in name else "average" if "avg_" in name else ""
        case "elementwise":
            return _pointwise_variant(name.rstrip("_"), call)
        case "reduce":
            return "softmax" if "softmax" in name else ""
    return ""


def _conv_variant(name: str, call: Call) -> str:
    weight = call.maybe("weight")
    if weight is None or weight.rank < 3:
        return ""
    if "transpose" in name or call.attr("transposed", False) is True:
        return "transposed"
    if as_expr(call.ints("groups", 1, 1)[0]) is not ONE:
        return "depthwise" if weight.shape[1] is ONE else "grouped"
    return "pointwise" if all(size is ONE for size in weight.shape[2:]) else ""


def _pointwise_variant(name: str, call: Call) -> str:
    operations = OPERATIONS.get(name, 1)
    if name in {"pow", "gelu", "glu", "glu_backward"}:
        exponent = call.attr("exponent")
        by_products = name == "pow" and isinstance(exponent, int | float) and 2 * exponent == int(2 * exponent)
        operations = 1 if by_products else arithmetic.TRANSCENDENTAL
    return "transcendental" if operations >= arithmetic.TRANSCENDENTAL else "composed" if operations > 1 else ""


def _multiplies_a_parameter(call: Call) -> bool:
    pairs = zip(call.roles, call.operands, strict=False)
    return any(role == "parameter" and isinstance(kind, TensorType) and kind.rank >= 2 for role, kind in pairs)
