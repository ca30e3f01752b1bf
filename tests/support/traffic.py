"""Bytes that a real run moves, seen from below: independent evidence for what rules count of traffic.

Every operator that torch dispatches while a model runs on the CPU reads each of its operands once and writes each of its
results once, distinct elements alone; views move nothing. Calls that torch splits up on its way down, and which count as one
operator, are seen before that (`WHOLE`). Nothing is known here of graphs, formulas or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

WHOLE: tuple[Any, ...] = (
    F.scaled_dot_product_attention,
    F.linear,
    F.layer_norm,
    torch.matmul,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    torch.where,
)
"""Calls that are one operator and dispatch others, or keep more than they return."""

TAKEN = {"aten.embedding", "aten.index", "aten.index_select", "aten.gather"}
"""Operators that take elements of their first operand: as many as the result has, repeats among them."""

NOT_READ = {"aten.empty_like", "aten.zeros_like", "aten.ones_like", "aten.full_like", "aten.new_empty"}
NOT_READ |= {
    "aten.new_zeros",
    "aten.new_ones",
    "aten.new_full",
    "aten.fill_",
    "aten.zero_",
    "aten.copy_",
    "aten.index_put_",
}
"""Operators that look at the type of their first operand, or overwrite it."""

NOT_WRITTEN = {"aten.empty", "aten.empty_like", "aten.new_empty", "aten.empty_strided"}
"""Operators that give memory as it is."""


def distinct(tensor: torch.Tensor) -> int:
    """Elements of a tensor that lie in different places: what is broadcast counts once."""
    return (
        prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
        if tensor.numel()
        else 0
    )


class Traffic:
    """Bytes by where they are: read of the model's own tensors, read of others, written; and by operator."""

    def __init__(self, own: Iterable[torch.Tensor]) -> None:
        self.own = {tensor.untyped_storage()._cdata for tensor in own}
        self.weights = self.read = self.written = 0
        self.by_operator: Counter[tuple[str, str]] = Counter()
        self.paused = False

    def call(self, name: str, operands: Iterable[torch.Tensor], results: Iterable[torch.Tensor]) -> None:
        """Count one operator: its operands, each once, and its results."""
        results = list(results)
        seen: set[tuple[Any, ...]] = set()
        for position, operand in enumerate(operands):
            key = (operand.data_ptr(), operand.shape, operand.stride())
            if key in seen or (position == 0 and name in NOT_READ):
                continue
            seen.add(key)
            elements = distinct(operand)
            if name in TAKEN and position == 0:
                elements = sum(result.numel() for result in results)
            nbytes = elements * operand.element_size()
            if operand.untyped_storage()._cdata in self.own:
                self.weights += nbytes
                self.by_operator["weights", name] += nbytes
            else:
                self.read += nbytes
                self.by_operator["read", name] += nbytes
        if name not in NOT_WRITTEN:
            nbytes = sum(distinct(result) * result.element_size() for result in results)
            self.written += nbytes
            self.by_operator["written", name] += nbytes


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class _Below(TorchDispatchMode):
    """Every operator that arrives at a kernel."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.traffic = traffic

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        operands, results = _tensors((args, kwargs)), _tensors(result)
        homes = {operand.untyped_storage()._cdata for operand in operands}
        is_view = not func._schema.is_mutable and all(r.untyped_storage()._cdata in homes for r in results)
        if not self.traffic.paused and not is_view:
            self.traffic.call(str(func).rpartition(".")[0], operands, results)
        return result


class _Above(TorchFunctionMode):
    """Calls that count as one operator."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.traffic = traffic

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in WHOLE or self.traffic.paused:
            return func(*args, **(kwargs or {}))
        self.traffic.paused = True
        try:
            result = func(*args, **(kwargs or {}))
        finally:
            self.traffic.paused = False
        self.traffic.call(func.__name__, _tensors((args, kwargs)), _tensors(result))
        return result


@contextmanager
def traffic_of(model: torch.nn.Module) -> Iterator[Traffic]:
    """Count what is moved inside; tensors of the model are weights."""
    found = Traffic([*model.parameters(), *model.buffers()])
    with _Above(found), _Below(found):
        yield found
