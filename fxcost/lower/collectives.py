"""Among how many devices a collective runs: written in the call, or looked up in its process group while that exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch

from fxcost.lower.fx import arguments

DEVICES: Final = "P"
"""What the number of devices is called where no process group says it."""

_NAMESPACES = ("_c10d_functional", "_c10d_functional_autograd", "c10d_functional", "c10d", "_dtensor")
_NO_GROUP = ("wait_tensor",)


@dataclass(frozen=True)
class Group:
    """A process group: its name, how many take part, and which of them the trace is of."""

    name: str
    size: int | None = None
    rank: int | None = None


def is_collective(op: str) -> bool:
    """True for an operator that several devices take part in."""
    namespace, _, name = op.partition(".")
    return namespace in _NAMESPACES and name not in _NO_GROUP


def group_of(node: Any) -> Group:
    """The group of a collective's node."""
    given = dict(arguments(node))
    name = next((given[key] for key in ("group_name", "tag") if isinstance(given.get(key), str)), "")
    group = next((value for value in given.values() if _is_group(value)), None)
    group = _resolved(name) if group is None and name else group
    stated = given.get("group_size")
    size = stated if isinstance(stated, int) else None
    if group is None:
        return Group(name, size)
    return Group(name, size if size is not None else int(group.size()), int(group.rank()))


def _is_group(value: Any) -> bool:
    return torch.distributed.is_available() and isinstance(value, torch.distributed.ProcessGroup)


def _resolved(name: str) -> Any:
    """The process group of that name, None where it does not exist (any more)."""
    if not torch.distributed.is_available():
        return None
    from torch.distributed import distributed_c10d

    try:
        return distributed_c10d._resolve_process_group(name)  # type: ignore[attr-defined, arg-type]
    except (RuntimeError, ValueError, KeyError):
        return None
