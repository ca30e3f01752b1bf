"""What the zoo benchmark does with one model: our analysis, then an independent count at other sizes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from benchmarks._zoo_subjects import Inputs, Settled, Subject, settled
from fxcost.capture.eager import OF_DATA, Request, as_traced, first_line, quiet_inference, run_eager
from fxcost.capture.inputs import classify, dynamic_dims, tensors
from fxcost.capture.ladder import OutOfBudget, budget, probe
from fxcost.capture.loaders import build
from fxcost.capture.twin import Positional, evaluating, frozen, meta_twin
from fxcost.errors import CaptureError, FxcostError, OutsideDomain
from fxcost.ir.specs import SpecReader
from fxcost.lower.model import read_specs
from tests.support.counter import MacCounter

COLUMNS = (
    "key", "model", "outcome", "standing", "symbols", "pinned", "rung", "unknown", "macs", "points", "counted_by",
    "outside", "guards", "params", "nodes", "build_s", "probe_s", "export_s", "lower_s", "totals_s", "regions_s",
    "check_s", "all_s", "static_export_s", "dynamic_export_s", "peak_rss_mb", "error",
)  # fmt: skip
"""Outcomes: exact, WRONG (a formula without a warning that another count contradicts), flagged (contradicted, and marked
as a lower bound), unchecked (no independent count to be had), failed, refused (no inputs found that it takes)."""

WANTED = 3
"""Other sizes to count at, where the model takes as many."""

OF_VALUES = tuple(each.__name__ for each in OF_DATA)
"""How errors begin of a run without values that needs one."""

REAL_ELEMENTS = 400_000_000
"""Parameters of a model that may be built with real weights for a count."""

PLAIN_SECONDS = 90.0
"""What torch.export alone may take."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Counted:
    """MACs of one run that does not go through us, and which counter and device gave them."""

    macs: int
    how: str


