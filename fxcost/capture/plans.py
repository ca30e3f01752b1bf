"""Plans: which module is given to the devices in which way, by the names that model libraries use, or as torch's styles.

A plan maps paths of modules (`layers.*.mlp.up_proj`) to a style: one of torch's own `ParallelStyle`s, or a name of STYLES.
Models of transformers carry one (`base_model_tp_plan`); the names are theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed import _functional_collectives as collectives
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel, parallelize_module
from torch.distributed.tensor.parallel.style import ParallelStyle
from torch.distributed.tensor.placement_types import Placement, _StridedShard

from fxcost.errors import CaptureError, SpecError, nearest

Styles = Mapping[str, ParallelStyle | str]

UNIFORM = (
    "experts: uniform routing, every device sends as many tokens to each other one; counts are of one device's tokens"
)


class ExpertsStyle(ParallelStyle):
    """What both ways of sharing experts have in common: matrices of three dimensions, one of them the experts."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        for name, tensor in list(module.named_parameters(recurse=False)):
            placement = [self.placement(name, tensor)]
            part = distribute_tensor(tensor.detach(), device_mesh, placement, src_data_rank=None)
            module.register_parameter(name, nn.Parameter(part, requires_grad=tensor.requires_grad))
        plain = module.forward

        def run(*args: Any, **kwargs: Any) -> Any:
            with local_parameters(module):
                return self.run(module, plain, device_mesh, *args, **kwargs)

        module.forward = run
        return module

    def placement(self, name: str, tensor: torch.Tensor) -> Placement:
        """How a parameter is given to the devices."""
        raise NotImplementedError

    def run(self, module: nn.Module, plain: Callable[..., Any], mesh: DeviceMesh, *args: Any, **kwargs: Any) -> Any:
        """The module's forward on one device's parts."""
        raise NotImplementedError


class ExpertsByFeature(ExpertsStyle):
    """Every device has a slice of every expert: columns of the first matrix, rows of the last one, then an all-reduce."""

    def placement(self, name: str, tensor: torch.Tensor) -> Placement:
        """Gate and up projection lie packed in one matrix; each is shared out."""
        if tensor.ndim != 3:
            return Replicate()
        if name.startswith("down"):
            return Shard(2)
        return _StridedShard(1, split_factor=2) if name.startswith("gate_up") else Shard(1)

    def run(self, module: nn.Module, plain: Callable[..., Any], mesh: DeviceMesh, *args: Any, **kwargs: Any) -> Any:
        """Partial results, summed up."""
        return collectives.wait_tensor(collectives.all_reduce(plain(*args, **kwargs), "sum", mesh.get_group()))


