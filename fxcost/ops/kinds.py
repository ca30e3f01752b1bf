"""What a call is (see KINDS) where its arguments decide: dropout, casts, batch norm.

The kind in the registry is the operator's usual one; passes ask `kind_of`.
"""

from __future__ import annotations

from fxcost.ops.elementwise import converts, training
from fxcost.ops.norm import uses_data_statistics
from fxcost.ops.registry import Call, find

_DROPOUTS = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"}


def kind_of(call: Call) -> str | None:
    """The kind of this very call, or None for an operator without a rule.

    Dropout in evaluation and conversions that convert nothing are views; a batch norm over its own batch is compute.
    """
    found = find(call.op)
    if found is None:
        return None
    name = call.op.split(".")[1].rstrip("_")
    if name in _DROPOUTS and not training(call):
        return "view"
    if found.kind == "affine" and uses_data_statistics(call):
        return "compute"
    if found.function.__name__ == "to" and not converts(call):
        return "view"
    return found.kind
