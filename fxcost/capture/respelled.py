"""Functions whose arguments torch declares as plain numbers, spelled by others that take sizes as symbols.

`avg_pool2d(x, x.shape[2:])` would turn the sizes into numbers, for a window is declared so; `adaptive_avg_pool2d(x, 1)` is
the same. Each function here has the signature of the one that it stands for and gives a tensor of the same shape, at the
same cost; it gives NotImplemented where no symbol is concerned, or where it knows no other spelling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Symbolic = torch.SymInt | torch.SymFloat


def _any_symbolic(given: Any) -> bool:
    return any(isinstance(each, Symbolic) for each in (given if isinstance(given, tuple | list) else (given,)))


def _same(first: Any, second: Any) -> bool:
    """True for sizes that are written the same, without asking the trace, which would note a guard."""
    return bool(_written(first) == _written(second))


def _written(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size


# -- pooling -------------------------------------------------------------------------------------------------------
AVERAGE = ("ceil_mode", "count_include_pad", "divisor_override")
LARGEST = ("dilation", "ceil_mode", "return_indices")


def _whole_window(rank: int, pool: Callable[[Tensor, int], Tensor], last: tuple[str, ...]) -> Callable[..., Any]:
    """Pooling over a window as large as the input: one number is left of every channel.

    `last` names the parameters after the padding, which torch's own modules give by place.
    """

    def pooled(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, *more: Any, **named: Any) -> Any:
        others = dict(zip(last, more, strict=False)) | named
        window = tuple(kernel_size) if isinstance(kernel_size, tuple | list) else (kernel_size,) * rank
        plain = padding in (0, (0,) * rank) and others.get("dilation", 1) in (1, (1,) * rank)
        if not _any_symbolic(window) or not plain or others.get("return_indices"):
            return NotImplemented
        if not all(map(_same, window, input.shape[-rank:])):
            return NotImplemented
        return pool(input, 1)

    return pooled


def _max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Pooling along columns of one row; torch's own asks sizes for what only a real input has."""
    if not _any_symbolic(input.shape):
        return NotImplemented
    one = [value[0] if isinstance(value, tuple | list) else value for value in (kernel_size, stride, padding, dilation)]
    kernel, step, pad, dilated = one
    if _any_symbolic(kernel):
        return (
            functional.adaptive_max_pool1d(input, 1) if _same(kernel, input.shape[-1]) and not pad else NotImplemented
        )
    row: Any = functional.max_pool2d
    sizes = {"kernel_size": (1, kernel), "stride": (1, step or kernel), "padding": (0, pad), "dilation": (1, dilated)}
    found = row(input.unsqueeze(-2), **sizes, ceil_mode=ceil_mode, return_indices=return_indices)
    return tuple(each.squeeze(-2) for each in found) if return_indices else found.squeeze(-2)


def _adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Any:
    """The row of a map."""
    (size,) = output_size if isinstance(output_size, tuple | list) else (output_size,)
    if not _any_symbolic(size):
        return NotImplemented
    return functional.adaptive_avg_pool2d(input.unsqueeze(-2), (1, size)).squeeze(-2)


# -- resampling ----------------------------------------------------------------------------------------------------
def _interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, *more: Any, **others: Any) -> Any:
    """By a factor that a size decides: to the size that torch rounds it to."""
    if size is not None or not _any_symbolic(scale_factor):
        return NotImplemented
    rank = input.dim() - 2
    factors = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * rank
    wanted = [math.trunc(torch.sym_float(s) * f) for s, f in zip(input.shape[2:], factors, strict=True)]
    others.pop("recompute_scale_factor", None)
    return functional.interpolate(input, wanted, None, *more[:2], **others)


# -- indices -------------------------------------------------------------------------------------------------------
def _one_hot(tensor: Tensor, num_classes: Any = -1) -> Any:
    """As torch spells it where it must not look at values."""
    if not _any_symbolic(num_classes):
        return NotImplemented
    return torch.eq(tensor.unsqueeze(-1), torch.arange(num_classes, device=tensor.device)).to(torch.int64)


