"""How long memory lives in a training step as eager torch runs it: one run on fake tensors, watched from below.

A graph frees a value after its last reader. Eager torch does not: frames of Python hold what their names stand for, the
autograd engine holds what a node saved, and the gradients that came in, until the whole node has run, and gradients that
meet are added where the first one is. None of this depends on sizes, so one run tells it for all of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from fxcost.capture.eager import Request, quiet_inference
from fxcost.capture.inputs import tensors
from fxcost.capture.training import WithLoss
from fxcost.capture.twin import Positional

_ACCUMULATES = "AccumulateGrad"
"""The node that puts a parameter's gradient in its place."""


@dataclass(frozen=True)
class Call:
    """One operator: its name without namespace and overload, bytes and block of each tensor that it returned.

    A block is the number of a storage, in order of appearance; None is one of the model's own. `fresh` ones begin here.
    """

    name: str
    sizes: tuple[int, ...]
    blocks: tuple[int | None, ...]
    fresh: tuple[bool, ...]


@dataclass(frozen=True)
class EagerStep:
    """Forward and backward pass at `point`: the calls, and for each block the last call during which it lives.

    inputs    blocks of the caller's tensors, in call order
    grads     for each trained parameter's name, the block of its gradient
    peak      bytes alive at once at most, the model's own tensors not counted
    """

    point: Mapping[str, int]
    calls: tuple[Call, ...] = field(repr=False)
    last: Mapping[int, int] = field(repr=False)
    inputs: tuple[int, ...]
    grads: Mapping[str, int]
    peak: int


def eager_step(request: Request, point: Mapping[str, int]) -> EagerStep:
    """Run a step of `request.module`, a WithLoss on fake tensors, at `point`. Errors of the model come out."""
    module = request.module
    assert isinstance(module, WithLoss)
    own = dict(module.named_parameters(remove_duplicate=False))
    with quiet_inference(), request.world():
        watch = StepWatch((*own.values(), *module.buffers()), references_of_one())
        given = [tensors(request.specs, point, request.device)]
        inputs = tuple(watch.note(leaf) for leaf in pytree.tree_leaves(given) if isinstance(leaf, torch.Tensor))
        try:
            with watch, _DropoutOfBytes():
                loss = module.loss(Positional.forward(module, *given.pop()))
                watch.backward(loss)
            found = {name: p.grad for name, p in own.items() if p.grad is not None}
            grads = {name: watch.block(grad) for name, grad in found.items()}
            found.clear()
        finally:
            for parameter in own.values():
                parameter.grad = None
    kept = {name: block for name, block in grads.items() if block is not None}
    blocks = tuple(block for block in inputs if block is not None)
    return EagerStep(dict(point), tuple(watch.calls), dict(watch.last), blocks, kept, watch.peak)


class StepWatch(TorchDispatchMode):
    """Sees every operator of a step, and adds gradients in place where the engine would without a mode.

    The engine adds in place where nothing else refers to the first gradient, but never while a mode looks on.
    """

    def __init__(self, own: Iterable[torch.Tensor] = (), alone: tuple[int, int] | None = None) -> None:
        """`own` are the model's tensors, which are not counted; `alone` as found by `references_of_one`."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.last: dict[int, int] = {}
        self.peak = 0
        self._own = {tensor.untyped_storage()._cdata for tensor in own}
        self._blocks: dict[int, int] = {}  # of living storages
        self._alive: dict[int, int] = {}  # bytes of living blocks
        self._born: list[int] = []
        self._running = False
        self._over: Any = None  # the node whose own operators have all run
        self._alone = alone

    def block(self, tensor: torch.Tensor) -> int | None:
        """The block that a living tensor is in."""
        return self._blocks.get(tensor.untyped_storage()._cdata)

    def note(self, tensor: torch.Tensor) -> int | None:
        """The same, which begins here where it is not known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._own or key in self._blocks:
            return self._blocks.get(key)
        block = self._blocks[key] = len(self._born)
        self._born.append(len(self.calls))
        self._alive[block] = storage.nbytes()
        self.peak = max(self.peak, sum(self._alive.values()))
        weakref.finalize(storage, self._freed, key)
        return block

    def _freed(self, key: int) -> None:
        block = self._blocks.pop(key)
        del self._alive[block]
        self.last[block] = len(self.calls) - (0 if self._running else 1)

    def backward(self, loss: torch.Tensor) -> None:
        """The backward pass; hooks tell where a node's own operators end and the adding of gradients begins."""
        waiting, seen = [loss.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
            if _ACCUMULATES not in node.name():
                node.register_hook(partial(self._ends, node))
        del waiting, seen, node
        loss.backward()
        self._over = None

    def _ends(self, node: Any, *_: Any) -> None:
        self._over = node

    def _adds_gradients(self, func: Any) -> bool:
        """True between a node's own operators and the next node."""
        adds = func is torch.ops.aten.add.Tensor and self._over is not None
        return adds and torch._C._current_autograd_node() is self._over

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and write down what it returned."""
        if func.namespace == "prim":
            return func(*args, **(kwargs or {}))
        if self._adds_gradients(func) and _references(args[0]) == self._alone and _dense(args[0]):
            func = torch.ops.aten.add_.Tensor
        self._running = True
        try:
            result = func(*args, **(kwargs or {}))
        finally:
            self._running = False
        found = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        blocks = tuple(self.note(leaf) for leaf in found)
        sizes = tuple(leaf.numel() * leaf.element_size() for leaf in found)
        fresh = tuple(block is not None and self._born[block] == len(self.calls) for block in blocks)
        self.calls.append(Call(func.overloadpacket.__name__, sizes, blocks, fresh))
        return result


def _references(tensor: torch.Tensor) -> tuple[int, int]:
    """How often a tensor and its storage are referred to."""
    referred: Any = tensor
    return referred._use_count(), torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _dense(tensor: torch.Tensor) -> bool:
    return not tensor._is_view() and bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))


def references_of_one() -> tuple[int, int]:
    """What `_references` gives inside a mode where nothing but the engine holds a gradient that another one is added to."""
    look = _Look()
    with torch.enable_grad():
        given = torch.zeros(2, requires_grad=True) * 2
        loss = (given.tanh() + given.sigmoid()).sum()
        with look:
            look.backward(loss)
    return look.found[0]


class _Look(StepWatch):
    """Writes down the references of gradients that others are added to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._adds_gradients(func):
            self.found.append(_references(args[0]))
        return func(*args, **(kwargs or {}))


class _DropoutOfBytes(TorchFunctionMode):
    """Dropout with a mask of bytes, as on a GPU and as a trace has it; a CPU keeps its noise as floats."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace the call of a dropout that drops something."""
        named = dict(zip(("input", "p", "training"), args, strict=False)) | (kwargs or {})
        if (
            func in (F.dropout, torch.dropout)
            and named.get("p", 0.5) > 0
            and named.get("training", named.get("train", True))
        ):
            return torch.native_dropout(named["input"], named.get("p", 0.5), True)[0]
        return func(*args, **(kwargs or {}))
