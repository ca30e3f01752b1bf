"""Capture with symbolic sizes: the ladder of attempts, best first.

1. Probe the eager model on meta tensors: which sizes does it accept, which symbols may vary?
2. torch.export with automatic dynamic dimensions, guard-free tracing and an example size off the grid.
3. The same at other example sizes; then sizes as multiples of 32; then without the spatial symbols; then static.
4. Recording of one run (see `record`), for models that torch.export cannot take at all. torch.export.draft_export would
   take some of them, but which branch it takes on data differs from run to run, and from the example.

A dimension that stays a number on every rung is *pinned*, and the reason is kept: the eager model's own error where it
refuses other sizes, else what the trace said.
"""

from __future__ import annotations

import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException, UserError
from torch.utils import _pytree as pytree

from fxcost.capture.decided import decisions
from fxcost.capture.eager import OF_CODE, OF_DATA, Request, first_line, quiet_inference, refusal, untold
from fxcost.capture.inputs import classify, dynamic_dims, example_points, tensors, with_hints
from fxcost.capture.kernels import kernels_unasked
from fxcost.capture.numbers import INTEGERS, LENGTHS, spelled
from fxcost.capture.recurrence import steps_skipped
from fxcost.capture.shortcuts import shortcuts
from fxcost.capture.sizes import sizes_in_tensors
from fxcost.capture.values import values_followed
from fxcost.ir.expr import Expr, const, floordiv, mod, substitute
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare, Predicate, replace_symbols
from fxcost.ir.specs import TensorSpec
from fxcost.ir.symbols import SymbolInfo

RUNG_SECONDS = 90.0
"""CPU time of one rung."""

CPU_SECONDS = 180.0
"""CPU time after which only the last rung is left."""

PROBES = 40


@dataclass(frozen=True)
class Captured:
    """An exported program with the meaning of its sizes.

    `bindings` gives the expression for each of torch's own symbols; `fixed` the pinned dimensions with their reasons;
    `domain` what the placeholders alone already demand (two dimensions equal, a multiple). `decided` are relations in
    torch's symbols that only the data settle, as the trace took them.
    """

    program: Any
    symbols: tuple[SymbolInfo, ...]
    bindings: Mapping[str, Expr]
    fixed: Mapping[str, str]
    domain: tuple[Predicate, ...]
    rung: str
    prefix: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    decided: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Probed:
    """A point that the eager model accepts (None: it refuses all on this device) and pinned symbols with reasons."""

    point: dict[str, int] | None
    pinned: Mapping[str, str]
    seconds: float
    error: str = ""


class OutOfBudget(BaseException):
    """A rung took longer than its budget. Not an Exception, so that nothing inside torch swallows it."""


def probe(request: Request) -> Probed:
    """Find a size the model accepts and the symbols that may vary, by running it on meta tensors."""
    start = time.process_time()
    error = ""
    base: dict[str, int] | None = None
    for tried, point in enumerate(example_points(request.specs, request.symbols, request.module)):
        failure = refusal(request, point)
        if failure is None:
            base = point
            break
        error = error or failure
        if tried >= PROBES or failure.startswith(tuple(each.__name__ for each in OF_DATA)):  # no other size helps
            break
    if base is None:
        return Probed(None, {}, time.process_time() - start, error)
    # One run with every size changed settles most models; only where it fails are symbols tried one by one.
    pinned: dict[str, str] = {}
    if request.symbols and refusal(request, _moved(request, base, set(request.symbols), 0)) is not None:
        for name in request.symbols:
            failures = [refusal(request, _moved(request, base, {name}, step)) for step in range(4)]
            if None not in failures:
                pinned[name] = f"the model itself refuses other sizes than {name}={base[name]}: {failures[0]}"
        if len(pinned) == len(request.symbols) > 1:
            pinned = _pinned_together(request, base, pinned)
    return Probed(base, pinned, time.process_time() - start)


def _pinned_together(request: Request, base: dict[str, int], pinned: dict[str, str]) -> dict[str, str]:
    """Where each symbol alone is refused, all spatial ones may still move together (square inputs)."""
    roles = classify(request.specs)
    spatial = {n for n in request.symbols if roles.get(n) == "spatial"}
    for step in range(4) if len(spatial) > 1 else ():
        if refusal(request, _moved(request, base, spatial, step, same=True)) is None:
            return {n: why for n, why in pinned.items() if n not in spatial}
    return pinned


