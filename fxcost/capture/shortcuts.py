"""Shorter ways to what torch.export finds out anyway; the program, its guards and its places in the code stay the same.

Most of a trace's time goes into shapes: to learn that of one layer norm, torch takes it apart and runs every part on fake
tensors with symbolic sizes. A network repeats its layers, so that is done once for each operator and shapes of operands.
"""

from __future__ import annotations

import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from operator import itemgetter
from types import CodeType
from typing import Any, ClassVar

import torch
from torch._guards import CompileContext
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import increment_version
from torch.fx import proxy
from torch.fx.experimental import proxy_tensor
from torch.fx.passes.shape_prop import _extract_tensor_metadata
from torch.utils import _pytree as pytree

KNOWN = "2.13."
"""The versions of torch whose insides are known here."""


@contextmanager
def shortcuts() -> Iterator[None]:
    """All of them, around one inference export.

    What torch notes as `tensor_meta` lacks the memory format, for which all strides are compared three times; `val` has
    the strides. Fake tensors need no cache of their own below that of whole operators. These are parts of torch that may
    look otherwise in another version: there it is exported as ever.
    """
    if not torch.__version__.startswith(KNOWN):
        yield
        return
    outcomes, compiled = Outcomes(), Compiled(torch.fx.GraphModule.recompile)
    with ExitStack() as stack:
        stack.enter_context(torch._dynamo.config.patch(fake_tensor_cache_enabled=False))
        for holder, name, shorter in (
            (proxy_tensor, "_extract_tensor_metadata", partial(_extract_tensor_metadata, include_contiguity=False)),
            (proxy_tensor, "proxy_call", _announced(proxy_tensor.proxy_call, outcomes)),
            (torch._ops.OpOverload, "__call__", _looked_up(torch._ops.OpOverload.__call__, outcomes)),
            (proxy, "CapturedTraceback", Frames),
            (torch.fx.GraphModule, "recompile", compiled.note),
        ):
            stack.callback(setattr, holder, name, getattr(holder, name))
            setattr(holder, name, shorter)
        yield
    compiled.finish()


# -- outcomes of operators -----------------------------------------------------------------------------------------
class Outcomes:
    """What operators gave so far in one trace, by operator and by what there is to know of the operands.

    The key holds every size, stride and number that a fake kernel can look at, as expressions; the same question has the
    same answer and asks the same guards, which are on record by then. A result is a fresh tensor, an operand itself (also
    one that is written to) or a view of one; what is none of these, and sizes that only the data decides, are found anew.
    """

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}
        self.announced: Any = None
        """The operator that is about to be run for its result, after its node was made."""

    def of(self, call: Callable[..., Any], operator: Any, args: Any, kwargs: Any) -> Any:
        """Run the operator, or make tensors like those that it gave before."""
        leaves, structure = pytree.tree_flatten((args, kwargs))
        try:
            key = (operator, structure, _surroundings(), *map(_described, leaves))
            found = self.known.get(key)
        except _Unclear:
            return call(operator, *args, **kwargs)
        writes = operator._schema.is_mutable
        if found is None and _is_like_first(operator, args, leaves):
            found = self.known[key] = [itemgetter(0) if writes else _fresh(leaves[0], leaves)], _ONE
        if found is not None:
            makers, shape = found
            parts = [make(leaves) for make in makers]
            if writes:
                increment_version(parts)
            return pytree.tree_unflatten(parts, shape)
        result = call(operator, *args, **kwargs)
        parts, shape = pytree.tree_flatten(result)
        operands = {id(leaf) for leaf in leaves}
        in_place = parts and all(id(part) in operands for part in parts)
        with suppress(_Unclear):
            if not writes or (in_place and key[3:] == tuple(map(_described, leaves))):
                self.known[key] = _makers(parts, leaves), shape
        return result


class _Unclear(Exception):
    """A tensor about which not everything can be said."""


def _announced(call: Callable[..., Any], outcomes: Outcomes) -> Callable[..., Any]:
    """Torch's own maker of a node for one operator, which runs the operator right afterwards."""

    def announcing(mode: Any, operator: Any, pre_dispatch: bool, args: Any, kwargs: Any) -> Any:
        before, outcomes.announced = outcomes.announced, operator if _is_plain(operator) else None
        try:
            return call(mode, operator, pre_dispatch, args, kwargs)
        finally:
            outcomes.announced = before

    return announcing


def _looked_up(call: Callable[..., Any], outcomes: Outcomes) -> Callable[..., Any]:
    """The call of any operator: the one announced is looked up, all below it are run."""

    def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if outcomes.announced is not self:
            return call(self, *args, **kwargs)
        outcomes.announced = None
        return outcomes.of(call, self, args, kwargs)

    return __call__


