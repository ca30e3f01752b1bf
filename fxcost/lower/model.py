"""From what the user gives to a graph: the one entry of the torch side.

`capture_graph` takes a module, an ExportedProgram, a GraphModule, a path or a loader name, walks the ladder and lowers;
a model that torch.export cannot take is recorded at one size and its graph marked `numeric`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from fxcost.capture.count import eager_macs
from fxcost.capture.eager import Request, first_line, quiet_inference
from fxcost.capture.eager_step import eager_step
from fxcost.capture.inputs import TORCH_DTYPES, check_hints, classify, tensors
from fxcost.capture.ladder import Captured, Probed, climb, probe
from fxcost.capture.loaders import MAX_REAL_ELEMENTS, load_model
from fxcost.capture.past import given_past
from fxcost.capture.record import record
from fxcost.capture.training import Loss, WithLoss, fake_twin, step_macs, train_only
from fxcost.capture.twin import ORIGIN, Positional, apart, evaluating, meta_twin, uses_cache
from fxcost.errors import CaptureError, SpecError
from fxcost.ir.expr import ONE, substitute, symbol
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare
from fxcost.ir.specs import SpecReader, TensorSpec
from fxcost.ir.symbols import SymbolInfo
from fxcost.lower.eager import lived
from fxcost.lower.exported import lower
from fxcost.lower.fx import autocasts
from fxcost.lower.joint import lower_joint
from fxcost.lower.program import lower_program

Progress = Callable[[str], None]
CACHE_OFF = "use_cache was switched off: a key-value cache is no tensor that a graph can return"
AUTOCAST = "autocast: results have its types; the casts of operands are no operators of the graph and are not counted"
AUTOCAST_UNSEEN = "autocast was not applied, as on meta tensors it is not: bytes are those of the types as written"


@dataclass(frozen=True)
class Training:
    """What a training step needs besides the model: the loss as a function of the outputs; None sums them.

    `train` says which parameters (`capture.training.train_only`), empty leaves them as they are.
    """

    loss: Loss | None = None
    train: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """Which loss was taken, and what the step updates with."""
        name = getattr(self.loss, "__name__", type(self.loss).__name__)
        loss = "the sum of the floating outputs" if self.loss is None else f"as given ({name})"
        return f"training step: loss {loss}; one in-place update for each gradient, after the backward pass"


@dataclass(frozen=True)
class Source:
    """A captured graph with what is needed to ask the model again: seconds by stage and an eager count of MACs.

    `asked` are the symbols that were asked for, open or not, and `roles` what each is; `refused` those of which the model
    itself takes one size only. `module` is what a recorded run ran, `eager_peak` the bytes
    that a training step of eager torch holds at most.
    """

    graph: Graph
    seconds: Mapping[str, float] = field(default_factory=dict)
    eager_count: Callable[[Mapping[str, int]], int] | None = None
    program: Any = None
    origins: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, SymbolInfo] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    module: Any = None
    eager_peak: Callable[[Mapping[str, int]], int] | None = None


def capture_graph(
    model: Any,
    specs: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    point: Mapping[str, int] | None = None,
    pins: Mapping[str, int] | None = None,
    training: Training | None = None,
    recorded: bool = False,
    progress: Progress = lambda _: None,
) -> Source:
    """Capture `model` with inputs `specs` (and keyword inputs `kwargs`).

    `point` overrides the sizes to trace at; `pins` makes symbols plain numbers. With `training` the graph is that of a
    training step: forward, backward and updates. With `recorded` nothing is traced: one run is written down.

    Raises SpecError, UnknownName or FileError for wrong input, CaptureError for a model that even one recorded run
    cannot take.
    """
    start = time.process_time()
    reader = SpecReader()
    args, named = read_specs(reader, specs, kwargs or {})
    if pins:
        args, named = substituted(args, pins), substituted(named, pins)
    symbols = {
        n: replace(s, hint=(point or {}).get(n, s.hint)) for n, s in reader.symbols.items() if n not in (pins or {})
    }
    check_hints(symbols)
    label = name or _name_of(model)
    place = model
    if isinstance(model, str | Path):
        progress(f"building {label}")
        model = load_model(str(model))
    built = time.process_time() - start
    if training is not None and not isinstance(model, nn.Module):
        raise SpecError(
            f"{label}: a training step is captured from an nn.Module, found {type(model).__name__}: an exported program "
            "has lost how it trains"
        )
    if isinstance(model, torch.export.ExportedProgram):
        graph, seconds = lower_program(model, (*args, *named.values()), symbols, label)
        return Source(graph, {"build": built, "lower": seconds}, None, model)
    if not isinstance(model, nn.Module):
        raise SpecError(
            f"cannot analyse {type(model).__name__}; expected an nn.Module, ExportedProgram, GraphModule or a path"
        )
    if not args and not named:
        raise SpecError(f"{label}: no inputs given; say what the model takes, for example 'N,3,H,W'")
    rebuild = partial(load_model, str(place), "cpu") if isinstance(place, str | Path) else None
    if recorded:
        source = _run_once(model, args, named, symbols, label, "asked for")
    elif training is None:
        source = _from_module(model, args, named, symbols, label, progress, rebuild)
    else:
        source = _training_step(model, args, named, symbols, label, progress, training)
    ones = _held_at_one(source.graph)
    if ones:
        again = capture_graph(
            place, specs, kwargs, name=label, point=point, pins={**(pins or {}), **ones}, training=training,
            recorded=recorded, progress=progress,
        )  # fmt: skip
        fixed = {n: f"{n}=1: the trace holds for this size only" for n in ones}
        return replace(again, graph=replace(again.graph, fixed={**again.graph.fixed, **fixed}))
    off = uses_cache(model) and given_past(model, named) is None
    notes = (*source.graph.notes, CACHE_OFF) if off else source.graph.notes
    return replace(source, graph=replace(source.graph, notes=notes), seconds={"build": built, **source.seconds})


def _held_at_one(graph: Graph) -> dict[str, int]:
    """Symbols that were traced at one and mean nothing else: as numbers they show which sizes and strides are equal."""
    return {s.name: 1 for s in graph.symbols if s.hint == 1 and Compare("==", symbol(s.name), ONE) in graph.domain}


def read_specs(reader: SpecReader, specs: Any, kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Parse every spec text; tensors and numbers pass through. A multiple (`H=32*h`) replaces its symbol everywhere."""
    items = (specs,) if isinstance(specs, str | torch.Tensor) else tuple(specs)
    args = tuple(_read(reader, i) for i in items if not (isinstance(i, str) and reader.declare(i)))
    named = {key: _read(reader, value) for key, value in kwargs.items()}
    if not reader.multiples:
        return args, named
    for name in reader.multiples:
        reader.symbols.pop(name, None)

    return substituted(args, reader.multiples), substituted(named, reader.multiples)


