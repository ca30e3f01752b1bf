"""Integers that are given as tensors keep their values in a trace, and so does what is computed from them alone.

Some models are told sizes in a tensor: how the patches of images lie (`grid_thw`), how long sequences are; others keep
strides and paddings in buffers. A trace has no values, so it would not get past the first `grid_thw.tolist()`. Here each
small tensor that only such integers and plain numbers went into is computed beside the trace, for real, and single numbers
that sizes went into as symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from fxcost.capture.scalars import Scalar, computed, rebuilt
from fxcost.capture.twin import forwarding, held_integers

LIMIT = 1 << 16
"""Elements up to which a value is computed."""


def has_values(specs: Any) -> bool:
    """True where an input was given as a tensor of integers or truth values that is small enough to be followed."""
    return any(_followed(leaf) for leaf in pytree.tree_leaves(specs))


def values_of(specs: Any) -> list[Tensor | None]:
    """The values to follow, one place for each input."""
    with _untraced():
        return [leaf.detach().clone() if _followed(leaf) else None for leaf in pytree.tree_leaves(specs)]


def _followed(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.device.type != "meta" and _whole(leaf) and leaf.numel() <= LIMIT


def _whole(of: Tensor) -> bool:
    return not (of.is_floating_point() or of.is_complex())


class _Values(TorchDispatchMode):
    """Computes beside every operator, of which all operands are known, what it gives."""

    def __init__(self, values: Sequence[Tensor | None], given: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        for value, tensor in zip(values, pytree.tree_leaves(given), strict=True):
            if value is not None:
                self.known[tensor] = value

    def of(self, tensor: Tensor) -> Tensor | Scalar | None:
        """The value of a tensor, if it is known; that of a plain small tensor is itself."""
        value: Tensor | Scalar | None = self.known.get(tensor)
        plain = not isinstance(tensor, FakeTensor | nn.Parameter) and tensor.device.type == "cpu"
        return tensor if value is None and plain and tensor.numel() <= LIMIT else value

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one operator, and once more on values where all are known."""
        given = dict(kwargs or {})
        leaves = pytree.tree_leaves((args, given))
        operands = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        values = {id(each): self.of(each) for each in operands}
        symbolic = any(
            isinstance(leaf, torch.SymInt | torch.SymFloat | torch.SymBool | Scalar)
            for leaf in (*leaves, *values.values())
        )
        if symbolic or any(value is None for value in values.values()) or not (operands or func in MAKERS):
            if func._schema.is_mutable:
                for each in operands:
                    self.known.pop(each, None)
            elif symbolic and all(value is not None for value in values.values()):
                return self._with_sizes(func, args, given, values)
            return func(*args, **given)
        if not operands:
            made = func(*args, **given)
            if made.numel() <= LIMIT:
                with _untraced():
                    self.known[made] = func(*args, **{**given, "device": "cpu"})
            return made

        def real(leaf: Any) -> Any:
            if isinstance(leaf, torch.device):
                return torch.device("cpu")
            return values[id(leaf)] if isinstance(leaf, Tensor) else leaf

        with _untraced():
            found = func(*pytree.tree_map(real, args), **pytree.tree_map(real, given))
        if not any(isinstance(each, Tensor) for each in pytree.tree_leaves(found)):
            return found
        if func is _ATEN._to_copy.default and _leaves_meta(operands[0], given):
            return found
        if torch.Tag.dynamic_output_shape in func.tags:
            device = operands[0].device
            result = pytree.tree_map_only(Tensor, lambda t: torch.empty(t.shape, dtype=t.dtype, device=device), found)
        else:
            result = func(*args, **given)
        for each, value in zip(pytree.tree_leaves(result), pytree.tree_leaves(found), strict=True):
            if isinstance(each, Tensor) and value.numel() <= LIMIT:
                self.known[each] = value
        return result

    def _with_sizes(self, func: Any, args: tuple[Any, ...], given: dict[str, Any], values: dict[int, Any]) -> Any:
        """An operator on tensors that are known, sizes among them."""
        operands = tuple(_single(values[id(each)]) if isinstance(each, Tensor) else each for each in args)
        if func is _ATEN._local_scalar_dense.default:
            number = operands[0].item(args[0].dtype) if operands[0] is not None else None
            return func(*args, **given) if number is None else number
        result = func(*args, **given)
        if isinstance(result, Tensor) and result.numel() == 1:
            value = computed(func, operands, given, result.dtype)
            if value is not None:
                self.known[result] = value
        return result