_SPECIAL = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view}


def _is_plain(operator: Any) -> bool:
    """True for an operator of torch's own that gives shapes that no data decide, and changes none of an operand."""
    return operator.namespace == "aten" and not _SPECIAL & set(operator.tags)


def _surroundings() -> tuple[Any, ...]:
    """Settings that a kernel looks at besides its operands; raises _Unclear.

    Among them is the mode that makes new tensors fake: bodies of loops and branches are traced under one of their own, or
    none, and names of sizes mean something else there.
    """
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    if mode is None:
        raise _Unclear
    attention = torch.backends.cuda
    return (
        id(mode),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        *((torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) for device in ("cpu", "cuda")),
        attention.flash_sdp_enabled(),
        attention.mem_efficient_sdp_enabled(),
        attention.math_sdp_enabled(),
    )


def _described(leaf: Any) -> Any:
    """All that a fake kernel can see of an operand; raises _Unclear."""
    if isinstance(leaf, torch.Tensor):
        if type(leaf) is not FakeTensor or leaf.layout is not torch.strided or leaf.constant is not None:
            raise _Unclear
        kind = leaf.dtype, leaf.fake_device, leaf.ndim, leaf.requires_grad, leaf.is_conj(), leaf.is_neg()
        return kind, tuple(map(_expression, _sizes_of(leaf)))
    if isinstance(leaf, torch.SymInt | torch.SymFloat | torch.SymBool):
        return type(leaf), _expression(leaf)
    if leaf is None or isinstance(leaf, bool | int | float | complex | str | torch.dtype | torch.device):
        return type(leaf), leaf
    if isinstance(leaf, torch.layout | torch.memory_format):
        return leaf
    raise _Unclear


def _expression(size: Any) -> Any:
    if not isinstance(size, torch.SymInt | torch.SymFloat | torch.SymBool):
        return size
    expression = size.node.expr
    if any(not symbol.name.startswith("s") for symbol in expression.free_symbols):
        raise _Unclear  # only the data decides it
    return expression


_POINTWISE = frozenset(
    (
        *("abs", "add", "clamp", "clamp_max", "clamp_min", "cos", "div", "elu", "erf", "exp", "gelu", "hardsigmoid"),
        *(
            "hardswish",
            "hardtanh",
            "leaky_relu",
            "log",
            "mish",
            "mul",
            "neg",
            "relu",
            "relu6",
            "rsqrt",
            "selu",
            "sigmoid",
        ),
        *("silu", "sin", "softplus", "sqrt", "square", "sub", "tanh"),
    )
)
"""Operators whose result has the sizes, strides and type of their one floating operand, numbers being the others."""

_ONE = pytree.tree_structure(0)


def _is_like_first(operator: Any, args: Any, leaves: list[Any]) -> bool:
    """True where the result is certain to be like the first operand: torch takes some of these into a dozen parts."""
    first = leaves[0] if leaves else None
    if not isinstance(first, FakeTensor) or not first.dtype.is_floating_point or not _is_contiguous(first):
        return False
    if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return False
    name = operator._schema.name.removeprefix("aten::")
    if name == "batch_norm":
        _, weight, bias, mean, variance, training, *_ = args
        channels = tuple(first.shape[1:2])
        states = [mean, variance, *(each for each in (weight, bias) if each is not None)]
        numbers = all(isinstance(size, int) for size in channels)
        return training is False and numbers and all(each is not None and each.shape == channels for each in states)
    others = all(leaf is None or isinstance(leaf, bool | int | float | str) for leaf in leaves[1:])
    return others and name.removesuffix("_") in _POINTWISE and len(operator._schema.returns) == 1


def _is_contiguous(tensor: torch.Tensor) -> bool:
    """True where the strides are written as those of a contiguous tensor."""
    expected: Any = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if _expression(stride) != expected:
            return False
        expected = expected * _expression(size)
    return isinstance(tensor.storage_offset(), int) and tensor.storage_offset() == 0


Maker = Callable[[list[Any]], torch.Tensor]
"""Makes a result of the operands."""


def _makers(results: list[Any], operands: list[Any]) -> list[Maker]:
    """How to make results like these; raises _Unclear, also where fresh ones share memory with each other."""
    fresh = {_storage(each) for each in results if isinstance(each, torch.Tensor)}
    fresh -= {_storage(each) for each in operands if isinstance(each, torch.Tensor)}
    if sum(isinstance(each, torch.Tensor) and _storage(each) in fresh for each in results) > len(fresh):
        raise _Unclear
    return [_maker(each, operands) for each in results]