def measure(subject: Subject, plain: bool, report: Callable[[Row], None]) -> None:
    """Fill one row; `report` gets it after every stage, so that what is known survives a stage that never ends."""
    row: Row = {"key": subject.key, "outcome": "failed"}

    def stage(**found: Any) -> None:
        row.update(found, peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        report(row)

    try:
        found = settled(subject)
        stage(model=found.name)
        start = time.process_time()
        model = build(found.build, subject.key)
        stage(build_s=_seconds(start), params=_elements(model))
        inputs = _accepted(model, found.inputs, "meta")
        if inputs is None and _elements(model) <= REAL_ELEMENTS:
            candidates = tuple(_for_values(model, found.inputs))
            model = build(found.build, subject.key, "cpu")
            inputs = _accepted(model, candidates, "cpu")
        if inputs is None:
            stage(outcome="refused", error="none of the inputs that were tried runs")
            return
        stage(model=f"{found.name} {_text(inputs)}")
        try:
            cost = _analysed(model, inputs, stage)
        except CaptureError:  # it may need real values
            if _elements(model) > REAL_ELEMENTS:
                raise
            model = build(found.build, subject.key, "cpu")
            cost = _analysed(model, inputs, stage)
        if plain:
            _plain_exports(model, inputs, cost, stage)
        _compared(found, model, inputs, cost, stage)
    except FxcostError as error:
        stage(error=f"{type(error).__name__}: {error}"[:300])
    except Exception as error:  # a zoo's code may raise anything
        stage(error=first_line(error))


def _seconds(start: float) -> float:
    return round(time.process_time() - start, 3)


def _text(inputs: Inputs) -> str:
    args, named = inputs
    return "; ".join([*map(str, args), *(f"{k}={v}" for k, v in named.items())])


def _elements(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _accepted(model: nn.Module, candidates: tuple[Inputs, ...], device: str) -> Inputs | None:
    """The first inputs that the model runs with at twice their size as well, else the first that it runs with.

    A single candidate is taken as it is.
    """
    if len(candidates) == 1:
        return candidates[0]
    fallback = None
    for each in candidates:
        request = request_for(model, each, device)
        point = probe(request).point
        if point is None:
            continue
        try:
            run_eager(request, {name: 2 * size for name, size in point.items()})
        except Exception:  # a model of fixed sizes, or inputs that it takes for something else
            fallback = fallback or each
            continue
        return each
    return fallback


def _for_values(model: nn.Module, candidates: tuple[Inputs, ...]) -> Iterator[Inputs]:
    """Inputs to try with real values: the first ones, and one more that fails for want of them, with small images."""
    yield from candidates[:3]
    for args, named in candidates[3:]:
        if probe(request_for(model, (args, named), "meta")).error.startswith(OF_VALUES):
            small = {k: v.replace(",H,W", ",H@224,W@224") if isinstance(v, str) else v for k, v in named.items()}
            yield args, small
            return


def request_for(model: nn.Module, inputs: Inputs, device: str) -> Request:
    """The model on a device with parsed inputs; keywords go in by name."""
    reader = SpecReader()
    args, named = read_specs(reader, *inputs)
    if device == "meta":
        model = meta_twin(model) or model
    return Request(Positional(model, tuple(named)).eval(), (*args, *named.values()), reader.symbols, device)


def _analysed(model: nn.Module, inputs: Inputs, stage: Callable[..., None]) -> fxcost.Cost:
    start = time.process_time()
    cost = fxcost.analyze(model, inputs[0], kwargs=inputs[1])
    before = time.process_time()
    macs = cost.macs
    quantities = dict(cost.quantities)
    totals = _seconds(before)
    seconds = {k: round(v, 3) for k, v in cost.origin.seconds.items()}
    notes = [n for n in cost.graph.notes if n.startswith("captured")]
    stage(
        outcome="unchecked",
        standing=str(quantities["macs"].standing),
        symbols=" ".join(cost.symbols),
        pinned="; ".join(cost.fixed_dims.values()),
        rung=notes[0].removeprefix("captured: ") if notes else "",
        unknown=" ".join(f"{op}*{count}" for op, count in cost.unknown_ops.items()),
        macs=str(macs)[:200],
        guards=" and ".join(map(str, cost.domain))[:300],
        nodes=len(cost.graph.nodes),
        totals_s=totals,
        all_s=_seconds(start),
        **{f"{k}_s": v for k, v in seconds.items() if f"{k}_s" in COLUMNS},
    )
    return cost


def _compared(found: Settled, model: nn.Module, inputs: Inputs, cost: fxcost.Cost, stage: Callable[..., None]) -> None:
    """Count at other sizes; one contradiction settles the outcome.

    Where the formula holds at none of them, the model is captured anew at one, as users are told to.
    """
    request = request_for(model, inputs, "meta")
    agreed: list[str] = []
    how: set[str] = set()
    outside: list[dict[str, int]] = []
    last = ""
    points: list[tuple[dict[str, int], bool]] = [(point, False) for point in other_points(request, cost)]
    for point, anew in points:
        if len(agreed) >= WANTED or (anew and agreed):
            break
        sizes = {**point, **cost.graph.pinned}
        asked = {n: v for n, v in point.items() if n in cost.symbols}
        try:
            expected = cost.macs(recapture=True, **asked) if anew else cost.macs.at(asked)
        except OutsideDomain as error:
            outside.append(point)
            points += [(point, True)] if len(outside) <= WANTED else []
            last = str(error)[:150]
            continue
        except FxcostError as error:  # it has no value there
            last = str(error)[:150]
            continue
        if not isinstance(expected, int):
            last = f"only the data decide what is left of {expected}"[:150]
            continue
        try:
            counted = independent(found, request, inputs, sizes)
        except Exception as error:  # the model refuses this size, or no counter can run it
            last = first_line(error)
            continue
        where = ",".join(f"{n}={v}" for n, v in sizes.items()) + (" (captured anew)" if anew else "")
        if counted.macs != expected:
            quiet = str(cost.macs.standing) in ("exact", "fitted")
            note = f"at {where}: formula {expected:,}, count {counted.macs:,}"
            stage(outcome="WRONG" if quiet else "flagged", error=note, counted_by=counted.how, outside=len(outside))
            return
        agreed.append(where)
        how.add(counted.how)
        if not cost.symbols:
            break
    stage(
        outcome="exact" if agreed else "unchecked",
        points=" | ".join(agreed),
        counted_by=" ".join(sorted(how)),
        outside=len(outside),
        error="" if agreed else last,
    )


def other_points(request: Request, cost: fxcost.Cost) -> Iterator[dict[str, int]]:
    """Sizes that differ from the traced ones in every symbol: a batch of one, odd sizes, other multiples of 32."""
    roles = classify(request.specs)
    spatial = [n for n, role in roles.items() if role == "spatial" and n in cost.symbols]
    plans = [
        (1, (231, 225), 19, 10), (2, (256, 192), 51, 12), (3, (97, 130), 7, 20), (1, (320, 288), 96, 32),
        (2, (448, 672), 150, 24), (3, (384, 384), 333, 64), (1, (512, 256), 1500, 40), (2, (640, 480), 20000, 48),
        (2, (224, 224), 1, 8),
    ]  # fmt: skip
    for batch, space, sequence, frames in plans:
        wanted = {"batch": batch, "sequence": sequence, "time": frames}
        point: dict[str, int] = {}
        for name, info in cost.symbols.items():
            if info.kind == "data":
                continue
            size = space[spatial.index(name) % 2] if name in spatial else wanted[roles.get(name, "sequence")]
            size = max(size - size % info.multiple_of, info.multiple_of)
            size += info.multiple_of * (size == info.hint)
            point[name] = size + 3 * (len(point) if roles.get(name) == "sequence" else 0)
        yield point
    for batch, times, more in ((1, 2, 0), (3, 3, 0), (2, 1, 1), (1, 1, -1)):  # where only sizes like the traced will do
        yield {
            name: batch if roles.get(name) == "batch" else times * (info.hint or 1) + more * info.multiple_of
            for name, info in cost.symbols.items()
            if info.kind != "data"
        }


def independent(found: Settled, request: Request, inputs: Inputs, sizes: Mapping[str, int]) -> Counted:
    """One run counted by torch's FlopCounterMode and by a dispatch mode: on meta, on fake, then on real tensors.

    Where the two differ, torch's counter has no formula for an operator that the other knows.
    """
    try:
        return _run(request, sizes, "meta")
    except Exception as error:  # not every model runs on meta tensors: some read values
        first = error
    try:
        return _run(request, sizes, "fake")
    except Exception:
        pass
    if _elements(request.module) > REAL_ELEMENTS:
        raise first
    return _run(request_for(build(found.build, found.name, "cpu"), inputs, "cpu"), sizes, "cpu")


def _run(request: Request, sizes: Mapping[str, int], how: str) -> Counted:
    with ExitStack() as stack:
        stack.enter_context(evaluating(request.module))
        stack.enter_context(quiet_inference())
        stack.enter_context(frozen(request.module))
        if how == "fake":
            stack.enter_context(as_traced())
        given = tensors(request.specs, sizes, request.device)
        stack.enter_context(request.knowing(given))
        torch_counter = stack.enter_context(FlopCounterMode(display=False))
        ours = stack.enter_context(MacCounter())
        request.module(*given)
    by_torch = int(torch_counter.get_total_flops()) // 2
    if by_torch == ours.macs:
        return Counted(by_torch, f"torch+dispatch/{how}")
    if by_torch < ours.macs:
        return Counted(ours.macs, f"dispatch/{how}")
    return Counted(by_torch, f"torch/{how}")


def _plain_exports(model: nn.Module, inputs: Inputs, cost: fxcost.Cost, stage: Callable[..., None]) -> None:
    """CPU seconds of torch.export alone: static, and with every size dynamic, at the size that we traced."""
    request = request_for(model, inputs, "meta")
    point = {**{s.name: s.hint or 1 for s in cost.graph.symbols}, **cost.graph.pinned}
    free = frozenset(cost.symbols)
    auto = dynamic_dims(request.specs, free, lambda position, size: torch.export.Dim.AUTO) if free else None
    # The wrapper takes `*inputs`: one parameter, one entry.
    for column, shapes in (("static_export_s", None), ("dynamic_export_s", (auto,))):
        start = time.process_time()
        try:
            with quiet_inference(), budget(PLAIN_SECONDS):
                args = tensors(request.specs, point, "meta")
                torch.export.export(request.module, args, dynamic_shapes=shapes, strict=False)
        except (Exception, OutOfBudget):
            continue
        stage(**{column: _seconds(start)})
