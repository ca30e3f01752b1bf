"""A copy of the user's model that holds no weights, so that capture can neither change nor allocate anything."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fxcost.capture.past import called_with_past, given_past


def meta_twin(model: nn.Module) -> nn.Module | None:
    """A deep copy in eval mode whose tensors are on the meta device; ties stay ties. None where copying fails.

    Single integers that code computes sizes from keep their values.
    """
    twin = twin_with(model, lambda tensor: tensor.detach().to("meta"), keeping=_is_number)
    return None if twin is None else twin.eval()


def twin_with(
    model: nn.Module,
    bare: Callable[[torch.Tensor], torch.Tensor],
    keeping: Callable[[str, torch.Tensor], bool] = lambda name, tensor: False,
) -> nn.Module | None:
    """A deep copy whose tensors are what `bare` makes of them; ties stay ties. None where copying fails.

    What `keeping` says of a name inside a module and the tensor there is copied as it is.
    """
    memo: dict[int, Any] = {}
    for name, tensor in _tensors(model):
        if id(tensor) not in memo and not keeping(name, tensor):
            memo[id(tensor)] = _bared(tensor, bare)
    kept = list(memo.values())
    try:
        twin: nn.Module = copy.deepcopy(model, memo)
    except Exception:  # a model may hold anything: locks, open files, generators
        return None
    del kept
    if isinstance(twin, torch.fx.GraphModule):
        _traced_by_node(twin)
    return _prepared(twin)


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers and plain attributes that are tensors, each by its name inside its module."""
    for module in model.modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items(), *vars(module).items()):
            if isinstance(tensor, torch.Tensor):
                yield name, tensor


def _is_number(name: str, tensor: torch.Tensor) -> bool:
    """True for one integer with a value, such as a stride; but for the one that only training counts in."""
    whole = tensor.dtype in (torch.int64, torch.int32) and tensor.dim() == 0
    return whole and tensor.device.type == "cpu" and name.rpartition(".")[2] != "num_batches_tracked"


def held_integers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that are one integer each, with values, by name."""
    return {name: buffer for name, buffer in model.named_buffers() if _is_number(name, buffer)}


ORIGIN = "fxcost_origin"
"""Annotation of a captured node: which node of the GraphModule it comes from."""


class _NodeByNode(torch.fx.Interpreter):
    """Runs a graph so that whatever a node does is annotated with the node's name."""

    def run_node(self, n: torch.fx.Node) -> Any:
        if n.op in {"placeholder", "output"}:
            return super().run_node(n)
        with torch.fx.traceback.annotate({ORIGIN: n.name}):
            return super().run_node(n)


