"""Deployment widths: bytes of tensors when they are stored narrower than they were trained.

Weights `int8` are as microcontroller runtimes store them: one byte an element for matrices and kernels, four bytes an
element for everything of one dimension (biases become int32, norm parameters fold into them), and per output channel an
int32 multiplier and an int32 shift. `int4` packs two elements into a byte and adds per group of 128 elements a 16-bit
scale and an 8-bit zero point.

A width with a group, `int4:128`, `int8:row` or `fp8:row`, is that of weight-only formats, as language models are stored:
matrices alone are narrow, with a 16-bit scale for every group of elements along the last dimension (or every row), and
for int4 an 8-bit zero point; everything of one dimension stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import ONE, ZERO, Expr, ceildiv, product
from fxcost.ir.types import DType, TensorType

GROUP = 128
MAX_GROUP = 1 << 20
SCALE_BYTES, ZERO_POINT_BYTES = 2, 1
REQUANTISE_BYTES = 8


@dataclass(frozen=True)
class Width:
    """A storage width of `bits` per element; with `grouped` scales go with groups of that many (None: with rows)."""

    name: str
    bits: int
    integer: bool = False
    grouped: bool = False
    group: int | None = None


WIDTHS = {
    w.name: w
    for w in (
        Width("fp64", 64),
        Width("fp32", 32),
        Width("fp16", 16),
        Width("bf16", 16),
        Width("fp8", 8),
        Width("int16", 16, integer=True),
        Width("int8", 8, integer=True),
        Width("int4", 4, integer=True),
    )
}
_SYNONYMS = {"f64": "fp64", "f32": "fp32", "f16": "fp16", "f8": "fp8", "float32": "fp32", "float16": "fp16"}


def width(name: str) -> Width:
    """The width called `name`; raises SpecError with the nearest known ones."""
    plain, colon, group = name.partition(":")
    found = WIDTHS.get(_SYNONYMS.get(plain, plain))
    if found is None:
        raise SpecError(f"unknown width {name!r}{nearest(plain, WIDTHS)}")
    if not colon:
        return found
    if found.bits > 8:
        raise SpecError(f"width {name!r}: only int4, int8 and fp8 come with scales in groups")
    if group == "row":
        return replace(found, name=name, grouped=True)
    if not group.isascii() or not group.isdecimal() or not 1 <= int(group[:10]) <= MAX_GROUP:
        raise SpecError(f"width {name!r}: {group!r} is no group; expected a number up to {MAX_GROUP:,}, or row")
    return replace(found, name=f"{plain}:{int(group)}", grouped=True, group=int(group))


def packed_bytes(elements: Expr, bits: int) -> Expr:
    """Bytes of `elements` packed at `bits` each, the last byte filled up."""
    return elements * (bits // 8) if bits % 8 == 0 else ceildiv(elements * bits, 8)


def activation_bytes(tensor: TensorType, elements: Expr, activations: str | None) -> Expr:
    """Bytes of `elements` of an activation; only floating types take the width asked for."""
    if activations is None or not tensor.dtype.is_floating:
        return elements * tensor.dtype.bytes
    return packed_bytes(elements, width(activations).bits)


def weight_width(path: str, weights: Iterable[tuple[str, str]]) -> Width | None:
    """Width asked for the parameter `path`: the first pattern that matches, or None."""
    return next((width(name) for pattern, name in weights if fnmatchcase(path, pattern)), None)


def weight_bytes(tensor: TensorType, paths: Iterable[str], weights: tuple[tuple[str, str], ...]) -> Expr:
    """Bytes of a parameter as deployed (see the module's docstring)."""
    asked = next((w for p in paths if (w := weight_width(p, weights)) is not None), None)
    if asked is None or not tensor.dtype.is_floating:
        return tensor.nbytes
    if asked.grouped:
        return _in_groups(tensor, asked)
    if not asked.integer:
        return packed_bytes(tensor.numel, asked.bits)
    if tensor.rank < 2:
        return tensor.numel * DType.I32.bytes
    packed = packed_bytes(tensor.numel, asked.bits)
    if asked.bits == 4:
        return packed + ceildiv(tensor.numel, GROUP) * 3
    return packed + tensor.shape[0] * REQUANTISE_BYTES


def _in_groups(tensor: TensorType, asked: Width) -> Expr:
    """A matrix in groups with their scales; vectors stay as they are."""
    if tensor.rank < 2:
        return tensor.nbytes
    return packed_bytes(tensor.numel, asked.bits) + product(tensor.shape[:-1]) * scale_bytes(tensor.shape[-1], asked)


def scale_bytes(last: Expr, asked: Width) -> Expr:
    """Bytes of the scales, and for int4 of the zero points, that go with one row of `last` elements."""
    if not asked.grouped:
        return ZERO
    groups = ONE if asked.group is None else ceildiv(last, asked.group)
    return groups * (SCALE_BYTES + (ZERO_POINT_BYTES if asked.bits == 4 else 0))
