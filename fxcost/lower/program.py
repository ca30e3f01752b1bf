"""A graph from a program that is exported already: specs only name its dimensions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fxcost.capture.eager import first_line, quiet_inference
from fxcost.capture.inputs import TORCH_DTYPES
from fxcost.capture.ladder import Captured, bind_size, user_inputs
from fxcost.capture.loaders import EXTRA_FILE
from fxcost.errors import FileError, SpecError
from fxcost.ir.expr import Expr, substitute, symbol
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Predicate
from fxcost.ir.reader import parse_expr
from fxcost.ir.specs import TensorSpec
from fxcost.ir.symbols import SymbolInfo
from fxcost.lower.exported import lower

_DTYPES = {dtype.short: dtype for dtype in TORCH_DTYPES}


def lower_program(
    program: Any, specs: Sequence[Any], symbols: Mapping[str, SymbolInfo], label: str
) -> tuple[Graph, float]:
    """Lower an ExportedProgram as it is, and the CPU seconds that took; without specs torch's names of sizes stay.

    Raises SpecError for specs that do not fit its inputs, FileError where names stored with it are damaged.
    """
    start = time.process_time()
    found = user_inputs(program)
    leaves = list(pytree.tree_leaves(tuple(specs)))
    stored = program.graph_module.meta.get(EXTRA_FILE)
    if stored is not None and not leaves:
        leaves, symbols = _named(stored, found, label)
    if leaves and len(leaves) != len(found):
        raise SpecError(f"{label} takes {len(found)} inputs, {len(leaves)} specs were given")
    bindings: dict[str, Expr] = {}
    domain: list[Predicate] = []
    fixed: dict[str, str] = {}
    for position, example in enumerate(found):
        if not isinstance(example, torch.Tensor):
            continue
        leaf = leaves[position] if leaves else None
        if isinstance(leaf, TensorSpec):
            if len(leaf.shape) != example.ndim:
                raise SpecError(
                    f"{label}: input {position} has {example.ndim} dimensions, its spec has {len(leaf.shape)}"
                )
            if TORCH_DTYPES[leaf.dtype] is not example.dtype:
                found_dtype = str(example.dtype).removeprefix("torch.")
                raise SpecError(f"{label}: input {position} is {found_dtype}, its spec says {leaf.dtype.short}")
            for wanted, size in zip(leaf.shape, example.shape, strict=True):
                _check_static(label, position, wanted, size)
                bind_size(wanted, size, bindings, domain, fixed)
        else:
            for size in example.shape:
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    bindings.setdefault(size.node.expr.name, symbol(size.node.expr.name))
    known = {n: symbols.get(n, SymbolInfo(n)) for value in bindings.values() for n in sorted(value.symbols)}
    hints = _hints(found, bindings)
    pinned = {n: int(why) for n, why in _pinned_sizes(leaves, found).items() if n in fixed}
    captured = Captured(
        program,
        tuple(replace(s, hint=hints.get(n, s.hint)) for n, s in known.items() if n not in fixed),
        {k: substitute(v, pinned) for k, v in bindings.items()},
        {n: f"{n}={pinned[n]}: the exported program is fixed to this size" for n in fixed},
        tuple(domain),
        "given as an exported program",
    )
    with quiet_inference():
        graph = lower(captured, label)
    return graph, time.process_time() - start


def _named(stored: Mapping[str, Any], found: Sequence[Any], label: str) -> tuple[list[Any], dict[str, SymbolInfo]]:
    """The inputs and symbols as they were called when the program was written."""
    where = f"{label}: {EXTRA_FILE}"
    try:
        symbols = {
            str(name): SymbolInfo(
                str(name), int(s["min"]), None if s["max"] is None else int(s["max"]), int(s["multiple_of"])
            )
            for name, s in stored["report"]["symbols"].items()
        }
        specs = iter(
            TensorSpec(_DTYPES[entry["dtype"]], tuple(parse_expr(str(size), where=where) for size in entry["shape"]))
            for entry in stored["inputs"]
        )
        leaves = [next(specs, None) if isinstance(example, torch.Tensor) else None for example in found]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(f"{where} is damaged ({first_line(error)}); write the program again") from error
    return leaves, symbols


def _check_static(label: str, position: int, wanted: Expr, size: Any) -> None:
    if wanted.constant is not None and isinstance(size, int) and wanted.constant != size:
        raise SpecError(f"{label}: input {position} has a size {size} where its spec says {wanted}")


def _hints(found: Sequence[Any], bindings: Mapping[str, Expr]) -> dict[str, int]:
    hints: dict[str, int] = {}
    for example in found:
        for size in example.shape if isinstance(example, torch.Tensor) else ():
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol and size.node.hint is not None:
                value = bindings.get(size.node.expr.name)
                if value is not None and str(value) in value.symbols:
                    hints[str(value)] = int(size.node.hint)
    return hints


def _pinned_sizes(leaves: Sequence[Any], found: Sequence[Any]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for leaf, example in zip(leaves, found, strict=False):
        if isinstance(leaf, TensorSpec) and isinstance(example, torch.Tensor):
            for wanted, size in zip(leaf.shape, example.shape, strict=True):
                if str(wanted) in wanted.symbols and isinstance(size, int):
                    sizes[str(wanted)] = size
    return sizes
