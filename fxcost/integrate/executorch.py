"""Offsets for ExecuTorch: its memory-planning pass with another planner inside (package `executorch`).

ExecuTorch plans after everything else: its own passes have made operators write into buffers that are allocated before
them, so lifetimes are those of its own program. What is placed here are exactly these buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fxcost.errors import ModelError

Buffer = tuple[str, int, int, int]
Place = Callable[[Sequence[Buffer], int], tuple[Mapping[str, int], int]]
"""Buffers (id, lower, upper, size) and the alignment of their offsets; the offset of each, and bytes in all."""


def planning_pass(place: Place, **options: Any) -> Any:
    """A MemoryPlanningPass that asks `place` for offsets, memory by memory; `options` are those of the pass.

    Raises ModelError where the package is missing.
    """
    if find_spec("executorch") is None:
        raise ModelError("ExecuTorch is not installed: pip install executorch")
    planning: Any = import_module("executorch.exir.memory_planning")
    passes: Any = import_module("executorch.exir.passes")

    def fxcost(alignment: int, specs: Any, graph_module: Any, graph_signature: Any, extra_padding: int = 0) -> Any:
        """Place what ExecuTorch has to place; named as its log shows it."""
        found = planning.MemoryAlgoResult({}, [])
        roots: dict[int, list[Any]] = {}
        views = []
        for spec in sorted(specs, key=_stable):
            spec.realign(alignment)
            if spec.storage_base is not None:
                views.append(spec)
            else:
                roots.setdefault(1 if spec.mem_id is None else spec.mem_id, []).append(spec)
        sizes = [0] * (max(roots, default=1) + 1)
        for memory, inside in roots.items():
            taken = getattr(graph_module, "input_mem_buffer_sizes", None) or []
            start = taken[memory] if len(taken) > memory else 0
            buffers = [_buffer(number, spec) for number, spec in enumerate(inside)]
            offsets, height = place(buffers, alignment)
            for number, spec in enumerate(inside):
                found.spec_dict[spec] = planning.SpecAllocResult(memory, number, start + offsets[str(number)])
            sizes[memory] = start + height + extra_padding
        for spec in views:
            found.spec_dict[spec] = _inside(spec, found.spec_dict, planning)
        found.bufsizes = sizes
        return found

    suite = planning.MemoryPlanningAlgorithmSuite([fxcost])
    return passes.MemoryPlanningPass(memory_planning_algo=suite, **options)


def _stable(spec: Any) -> tuple[int, ...]:
    """An order that does not depend on where objects lie in memory, but for equals."""
    first, last = spec.lifetime
    return (first, last, spec.allocated_memory)


def _buffer(number: int, spec: Any) -> Buffer:
    first, last = spec.lifetime
    return (str(number), first, last + 1, spec.allocated_memory)


def _inside(spec: Any, placed: Mapping[Any, Any], planning: Any) -> Any:
    """Where a value lies that shares the memory of another one."""
    root, offset = spec, 0
    while root.storage_base is not None:
        offset += root.storage_base_offset
        root = root.storage_base
    base = placed[root]
    return planning.SpecAllocResult(base.mem_id, base.mem_obj_id, base.mem_offset + offset)
