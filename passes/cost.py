"""Costs of every node, unfused: MACs, other operations, and bytes read, written and fetched as weights.

A node whose operator has no rule is *unknown*: its counts are zero here, its name is listed, and every total over it is
a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.errors import FxcostError, InternalError, ModelError
from fxcost.ir.expr import ONE, ZERO, Expr, ceildiv, product, total
from fxcost.ir.graph import Graph, Node
from fxcost.ir.predicate import indicator
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes, weight_bytes
from fxcost.ops.exchanges import Exchange, wire_bytes
from fxcost.ops.kinds import kind_of
from fxcost.ops.registry import Call, OpCost, Rule, find
from fxcost.ops.strides import Strides
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class NodeCost:
    """Cost of one call; `rule` is None and `kind` is `unknown` without a rule. Bytes are at the options' widths."""

    macs: Expr
    other_ops: Expr
    read_bytes: Expr
    write_bytes: Expr
    weight_bytes: Expr
    scratch_bytes: Expr
    rule: Rule | None
    detail: OpCost
    kind: str
    wire_bytes: Expr = ZERO
    """What this device sends to others."""


@dataclass(frozen=True)
class Costs:
    """Costs parallel to `graph.nodes`, and the unknown operators with how often they occur."""

    rows: tuple[NodeCost, ...]
    unknown: Mapping[str, int]


@register_pass("cost", provides=Costs, requires=(Storage,), options=("weights", "activations"))
def costs(graph: Graph, facts: Facts) -> Costs:
    """Apply the rule of every node."""
    storage, options = facts[Storage], facts.options
    rows: list[NodeCost] = []
    unknown: dict[str, int] = {}
    for node in graph.nodes:
        found = find(node.op)
        if found is None:
            unknown[node.op] = unknown.get(node.op, 0) + 1
        call = call_of(graph, node, storage.homes)
        detail = apply_rule(found, call)
        kind = kind_of(call) or "unknown"
        rows.append(_priced(graph, node, found, kind, detail, storage, options.weights, options.activations))
    return Costs(tuple(rows), unknown)


def call_of(graph: Graph, node: Node, homes: Mapping[str, str] | None = None) -> Call:
    """The call as its rule sees it; `homes` are views of the model's own tensors (see Storage)."""
    known = homes if homes is not None else {state: state for state in graph.state_of}
    types = tuple(graph.types[operand] for operand in node.operands)
    roles = tuple(
        graph.state_of[known[operand]].kind if operand in known else "activation" for operand in node.operands
    )
    return Call(node, types, roles)


def apply_rule(found: Rule | None, call: Call) -> OpCost:
    """Run a rule; whatever goes wrong inside is reported with the node's name, op, shapes and source line."""
    if found is None:
        return OpCost()
    try:
        return found.function(call)
    except (FxcostError, TypeError, ValueError, LookupError, AttributeError) as error:
        node = call.node
        shapes = ", ".join(f"{slot}={kind}" for slot, kind in zip(node.slots, call.operands, strict=True))
        where = f"{node.name} ({node.op}, {shapes})" + (f" at {node.source}" if node.source else "")
        family = ModelError if isinstance(error, ModelError) else InternalError
        raise family(f"{where}: the cost rule {found.function.__name__} failed: {error}") from error


def _priced(
    graph: Graph,
    node: Node,
    found: Rule | None,
    kind: str,
    detail: OpCost,
    storage: Storage,
    weights: tuple[tuple[str, str], ...],
    activations: str | None,
) -> NodeCost:
    copied = _copied(node, kind, storage)
    moved = kind in {"view", "movement"}
    reads, writes, fetched = traffic(graph, node, detail, weights, activations, storage)
    nothing = kind in {"unknown", "free"}
    return NodeCost(
        macs=detail.macs,
        other_ops=detail.other_ops * copied if moved else detail.other_ops,
        read_bytes=ZERO if nothing else reads * copied,
        write_bytes=ZERO if nothing else writes * copied,
        weight_bytes=ZERO if nothing else fetched * copied,
        scratch_bytes=total(s.nbytes for s in detail.scratch),
        rule=found,
        detail=detail,
        kind=kind,
        wire_bytes=ZERO
        if detail.exchange is None
        else wire_bytes(detail.exchange, *message(detail.exchange, activations)),
    )


def message(exchange: Exchange, activations: str | None) -> tuple[Expr, Expr | None]:
    """Bytes of a collective's message, and of the part that a device keeps (None: a P-th), at the widths asked for."""
    tensors = exchange.message
    nbytes = total(activation_bytes(kind, kind.numel, activations) for kind in tensors)
    own = None if exchange.own is None else activation_bytes(tensors[0], exchange.own, activations)
    return nbytes, own


def traffic(
    graph: Graph,
    node: Node,
    detail: OpCost,
    weights: tuple[tuple[str, str], ...],
    activations: str | None,
    storage: Storage,
    stored: Mapping[str, TensorType] | None = None,
) -> tuple[Expr, Expr, Expr]:
    """Bytes of activations read, results written and weights fetched by one call.

    Distinct elements, each read once and written once: of what is broadcast, the source's. `stored` replaces the type of
    operands and results that a fusing runtime keeps in another form than the graph says (a cast that is never
    materialised).
    """
    forms, homes = stored or {}, storage.homes
    reads, writes, fetched = [detail.inside_reads], [detail.inside_writes], []
    touched: set[str] = set()
    for position, operand in enumerate(node.operands):
        kind = forms.get(operand, graph.types[operand])
        if not isinstance(kind, TensorType) or (operand in touched and position not in detail.reads):
            continue
        touched.add(operand)
        elements = detail.reads.get(position, _distinct(kind, storage.strides.get(operand)))
        if operand not in homes:
            reads.append(activation_bytes(kind, elements, activations))
            continue
        state = graph.state_of[homes[operand]]
        deployed = weight_bytes(state.type, state.paths, weights)
        if elements is not state.type.numel:  # some rows or a slice: the same share of the deployed bytes, rounded up
            deployed = ceildiv(deployed * elements, state.type.numel)
        fetched.append(deployed)
    for position, value in enumerate(node.results):
        kind = forms.get(value.id, value.type)
        if isinstance(kind, TensorType):
            writes.append(activation_bytes(kind, detail.writes.get(position, kind.numel), activations))
    return total(reads), total(writes), total(fetched)


def _distinct(kind: TensorType, strides: Strides | None) -> Expr:
    """Elements that lie in different places: a dimension of stride 0 repeats the same ones."""
    if strides is None or not any(stride is ZERO for stride in strides):
        return kind.numel
    return product(size for size, stride in zip(kind.shape, strides, strict=True) if stride is not ZERO)


def _copied(node: Node, kind: str, storage: Storage) -> Expr:
    """1 when the call does work, 0 when its result is its operand, an indicator when the sizes decide."""
    alias = storage.aliases.get(node.results[0].id) if node.results else None
    if alias is None or alias.operand_written or kind not in {"view", "movement", "pointwise"}:
        return ONE
    return ONE - indicator(alias.when)