_ATEN = torch.ops.aten
MAKERS = frozenset(
    (
        *(_ATEN.arange.default, _ATEN.arange.start, _ATEN.arange.start_step, _ATEN.zeros.default, _ATEN.ones.default),
        *(_ATEN.full.default, _ATEN.scalar_tensor.default),
    )
)
"""Operators that make a tensor of numbers."""


class _Lists(TorchFunctionMode):
    """Lists made of tensors whose values are known, and such tensors made of lists."""

    def __init__(self, values: _Values) -> None:
        super().__init__()
        self.values = values

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, or read the list."""
        given = dict(kwargs or {})
        known = self.values.known
        if function is Tensor.tolist and isinstance(known.get(args[0]), Tensor):
            return known[args[0]].tolist()
        if getattr(function, "__name__", "") in SIZED:
            args = tuple(self._sizes(each) for each in args)
        result = function(*args, **given)
        if function in (torch.tensor, torch.as_tensor) and args and result.numel() <= LIMIT and _numbers(args[0]):
            with _untraced():
                known[result] = torch.tensor(args[0], dtype=result.dtype)
        return result

    def _sizes(self, given: Any) -> Any:
        """A list or slice with the numbers in it that it gives as tensors."""
        if isinstance(given, slice):
            return slice(*map(self._size, (given.start, given.stop, given.step)))
        if isinstance(given, list | tuple):
            return type(given)([self._sizes(self._size(each)) for each in given])
        return given

    def _size(self, given: Any) -> Any:
        value = self.values.known.get(given) if isinstance(given, Tensor) and not given.dim() else None
        known = None if value is None else _single(value)
        number = None if known is None else known.item(given.dtype)
        return given if number is None else number


SIZED = frozenset(("pad", "__getitem__", "view", "reshape", "expand", "repeat", "split", "narrow", "roll"))
"""Functions that take sizes as integers, one by one; a tensor among them would be asked for a plain number."""


def _numbers(data: Any) -> bool:
    return all(type(leaf) in (bool, int, float) for leaf in pytree.tree_leaves(data))


def _leaves_meta(tensor: Tensor, given: Mapping[str, Any]) -> bool:
    """True for a copy of a meta tensor to the CPU, where its value is all that there can be."""
    device = given.get("device")
    return device is not None and torch.device(device).type == "cpu" and type(tensor) is Tensor and tensor.is_meta


def _single(value: Tensor | Scalar) -> Scalar | None:
    """A known value as a number; None where it is several, or no integer."""
    if isinstance(value, Scalar):
        return value
    with _untraced():
        return Scalar(value.item()) if value.numel() == 1 and _whole(value) else None


@contextmanager
def _untraced() -> Iterator[None]:
    """For real, whatever mode is on."""
    with unset_fake_temporarily(), disable_proxy_modes_tracing(), torch._C.DisableTorchFunction():
        yield


@contextmanager
def followed(specs: Any, given: Any, held: Mapping[Tensor, Tensor] | None = None) -> Iterator[None]:
    """Know the values inside; `given` are the tensors that the model is run with, in the places of `specs`.

    `held` are values of further tensors.
    """
    mode = _Values(values_of(specs), given)
    mode.known.update(held or {})
    with mode, _Lists(mode):
        yield


@contextmanager
def values_followed(model: nn.Module, specs: Any) -> Iterator[None]:
    """The same while the model's `forward` is traced, which puts other tensors in the place of its buffers."""
    with _untraced():
        held = {name: value.clone() for name, value in held_integers(model).items()}

    def call(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        buffers = {buffer: held[name] for name, buffer in model.named_buffers() if name in held}
        with followed(specs, (args, kwargs), buffers):
            return forward(*args, **kwargs)

    with forwarding(model, call), rebuilt():
        yield
