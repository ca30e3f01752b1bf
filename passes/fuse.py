"""Fusion groups: what a runtime runs as one kernel, and the traffic at the groups' borders.

`eager` and `inplace` run every op by itself. `fused` never materialises unary pointwise results, casts, dropout and
eval batch norm: such a *virtual* value is computed on the way, in the memory of its operand, and its node joins the group
of its producer. A virtual value that must exist apart (a graph output whose operand is an input or is read again) is
materialised after all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fxcost.ir.expr import ZERO, Expr, total
from fxcost.ir.graph import Graph, Node
from fxcost.ir.types import DType, TensorType
from fxcost.passes.cost import Costs, traffic
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class Group:
    """One kernel: positions of its nodes, the anchor that gives it its family, its counts and border traffic."""

    nodes: tuple[int, ...]
    anchor: int
    family: str
    dtype: DType
    macs: Expr
    other_ops: Expr
    read_bytes: Expr
    write_bytes: Expr
    weight_bytes: Expr


@dataclass(frozen=True)
class Groups:
    """Groups in traced order; `virtual` maps each value that is never materialised to the value it lives in.

    `stored` gives the form in which a materialised value is kept where that is not its own type.
    """

    rows: tuple[Group, ...]
    virtual: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, TensorType] = field(default_factory=dict)


@register_pass("fuse", provides=Groups, requires=(Costs, Storage), options=("accounting", "weights", "activations"))
def fuse(graph: Graph, facts: Facts) -> Groups:
    """Group the nodes as the accounting says."""
    costs, fused = facts[Costs], facts.options.accounting == "fused"
    virtual = _virtual_values(graph, costs, facts[Storage]) if fused else {}
    stored = _stored_forms(graph, virtual)
    members: dict[int, list[int]] = {}
    home: dict[str, int] = {}
    for position, node in enumerate(graph.nodes):
        anchor = position
        if node.results and node.results[0].id in virtual:
            anchor = home.get(virtual[node.results[0].id], position)
        members.setdefault(anchor, []).append(position)
        home |= {value.id: anchor for value in node.results}
    rows = tuple(_group(graph, facts, anchor, nodes, virtual, stored) for anchor, nodes in members.items())
    return Groups(rows, virtual, stored)


def _virtual_values(graph: Graph, costs: Costs, storage: Storage) -> dict[str, str]:
    outputs = {*graph.outputs, *(value for _, value in graph.updates)}
    inputs = {value.id for value in graph.inputs}
    virtual: dict[str, str] = {}
    for node, cost in zip(graph.nodes, costs.rows, strict=True):
        if cost.kind not in {"pointwise", "affine"} or len(node.results) != 1:
            continue
        operand = _only_activation(graph, node, storage)
        result = node.results[0]
        if operand is None or storage.aliases.get(result.id) is not None:
            continue  # in-place and idle casts already live in their operand
        if not _same_count(graph, operand, result.type):
            continue
        again = len(graph.readers.get(operand, ())) > 1
        if result.id in outputs and (operand in inputs or operand in outputs or again):
            continue
        virtual[result.id] = operand
    return virtual


def _only_activation(graph: Graph, node: Node, storage: Storage) -> str | None:
    found = {o for o in node.operands if o not in storage.homes and isinstance(graph.types[o], TensorType)}
    return next(iter(found)) if len(found) == 1 else None


def _same_count(graph: Graph, operand: str, result: object) -> bool:
    return isinstance(result, TensorType) and graph.tensor(operand).numel is result.numel


def _stored_forms(graph: Graph, virtual: Mapping[str, str]) -> dict[str, TensorType]:
    """A cast that is its operand's only reader decides how the operand is kept; other casts happen while reading."""
    stored: dict[str, TensorType] = {}
    produced = {value.id for node in graph.nodes for value in node.results}
    for result, operand in virtual.items():
        form = stored.get(operand, graph.tensor(operand))
        if operand in produced and operand not in graph.outputs and len(graph.readers.get(operand, ())) == 1:
            form = graph.tensor(result)
            root: str | None = operand
            while root is not None:
                stored[root] = TensorType(graph.tensor(root).shape, form.dtype)
                root = virtual.get(root)
        stored[result] = TensorType(graph.tensor(result).shape, form.dtype)
    return stored


def _group(
    graph: Graph,
    facts: Facts,
    anchor: int,
    nodes: list[int],
    virtual: Mapping[str, str],
    stored: Mapping[str, TensorType],
) -> Group:
    rows, options = facts[Costs].rows, facts.options
    lead, node = rows[anchor], graph.nodes[anchor]
    reads, writes = lead.read_bytes, lead.write_bytes
    if (
        virtual and node.results and node.results[0].id in virtual
    ):  # a chain that starts at an input: its reader reads it
        reads = writes = ZERO
    elif virtual and not (reads.constant == 0 and writes.constant == 0):
        reads, writes, _ = traffic(
            graph, node, lead.detail, options.weights, options.activations, facts[Storage], stored
        )
    # Batch norm folds into its convolution's weights; other parameters of folded nodes are still fetched.
    fetched = [rows[i].weight_bytes for i in nodes if i == anchor or rows[i].kind != "affine"]
    return Group(
        nodes=tuple(nodes),
        anchor=anchor,
        family=lead.rule.family if lead.rule else "unknown",
        dtype=_compute_dtype(graph, node),
        macs=total(rows[i].macs for i in nodes),
        other_ops=total(rows[i].other_ops for i in nodes if i == anchor or rows[i].kind != "affine"),
        read_bytes=reads,
        write_bytes=writes,
        weight_bytes=total(fetched),
    )


def _compute_dtype(graph: Graph, node: Node) -> DType:
    kinds = [graph.types[o] for o in node.operands] + [v.type for v in node.results]
    tensors = [k for k in kinds if isinstance(k, TensorType)]
    floating = [t.dtype for t in tensors if t.dtype.is_floating]
    return floating[0] if floating else tensors[0].dtype if tensors else DType.F32
