"""Sizes that a model computes in tensors of one element, `ceil((length - kernel) / stride)`, stay exact and symbolic.

Beside a trace, which has no values, such a tensor is known as a quotient of a size and a plain number. Comparisons give
truth values of sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import SymInt
from torch.fx.experimental import proxy_tensor
from torch.overrides import TorchFunctionMode


class NumbersKept(TorchFunctionMode):
    """Tensors of one integer, `torch.tensor(stride)`, keep their value while a model is built on the meta device."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, on the CPU where it makes such a tensor."""
        given = dict(kwargs or {})
        if function is torch.tensor and args and type(args[0]) is int:
            given.setdefault("device", "cpu")
        return function(*args, **given)


@contextmanager
def rebuilt() -> Iterator[None]:
    """Maxima and minima of sizes can be part of an exported graph.

    Torch rebuilds what it has not seen being computed, and for these by functions that its own verifier refuses.
    """
    pairs = {proxy_tensor._nary_sym_max: torch.sym_max, proxy_tensor._nary_sym_min: torch.sym_min}
    register = proxy_tensor._sym_register

    def in_pairs(tracer: Any, func: Any, args: tuple[Any, ...], out: Any) -> None:
        pair = pairs.get(func)
        if pair is not None:
            func, args = pair, (reduce(pair, args[:-1]), args[-1])
        register(tracer, func, args, out)

    proxy_tensor._sym_register = in_pairs
    try:
        yield
    finally:
        proxy_tensor._sym_register = register


FLOAT_EXACT = 1 << 24
"""Up to here a division of integers in 32 bits of float cannot round across an integer."""


@dataclass(frozen=True)
class Scalar:
    """`top / bottom`: an integer or a symbolic one over a positive number; a truth value, symbolic or not, over one."""

    top: Any
    bottom: int = 1

    def item(self, dtype: torch.dtype) -> Any:
        """The number as `Tensor.item()` gives it; None for a fraction."""
        if self.bottom != 1:
            return None
        return torch.sym_float(self.top) if dtype.is_floating_point else self.top


def scalar_of(value: Any) -> Scalar | None:
    """An integer, symbolic or written as a float; None for all else."""
    if isinstance(value, Scalar):
        return value
    if isinstance(value, float):
        return Scalar(int(value)) if value.is_integer() else None
    return Scalar(value) if isinstance(value, int | SymInt) else None


def computed(func: Any, operands: tuple[Any, ...], named: Mapping[str, Any], dtype: torch.dtype) -> Scalar | None:
    """What an operator of ATen gives for these operands (Scalars and plain arguments); None where that is not known.

    `dtype` is that of the result: an integer cuts a fraction off.
    """
    operator = ARITHMETIC.get(func.overloadpacket)
    if operator is None:
        return None
    if func.overloadpacket in KEEPING:
        operands = operands[:1]
    scalars = [scalar_of(each) for each in operands]
    if any(each is None for each in scalars):
        return None
    options = {name: value for name, value in named.items() if name in ("alpha", "rounding_mode")}
    found = operator(*scalars, **options)
    if found is None or found.bottom == 1 or dtype.is_floating_point:
        return None if found is None else Scalar(_plain(found.top), found.bottom)
    return _floored(found) if bool(found.top >= 0) else None


def _added(a: Scalar, b: Scalar, alpha: int = 1) -> Scalar | None:
    if not isinstance(alpha, int):
        return None
    if a.bottom == b.bottom:
        return Scalar(a.top + alpha * b.top, a.bottom)
    return Scalar(a.top * b.bottom + alpha * b.top * a.bottom, a.bottom * b.bottom)


def _subtracted(a: Scalar, b: Scalar, alpha: int = 1) -> Scalar | None:
    return _added(a, b, -alpha)


def _subtracted_from(a: Scalar, b: Scalar, alpha: int = 1) -> Scalar | None:
    return _added(b, a, -alpha)


def _multiplied(a: Scalar, b: Scalar) -> Scalar:
    return Scalar(a.top * b.top, a.bottom * b.bottom)


def _divided(a: Scalar, b: Scalar, rounding_mode: str | None = None) -> Scalar | None:
    if not isinstance(b.top, int) or isinstance(b.top, bool) or b.top <= 0 or rounding_mode == "trunc":
        return None
    found = Scalar(a.top * b.bottom, a.bottom * b.top)
    if rounding_mode == "floor":
        return _floored(found)
    return found if bool(a.top < FLOAT_EXACT) else None


def _floored(a: Scalar, b: Scalar | None = None) -> Scalar | None:
    if b is not None:
        return _divided(a, b, "floor")
    return Scalar(a.top // a.bottom) if a.bottom != 1 else a


def _raised(a: Scalar) -> Scalar:
    return Scalar(-(-a.top // a.bottom)) if a.bottom != 1 else a


def _remainder(a: Scalar, b: Scalar) -> Scalar | None:
    whole = a.bottom == b.bottom == 1 and isinstance(b.top, int) and b.top > 0
    return Scalar(a.top % b.top) if whole else None


def _negated(a: Scalar) -> Scalar:
    return Scalar(-a.top, a.bottom)


def _larger(a: Scalar, b: Scalar) -> Scalar | None:
    return Scalar(torch.sym_max(a.top, b.top)) if a.bottom == b.bottom == 1 else None


def _smaller(a: Scalar, b: Scalar) -> Scalar | None:
    return Scalar(torch.sym_min(a.top, b.top)) if a.bottom == b.bottom == 1 else None


def _same(a: Scalar) -> Scalar:
    return a


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Scalar, Scalar], Scalar]:
    return lambda a, b: Scalar(compare(_plain(a.top * b.bottom - b.top * a.bottom), 0))


def _plain(size: Any) -> Any:
    """A symbolic integer that does not depend on any size as the number that it is."""
    return int(size) if isinstance(size, SymInt) and size.node.expr.is_number else size


_ATEN = torch.ops.aten
KEEPING = frozenset(
    (
        *(_ATEN._to_copy, _ATEN.to, _ATEN.clone, _ATEN.alias, _ATEN.detach, _ATEN.lift_fresh, _ATEN.lift_fresh_copy),
        *(_ATEN.view, _ATEN.reshape, _ATEN.expand, _ATEN.unsqueeze, _ATEN.squeeze, _ATEN.select, _ATEN.contiguous),
    )
)
"""Operators that hand on the one element of their first operand."""

ARITHMETIC: Mapping[Any, Callable[..., Scalar | None]] = {
    **dict.fromkeys(KEEPING, _same),
    _ATEN.add: _added,
    _ATEN.sub: _subtracted,
    _ATEN.rsub: _subtracted_from,
    _ATEN.mul: _multiplied,
    _ATEN.div: _divided,
    _ATEN.floor_divide: _floored,
    _ATEN.floor: _floored,
    _ATEN.ceil: _raised,
    _ATEN.remainder: _remainder,
    _ATEN.neg: _negated,
    _ATEN.maximum: _larger,
    _ATEN.minimum: _smaller,
    _ATEN.scalar_tensor: _same,
    _ATEN.gt: _compared(lambda a, b: a > b),
    _ATEN.ge: _compared(lambda a, b: a >= b),
    _ATEN.lt: _compared(lambda a, b: a < b),
    _ATEN.le: _compared(lambda a, b: a <= b),
    _ATEN.eq: _compared(lambda a, b: a == b),
    _ATEN.ne: _compared(lambda a, b: a != b),
}
"""What operators of ATen do to scalars, by their packets."""
