"""Calls that do nothing for a result, taken out: what a trace keeps of them is chance, or belongs to building its inputs."""

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


def without_unread_constants(graph: Graph) -> Graph:
    """The graph without constants that nothing reads, and without calls on constants alone that nothing reads."""
    fixed = {state.value.id for state in graph.states if state.kind == "constant"}
    for node in graph.nodes:
        if node.operands and all(o in fixed for o in node.operands):
            fixed.update(value.id for value in node.results)
    wanted = {*graph.outputs, *(value for pair in graph.updates for value in pair)}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        made = {value.id for value in node.results}
        if made <= fixed and node.operands and not made & wanted:
            continue
        kept.append(node)
        wanted.update(node.operands)
    states = tuple(s for s in graph.states if s.kind != "constant" or s.value.id in wanted)
    return replace(graph, nodes=tuple(reversed(kept)), states=states)
