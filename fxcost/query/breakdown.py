"""Breakdowns: costs by node, by operator and by module; every level of the module tree adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fxcost.ir.expr import ZERO, Expr, total
from fxcost.ir.graph import Graph
from fxcost.ir.types import TensorType
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.pipeline import Facts

METRICS = ("params", "macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes")
"""What every node has; one device of several has `wire_bytes` besides."""


@dataclass(frozen=True)
class NodeRow:
    """One node with its own costs; traffic is that of its fusion group, owned by the group's anchor.

    `reads` are the nodes, and the inputs of the graph, whose results it takes.
    """

    name: str
    op: str
    module: str
    call: int
    shape: tuple[Expr, ...]
    dtype: str
    source: str
    known: bool
    metrics: Mapping[str, Expr]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModuleRow:
    """A module with the sum over everything below it; `calls` says how often its forward ran.

    In a folded tree (`fxcost.query.fold`) a row stands for `copies` modules that are alike, and has the sum over them.
    """

    path: str
    calls: int
    metrics: Mapping[str, Expr]
    children: tuple[ModuleRow, ...] = ()
    own: Mapping[str, Expr] = field(default_factory=dict)
    copies: int = 1


def node_rows(graph: Graph, facts: Facts) -> tuple[NodeRow, ...]:
    """Every node in traced order. Parameters are counted at their first reader."""
    costs, groups = facts[Costs], facts[Groups]
    by_anchor = {group.anchor: group for group in groups.rows}
    counted: set[str] = set()
    has_collectives = any(cost.detail.exchange is not None for cost in costs.rows)
    makers = {value.id: value.id for value in graph.inputs}
    makers |= {value.id: node.name for node in graph.nodes for value in node.results}
    rows = []
    for position, (node, cost) in enumerate(zip(graph.nodes, costs.rows, strict=True)):
        fresh = [
            o
            for o in dict.fromkeys(node.operands)
            if o in graph.state_of and graph.state_of[o].kind == "parameter" and o not in counted
        ]
        counted.update(fresh)
        group = by_anchor.get(position)
        kind = node.results[0].type if node.results else None
        rows.append(
            NodeRow(
                node.name,
                node.op,
                node.module,
                node.call,
                kind.shape if isinstance(kind, TensorType) else (),
                kind.dtype.short if isinstance(kind, TensorType) else str(kind or ""),
                node.source,
                cost.rule is not None,
                {
                    "params": total(graph.tensor(o).numel for o in fresh),
                    "macs": cost.macs,
                    "other_ops": cost.other_ops,
                    "read_bytes": group.read_bytes if group else ZERO,
                    "write_bytes": group.write_bytes if group else ZERO,
                    "weight_bytes": group.weight_bytes if group else ZERO,
                }
                | ({"wire_bytes": cost.wire_bytes} if has_collectives else {}),
                tuple(dict.fromkeys(makers[o] for o in node.operands if o in makers)),
            )
        )
    return tuple(rows)


def metrics_of(rows: Sequence[NodeRow]) -> tuple[str, ...]:
    """The metrics that the nodes of a graph have."""
    return tuple(rows[0].metrics) if rows else METRICS


def op_sums(rows: Iterable[NodeRow]) -> dict[str, tuple[int, dict[str, Expr]]]:
    """Count and summed metrics by operator, most expensive operators in no particular order."""
    grouped: dict[str, list[NodeRow]] = {}
    for row in rows:
        grouped.setdefault(row.op, []).append(row)
    return {op: (len(members), _summed(members)) for op, members in grouped.items()}


def module_tree(graph: Graph, rows: Iterable[NodeRow]) -> ModuleRow:
    """The tree of modules. Parameters sit in the module that owns them, so they add up too, unread ones included."""
    own: dict[str, list[Mapping[str, Expr]]] = {}
    calls: dict[str, set[int]] = {}
    rows = list(rows)
    names = metrics_of(rows)
    for row in rows:
        own.setdefault(row.module, []).append({**row.metrics, "params": ZERO})
        calls.setdefault(row.module, set()).add(row.call)
    for state in graph.states:
        if state.kind == "parameter":
            owner = state.paths[0].rpartition(".")[0]
            own.setdefault(owner, []).append({"params": state.type.numel})
    paths = {""}
    for path in own:
        parts = path.split(".") if path else []
        paths.update(".".join(parts[: i + 1]) for i in range(len(parts)))
    first: dict[str, int] = {}  # of any node below a module, so that modules stand in execution order
    for position, path in enumerate(dict.fromkeys([*own, *sorted(paths)])):
        parts = path.split(".")
        for length in range(1, len(parts) + 1):
            first.setdefault(".".join(parts[:length]), position)
    below: dict[str, list[str]] = {}
    for path in paths - {""}:
        below.setdefault(path.rpartition(".")[0], []).append(path)

    def build(path: str) -> ModuleRow:
        children = tuple(build(child) for child in sorted(below.get(path, ()), key=first.__getitem__))
        mine = {m: total(entry.get(m, ZERO) for entry in own.get(path, ())) for m in names}
        sums = {m: total([mine[m], *(child.metrics[m] for child in children)]) for m in names}
        return ModuleRow(path, len(calls.get(path, {0})), sums, children, mine)

    return build("")


def flatten(tree: ModuleRow, depth: int) -> list[tuple[int, ModuleRow]]:
    """Rows of the tree down to `depth` levels below the root, parents before children."""
    found = [(0, tree)]

    def walk(row: ModuleRow, level: int) -> None:
        for child in row.children:
            found.append((level, child))
            if level < depth:
                walk(child, level + 1)

    if depth > 0:
        walk(tree, 1)
    return found


def readable_depth(tree: ModuleRow, most: int = 24) -> int:
    """The deepest level at which the tree still fits `most` rows; at least one, where there are modules."""
    level, deeper = 0, list(tree.children)
    rows = 0
    while deeper:
        rows += len(deeper)
        if level and rows > most:
            break
        level += 1
        deeper = [child for row in deeper for child in row.children]
    return level


def _summed(rows: Iterable[NodeRow]) -> dict[str, Expr]:
    members = list(rows)
    return {m: total(row.metrics[m] for row in members) for m in metrics_of(members)}
