"""Backends and passes of torch.compile: graphs go to Inductor or run as traced, after a change that is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._inductor.custom_graph_pass import CustomGraphPass

from fxcost.errors import SpecError, nearest

INNER = ("inductor", "aot_eager")
"""What runs the graph: Inductor's kernels, or torch's own, op by op."""

Change = Callable[[torch.fx.GraphModule, str], None]
"""Changes a graph in place; told what it is: forward, backward, inference or post_grad."""


class PostGradPass(CustomGraphPass):
    """For `torch._inductor.config.post_grad_custom_post_pass`: the last look at a graph before Inductor takes it over.

    `identity` stands for what the pass does in the keys of Inductor's caches: equal identities promise equal changes.
    """

    def __init__(self, change: Change, identity: str) -> None:
        """A pass that makes `change`."""
        self.change = change
        self.identity = identity

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Change the graph in place."""
        assert graph.owning_module is not None, "Inductor's graphs belong to a module"
        self.change(graph.owning_module, "post_grad")

    def uuid(self) -> str:
        """The identity: the same in every process and on every machine."""
        return self.identity


def backend_of(inner: str, change: Change, identity: str) -> Callable[..., Any]:
    """A backend for `torch.compile`; raises SpecError for an unknown `inner`."""
    if inner not in INNER:
        raise SpecError(f"inner={inner!r} is not one of {', '.join(INNER)}{nearest(inner, INNER)}")
    return _inductor(change, identity) if inner == "inductor" else _aot_eager(change)


def _inductor(change: Change, identity: str) -> Callable[..., Any]:
    def fxcost_inductor(module: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Any:
        from torch._inductor import config
        from torch._inductor.compile_fx import compile_fx

        given = config.post_grad_custom_post_pass
        before = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        ours = PostGradPass(change, identity)
        passes: Any = [*before, ours] if before else ours
        patches = {**(options.get("options") or {}), "post_grad_custom_post_pass": passes}
        return compile_fx(module, list(inputs), config_patches=patches)

    return fxcost_inductor


def _aot_eager(change: Change) -> Callable[..., Any]:
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    def compiler(kind: str) -> Callable[..., Any]:
        def compile(module: torch.fx.GraphModule, inputs: Sequence[Any]) -> Any:
            change(module, kind)
            module.recompile()
            return make_boxed_func(module.forward)

        return compile

    made = aot_autograd(
        fw_compiler=compiler("forward"), bw_compiler=compiler("backward"), inference_compiler=compiler("inference")
    )

    def fxcost_aot_eager(module: torch.fx.GraphModule, inputs: Sequence[Any], **options: Any) -> Any:
        return made(module, list(inputs))

    return fxcost_aot_eager