def substituted(specs: Any, values: Mapping[str, Any]) -> Any:
    """The specs with symbols replaced by numbers or expressions."""

    def put(leaf: Any) -> Any:
        if not isinstance(leaf, TensorSpec):
            return leaf
        return replace(leaf, shape=tuple(substitute(size, values) for size in leaf.shape))

    return pytree.tree_map(put, specs)


def _valued(text: str, spec: TensorSpec) -> Any:
    """A tensor where the spec gives its values."""
    if not spec.values:
        return spec
    try:
        flat = torch.tensor(spec.values, dtype=TORCH_DTYPES[spec.dtype])
    except (RuntimeError, OverflowError):
        raise SpecError(f"input spec {text!r}: a value does not fit {spec.dtype.short}") from None
    return flat.reshape([size.constant or 1 for size in spec.shape])


def _read(reader: SpecReader, item: Any) -> Any:
    if isinstance(item, str):
        return pytree.tree_map_only(TensorSpec, partial(_valued, item), reader.read(item))
    if isinstance(item, list | tuple):
        return type(item)(_read(reader, part) for part in item)
    if isinstance(item, torch.Tensor | bool | int | float | TensorSpec) or item is None:
        return item
    raise SpecError(f"an input is {type(item).__name__}; expected a spec such as 'N,3,H,W', a tensor or a list of them")


def _name_of(model: Any) -> str:
    return str(model) if isinstance(model, str | Path) else type(model).__name__


def _from_module(
    model: nn.Module,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    symbols: Mapping[str, SymbolInfo],
    label: str,
    progress: Progress,
    rebuild: Callable[[], nn.Module] | None,
) -> Source:
    twin = meta_twin(model)
    failure = ""
    found: Source | None = None
    if twin is not None:
        progress(f"trying sizes of {label}")
        request = _request(twin, args, named, symbols, "meta")
        probed = probe(request)
        progress(f"capturing {label}")
        found, failure = _climbed(request, probed, partial(lower, name=label))
        if found is not None and not autocasts(found.program.graph_module):
            return found
        # Autocast does nothing to meta tensors: the types are right on the CPU only.
        if found is not None and _on_meta(model) and (rebuild is None or _elements(model) > MAX_REAL_ELEMENTS):
            return _noted(found, AUTOCAST_UNSEEN)
    # Some models look at values, or make tensors on the CPU, while they run: try with the user's own tensors.
    if _on_meta(model) and rebuild is not None:
        if _elements(model) > MAX_REAL_ELEMENTS:
            raise CaptureError(
                f"{label}: it cannot be captured without real weights ({failure}), and is too large to be built with "
                "them here; pass the model itself to fxcost.analyze where there is memory"
            )
        progress(f"building {label} with real weights")
        model = rebuild()
    with evaluating(model):
        if _on_meta(model):
            return _run_once(model, args, named, symbols, label, failure)
        progress(f"capturing {label} on the CPU")
        request = _request(model, args, named, symbols, "cpu")
        probed = probe(request)
        real, failure = _climbed(request, probed, partial(lower, name=label))
        if real is not None:
            return _noted(real, AUTOCAST) if autocasts(real.program.graph_module) else real
        if found is not None:
            return _noted(found, AUTOCAST_UNSEEN)
        return replace(_recorded(request, label, failure, probed), module=model)


