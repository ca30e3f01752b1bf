"""A training step that makes some of its values again: the same graph with copies of nodes in its backward pass.

A copy stands where the backward pass first needs it. Everything else is as before, so that every quantity of the new
graph is found as that of any other graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from fxcost.ir.graph import NO_EFFECTS, Graph, Node, Value
from fxcost.passes.buffers import STATE
from fxcost.passes.recompute_problem import NORM

AGAIN = "_again"
"""Ending of the names of copies."""


def steps_with(graph: Graph, roots: Mapping[str, str], again: Collection[int]) -> Iterator[tuple[int, bool]]:
    """Positions of nodes in execution order, with True for a copy: the nodes of `again` and their views."""
    makers = {value.id: i for i, node in enumerate(graph.nodes) for value in node.results}
    chosen, done = set(again), set[int]()
    for position, node in enumerate(graph.nodes):
        if node.phase == "backward":
            waiting = list(node.operands)
            wanted: set[int] = set()
            while waiting:
                value = waiting.pop()
                maker = makers.get(value)
                if maker is None or maker in done or maker in wanted or not _made_again(value, roots, makers, chosen):
                    continue
                wanted.add(maker)
                waiting += graph.nodes[maker].operands
            done |= wanted
            yield from ((each, True) for each in sorted(wanted))
        yield position, False


def _made_again(value: str, roots: Mapping[str, str], makers: Mapping[str, int], chosen: Collection[int]) -> bool:
    root = roots.get(value, STATE)
    return root != STATE and makers.get(root) in chosen


def recomputed_graph(graph: Graph, roots: Mapping[str, str], again: Collection[int]) -> Graph:
    """The step in which the nodes of `again` run a second time, in the backward pass."""
    if not again:
        return graph
    renamed: dict[str, str] = {}
    taken = set(graph.types)
    nodes: list[Node] = []
    for position, copy in steps_with(graph, roots, again):
        node = graph.nodes[position]
        if copy:
            made = _copied(node, renamed, taken)
            renamed |= {old.id: new.id for old, new in zip(node.results, made.results, strict=True)}
            nodes.append(made)
        elif node.phase == "backward":
            nodes.append(replace(node, operands=tuple(renamed.get(each, each) for each in node.operands)))
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _copied(node: Node, renamed: Mapping[str, str], taken: set[str]) -> Node:
    """A second run of a node on what is there in the backward pass."""
    ending = AGAIN
    while any(f"{value.id}{ending}" in taken for value in node.results):
        ending += AGAIN
    results = tuple(Value(f"{value.id}{ending}", value.type) for value in node.results)
    taken |= {value.id for value in results}
    given = [(slot, renamed.get(each, each)) for slot, each in zip(node.slots, node.operands, strict=True)]
    op, effects = node.op, node.effects
    if op == NORM:  # the statistics of this batch were noted already
        op, effects = f"{NORM}.no_stats", NO_EFFECTS
        given = [pair for pair in given if not pair[0].startswith("running")]
    slots, operands = tuple(slot for slot, _ in given), tuple(each for _, each in given)
    return replace(
        node,
        name=f"{node.name}{ending}",
        op=op,
        operands=operands,
        slots=slots,
        results=results,
        phase="backward",
        effects=effects,
    )