def _moved(
    request: Request, base: Mapping[str, int], names: set[str], step: int, *, same: bool = False
) -> dict[str, int]:
    """Other sizes for `names`: first a multiple of 32 further, then twice, then odd, then smaller."""
    point = dict(base)
    roles = classify(request.specs)
    for name in names:
        info, size = request.symbols[name], base[name]
        if roles.get(name) == "spatial":
            size = max(base[n] for n in names) if same else size
            wanted = [size + 64, size * 2, size + 33, max(size - 32, 1)][step]
        else:
            wanted = [size + 2, size * 2, max(size - 1, 1), size + 7][step]
        low, high = info.min, info.max if info.max is not None else wanted
        point[name] = min(max(wanted, low), max(high, low))
        if point[name] == size and size > low:
            point[name] = size - 1
    return point


@dataclass(frozen=True)
class Rung:
    """One attempt: which symbols are fixed and why, the sizes to trace at, what spatial sizes are multiples of.

    `open_tensors`: sizes that the model's code puts into tensors, or makes an `int` of, stay symbols there. What is read
    back from such a tensor is data then, which some models cannot be traced with. `told`: the model's code may ask torch
    whether it is traced, and is told so.
    """

    label: str
    fixed: Mapping[str, str]
    point: Mapping[str, int]
    multiple: int = 1
    open_tensors: bool = True
    told: bool = True


def climb(
    request: Request, probed: Probed, finish: Callable[[Captured], Graph]
) -> tuple[Captured | None, Graph | None, str]:
    """Walk the ladder; the best capture with its graph, or None and why the last rung failed.

    `finish` lowers a capture; a rung is only taken where that succeeds. Once the rungs have used up CPU_SECONDS, only
    the last one is left.
    """
    best: tuple[Captured | None, Graph | None] = (None, None)
    failure = probed.error
    began = time.process_time()
    for rung in _rungs(request, probed):
        for attempt in (rung, replace(rung, told=False)):
            start = time.process_time()
            if start - began > CPU_SECONDS and request.symbols.keys() - rung.fixed.keys():
                break
            try:
                captured, graph = _taken(request, attempt, finish)
            except (Exception, OutOfBudget) as error:  # torch.export fails in many types; each sends us one rung down
                failure = "out of its time budget" if isinstance(error, OutOfBudget) else first_line(error)
                if isinstance(error, OF_CODE) or type(error) is RuntimeError:
                    continue
                break
            captured = replace(captured, seconds={**captured.seconds, "probe": probed.seconds})
            if best[0] is None or len(captured.fixed) < len(best[0].fixed):
                best = captured, graph
            if best[0] is not None and len(best[0].fixed) <= len(probed.pinned):
                return *best, ""
            break
    return *best, failure


def _taken(request: Request, rung: Rung, finish: Callable[[Captured], Graph]) -> tuple[Captured, Graph]:
    """One rung: the capture and its graph; errors of many types come out."""
    start = time.process_time()
    with budget(RUNG_SECONDS):
        with decisions() as decided:
            program = _export(request, frozenset(request.symbols) - rung.fixed.keys(), rung)
        captured = replace(_bound(request, program, rung), decided=tuple(decided))
        traced = time.process_time() - start
        graph = finish(captured)
    return replace(captured, seconds={"export": traced, "lower": time.process_time() - start - traced}), graph


def _rungs(request: Request, probed: Probed) -> Iterator[Rung]:
    points = [probed.point] if probed.point is not None else []
    for point in example_points(request.specs, request.symbols, request.module):
        if point not in points and len(points) < (3 if probed.point is not None else 1):
            points.append(point)
    points = points or [{}]
    base, pinned = points[0], dict(probed.pinned)
    moving = set(request.symbols) - pinned.keys()
    if moving:
        yield Rung("symbolic", pinned, base)
        yield Rung("symbolic", pinned, base, open_tensors=False)
        for point in points[1:]:
            if probed.point is None or refusal(request, point) is None:
                yield Rung("symbolic at another example size", pinned, point)
    why = "no symbolic capture succeeded with this dimension free"
    if probed.point is not None and moving:
        roles = classify(request.specs)
        spatial = [n for n in request.symbols if roles.get(n) == "spatial" and n not in pinned]
        if spatial:
            if all(base[n] % 32 == 0 for n in spatial):
                yield Rung("symbolic in multiples of 32", pinned, base, 32)
            yield Rung("symbolic without the spatial sizes", pinned | dict.fromkeys(spatial, why), base)
        batch = [n for n in request.symbols if roles.get(n) == "batch" and n not in pinned]
        for kept in batch[:1]:
            others = {n: pinned.get(n, why) for n in request.symbols}
            del others[kept]
            if others.keys() != pinned.keys():
                yield Rung("symbolic in the batch only", others, base)
    everything = {n: pinned.get(n, "no symbolic capture succeeded") for n in request.symbols}
    yield Rung("static", everything, base)


def guard_free() -> AbstractContextManager[Any]:
    """Tracing that keeps sizes of one symbolic and skips "is this feature map 1 x 1" guards."""
    from torch.fx.experimental import _config

    found: AbstractContextManager[Any] = _config.patch(backed_size_oblivious=True, aggressive_guard_free_semantics=2)  # type: ignore[attr-defined]
    return found


