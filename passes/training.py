"""Training: what the backward pass keeps, MACs by phase, gradients and the optimizer's state. Empty for inference.

What a step holds altogether depends on the optimizer (`sgd` keeps nothing, `momentum` one number for each parameter,
`adam` two) and on the precision: as the model is, all in `fp32` or `bf16`, or `mixed`, parameters and activations in
bf16 beside float32 copies and states.

Two rules for what is kept. `autograd`: every block of memory that a value of the forward pass lives in and that a node of
the backward pass reads, once; the model's own tensors are not counted, its inputs are. `tinytl` (Cai et al., 2020): the
inputs of convolutions, linear and norm layers, each layer's by itself, and one bit for every element that a ReLU clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fxcost.ir.expr import Expr, ceildiv, const, total
from fxcost.ir.graph import Graph, Node, State
from fxcost.ir.predicate import Predicate
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes, weight_bytes
from fxcost.passes.buffers import Buffers, Case
from fxcost.passes.cost import Costs
from fxcost.passes.peak import Peak, by_case
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts, Options, register_pass

TRAINING_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "macs_forward": "MAC",
        "macs_backward": "MAC",
        "saved_activations": "bytes",
        "saved_activations_tinytl": "bytes",
        "gradient_bytes": "bytes",
        "momentum_bytes": "bytes",
        "adam_bytes": "bytes",
        "mixed_momentum_bytes": "bytes",
        "mixed_adam_bytes": "bytes",
        "optimizer_bytes": "bytes",
        "training_memory": "bytes",
    }
)
"""Quantities of a training step besides those of every graph; the first two are counted, the others sizes of values."""

MASTER = 4
"""Bytes of one element of the float32 copy and of the states that mixed precision keeps."""

STATES: Mapping[str, int] = MappingProxyType({"sgd": 0, "momentum": 1, "adam": 2})
"""Numbers that an optimizer keeps for each trained parameter."""

_RELUS = frozenset(["aten.relu", "aten.relu_", "aten.relu6", "aten.hardtanh", "aten.hardtanh_"])
_RELUS_BACKWARD = ("aten.threshold_backward", "aten.hardtanh_backward")
_SOURCES = ("input", "mat1", "self", "mat2", "other")


@dataclass(frozen=True)
class Training:
    """Expressions by quantity name, and kept bytes by module: of what made them, or by layer.

    What the caller passes in is kept under INPUTS.
    """

    values: Mapping[str, Expr] = field(default_factory=dict)
    saved: Mapping[str, Expr] = field(default_factory=dict)
    saved_tinytl: Mapping[str, Expr] = field(default_factory=dict)


INPUTS = "(inputs)"


@register_pass(
    "training",
    provides=Training,
    requires=(Buffers, Costs, Peak, Storage),
    options=("weights", "activations", "optimizer", "precision", "rule"),
)
def training(graph: Graph, facts: Facts) -> Training:
    """Read what is kept off the blocks of memory and their readers."""
    if not any(node.phase == "backward" for node in graph.nodes):
        return Training()
    rows = facts[Costs].rows
    kept = [(case.when, _kept(graph, case)) for case in facts[Buffers].cases]
    trained = [state for state in graph.states if state.value.id in _trained(graph)]
    elements = total(state.type.numel for state in trained)
    options = facts.options
    own = _stored(trained, options)
    held = _stored([state for state in graph.states if state.kind == "parameter"], options)
    held += total(state.type.numel * state.type.dtype.bytes for state in graph.states if state.kind != "parameter")
    count = STATES[options.optimizer]
    states = elements * const(MASTER * (1 + count)) if options.precision == "mixed" else own * const(count)
    by_layer = list(_by_layer(graph, facts))
    by_rule = {
        "autograd": by_case([(when, total(found.values())) for when, found in kept]),
        "tinytl": total(size for _, size in by_layer),
    }

    def macs(phase: str) -> Expr:
        return total(row.macs for node, row in zip(graph.nodes, rows, strict=True) if node.phase == phase)

    values = {
        "macs_forward": macs("forward"),
        "macs_backward": macs("backward"),
        "saved_activations": by_rule[options.rule],
        "saved_activations_tinytl": by_rule["tinytl"],
        "gradient_bytes": own,
        "momentum_bytes": own,
        "adam_bytes": own * const(2),
        "mixed_momentum_bytes": elements * const(2 * MASTER),
        "mixed_adam_bytes": elements * const(3 * MASTER),
        "optimizer_bytes": states,
        "training_memory": held + states + facts[Peak].peak,
    }
    layers: dict[str, list[Expr]] = {}
    for module, size in by_layer:
        layers.setdefault(module, []).append(size)
    return Training(values, _by_module(graph, kept), {module: total(sizes) for module, sizes in layers.items()})


def _stored(states: list[State], options: Options) -> Expr:
    return total(weight_bytes(state.type, state.paths, options.weights) for state in states)


def _trained(graph: Graph) -> set[str]:
    """Parameters that the step updates: a gradient reaches them."""
    return {node.operands[0] for node in graph.nodes if node.phase == "update"}


def _kept(graph: Graph, case: Case) -> dict[str, Expr]:
    """Bytes of the blocks that stay for the backward pass, by the value that they began as."""
    made_later = {value.id for node in graph.nodes if node.phase != "forward" for value in node.results}
    read_later = {operand for node in graph.nodes if node.phase == "backward" for operand in node.operands}
    wanted = read_later - made_later
    return {block.id: block.size for block in case.buffers if not wanted.isdisjoint(block.values)}


def _by_module(graph: Graph, kept: list[tuple[Predicate, dict[str, Expr]]]) -> dict[str, Expr]:
    """The same of the generic case, by module."""
    makers = {value.id: node.module for node in graph.nodes for value in node.results}
    found: dict[str, list[Expr]] = {}
    for name, size in kept[0][1].items():
        found.setdefault(makers.get(name, INPUTS), []).append(size)
    return {module: total(sizes) for module, sizes in found.items()}


# -- the layers' rule ----------------------------------------------------------------------------------------------
def _by_layer(graph: Graph, facts: Facts) -> Iterator[tuple[str, Expr]]:
    """Bytes that each layer keeps, with its module: only where a gradient needs them, as for a frozen weight none does."""
    homes, rows, width = facts[Storage].homes, facts[Costs].rows, facts.options.activations
    blocks = {value: block.id for block in facts[Buffers].cases[0].buffers for value in block.values}
    trained = _trained(graph)
    families = [row.rule.family if row.rule is not None else "" for row in rows]
    through_norms, through_relus = set(), set()
    for node, family in zip(graph.nodes, families, strict=True):
        if node.phase == "backward" and family == "norm":
            through_norms |= {blocks.get(operand) for operand in node.operands}
        if node.phase == "backward" and node.op.startswith(_RELUS_BACKWARD):
            through_relus |= {blocks.get(operand) for operand in node.operands}
    # An in-place clipping keeps a copy of what it overwrites.
    copies = {blocks.get(n.results[0].id): blocks.get(n.operands[0]) for n in graph.nodes if n.op == "aten.clone"}
    through_relus |= {copies[block] for block in through_relus if block in copies}
    for node, family in zip(graph.nodes, families, strict=True):
        source = _source(graph, node, homes)
        if node.phase != "forward" or source is None:
            continue
        kind, block = graph.tensor(source), blocks.get(source)
        states = {homes[operand] for operand in node.operands if operand in homes}
        if family in {"conv", "matmul"}:
            counted = any(state in trained and graph.tensor(state).rank > 1 for state in states)
        else:
            counted = family == "norm" and (bool(states & trained) or block in through_norms)
        if counted:
            yield node.module, activation_bytes(kind, kind.numel, width)
        elif node.op in _RELUS and through_relus & {block, blocks.get(node.results[0].id)}:
            yield node.module, ceildiv(kind.numel, const(8))


def _source(graph: Graph, node: Node, homes: Mapping[str, str]) -> str | None:
    """The activation that a layer is applied to."""
    given = dict(zip(node.slots, node.operands, strict=True))
    found = (given[slot] for slot in _SOURCES if slot in given and given[slot] not in homes)
    return next((value for value in found if isinstance(graph.types[value], TensorType)), None)
