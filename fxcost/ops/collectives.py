"""Collectives: what several devices exchange, seen from one of them.

`group_size` is how many take part: torch writes it into some of these calls; for the others capture looks it up in the
process group. What is sent is counted apart from memory traffic (`wire_bytes`; fxcost/ops/exchanges.py has the formulas):
locally every operand is read once and every result written once. Additions are `other_ops`, the mean of the devices:
each of the message's elements is added P-1 times, by somebody.
"""

from __future__ import annotations

from collections.abc import Iterable

from fxcost.errors import ModelError
from fxcost.ir.expr import Expr, as_expr, ceildiv, total
from fxcost.ir.types import TensorType
from fxcost.ops.exchanges import Exchange
from fxcost.ops.registry import Call, OpCost, rule
from fxcost.ops.touched import untouched

NAMESPACES = ("_c10d_functional", "_c10d_functional_autograd", "c10d_functional")
"""Where torch keeps functional collectives; `c10d` has those that write into their operands."""

_REDUCE, _GATHER = "2*(P - 1)/P*n", "(P - 1)/P*n"


def _functional(*names: str) -> list[str]:
    return [f"{namespace}.{name}" for namespace in NAMESPACES for name in names]


def devices_of(call: Call) -> Expr:
    """How many devices take part; raises ModelError where the call does not say."""
    stated = call.attr("group_size")
    if not isinstance(stated, int | Expr) or isinstance(stated, bool):
        raise ModelError(f"{call.op} does not say among how many devices; expected an attribute group_size")
    return as_expr(stated)


def _tensors(call: Call) -> tuple[TensorType, ...]:
    return tuple(kind for kind in call.operands if isinstance(kind, TensorType))


def _exchanged(
    kind: str, call: Call, message: Iterable[TensorType], formula: str, additions: bool = False, own: Expr | None = None
) -> OpCost:
    sent, devices = tuple(message), devices_of(call)
    elements = total(tensor.numel for tensor in sent)
    return OpCost(
        other_ops=ceildiv((devices - 1) * elements, devices) if additions else as_expr(0),
        exchange=Exchange(kind, sent, devices, own),
        formula=formula,
        bind={"P": devices, "n": elements},
    )


@rule(
    *_functional("all_reduce", "all_reduce_coalesced"),
    "c10d.allreduce_",
    "c10d.allreduce_coalesced_",
    kind="movement",
)
def all_reduce(call: Call) -> OpCost:
    """2*(P-1)/P*n elements sent by each of P devices that hold n: a ring's reduce-scatter, then its all-gather.

    No algorithm sends less (Patarasuk and Yuan 2009). Additions: (P-1)/P*n a device.
    """
    return _exchanged("all_reduce", call, _tensors(call), _REDUCE, additions=True)


@rule(
    *_functional("all_gather_into_tensor", "all_gather_into_tensor_coalesced", "all_gather_into_tensor_out"),
    kind="movement",
)
def all_gather(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices, for a result of n: its own part goes to P-1 others."""
    return _exchanged("all_gather", call, call.results, _GATHER)


@rule("c10d._allgather_base_", "c10d.allgather_", "c10d.allgather_into_tensor_coalesced_", kind="movement")
def all_gather_into(call: Call) -> OpCost:
    """(P-1)*n elements sent by each of P devices that hold n: its own part goes to P-1 others."""
    parts = [call.maybe("input_tensor")] if call.index("input_tensor") is not None else []
    parts += [*call.tensors("input_tensors"), *call.tensors("inputs")]
    whole = [TensorType((devices_of(call), *part.shape), part.dtype) for part in parts if part is not None]
    return _exchanged("all_gather", call, whole, _GATHER)


@rule(
    *_functional("reduce_scatter_tensor", "reduce_scatter_tensor_coalesced", "reduce_scatter_tensor_out"),
    kind="movement",
)
def reduce_scatter(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices that hold n; each keeps the sum of its P-th part.

    Additions: (P-1)/P*n a device.
    """
    message = call.tensors("inputs") or _tensors(call)[:1]
    return _exchanged("reduce_scatter", call, message, _GATHER, additions=True)


@rule("c10d._reduce_scatter_base_", "c10d.reduce_scatter_", "c10d.reduce_scatter_tensor_coalesced_", kind="movement")
def reduce_scatter_into(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices that hold n; each keeps the sum of its P-th part."""
    given = call.maybe("input_tensor")
    message = (given,) if given is not None else call.tensors("inputs") or _lists(call, "input_tensors")
    return _exchanged("reduce_scatter", call, message, _GATHER, additions=True)


@rule(*_functional("all_to_all_single"), kind="movement")
def all_to_all(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices that hold n, where all parts are equal; else n - (its own part).

    Which part is a device's own is its rank; capture looks it up. Without a rank the parts are taken to be equal.
    """
    splits, rank = call.attr("input_split_sizes"), call.attr("group_rank")
    own: Expr | None = None
    message = _tensors(call)[:1]
    if isinstance(splits, tuple) and isinstance(rank, int) and rank < len(splits) and message:
        part = splits[rank]
        if isinstance(part, int | Expr) and len(set(splits)) > 1:
            shape = message[0].shape
            own = as_expr(part) * total([message[0].numel]) // shape[0] if len(shape) > 1 else as_expr(part)
    return _exchanged("all_to_all", call, message, _GATHER if own is None else "n - own", own=own)


@rule("c10d.alltoall_base_", "c10d.alltoall_", kind="movement")
def all_to_all_into(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices that hold n: the parts are taken to be equal."""
    given = call.maybe("input")
    return _exchanged("all_to_all", call, (given,) if given else call.tensors("input_tensors"), _GATHER)


@rule("_dtensor.shard_dim_alltoall", kind="movement")
def reshard(call: Call) -> OpCost:
    """(P-1)/P*n elements sent by each of P devices that hold n: sharded along another dimension."""
    return _exchanged("all_to_all", call, _tensors(call)[:1], _GATHER)


@rule(*_functional("broadcast"), "c10d.broadcast_", kind="movement")
def broadcast(call: Call) -> OpCost:
    """(P-1)/P*n elements sent, in the mean of P devices: all but the last in the chain send the n of the message."""
    return _exchanged("broadcast", call, _tensors(call), _GATHER)


@rule("c10d.reduce_", kind="movement")
def reduce(call: Call) -> OpCost:
    """(P-1)/P*n elements sent, in the mean of P devices: a broadcast in the other direction, with as many additions."""
    return _exchanged("reduce", call, _tensors(call), _GATHER, additions=True)


@rule(*_functional("wait_tensor"), kind="view")
def wait(call: Call) -> OpCost:
    """The collective's own result, once it has arrived: nothing is computed or moved."""
    return untouched(call)


@rule("c10d.barrier", "c10d.monitored_barrier_", kind="free")
def barrier(call: Call) -> OpCost:
    """No tensor is sent; the time of waiting for each other is not counted."""
    return untouched(call)


def _lists(call: Call, slot: str) -> tuple[TensorType, ...]:
    """Tensors of a list of lists (`slot.0.1`)."""
    pairs = zip(call.node.slots, call.operands, strict=True)
    return tuple(kind for name, kind in pairs if name.startswith(f"{slot}.") and isinstance(kind, TensorType))
