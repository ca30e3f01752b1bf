"""Recomputation beside torch's min-cut partitioner: bytes kept and MACs on top at its own budgets, both measured.

python benchmarks/recompute.py [--json] [--size 64] [--batch 4]

Both cut the same joint graph. Torch's partitioner is asked for every activation budget from 1 to 0 by its knapsack; ours
for the bytes that torch's cut keeps. Both cuts are run: what the forward part hands over is summed up storage by storage,
MACs are what torch's counter sees. `bound` is proven: no plan that keeps as few bytes as torch adds fewer MACs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch._functorch._aot_autograd.descriptors import InputMutationAOTOutput, PlainAOTOutput
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from fxcost.capture.shim import prepare_torchvision
from fxcost.errors import Infeasible
from fxcost.integrate.recomputed import under_plan
from fxcost.lower.step import Step, step_at
from fxcost.passes.recompute_graph import steps_with

BUDGETS = (1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0)


class Blocks(nn.Module):
    """Four blocks of attention and a perceptron, as in a small language model."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"project": nn.Linear(64, 192), "out": nn.Linear(64, 64)}) for _ in range(4)
        )
        self.wide = nn.ModuleList(nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Residual blocks, attention spelled out."""
        for block, wide in zip(self.blocks, self.wide, strict=True):
            q, k, v = block.get_submodule("project")(x).chunk(3, -1)
            x = x + block.get_submodule("out")(torch.softmax(q @ k.transpose(-1, -2) / 8, -1) @ v)
            x = x + wide(x)
        return x


def convolutions() -> nn.Module:
    """VGG-11 with batch norms and one linear layer."""
    from torchvision.models import vgg

    return nn.Sequential(
        vgg.make_layers(vgg.cfgs["A"], batch_norm=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
    )


def models(size: int, batch: int) -> Mapping[str, Callable[[], tuple[nn.Module, Tensor]]]:
    """A residual network, a plain one and attention; small enough to be run."""
    prepare_torchvision()
    from torchvision import models as vision

    image = (batch, 3, size, size)
    return {
        "resnet18": lambda: (vision.resnet18(), torch.randn(image)),
        "vgg11_bn": lambda: (convolutions(), torch.randn(image)),
        "attention": lambda: (Blocks(), torch.randn(batch, size, 64)),
    }


def kept_bytes(kept: Sequence[Any], own: set[int]) -> int:
    """Bytes of tensors, each storage once, those of the model apart."""
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in kept if isinstance(t, Tensor)}
    return sum(size for key, size in storages.items() if key not in own)


class Joint:
    """One model's joint graph, and its tensors in the order of the placeholders."""

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.model, self.x = model, x
        self.step: Step = step_at(model, (x,), {}, None)
        self.tensors = dict(model.named_parameters()) | dict(model.named_buffers())
        self.own = {t.untyped_storage()._cdata for t in self.tensors.values()}

    def values(self) -> list[Any]:
        """Tensors for all placeholders but the loss's own gradient; copies of what a step writes."""
        found = []
        inputs = iter([self.x])
        for node in self.step.module.graph.nodes:
            if node.op == "placeholder" and node.name not in self.step.tangents:
                path = self.step.states.get(node.name)
                found.append(next(inputs) if path is None else self.tensors[path])
        return found

    def torch_cut(self, budget: float) -> tuple[int, int]:
        """Bytes kept and MACs of a whole pass as torch's partitioner cuts it."""
        graph = torch.fx.GraphModule(self.step.module, self._named())
        output = next(node for node in graph.graph.nodes if node.op == "output")
        count = sum(isinstance(d, InputMutationAOTOutput | PlainAOTOutput) for d in output.meta["desc"])
        with functorch_config.patch(activation_memory_budget=budget):
            forward, backward = min_cut_rematerialization_partition(
                graph, None, num_fwd_outputs=count, static_lifetime_input_indices=list(range(len(self.step.states)))
            )
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            found = forward.forward(*self.values())
            kept = found[count:]
            size = kept_bytes(kept, self.own)
            backward.forward(*kept, torch.ones(()))
        return size, counter.get_total_flops() // 2

    def _named(self) -> torch.fx.Graph:
        """A copy of the joint graph."""
        graph = torch.fx.Graph()
        made: dict[Any, Any] = {}
        found = graph.graph_copy(self.step.module.graph, made)
        output = next(node for node in self.step.module.graph.nodes if node.op == "output")
        graph.output(found).meta = dict(output.meta)
        return graph


def ours(joint: Joint, found: Any) -> tuple[int, int]:
    """Bytes kept and MACs of a whole pass under our plan, seen from outside."""
    sizes: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        if tensor.untyped_storage()._cdata not in joint.own:
            sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    order = steps_with(found.graph, found.plans.curves.problem.roots, found.plans.again(found.index))
    step = under_plan(joint.model, joint.step, (joint.x,), None, found.graph, order)
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = step(joint.x)
        loss.backward()
    joint.model.zero_grad(set_to_none=True)
    return sum(sizes.values()), counter.get_total_flops() // 2


def main() -> None:
    """Every model at every budget."""
    options = arguments(__doc__, size=(64, "pixels, or tokens"), batch=(4, "images or sequences"))
    torch.set_num_threads(1)
    rows = []
    worse = 0
    for name, make in models(options.size, options.batch).items():
        torch.manual_seed(0)
        model, x = make()
        model.train()
        joint = Joint(model, x)
        cost = fxcost.analyze(model, "N,3,H,W" if x.ndim == 4 else "N,S,64", mode="training", check=False, name=name)
        at = dict(zip(("N", "H", "W"), (options.batch, options.size, options.size), strict=True))
        at = at if x.ndim == 4 else {"N": options.batch, "S": options.size}
        plain = cost.recompute(at=at).plain
        seen: set[tuple[int, int]] = set()
        for budget in BUDGETS:
            theirs, their_macs = joint.torch_cut(budget)
            if (theirs, their_macs) in seen:
                continue
            seen.add((theirs, their_macs))
            try:
                found = cost.recompute(theirs, at)
            except Infeasible:  # torch draws random numbers a second time
                rows.append([f"{name} at {budget:g}", theirs, their_macs - plain["macs"], None, None, None])
                continue
            kept, macs = ours(joint, found)
            worse += kept > theirs or macs > their_macs or kept != found.kept or macs != plain["macs"] + found.macs
            on_top, their_top = macs - plain["macs"], their_macs - plain["macs"]
            rows.append([f"{name} at {budget:g}", theirs, their_top, kept, on_top, found.least_macs])
    remarks = [
        f"Rows where ours keeps more bytes, adds more MACs, or differs from its prediction: {worse} of {len(rows)}.",
    ]
    columns = (
        "model and torch's budget",
        "kept, torch",
        "MACs on top, torch",
        "kept, ours",
        "MACs on top, ours",
        "bound",
    )
    Result("Kept for the backward pass (bytes) and MACs on top", columns, rows, remarks).show(options.json)


if __name__ == "__main__":
    main()
