"""Calls for rules, taken from torch: the operator's schema names the slots, a run on meta tensors gives the results."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fxcost.ir.expr import const
from fxcost.ir.graph import Attribute, Node, Value
from fxcost.ir.types import DType, TensorType, ValueType
from fxcost.ops.registry import Call

_TYPES = {
    torch.float64: "f64",
    torch.float32: "f32",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int8: "i8",
    torch.uint8: "u8",
    torch.bool: "bool",
    torch.uint64: "u64",
    torch.float8_e4m3fn: "f8e4m3",
    torch.complex64: "c64",
}


def type_of(tensor: torch.Tensor) -> TensorType:
    """The IR's type of a tensor."""
    return TensorType(tuple(const(int(size)) for size in tensor.shape), DType.of(_TYPES[tensor.dtype]))


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """An empty meta tensor."""
    return torch.empty(shape, dtype=dtype, device="meta")


def overload(op: str) -> Any:
    """`aten.add.Tensor` as torch's object."""
    namespace, name, *rest = op.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), name), rest[0] if rest else "default")


def torch_call(op: str, *args: Any, outputs: Any = None, **kwargs: Any) -> Call:
    """The call that lowering would make of `op(*args, **kwargs)`; `outputs` spares the run."""
    target = overload(op)
    schema = target._schema
    if outputs is None:
        outputs = target(*args, **kwargs)
    slots: list[str] = []
    operands: list[ValueType] = []
    attrs: dict[str, Attribute] = {}
    for position, argument in enumerate(schema.arguments):
        given = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
        if isinstance(given, torch.Tensor):
            slots.append(argument.name)
            operands.append(type_of(given))
        elif isinstance(given, list | tuple) and any(isinstance(item, torch.Tensor) for item in given):
            for index, item in enumerate(given):
                if item is not None:
                    slots.append(f"{argument.name}.{index}")
                    operands.append(type_of(item))
        elif given is not None:
            attrs[argument.name] = _attribute(given)
    flat = outputs if isinstance(outputs, list | tuple) else (outputs,)
    results = tuple(Value(f"%r{i}", type_of(o)) for i, o in enumerate(flat) if isinstance(o, torch.Tensor))
    node = Node("node", op, tuple(f"%{i}" for i in range(len(slots))), tuple(slots), attrs, results)
    return Call(node, tuple(operands), ("activation",) * len(slots))


def _attribute(value: Any) -> Attribute:
    if isinstance(value, list | tuple):
        return tuple(_attribute(item) for item in value)
    return value if isinstance(value, bool | int | float | str) else str(value)


class _Live(TorchDispatchMode):
    """Bytes of all storages that operators return while this is on, and their peak."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known, self.now, self.peak = known, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for made in tensors_in(found):
            self._note(made.untyped_storage())
        return found

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def tensors_in(value: Any) -> list[torch.Tensor]:
    """Every tensor in nested lists."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in tensors_in(item)] if isinstance(value, list | tuple) else []


def allocated_inside(op: str, *args: Any, **kwargs: Any) -> int:
    """Peak bytes that a real run of `op` holds beside its operands and results, as far as the dispatcher sees."""
    given = tensors_in([args, list(kwargs.values())])
    live = _Live({tensor.untyped_storage()._cdata for tensor in given})
    with torch.no_grad(), live:
        results = overload(op)(*args, **kwargs)
    own = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors_in(results)}
    return live.peak - sum(own.values())