def _maker(result: Any, operands: list[Any]) -> Maker:
    """How to make a tensor like `result` of operands like these; raises _Unclear."""
    _described(result)
    if not isinstance(result, torch.Tensor) or result.requires_grad:
        raise _Unclear
    for position, operand in enumerate(operands):
        if operand is result:
            return itemgetter(position)
        if isinstance(operand, torch.Tensor) and _storage(operand) == _storage(result):
            return _view(result, operands, position)
    if not isinstance(result.storage_offset(), int) or result.storage_offset() != 0:
        raise _Unclear
    return _fresh(result, operands)


def _fresh(result: torch.Tensor, operands: list[Any]) -> Maker:
    """A tensor of its own like `result`."""
    rank, sizes = result.ndim, _sizes_like(_sizes_of(result), operands)
    make = partial(torch.empty_strided, dtype=result.dtype, device=result.device)

    def fresh(given: list[Any]) -> torch.Tensor:
        found = sizes(given)
        return make(found[:rank], found[rank:-1])

    return fresh


def _view(result: torch.Tensor, operands: list[Any], position: int) -> Maker:
    """A view of one operand, like `result` is."""
    if operands[position].dtype is not result.dtype:
        raise _Unclear
    rank, sizes = result.ndim, _sizes_like(_sizes_of(result), operands)

    def view(given: list[Any]) -> torch.Tensor:
        found = sizes(given)
        return torch.as_strided(given[position], found[:rank], found[rank:-1], found[-1])

    return view


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _sizes_of(leaf: Any) -> tuple[Any, ...]:
    if isinstance(leaf, torch.Tensor):
        return (*leaf.shape, *leaf.stride(), leaf.storage_offset())
    return (leaf,)


def _sizes_like(sizes: tuple[Any, ...], operands: list[Any]) -> Callable[[list[Any]], list[Any]]:
    """Sizes as objects: an operand's own where it was one, else those of the first result.

    A trace tells by the object how a size is computed from those of the inputs, and equal ones are computed once then.
    """
    read = [
        (size.node, position, place)
        for position, operand in enumerate(operands)
        for place, size in enumerate(_sizes_of(operand))
        if isinstance(size, torch.SymInt)
    ]
    first = {id(node): (position, place) for node, position, place in reversed(read)}

    def like(given: list[Any]) -> list[Any]:
        found = []
        for size in sizes:
            source = first.get(id(size.node)) if isinstance(size, torch.SymInt) else None
            found.append(size if source is None else _sizes_of(given[source[0]])[source[1]])
        return found

    return like


# -- places in the code ----------------------------------------------------------------------------------------------
class Frames:
    """What torch keeps of the stack for every node, with frames described once each instead of once for each node."""

    known: ClassVar[dict[tuple[CodeType, int], traceback.FrameSummary]] = {}

    def __init__(self, frames: list[traceback.FrameSummary]) -> None:
        self.frames = frames

    @classmethod
    def extract(cls) -> Frames:
        """The frames of the caller and of those who called it."""
        found = []
        frame = sys._getframe(1)
        while frame is not None:
            place = frame.f_code, frame.f_lineno
            summary = cls.known.get(place)
            if summary is None:
                summary = cls.known[place] = traceback.FrameSummary(
                    frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
                )
            found.append(summary)
            frame = frame.f_back  # type: ignore[assignment]
        return cls(found[::-1])

    def summary(self) -> traceback.StackSummary:
        """As the traceback module has it, outermost first."""
        return traceback.StackSummary(self.frames)


# -- code of graphs ------------------------------------------------------------------------------------------------
class Compiled:
    """Graph modules whose Python code is written once, in the end: every pass of an export asks for it anew."""

    def __init__(self, recompile: Callable[[Any], Any]) -> None:
        self.recompile = recompile
        self.modules: dict[int, weakref.ref[Any]] = {}

    @property
    def note(self) -> Callable[[Any], None]:
        """Stands for `GraphModule.recompile`."""

        def recompile(module: Any) -> Any:
            if CompileContext.try_get() is not None:  # dynamo reads the code
                return self.recompile(module)
            self.modules[id(module)] = weakref.ref(module)
            type(module).forward = forward
            return None

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            """Write the code when it is run after all: bodies of loops and branches are."""
            self.recompile(module)
            return module.forward(*args, **kwargs)

        return recompile

    def finish(self) -> None:
        """Write the code of the modules that are still there."""
        for reference in self.modules.values():
            module = reference()
            if module is not None:
                self.recompile(module)
