"""Example inputs: which sizes to trace at, and tensors of those sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.specs import TensorSpec
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType

TORCH_DTYPES: Mapping[DType, torch.dtype] = {
    DType.F64: torch.float64,
    DType.F32: torch.float32,
    DType.F16: torch.float16,
    DType.BF16: torch.bfloat16,
    DType.F8E4M3: torch.float8_e4m3fn,
    DType.F8E5M2: torch.float8_e5m2,
    DType.I64: torch.int64,
    DType.I32: torch.int32,
    DType.I16: torch.int16,
    DType.I8: torch.int8,
    DType.U8: torch.uint8,
    DType.U16: torch.uint16,
    DType.U32: torch.uint32,
    DType.U64: torch.uint64,
    DType.BOOL: torch.bool,
    DType.C32: torch.complex32,
    DType.C64: torch.complex64,
    DType.C128: torch.complex128,
}

# Off the grid first: at the nominal size paddings vanish, feature maps equal windows, and tracing takes branches that
# hold there alone. Then sizes that models with fixed tables are built for.
_SPATIAL = [(352, 416, 288), (320, 352, 288), (448, 672, 224), (224, 224, 224), (384, 384, 384), (256, 256, 256)] + [
    (size, size, size) for size in (299, 518, 336, 192, 128, 96, 64, 32, 28)
]
_SIZE_NAMES = ("input_size", "img_size", "image_size")
_RATE_NAMES = ("sampling_rate", "sample_rate")
_SEQUENCE = [37, 21, 12, 64, 128, 16007, 1003, 6]  # what takes no short one is sound: a second of it
_TIME = [16, 8, 32, 4]
_BATCH = [5, 2, 1]


def classify(specs: Any) -> dict[str, str]:
    """What each symbol is: batch, spatial, time or sequence, judged by where it stands."""
    found: dict[str, str] = {}
    for leaf in pytree.tree_leaves(specs):
        if not isinstance(leaf, TensorSpec):
            continue
        for position, size in enumerate(leaf.shape):
            for name in size.symbols:
                found.setdefault(name, _role(position, len(leaf.shape), leaf.dtype))
    return found


def _role(position: int, rank: int, dtype: DType) -> str:
    if position == 0:
        return "batch"
    if rank >= 4 and position >= rank - 2 and dtype.is_floating:
        return "spatial"
    return "time" if rank == 5 else "sequence"


def _own_sizes(model: nn.Module) -> list[tuple[int, int]]:
    """Heights and widths that a model says it was built for, in attributes that model libraries agree on."""
    found: dict[tuple[int, int], None] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        stated = [getattr(holder, name, None) for holder in (module, config) for name in _SIZE_NAMES]
        for cfg in (getattr(module, "default_cfg", None), getattr(module, "pretrained_cfg", None)):
            stated += [cfg[name] for name in _SIZE_NAMES if isinstance(cfg, Mapping) and name in cfg]
        for value in stated:
            pair = (
                (value, value)
                if isinstance(value, int)
                else tuple(value)[-2:]
                if isinstance(value, list | tuple)
                else ()
            )
            if len(pair) == 2 and all(isinstance(size, int) and 8 <= size <= 4096 for size in pair):
                found[pair[0], pair[1]] = None
        if len(found) >= 3:
            break
    return list(found)[:3]


def _own_lengths(model: nn.Module, specs: Any) -> list[int]:
    """A second of sound, and a little, for a model that states its rate and is given samples (N, S) or (N, 1, S).

    It takes less, but then there is one frame of it, or padding as long as the sound: what holds there holds nowhere else.
    """
    leaves = [leaf for leaf in pytree.tree_leaves(specs) if isinstance(leaf, TensorSpec) and len(leaf.shape) > 1]
    samples = [leaf for leaf in leaves if leaf.shape[-1].symbols and leaf.dtype.is_floating]
    if not any(all(size.constant in (1, 2) for size in leaf.shape[1:-1]) for leaf in samples):
        return []
    configs = (getattr(module, "config", None) for module in model.modules())
    rates = (getattr(config, name, None) for config in configs for name in _RATE_NAMES)
    return next(([rate + 7] for rate in rates if isinstance(rate, int) and 4000 <= rate <= 192_000), [])


def example_points(specs: Any, symbols: Mapping[str, SymbolInfo], model: nn.Module) -> Iterator[dict[str, int]]:
    """Sizes to try, best first; a hint given by the user is kept in all of them.

    Heights and widths that the model was built for are tried after those off the grid.
    """
    own = _own_sizes(model)
    roles = classify(specs)
    spatial = [n for n in symbols if roles.get(n) == "spatial"]
    others = [n for n in symbols if roles.get(n) == "sequence"]
    lengths = [*_own_lengths(model, specs), *_SEQUENCE]
    seen: set[tuple[tuple[str, int], ...]] = set()
    spaces = [*_SPATIAL[:3], *((height, width, width) for height, width in own), *_SPATIAL[3:]]
    for batch, sequence, space, time in product(_BATCH, lengths, spaces, _TIME):
        point: dict[str, int] = {}
        for name, info in symbols.items():
            role = roles.get(name, "sequence")
            wanted = {
                "batch": batch,
                "spatial": space[spatial.index(name) % 3] if name in spatial else 0,
                "time": time,
                "sequence": sequence + 6 * others.index(name) if name in others else 0,
            }[role]
            point[name] = info.hint if info.hint is not None else _fit(wanted, info)
        key = tuple(sorted(point.items()))
        if key not in seen:
            seen.add(key)
            yield point


def _fit(size: int, info: SymbolInfo) -> int:
    """The allowed value nearest to `size`."""
    low, high = info.min, info.max if info.max is not None else max(size, info.min)
    return min(max(size, low), high)


def check_hints(symbols: Mapping[str, SymbolInfo]) -> None:
    """Refuse a hint outside its own range."""
    for info in symbols.values():
        if info.hint is not None and _fit(info.hint, info) != info.hint:
            raise SpecError(f"the size to trace with, {info.name}@{info.hint}, is outside its range {info}")


def tensors(specs: Any, point: Mapping[str, int], device: str) -> Any:
    """Replace every TensorSpec by a tensor of its size at `point`; tensors given by the user move to `device`.

    Values matter only on a real device: zeros for integers (valid indices anywhere), ones for masks.
    """

    def make(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.detach().to(device) if device == "meta" else leaf
        if not isinstance(leaf, TensorSpec):
            return leaf
        shape = [evaluate(size, point) for size in leaf.shape]
        dtype = TORCH_DTYPES[leaf.dtype]
        if device == "meta":
            return torch.empty(shape, dtype=dtype, device="meta")
        if dtype is torch.bool:
            return torch.ones(shape, dtype=dtype)
        if dtype.is_floating_point and dtype.itemsize > 1:
            return torch.rand(shape, dtype=torch.float32).to(dtype)
        return torch.zeros(shape, dtype=dtype)

    return pytree.tree_map(make, specs)


def dynamic_dims(specs: Any, free: frozenset[str], make: Callable[[int, Any], Any]) -> Any:
    """`dynamic_shapes` for torch.export: `make(position, size)` for every size that mentions a free symbol."""

    def mark(leaf: Any) -> Any:
        if not isinstance(leaf, TensorSpec):
            return None
        return {i: make(i, size) for i, size in enumerate(leaf.shape) if size.symbols & free} or None

    return pytree.tree_map(mark, specs)


def with_hints(symbols: Mapping[str, SymbolInfo], point: Mapping[str, int]) -> tuple[SymbolInfo, ...]:
    """The symbols with the sizes they were traced at."""
    return tuple(replace(info, hint=point.get(info.name, info.hint)) for info in symbols.values())
