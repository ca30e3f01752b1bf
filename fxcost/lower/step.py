"""A training step at the sizes of given tensors: torch's joint graph with its nodes named as in the analysed graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch._functorch._aot_autograd.descriptors import (
    GradAOTOutput,
    InputMutationAOTOutput,
    ParamAOTInput,
    PlainAOTOutput,
)

from fxcost.capture.eager import Request, first_line
from fxcost.capture.ladder import Captured, Rung, _export
from fxcost.capture.training import Loss, WithLoss, fake_twin, joint_graph
from fxcost.errors import ModelError
from fxcost.lower.joint import readable


@dataclass(frozen=True)
class Step:
    """The joint graph, and what its values are by name.

    states     placeholders of the model's tensors -> their paths in the model
    inputs     placeholders of the caller's tensors, in call order
    tangents   placeholders of the loss's own gradient
    loss       the value of the loss
    trained    paths of the parameters that get a gradient, and `gradients`, the values of those
    written    placeholders of buffers -> the values of their new contents
    """

    module: Any = field(repr=False)
    states: Mapping[str, str]
    inputs: tuple[str, ...]
    tangents: tuple[str, ...]
    loss: str
    trained: tuple[str, ...]
    gradients: tuple[str, ...]
    written: Mapping[str, str]


def step_at(model: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any], loss: Loss | None) -> Step:
    """The step of `model` at these inputs' sizes. Raises ModelError where it cannot be captured."""
    copied = fake_twin(model)
    if copied is None:
        raise ModelError("the model cannot be copied, and its training step is captured from a copy")
    twin, fakes = copied
    request = Request(WithLoss(twin, tuple(named), loss), (*inputs, *named.values()), {}, "cpu", "wrapped.", fakes)
    try:
        program = _export(request, frozenset(), Rung("static", {}, {}))
    except Exception as error:  # whatever the model raises is the answer
        raise ModelError(
            f"the model's training step cannot be captured at these inputs: {first_line(error)}"
        ) from error
    captured = Captured(program, (), {}, {}, (), "static", request.prefix)
    joint = joint_graph(captured)
    readable(joint.module, program)
    return _read(joint.module, request.prefix, program)


def _read(module: Any, prefix: str, program: Any) -> Step:
    output = next(node for node in module.graph.nodes if node.op == "output")
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    kinds = {node.name: type(node.meta.get("desc")).__name__ for node in inputs}
    paths = {n.name: n.meta["desc"].target for n in inputs if kinds[n.name] in {"ParamAOTInput", "BufferAOTInput"}}
    loss, written = "", {}
    gradients: dict[str, str] = {}
    names = {path: name for name, path in paths.items()}
    for node, described in zip(output.args[0], output.meta["desc"], strict=True):
        if node is None or described is None:
            continue
        if isinstance(described, GradAOTOutput) and isinstance(described.grad_of, ParamAOTInput):
            gradients[described.grad_of.target] = node.name
        elif isinstance(described, PlainAOTOutput):
            loss = node.name
        elif isinstance(described, InputMutationAOTOutput) and hasattr(described.mutated_input, "target"):
            written[names[described.mutated_input.target]] = node.name
    given = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    tensors = {n.name for n in inputs if isinstance(n.meta.get("val"), torch.Tensor)}
    return Step(
        module,
        {name: path.removeprefix(prefix) for name, path in paths.items()},
        tuple(name for name in given if name in tensors),
        tuple(name for name, kind in kinds.items() if kind == "TangentAOTInput"),
        loss,
        tuple(path.removeprefix(prefix) for path in gradients),
        tuple(gradients.values()),
        written,
    )