def _run_once(
    model: nn.Module,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    symbols: Mapping[str, SymbolInfo],
    label: str,
    why: str,
) -> Source:
    """The last rung alone: a recorded run of the model where it is."""
    with evaluating(model):
        request = _request(model, args, named, symbols, "meta" if _on_meta(model) else "cpu")
        probed = None if symbols else Probed({}, {}, 0.0)  # nothing to choose: the run itself says whether it runs
        return replace(_recorded(request, label, why, probed), module=model)


def _noted(source: Source, note: str) -> Source:
    return replace(source, graph=replace(source.graph, notes=(*source.graph.notes, note)))


def _elements(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _training_step(
    model: nn.Module,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    symbols: Mapping[str, SymbolInfo],
    label: str,
    progress: Progress,
    training: Training,
) -> Source:
    """The joint graph of the model and its loss; there is no other way in where that cannot be captured."""
    copied = fake_twin(model)
    if copied is None:
        raise CaptureError(f"{label}: it cannot be copied, and a training step is captured from a copy without weights")
    twin, fakes = copied
    train_only(twin, training.train)
    wrapped = WithLoss(twin, tuple(named), training.loss)
    request = Request(wrapped, (*args, *named.values()), symbols, "cpu", "wrapped.", fakes)
    progress(f"trying sizes of {label}")
    probed = probe(request)
    if probed.point is None:
        raise CaptureError(
            f"{label}: the model or its loss does not run with these inputs in train mode: {probed.error}; check the "
            "input specs against its forward, and give a size that it takes, for example H@224"
        )
    progress(f"capturing a training step of {label}")
    found, failure = _climbed(request, probed, partial(lower_joint, name=label), step_macs)
    if found is None:
        raise CaptureError(f"{label}: no training step could be captured: {failure}")
    graph, run = lived(found.graph, request)
    pinned = dict(graph.pinned)

    def peak(point: Mapping[str, int]) -> int:
        return run.peak if run is not None and point == run.point else eager_step(request, {**pinned, **point}).peak

    step_peak = None if run is None else peak
    return replace(_noted(replace(found, graph=graph), training.note), program=None, origins={}, eager_peak=step_peak)


def _on_meta(model: nn.Module) -> bool:
    return any(p.device.type == "meta" for p in model.parameters())


def _request(
    model: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any], symbols: Mapping[str, SymbolInfo], device: str
) -> Request:
    if named or isinstance(model, torch.fx.GraphModule):  # at the root, a graph module's annotations would be lost
        wrapper = Positional(model, tuple(named)).eval()
        return Request(wrapper, (*args, *named.values()), symbols, device, "wrapped.")
    return Request(model, args, symbols, device)


def _climbed(
    request: Request,
    probed: Probed,
    lowering: Callable[[Captured], Graph],
    counter: Callable[[Request, Mapping[str, int]], int] = eager_macs,
) -> tuple[Source | None, str]:
    """What the ladder gives, with the eager count at other sizes; or None and why it gave nothing."""
    captured, graph, failure = climb(request, probed, lowering)
    if captured is None or graph is None:
        return None, failure
    pinned = {n: _size_of(request, captured, n) for n in captured.fixed}

    def count(point: Mapping[str, int]) -> int:
        if request.fakes is not None:
            return counter(request, {**pinned, **point})
        with evaluating(request.module):  # it may be the user's own
            return counter(request, {**pinned, **point})

    origins = {
        node.name: node.meta["custom"][ORIGIN]
        for node in captured.program.graph.nodes
        if ORIGIN in (node.meta.get("custom") or {})
    }
    source = Source(
        graph,
        captured.seconds,
        count if probed.point is not None else None,
        captured.program,
        origins,
        request.symbols,
        classify(request.specs),
        frozenset(probed.pinned),
    )
    return source, ""


def _size_of(request: Request, captured: Captured, name: str) -> int:
    """The size a pinned dimension has, as its reason begins with (`H=224: ...`)."""
    return int(captured.fixed[name].partition(":")[0].partition("=")[2])


def _recorded(request: Request, label: str, failure: str, probed: Probed | None = None) -> Source:
    probed = probed or probe(request)
    if probed.point is None:
        raise CaptureError(
            f"{label}: the model itself does not run with these inputs: {probed.error}; check the input specs against "
            "its forward, and give a size that it takes, for example H@224"
        )
    start = time.process_time()
    try:
        with quiet_inference():
            inputs = tensors(request.specs, probed.point, request.device)
            with request.knowing(inputs):
                graph = record(apart(request.module), inputs, label, f"torch.export: {failure}")
    except Exception as error:  # the model is the user's; whatever it raises is the answer
        raise CaptureError(
            f"{label}: torch.export failed ({failure}), and recording a run raised {first_line(error)}"
        ) from error
    fixed = {n: f"{n}={probed.point[n]}: the model could only be recorded at one size" for n in request.symbols}
    seconds = {"probe": probed.seconds, "record": time.process_time() - start}
    return Source(
        replace(graph, fixed=fixed),
        seconds,
        asked=request.symbols,
        roles=classify(request.specs),
        refused=frozenset(probed.pinned),
    )
