"""Calls that do nothing at all, taken out: a trace keeps some of them and drops others, by chance of what it knows."""

from __future__ import annotations

from dataclasses import replace

from fxcost.ir.graph import Graph, Node

LAST = 1 << 31
"""Ends from here on mean "to the end"."""


def without_idle_slices(graph: Graph) -> Graph:
    """The graph without slices from the first to the last element: their readers read what was sliced."""
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        read = replace(node, operands=tuple(names.get(o, o) for o in node.operands))
        if _is_idle(graph, read):
            names[node.results[0].id] = read.operands[0]
        else:
            kept.append(read)
    if not names:
        return graph
    outputs = tuple(names.get(o, o) for o in graph.outputs)
    updates = tuple((owner, names.get(value, value)) for owner, value in graph.updates)
    return replace(graph, nodes=tuple(kept), outputs=outputs, updates=updates)


def _is_idle(graph: Graph, node: Node) -> bool:
    if not node.op.startswith("aten.slice.") or len(node.operands) != 1:
        return False
    end = node.attrs.get("end")
    whole = node.attrs.get("start") in (0, None) and (end is None or (isinstance(end, int) and end >= LAST))
    return whole and node.attrs.get("step") in (1, None) and graph.types[node.operands[0]] == node.results[0].type