def _export(request: Request, free: frozenset[str], rung: Rung) -> Any:
    roles = classify(request.specs)
    named: dict[str, Any] = {}

    def dim(_: int, size: Expr) -> Any:
        name = str(size)
        if rung.multiple > 1 and roles.get(name) == "spatial":
            named.setdefault(name, torch.export.Dim(f"{name}_part", min=1, max=1 << 20))
            return rung.multiple * named[name]
        return torch.export.Dim.AUTO

    shapes = dynamic_dims(request.specs, free, dim) if free else None
    if shapes is not None:
        shapes = _by_parameter(request.module, shapes)
    opened = sizes_in_tensors(request.module) if rung.open_tensors else nullcontext()
    announced = nullcontext() if rung.told else untold(request.module)
    numbers = {**LENGTHS, **(INTEGERS if rung.open_tensors else {})}
    with quiet_inference(), steps_skipped(), guard_free(), spelled(request.module, numbers), opened, announced:
        with request.world():
            args = tensors(request.specs, rung.point, request.device)
        with ExitStack() as stack:
            for entered in () if request.fakes is None else (torch.enable_grad(), kernels_unasked()):
                stack.enter_context(entered)
            export = partial(torch.export.export, request.module, args, dynamic_shapes=shapes, strict=False)
            if request.follows_values:
                stack.enter_context(values_followed(request.module, request.specs))
            if request.fakes is None:
                try:
                    with nullcontext() if request.follows_values else shortcuts():
                        return export()
                except TorchDynamoException as error:
                    if isinstance(error, UserError):
                        raise
                    # Bodies of loops and branches are compiled apart, with insides of torch as they were.
            return export()


def _bound(request: Request, program: Any, rung: Rung) -> Captured:
    """Read from the placeholders what each of torch's symbols means, and which dimensions became numbers."""
    bindings: dict[str, Expr] = {}
    domain: list[Predicate] = []
    pinned, point = dict(rung.fixed), rung.point
    leaves = pytree.tree_leaves(request.specs)
    for leaf, found in zip(leaves, user_inputs(program), strict=True):
        if not isinstance(leaf, TensorSpec) or not isinstance(found, torch.Tensor):
            continue
        for wanted, size in zip(leaf.shape, found.shape, strict=True):
            bind_size(wanted, size, bindings, domain, pinned)
    at = {name: point[name] for name in pinned}
    bindings = {name: substitute(value, at) for name, value in bindings.items()}
    symbols = tuple(s for s in with_hints(request.symbols, point) if s.name not in pinned)
    reasons = {name: f"{name}={point[name]}: {why}" for name, why in pinned.items()}
    demands = tuple(dict.fromkeys(replace_symbols(guard, at) for guard in domain))
    return Captured(program, symbols, bindings, reasons, demands, rung.label, request.prefix)


def _by_parameter(module: nn.Module, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """One entry for each parameter of forward: what a `*inputs` takes is one tuple."""
    for position, parameter in enumerate(inspect.signature(module.forward).parameters.values()):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return (*shapes[:position], tuple(shapes[position:]))
    return shapes


def bind_size(
    wanted: Expr, size: Any, bindings: dict[str, Expr], domain: list[Predicate], pinned: dict[str, str]
) -> None:
    """Note what torch's symbol for one input dimension means in the user's symbols, or that the dimension is pinned."""
    expression = size.node.expr if isinstance(size, torch.SymInt) else None
    if expression is None or expression.is_number or _single(size, expression):
        for name in wanted.symbols:
            pinned.setdefault(name, "the trace holds for this size only")
        return
    factor, inner = expression.as_coeff_Mul()
    if not inner.is_Symbol:
        return  # a sum of symbols that other dimensions define
    value = wanted if factor == 1 else floordiv(wanted, int(factor))
    if factor != 1:
        domain.append(Compare("==", mod(wanted, int(factor)), const(0)))
    known = bindings.setdefault(inner.name, value)
    if known is not value:
        domain.append(Compare("==", known, value))


def _single(size: Any, expression: Any) -> bool:
    """True for a symbol that the trace has narrowed down to one value."""
    span = size.node.shape_env.var_to_range.get(expression)
    return span is not None and span.is_singleton()


def user_inputs(program: Any) -> list[Any]:
    """Example values of the caller's inputs, in call order."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [
        nodes[spec.arg.name].meta.get("val")
        for spec in program.graph_signature.input_specs
        if spec.kind.name == "USER_INPUT"
    ]


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Interrupt the body after `seconds` of CPU time; without effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(*_: object) -> None:
        raise OutOfBudget

    previous = signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