def _traced_by_node(twin: torch.fx.GraphModule) -> None:
    """Let captures of a graph module say which of its nodes each operator comes from. Only for a twin: it is changed."""
    signature = inspect.signature(twin.forward)
    for node in twin.graph.nodes:
        node.meta = {}  # metadata of the user's would be taken for that of the capture

    def forward(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        with torch.fx.traceback.preserve_node_meta():
            return _NodeByNode(twin).run(*bound.args)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    twin.forward = forward


def _bared(tensor: torch.Tensor, bare: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    found = bare(tensor)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(found, requires_grad=tensor.requires_grad)
    return found


def _prepared(twin: nn.Module) -> nn.Module:
    for config in _all_configurations(twin):
        if getattr(config, "use_cache", None) is True:
            config.use_cache = False  # the caches of transformers are objects that a graph cannot return
    return twin


def _all_configurations(model: nn.Module) -> Iterator[Any]:
    """Those of a transformers model and of its parts: a decoder may have a copy of its own."""
    held = {id(config): config for config in (vars(module).get("config") for module in model.modules())}
    for config in held.values():
        yield from _configurations(config)


def _configurations(config: Any) -> Iterator[Any]:
    """A configuration of transformers and those of its parts."""
    if hasattr(config, "to_dict"):
        yield config
        for part in list(vars(config).values()):
            yield from _configurations(part)


def uses_cache(model: nn.Module) -> bool:
    """True for a transformers model that returns a key-value cache unless told otherwise."""
    return any(getattr(config, "use_cache", None) is True for config in _all_configurations(model))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """The user's own model in eval mode, with copies of its buffers in place; all is put back afterwards."""
    kept = [(module, module.training, module._buffers) for module in model.modules()]
    copies: dict[int, torch.Tensor] = {}
    try:
        for module, _, buffers in kept:
            module._buffers = {name: _copied(buffer, copies) for name, buffer in buffers.items()}
        yield model.eval()
    finally:
        for module, training, buffers in kept:
            module.training, module._buffers = training, buffers


def apart(model: nn.Module) -> nn.Module:
    """A copy that has the model's own tensors and nothing else in common with it; the model itself where copying fails.

    What a run leaves behind, such as a cache of encoded prompts, would make the next run cheaper.
    """
    try:
        return copy.deepcopy(model, {id(tensor): tensor for _, tensor in _tensors(model)})
    except Exception:  # a model may hold anything: locks, open files, generators
        return model


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient inside: torch's module tracker looks for the history that no_grad leaves out."""
    kept = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in kept:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in kept:
            parameter.requires_grad_(True)


def _copied(buffer: torch.Tensor | None, copies: dict[int, torch.Tensor]) -> torch.Tensor | None:
    """A clone of the buffer, the same one for the same buffer."""
    if buffer is None:
        return None
    return copies.setdefault(id(buffer), buffer.detach().clone())


class Positional(nn.Module):
    """The model called with positional inputs only: torch.export prints `**kwargs` signatures wrongly.

    Also puts a graph module below the root, where torch.export keeps what its nodes are annotated with.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        """Wrap `model`; the last `len(names)` inputs go in by these keywords."""
        super().__init__()
        self.wrapped = model
        self.names = names

    def forward(self, *inputs: Any) -> Any:
        """Call the model."""
        first = len(inputs) - len(self.names)
        named = dict(zip(self.names, inputs[first:], strict=True))
        past = given_past(self.wrapped, named)
        if past is not None:
            return called_with_past(self.wrapped, inputs[:first], named, past)
        return self.wrapped(*inputs[:first], **named)


@contextmanager
def forwarding(model: nn.Module, call: Callable[..., Any]) -> Iterator[None]:
    """Have `call(forward, *inputs)` stand for the model's own `forward`, which it gets first."""
    forward = model.forward

    @wraps(forward)
    def inside(*args: Any, **kwargs: Any) -> Any:
        return call(forward, *args, **kwargs)

    before = model.__dict__.get("forward")
    model.forward = inside
    try:
        yield
    finally:
        del model.forward
        if before is not None:
            model.forward = before


def opened(result: Any) -> Any:
    """What a model returns, with objects that a graph cannot return as dictionaries of the tensors in them."""
    known = torch.Tensor | torch.SymInt | torch.SymFloat | torch.SymBool | bool | int | float | complex | str | None
    leaves, structure = pytree.tree_flatten(result)
    if all(isinstance(leaf, known) for leaf in leaves):
        return result
    return pytree.tree_unflatten([leaf if isinstance(leaf, known) else _parts(leaf, 0) for leaf in leaves], structure)


def _parts(value: Any, depth: int) -> Any:
    """Tensors of an object by the names of its attributes; None where there are none within a few levels."""
    if isinstance(value, torch.Tensor):
        return value
    if depth > MOST_NESTED or isinstance(value, nn.Module):
        return None
    if isinstance(value, tuple | list):
        inside = {str(position): _parts(each, depth + 1) for position, each in enumerate(value)}
    elif isinstance(value, Mapping):
        inside = {str(name): _parts(each, depth + 1) for name, each in value.items()}
    else:
        inside = {name: _parts(each, depth + 1) for name, each in getattr(value, "__dict__", {}).items()}
    return {name: each for name, each in inside.items() if each is not None} or None


MOST_NESTED = 5
"""How deep objects are opened: caches hold caches, which hold layers, which hold tensors."""