def _triangle(upper: bool) -> Callable[..., Any]:
    """Row and column of every place of a triangle of a square."""

    def indices(row: Any, col: Any, offset: Any = 0, **others: Any) -> Any:
        if not _any_symbolic((row, col)) or not _same(row, col) or not isinstance(offset, int):
            return NotImplemented
        below = offset - 1 if upper else offset  # the last diagonal of the lower triangle
        side = torch.sym_max(row + below if below <= 0 else row - below - 1, 0)
        count = side * (side + 1) // 2
        lower = count if below <= 0 else row * row - count
        given = {name: others[name] for name in ("device",) if name in others}
        return torch.zeros(2, row * row - lower if upper else lower, dtype=others.get("dtype") or torch.int64, **given)

    return indices


RESPELLED: Mapping[Any, Callable[..., Any]] = {
    functional.avg_pool1d: _whole_window(1, functional.adaptive_avg_pool1d, AVERAGE),
    functional.avg_pool2d: _whole_window(2, functional.adaptive_avg_pool2d, AVERAGE),
    functional.avg_pool3d: _whole_window(3, functional.adaptive_avg_pool3d, AVERAGE),
    functional.max_pool2d: _whole_window(2, functional.adaptive_max_pool2d, LARGEST),
    functional.max_pool3d: _whole_window(3, functional.adaptive_max_pool3d, LARGEST),
    functional.max_pool1d: _max_pool1d,
    torch.max_pool1d: _max_pool1d,
    functional.adaptive_avg_pool1d: _adaptive_avg_pool1d,
    functional.interpolate: _interpolate,
    functional.one_hot: _one_hot,
    torch.tril_indices: _triangle(upper=False),
    torch.triu_indices: _triangle(upper=True),
}
"""Functions as a mode for torch functions sees them, with their other spelling."""


# -- arithmetic ----------------------------------------------------------------------------------------------------
@contextmanager
def arithmetic_on_sizes() -> Iterator[None]:
    """Arithmetic of which torch's symbols know less than it takes.

    `math.sqrt` and `divmod` would ask for a plain number. What a size lacks of whole windows, `(k - size % k) % k` or
    `-size % k`, becomes `ceil(size / k) * k - size`: the same number, but the padded size is then a multiple that divides
    without rest, and so are the counts of windows.
    """
    root = math.sqrt
    symbols: Any = torch.SymInt
    remainder = symbols.__mod__
    divided_by: dict[tuple[Any, int], Any] = {}

    def sqrt(value: Any) -> Any:
        return torch.sym_sqrt(value) if isinstance(value, Symbolic) else root(value)

    def divided(self: Any, other: Any) -> Any:
        return self // other, self % other

    def modulo(self: Any, other: Any) -> Any:
        found = remainder(self, other)
        if not isinstance(found, torch.SymInt) or not isinstance(other, int) or other < 1:
            return found
        size = divided_by.get((other - self.node.expr, other))
        if size is None and self.node.expr.could_extract_minus_sign():
            size = -self
        if size is not None:
            return (size + other - 1) // other * other - size
        divided_by[found.node.expr, other] = self
        return found

    math.sqrt, symbols.__divmod__, symbols.__mod__ = sqrt, divided, modulo
    try:
        yield
    finally:
        math.sqrt, symbols.__mod__ = root, remainder
        del symbols.__divmod__


@contextmanager
def plain_flags() -> Iterator[None]:
    """`is_causal=length > 1` is settled before attention is called: torch takes a plain flag there and nothing else."""
    attention = functional.scaled_dot_product_attention

    def with_flag(*args: Any, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("is_causal"), torch.SymBool):
            kwargs["is_causal"] = bool(kwargs["is_causal"])
        return attention(*args, **kwargs)

    functional.scaled_dot_product_attention = with_flag
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = attention
