"""Lowering of training steps: forward, backward and the optimizer's updates as one graph.

Torch's joint graph names every placeholder and output by a descriptor. It is dressed as an exported program, lowered as
one, and completed by what torch leaves to the caller: the gradient of the loss itself, and one in-place update for each
gradient, in the order of the parameters.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch._functorch._aot_autograd.descriptors import (
    BufferAOTInput,
    GradAOTOutput,
    InputMutationAOTOutput,
    ParamAOTInput,
    PlainAOTInput,
    PlainAOTOutput,
    TangentAOTInput,
)

from fxcost.capture.ladder import Captured
from fxcost.capture.training import joint_graph
from fxcost.errors import CaptureError
from fxcost.ir.graph import Attribute, Graph, Node, Standing, State, Value
from fxcost.lower.exported import lower
from fxcost.lower.fx import effects, op_name
from fxcost.lower.traced import spec

UPDATE = torch.ops.aten.add_.Tensor
"""What one step of plain stochastic gradient descent does to a parameter; momenta and the like make no other values."""

_WITH_WORKSPACE = {"mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn"}


def lower_joint(captured: Captured, name: str) -> Graph:
    """The graph of a training step, its nodes in the phases forward, backward and update.

    `captured` holds a program whose one output is the loss. Raises CaptureError where nothing can be trained, or where
    the joint graph holds what this does not know.
    """
    joint = joint_graph(captured)
    readable(joint.module, captured.program)
    program = _dressed(joint.module, joint.states, name)
    graph = _written_in_place(lower(replace(captured, program=program), name))
    phases = {node.name: node.meta.get("partitioner_tag") for node in joint.module.graph.nodes}
    if len(graph.outputs) != len(program.owners):
        raise CaptureError(f"{name}: a result of the joint graph is no tensor")
    known = {captured.prefix + path: state.value.id for state in graph.states for path in state.paths}
    owners = [None if target is None else known[target] for target in program.owners]
    graph = _completed(graph, phases, list(zip(owners, graph.outputs, strict=True)))
    return _with_caveats(graph)


def readable(module: torch.fx.GraphModule, program: Any) -> None:
    """Name placeholders as the exported program does, and let backward nodes belong to their forward node's module."""
    names = {entry.target: entry.arg.name for entry in program.graph_signature.input_specs if entry.target is not None}
    given = [entry.arg.name for entry in program.graph_signature.input_specs if entry.kind.name == "USER_INPUT"]
    for node in module.graph.nodes:
        described = node.meta.get("desc")
        if isinstance(described, ParamAOTInput | BufferAOTInput) and described.target in names:
            node._rename(names[described.target])
        elif isinstance(described, PlainAOTInput):
            node._rename(given[described.idx])
        if "fwd_nn_module_stack" in node.meta:
            node.meta["nn_module_stack"] = node.meta["fwd_nn_module_stack"]


def _dressed(module: torch.fx.GraphModule, states: Any, name: str) -> Any:
    """The joint graph as an ExportedProgram, as far as lowering looks at one.

    Its `owners` are the parameters whose gradients its results are, None for the loss.
    """
    inputs = [_input(node, name) for node in module.graph.nodes if node.op == "placeholder"]
    output = next(node for node in module.graph.nodes if node.op == "output")
    outputs: list[Any] = []
    owners: list[str | None] = []
    for node, described in zip(output.args[0], output.meta["desc"], strict=True):
        if node is None or described is None:
            continue
        if isinstance(described, GradAOTOutput) and isinstance(described.grad_of, ParamAOTInput):
            owners.append(described.grad_of.target)
            outputs.append(spec("USER_OUTPUT", node.name, None))
        elif isinstance(described, PlainAOTOutput):
            owners.append(None)
            outputs.append(spec("USER_OUTPUT", node.name, None))
        elif isinstance(described, InputMutationAOTOutput):
            target = getattr(described.mutated_input, "target", None)
            kind = "USER_INPUT_MUTATION" if target is None else "BUFFER_MUTATION"
            outputs.append(spec(kind, node.name, target))
        else:
            raise CaptureError(f"{name}: the joint graph returns {described}, which is not understood")
    return SimpleNamespace(
        graph=module.graph,
        graph_module=module,
        graph_signature=SimpleNamespace(input_specs=inputs, output_specs=outputs),
        state_dict=dict(states),
        constants={},
        owners=tuple(owners),
    )


