"""Liveness: bytes alive at every step, and who they belong to.

At step k everything is counted that is alive while the node runs: operands until their last reader, results from before
their producer runs. Step -1 is the moment before the first node, when all inputs exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.ir.evaluate import compiled, evaluate
from fxcost.ir.expr import ZERO, Expr, total
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Predicate, holds
from fxcost.passes.buffers import Buffer, Buffers, Case
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class Timeline:
    """Live bytes by step under one storage case; `sums[k + 1]` belongs to step k."""

    when: Predicate
    sums: tuple[Expr, ...]
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True)
class Liveness:
    """One timeline per storage case."""

    timelines: tuple[Timeline, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Owner:
    """Where the peak stands at one point: the step, its bytes, and the buffers alive there, largest first."""

    step: int
    node: str
    module: str
    nbytes: int
    alive: tuple[tuple[str, int], ...]


@register_pass("liveness", provides=Liveness, requires=(Buffers,))
def liveness(graph: Graph, facts: Facts) -> Liveness:
    """Sum the live buffers at every step."""
    found = facts[Buffers]
    return Liveness(tuple(_timeline(case, len(found.order)) for case in found.cases), found.order)


def _timeline(case: Case, steps: int) -> Timeline:
    born: dict[int, list[Expr]] = {}
    freed: dict[int, list[Expr]] = {}
    for buffer in case.buffers:
        born.setdefault(buffer.first, []).append(buffer.size)
        freed.setdefault(buffer.last, []).append(-buffer.size)
    sums: list[Expr] = []
    alive = ZERO
    for step in range(-1, steps):
        alive = total([alive, *born.get(step, ())])
        sums.append(alive)
        alive = total([alive, *freed.get(step, ())])
    return Timeline(case.when, tuple(sums), case.buffers)


def live_bytes(found: Liveness, env: Mapping[str, int]) -> tuple[int, ...]:
    """Bytes alive before the first node, then while each node of the order runs, at a complete point."""
    sums = _timeline_at(found, env).sums
    names = tuple(sorted(set().union(*(s.symbols for s in sums))))
    return compiled(sums, names)(*(env[n] for n in names))


def live_steps(graph: Graph, found: Liveness, env: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The same with the node of each step; the moment before the first one has no name."""
    names = ("", *(graph.nodes[position].name for position in found.order))
    return tuple(zip(names, live_bytes(found, env), strict=True))


def _timeline_at(found: Liveness, env: Mapping[str, int]) -> Timeline:
    return next(t for t in found.timelines if holds(t.when, env))


def owner(graph: Graph, found: Liveness, env: Mapping[str, int]) -> Owner:
    """Who owns the peak at a point."""
    timeline, values = _timeline_at(found, env), live_bytes(found, env)
    at = max(range(len(values)), key=values.__getitem__)
    step = at - 1
    node = graph.nodes[found.order[step]] if step >= 0 else None
    alive = [(b.id, evaluate(b.size, env)) for b in timeline.buffers if b.first <= step <= b.last]
    alive.sort(key=lambda pair: (-pair[1], pair[0]))
    return Owner(step, node.name if node else "inputs", node.module if node else "", values[at], tuple(alive))
