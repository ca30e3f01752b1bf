"""What a training step adds to a capture: a twin in train mode, the loss, and torch's joint graph of both directions.

The twin's tensors are fake ones on the CPU: no memory, but every operator has its derivative there. On the meta device
some losses have none, and the joint graph comes out without a backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch._functorch.aot_autograd import aot_export_joint_with_descriptors
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from fxcost.capture.count import eager_macs
from fxcost.capture.eager import Request, quiet_inference
from fxcost.capture.kernels import kernels_unasked
from fxcost.capture.ladder import Captured, guard_free, user_inputs
from fxcost.capture.twin import Positional, twin_with
from fxcost.errors import CaptureError, SpecError, nearest
from fxcost.ir.tidy import LAST

Loss = Callable[[Any], torch.Tensor]


def fake_twin(model: nn.Module) -> tuple[nn.Module, FakeTensorMode] | None:
    """A deep copy of fake tensors, and their mode; None where copying fails.

    A model that is in eval mode as a whole is put into train mode; one that is in train mode keeps what its parts are
    (a batch norm that was frozen).
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def bare(tensor: torch.Tensor) -> torch.Tensor:
        with mode:
            return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")

    twin = twin_with(model, bare)
    if twin is None:
        return None
    return (twin if any(module.training for module in model.modules()) else twin.train()), mode


def train_only(model: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze all parameters but those named like one of the patterns; `biases` and `last` (the last layer) are words.

    Raises SpecError where a pattern names no parameter. No pattern changes nothing.
    """
    names = [name for name, _ in model.named_parameters()]
    last = names[-1].rpartition(".")[0] if names else ""
    words = {"biases": [n for n in names if n.rpartition(".")[2].endswith("bias")]}
    words["last"] = [n for n in names if n.rpartition(".")[0] == last]
    chosen: set[str] = set()
    for pattern in patterns:
        found = words.get(pattern) or [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise SpecError(
                f"train={pattern!r} names no parameter{nearest(pattern, [*words, *names])}; write biases, last or a pattern "
                "such as 'layer4.*'"
            )
        chosen |= set(found)
    for name, parameter in model.named_parameters() if patterns else ():
        parameter.requires_grad_(name in chosen)


def summed(outputs: Any) -> torch.Tensor:
    """The loss taken where none is given: the sum of every floating output's elements."""
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]
    parts = [leaf.sum() for leaf in leaves if leaf.is_floating_point()]
    if not parts:
        raise CaptureError("no output is a floating tensor that could be summed into a loss; give one (loss=...)")
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found


class WithLoss(Positional):
    """The model with its loss as the only output."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], loss: Loss | None) -> None:
        """Wrap `model`; the last `len(names)` inputs go in by these keywords."""
        super().__init__(model, names)
        self.loss = loss or summed
        self.training = True  # the parts keep what they are

    def forward(self, *inputs: Any) -> Any:
        """The loss, a single number."""
        found = self.loss(super().forward(*inputs))
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            what = (
                f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
            )
            raise CaptureError(f"the loss must be a single number to differentiate, found {what}")
        return found


@dataclass(frozen=True)
class Joint:
    """Torch's joint graph, with what each placeholder and each output is by its description."""

    module: torch.fx.GraphModule
    states: Mapping[str, torch.Tensor]


def joint_graph(captured: Captured) -> Joint:
    """Forward and backward of an exported program whose one output is the loss, in the program's own symbols.

    Raises CaptureError where no parameter that asks for a gradient can get one.
    """
    module = captured.program.module(check_guards=False)
    _without_idle_dropout(module)
    states = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    if not any(tensor.requires_grad for tensor in states.values()):
        raise CaptureError("no parameter asks for a gradient (requires_grad): there is nothing to train")
    inputs = tuple(user_inputs(captured.program))
    modes = (getattr(tensor, "fake_mode", None) for tensor in (*inputs, *states.values()))
    fakes = next(mode for mode in modes if mode is not None)
    with ExitStack() as stack:
        for entered in (quiet_inference(), torch.enable_grad(), guard_free(), kernels_unasked()):
            stack.enter_context(entered)
        stack.enter_context(tracing(TracingContext(fakes)))
        graph = aot_export_joint_with_descriptors(stack, module, inputs).graph_module
    if not any(node.meta.get("partitioner_tag") == "is_backward" for node in graph.graph.nodes if _computes(node)):
        raise CaptureError("the joint graph has no backward pass: the loss does not depend on a trainable parameter")
    _without_idle_slices(graph)
    return Joint(graph, states)


def _without_idle_dropout(module: torch.fx.GraphModule) -> None:
    """A dropout that drops nothing hands its input on in eager torch; traced to gradients it would become a copy."""
    idle = {torch.ops.aten.dropout.default, torch.ops.aten.dropout_.default}
    for node in list(module.graph.nodes):
        if node.target in idle and (node.args[1] == 0 or not node.args[2]):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()


def _without_idle_slices(module: torch.fx.GraphModule) -> None:
    """Eager torch makes no slice for `x[:]`; a trace with open sizes does, and a copy of it in the backward pass."""
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.slice.Tensor:
            bounds: tuple[Any, ...] = tuple(node.args[2:])
        elif node.target is torch.ops.aten.slice_backward.default:
            bounds = tuple(node.args[3:])
        else:
            continue
        start, end, step = tuple(bounds) + (0, LAST, 1)[len(bounds) :]
        whole = end is None or (isinstance(end, int) and end >= LAST)
        if start in (0, None) and whole and step == 1:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.recompile()


def _computes(node: Any) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


class _Step(nn.Module):
    """One forward and backward pass, as a model of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Any:
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return torch.autograd.grad(self.model(*inputs), trained, allow_unused=True)


def step_macs(request: Request, point: Mapping[str, int]) -> int:
    """MACs of a forward and backward pass at `point`, as torch's counter sees them on fake tensors."""
    return eager_macs(replace(request, module=_Step(request.module)), point)
