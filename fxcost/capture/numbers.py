"""Python's own ways to a number, which keep sizes symbolic in a model's code: `len(tensor)`, `int(size)`, `range(size)`.

All demand plain numbers, so a trace would hold for that size alone. In the code of the modules that
make up a model, other objects stand under these names while it is traced.
"""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.fx.experimental.symbolic_shapes import statically_known_true


class _Kind(type):
    """Makes the class below pass for `int` where code asks what something is."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, builtins.int | torch.SymInt)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, builtins.int)


class _Integer(builtins.int, metaclass=_Kind):
    """`int`, but a symbolic integer stays what it is."""

    def __new__(cls, *given: Any, **named: Any) -> Any:
        if len(given) == 1 and isinstance(given[0], torch.SymInt):
            return given[0]
        if len(given) == 1 and isinstance(given[0], torch.Tensor) and not given[0].dtype.is_floating_point:
            return given[0].item()
        return builtins.int(*given, **named)


def _length(of: Any) -> Any:
    return of.shape[0] if isinstance(of, torch.Tensor) and of.dim() else builtins.len(of)


class _RangeKind(type):
    """Makes the class below pass for `range` where code asks what something is."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, builtins.range)


class _Range(metaclass=_RangeKind):
    """`range`, but as a list of sizes where each is one and how many there are does not depend on the sizes."""

    def __new__(cls, *given: Any) -> Any:
        if not any(isinstance(each, torch.SymInt) for each in given) or len(given) > 3:
            return builtins.range(*given)
        start, stop, step = (0, *given, 1) if len(given) == 1 else (*given, 1)[:3]
        with disable_proxy_modes_tracing():  # the questions are no part of the graph
            steps = 0
            while steps < MOST_STEPS and statically_known_true(start + steps * step < stop):
                steps += 1
            known = statically_known_true(start + steps * step >= stop)
        return [start + step * each for each in builtins.range(steps)] if known else builtins.range(*given)


MOST_STEPS = 64
"""Steps that a range over sizes is looked through for its end."""


LENGTHS: Mapping[str, Any] = {"len": _length, "range": _Range}
INTEGERS: Mapping[str, Any] = {"int": _Integer, "torch_int": _Integer}
"""By the name that code knows them under; `torch_int` is transformers' name for `int` while nothing is traced."""


@contextmanager
def spelled(model: nn.Module, others: Mapping[str, Any]) -> Iterator[None]:
    """Have `others` stand for the objects of these names in the files of the model's own modules."""
    places: dict[int, dict[str, Any]] = {}
    for module in model.modules():
        code = inspect.unwrap(type(module).forward)
        names = getattr(code, "__globals__", None)
        if isinstance(names, dict) and not str(names.get("__name__")).startswith("torch."):
            places[id(names)] = names
    changed: list[tuple[dict[str, Any], dict[str, Any]]] = []
    try:
        for names in places.values():
            # What a file defines or imports under such a name itself is not Python's; but for transformers' own.
            taken = {name for name in others if hasattr(builtins, name) == (name not in names)}
            changed.append((names, {name: names[name] for name in taken if name in names}))
            names.update({name: others[name] for name in taken})
        yield
    finally:
        for names, before in changed:
            for name in others:
                if names.get(name) is others[name]:
                    del names[name]
            names.update(before)
