"""Which node of the program that was analysed a node comes from, after decompositions and renaming.

`torch.export.save` and `run_decompositions` keep `meta["custom"]`: a program that is saved carries the names there. Without
them, torch's own record of where a node comes from is followed.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

KEY = "fxcost"
"""Key in `meta["custom"]`."""


@contextmanager
def named(program: Any) -> Iterator[None]:
    """Within, every operator of the program carries its name in `meta["custom"]`."""
    before = {node: node.meta.get("custom") for node in program.graph.nodes if node.op == "call_function"}
    try:
        for node, custom in before.items():
            node.meta["custom"] = {**(custom or {}), KEY: node.name}
        yield
    finally:
        for node, custom in before.items():
            if custom is None:
                node.meta.pop("custom", None)
            else:
                node.meta["custom"] = custom


def origin_of(node: Any, known: Container[str]) -> str | None:
    """The name among `known` that the node had, or that the node it comes from had."""
    told = (node.meta.get("custom") or {}).get(KEY)
    if isinstance(told, str):
        return told if told in known else None
    if node.name in known and not node.meta.get("from_node"):
        return str(node.name)
    pending = list(node.meta.get("from_node") or ())
    while pending:
        source = pending.pop(0)
        if source.name in known:
            return str(source.name)
        pending += source.from_node
    return None
