"""Running the user's model as it is: without values on meta tensors, or on fake ones where those will not do.

Models ask torch whether they are being traced, and go another way then. Mostly that is the way that can be traced; some
have it wrong (a mask is left out that is read further down), and are run, and traced, without being told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from fxcost.capture.decided import decisions
from fxcost.capture.inputs import tensors
from fxcost.capture.quiet import muffled
from fxcost.capture.recurrence import StepsAtOnce
from fxcost.capture.twin import apart, forwarding, frozen, held_integers
from fxcost.capture.values import followed, has_values
from fxcost.ir.symbols import SymbolInfo


@dataclass(frozen=True)
class Request:
    """What to capture: the module (on `device`), input specs in call order, the symbols."""

    module: nn.Module
    specs: tuple[Any, ...]
    symbols: Mapping[str, SymbolInfo]
    device: str
    prefix: str = ""
    fakes: FakeTensorMode | None = None
    """Training: the mode that the module's tensors belong to; gradients are on then."""

    @cached_property
    def follows_values(self) -> bool:
        """Whether there are values to know where tensors have none."""
        return self.device == "meta" and (has_values(self.specs) or bool(held_integers(self.module)))

    def knowing(self, given: Any) -> AbstractContextManager[None]:
        """Where the values of integer inputs are known although they run on `given` tensors that have none."""
        return followed(self.specs, given) if self.follows_values else nullcontext()

    @contextmanager
    def world(self) -> Iterator[None]:
        """Where inputs are made and the module runs."""
        with ExitStack() as stack:
            if self.fakes is not None:
                stack.enter_context(torch.enable_grad())
                stack.enter_context(self.fakes)
            yield


def run_eager(
    request: Request, point: Mapping[str, int], watching: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Any:
    """Run the model once at `point` inside a fresh `watching()` and return what that gives; errors come out.

    A model that asks a meta tensor for a value runs on fake tensors instead: libraries that know them for a trace skip
    the question. With values, it runs as if for the first time.
    """
    module = request.module if request.device == "meta" or request.fakes is not None else apart(request.module)
    held = frozen(request.module) if request.fakes is None else nullcontext()

    def run() -> Any:
        with watching() as watched:
            given = tensors(request.specs, point, request.device)
            with request.knowing(given):
                module(*given)
        return watched

    with quiet_inference(), held, request.world(), StepsAtOnce():
        try:
            return run()
        except Exception as error:
            if request.device != "meta" or not any(phrase in str(error) for phrase in _METAS_OWN):
                raise
            return _without_values(run)


_METAS_OWN = ("meta tensor", "register_meta function", "Expected inputs of BF16 type")
"""Complaints of meta tensors, not of the model: no value to read, an operator stricter than on any real device."""

OF_DATA = (DataDependentOutputException, DynamicOutputShapeException, GuardOnDataDependentSymNode)
"""Where a run without values ends that needs one."""

OF_CODE = (AttributeError, TypeError, NameError, ValueError, LookupError, AssertionError)
"""How a way through a model's code ends that does not fit the others: nobody has gone it."""


def refusal(request: Request, point: Mapping[str, int]) -> str | None:
    """Why the model does not run at `point`: its own error in a line; None where it runs.

    What only the data decide is left open, as in a trace.
    """

    def run() -> None:
        given = tensors(request.specs, point, request.device)
        with decisions(), request.knowing(given):
            request.module(*given)

    try:
        try:
            run_eager(request, point)
        except OF_DATA as error:
            if request.device != "meta" or request.fakes is not None:
                raise
            with quiet_inference():
                try:
                    _without_values(run, ShapeEnv)
                except OF_DATA:
                    raise error from None
    except Exception as error:  # the model is the user's: any error means that it refuses this size
        return first_line(error)
    return None


def _without_values(run: Callable[[], Any], shapes: Callable[[], ShapeEnv | None] = lambda: None) -> Any:
    """Run as if traced; where the model's code for that is at fault, without telling it."""
    try:
        with as_traced(shapes()):
            return run()
    except OF_CODE:
        with as_traced(shapes(), told=False):
            return run()


@contextmanager
def as_traced(shapes: ShapeEnv | None = None, *, told: bool = True) -> Iterator[None]:
    """Fake tensors, and torch saying that it exports: what a model's code asks to leave out checks of values.

    With an environment for `shapes`, sizes that only the data decide are symbols of it.
    """
    with announced(told), FakeTensorMode(allow_non_fake_inputs=True, shape_env=shapes):
        yield


@contextmanager
def announced(told: bool) -> Iterator[None]:
    """Have torch say inside that it exports, or that it does not."""
    kept = torch.compiler._is_compiling_flag, torch.compiler._is_exporting_flag
    torch.compiler._is_compiling_flag = torch.compiler._is_exporting_flag = told
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag, torch.compiler._is_exporting_flag = kept


def untold(model: nn.Module) -> AbstractContextManager[None]:
    """Trace the model's `forward` without telling it."""

    def call(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with announced(False):
            return forward(*args, **kwargs)

    return forwarding(model, call)


@contextmanager
def quiet_inference() -> Iterator[None]:
    """Inference as it is analysed: no gradients, no fused fast path that hides operators, no noise, no chance."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(muffled())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.default_generator.manual_seed(0)  # which way a branch on data goes must not differ between runs
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        yield


def first_line(error: BaseException) -> str:
    """One short line of an error's message, with its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:240]