def _input(node: Any, name: str) -> Any:
    match node.meta.get("desc"):
        case ParamAOTInput(target=target):
            return spec("PARAMETER", node.name, target)
        case BufferAOTInput(target=target):
            return spec("BUFFER", node.name, target)
        case PlainAOTInput():
            return spec("USER_INPUT", node.name, None)
        case TangentAOTInput():
            return spec("CONSTANT_TENSOR", node.name, node.name)
        case other:
            raise CaptureError(f"{name}: the joint graph takes {other}, which is not understood")


def _completed(graph: Graph, phases: dict[str, str | None], results: list[tuple[str | None, str]]) -> Graph:
    """Phases, the loss's own gradient (a one) where the backward pass begins, and the updates at the end.

    `results` pairs every output with the parameter that it is the gradient of, None for the loss.
    """
    nodes = [replace(node, phase=_phase(node, phases)) for node in graph.nodes]
    begins = next(i for i, node in enumerate(nodes) if node.phase == "backward")
    seeds = [s for s in graph.states if s.kind == "constant" and phases.get(s.value.id) == "is_backward"]
    nodes[begins:begins] = [_one(state) for state in seeds]
    updates = [_update(owner, gradient, graph) for owner, gradient in results if owner is not None]
    return replace(
        graph,
        states=tuple(state for state in graph.states if state not in seeds),
        nodes=(*nodes, *updates),
        outputs=tuple(value for owner, value in results if owner is None),
        updates=(*graph.updates, *((node.operands[0], node.results[0].id) for node in updates)),
    )


def _phase(node: Node, phases: dict[str, str | None]) -> str:
    tag = phases.get(node.name, phases.get(node.name.partition(".")[0]))
    return "backward" if tag == "is_backward" else "forward"


def _one(state: State) -> Node:
    attributes: dict[str, Attribute] = {"size": state.type.shape, "dtype": state.type.dtype.short}
    return Node(state.value.id, "aten.ones", (), (), attributes, (state.value,), phase="backward")


def _update(parameter: str, gradient: str, graph: Graph) -> Node:
    state, slots = graph.state_of[parameter], ["self", "other"]
    name = f"{parameter}_updated"
    module = state.paths[0].rpartition(".")[0]
    return Node(
        name,
        "aten.add_.Tensor",
        (parameter, gradient),
        tuple(slots),
        {"alpha": -1},
        (Value(name, state.type),),
        module,
        phase="update",
        effects=effects(UPDATE._schema, slots),
    )


def _written_in_place(graph: Graph) -> Graph:
    """Buffers written where they are, as the model does it: torch's joint graph computes their new contents apart.

    Running statistics of batch norms, and counters that a number is added to; other new contents stay values of their
    own.
    """
    owners = {value: owner for owner, value in graph.updates}
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        node = replace(node, operands=tuple(renamed.get(operand, operand) for operand in node.operands))
        inside = [owners.get(value.id) for value in node.results]
        if node.op == "aten._native_batch_norm_legit_functional" and inside[3:] == _statistics(node):
            renamed |= {value.id: owner for value, owner in zip(node.results[3:], inside[3:], strict=True) if owner}
            target, kept = torch.ops.aten._native_batch_norm_legit.default, node.results[:3]
        elif node.op == "aten.add.Tensor" and inside == [node.operands[0]]:
            renamed[node.results[0].id] = node.operands[0]
            target, kept = torch.ops.aten.add_.Tensor, node.results
        else:
            nodes.append(node)
            continue
        memory = effects(target._schema, list(node.slots))
        nodes.append(replace(node, op=op_name(target), results=kept, effects=memory))
    updates = tuple((owner, value) for owner, value in graph.updates if value not in renamed)
    return replace(graph, nodes=tuple(nodes), updates=updates)


def _with_caveats(graph: Graph) -> Graph:
    """Notes on what eager torch does otherwise, or what only its libraries know."""
    notes, standing = list(graph.notes), graph.standing
    operators = {node.op.split(".")[1] for node in graph.nodes}
    if "native_dropout" in operators:
        notes.append("dropout keeps one byte an element, as on a GPU; eager torch on a CPU keeps its noise as floats")
    if operators & _WITH_WORKSPACE:
        notes.append("recurrent layers keep a workspace whose size only their library knows: memory is a lower bound")
        standing = standing.combine(Standing.LOWER)
    return replace(graph, notes=tuple(notes), standing=standing)


def _statistics(node: Node) -> list[str | None]:
    """The buffers that a batch norm keeps its running statistics in."""
    given = dict(zip(node.slots, node.operands, strict=True))
    return [given.get("running_mean"), given.get("running_var")]