class ExpertsByExpert(ExpertsStyle):
    """Every device has some experts whole, and its own tokens: an all-to-all sends them there, another one back."""

    def placement(self, name: str, tensor: torch.Tensor) -> Placement:
        """Along the experts."""
        return Shard(0)

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        experts = getattr(module, "num_experts", None)
        if not isinstance(experts, int) or experts % device_mesh.size():
            raise CaptureError(f"{experts} experts are not shared out evenly among {device_mesh.size()} devices")
        module.num_experts = experts // device_mesh.size()  # type: ignore[assignment]
        return super()._apply(module, device_mesh)

    def run(self, module: nn.Module, plain: Callable[..., Any], mesh: DeviceMesh, *args: Any, **kwargs: Any) -> Any:
        """Uniform routing: as many rows of this device's tokens go to each device."""
        tokens, chosen, weights = (*args, *kwargs.values())
        width, each = tokens.shape[-1], chosen.shape[-1]
        order = torch.argsort(chosen.reshape(-1))
        rows = _exchanged(tokens[order // each], mesh)
        experts = chosen.reshape(-1, 1) % module.num_experts  # which of the device's own: any, as far as costs go
        made = plain(rows, experts, torch.ones_like(experts, dtype=rows.dtype))
        back = _exchanged(made, mesh)[torch.argsort(order)]
        return (back.view(-1, each, width) * weights.unsqueeze(-1)).sum(dim=1).to(tokens.dtype)


def _exchanged(rows: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
    """As many rows to each device and from each."""
    if rows.shape[0] % mesh.size():
        raise ValueError(f"{rows.shape[0]} routed tokens are not shared out evenly among {mesh.size()} devices")
    found: torch.Tensor = collectives.wait_tensor(collectives.all_to_all_single(rows, None, None, mesh.get_group()))
    return found


@contextmanager
def local_parameters(module: nn.Module) -> Iterator[None]:
    """The module with this device's parts as plain tensors."""
    held = dict(module._parameters)
    parts = {name: t.to_local() if isinstance(t, DTensor) else t for name, t in held.items()}
    module._parameters.update(parts)
    try:
        yield
    finally:
        module._parameters.update(held)


STYLES: Mapping[str, Callable[[], ParallelStyle | None]] = {
    "colwise": ColwiseParallel,
    "rowwise": RowwiseParallel,
    "colwise_gather_output": lambda: ColwiseParallel(output_layouts=Replicate()),
    "colwise_rep": lambda: ColwiseParallel(output_layouts=Replicate()),
    "rowwise_split_input": lambda: RowwiseParallel(input_layouts=Replicate()),
    "rowwise_rep": lambda: RowwiseParallel(input_layouts=Replicate()),
    "embedding_rowwise": lambda: RowwiseParallel(input_layouts=Replicate()),
    "embedding_colwise": lambda: ColwiseParallel(output_layouts=Replicate()),
    "sequence_parallel": lambda: SequenceParallel(use_local_output=True),
    "moe_tp_experts": ExpertsByFeature,
    "ep_dispatch_experts": ExpertsByExpert,
    "replicate": lambda: None,
    "mla_kv_a_proj": lambda: None,
    "replicated_with_grad_allreduce": lambda: None,
}
"""Styles by name; None where a forward pass is as on one device."""


def plan_of(model: nn.Module, kind: str) -> dict[str, ParallelStyle | str]:
    """The plan that a model carries for `tensor` or `expert` parallelism; raises SpecError where it carries none."""
    if kind not in ("tensor", "expert"):
        raise SpecError(f"plan {kind!r} is not one of tensor, expert{nearest(kind, ('tensor', 'expert'))}")
    tensor = getattr(model, "tp_plan", None) or {}
    expert = getattr(model, "ep_plan", None) or {}
    modules = dict(model.named_modules())
    found: dict[str, ParallelStyle | str] = {
        path: style for path, style in (expert if kind == "expert" else tensor).items() if _matching(path, modules)
    }
    if not found:
        raise SpecError(
            f"{type(model).__name__} carries no plan for {kind} parallelism, as models of transformers do; give one: "
            "a style (colwise, rowwise ...) by path of module, as in 'layers.*.up=colwise'"
        )
    return found


def apply_styles(model: nn.Module, styles: Styles, mesh: DeviceMesh) -> None:
    """Give the model's parts to the devices, in place.

    Raises SpecError for a path that no module has or a style that there is not, CaptureError where a style does not
    apply to a module.
    """
    modules = dict(model.named_modules())
    for path, style in styles.items():
        found = _matching(path, modules)
        if not found:
            raise SpecError(f"the plan names {path!r}, and no module is called so{nearest(path, modules)}")
        for each in found:
            applied = _made(style)
            if applied is None:
                continue
            try:
                parallelize_module(modules[each], mesh, applied, src_data_rank=None)
            except (NotImplementedError, ValueError, RuntimeError) as error:
                raise CaptureError(f"{each} cannot be shared out {style}: {str(error).splitlines()[0]}") from error


def styles_inside(model: nn.Module, styles: Styles) -> Callable[[str], frozenset[tuple[str, object]]]:
    """What a plan says of the parts of a module, by its path: two blocks are alike only where that is the same."""
    modules = dict(model.named_modules())
    told = [(name, style) for path, style in styles.items() for name in _matching(path, modules)]

    def inside(block: str) -> frozenset[tuple[str, object]]:
        prefix = f"{block}."
        return frozenset(
            (name.removeprefix(prefix), style if isinstance(style, str) else id(style))
            for name, style in told
            if name == block or name.startswith(prefix)
        )

    return inside


def _made(style: ParallelStyle | str) -> ParallelStyle | None:
    if isinstance(style, ParallelStyle):
        return style
    make = STYLES.get(style)
    if make is None:
        raise SpecError(f"{style!r} is no style of a plan{nearest(style, STYLES)}; there are {', '.join(STYLES)}")
    return make()


def _matching(path: str, modules: Mapping[str, nn.Module]) -> list[str]:
    """Modules whose path the pattern gives; `*` stands for one part of it."""
    pattern = re.compile(r"[^.]+".join(re.escape(part) for part in path.split("*")))
    return [name for name in modules if name and pattern.fullmatch(name)]
