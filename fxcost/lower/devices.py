"""From a model and a plan to the graph of one device of several."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from fxcost.capture.blocks import Blocks, blocks_of, shortened
from fxcost.capture.devices import capture_device, world
from fxcost.capture.inputs import check_hints
from fxcost.capture.loaders import load_model
from fxcost.capture.plans import UNIFORM, Styles, plan_of, styles_inside
from fxcost.errors import CaptureError, SpecError
from fxcost.ir.specs import SpecReader
from fxcost.lower.exported import lower
from fxcost.lower.model import Source, read_specs, substituted


@dataclass(frozen=True)
class Shared:
    """One device of several as captured: with the first of the model's blocks alone where `blocks` says so."""

    source: Source
    blocks: Blocks | None = None


def module_of(model: Any, label: str) -> nn.Module:
    """The module that a plan is applied to; raises SpecError for a program, which has lost its modules."""
    built = load_model(str(model)) if isinstance(model, str | Path) else model
    if not isinstance(built, nn.Module):
        raise SpecError(
            f"{label}: a plan needs an nn.Module, found {type(built).__name__}: a program has lost its modules"
        )
    return built


def capture_on_devices(
    model: Any,
    specs: Any,
    kwargs: Mapping[str, Any],
    devices: int,
    plan: str | Styles,
    name: str | None,
    point: Mapping[str, int] | None = None,
    pins: Mapping[str, int] | None = None,
    whole: bool = False,
) -> Shared:
    """Trace the first of `devices`; `point` overrides the sizes to trace at, `pins` makes symbols plain numbers.

    Where blocks of the model repeat, few of them are traced, unless `whole` asks for all.
    Raises SpecError for wrong input or a plan that does not apply, CaptureError where no trace succeeds.
    """
    start = time.process_time()
    reader = SpecReader()
    args, named = read_specs(reader, specs, kwargs)
    if pins:
        args, named = substituted(args, pins), substituted(named, pins)
    symbols = {
        n: replace(s, hint=(point or {}).get(n, s.hint)) for n, s in reader.symbols.items() if n not in (pins or {})
    }
    check_hints(symbols)
    label = name or (str(model) if isinstance(model, str | Path) else type(model).__name__)
    built = module_of(model, label)
    if not args and not named:
        raise SpecError(f"{label}: no inputs given; say what the model takes, for example 'i64[N,S]'")
    styles: Styles = plan_of(built, plan) if isinstance(plan, str) else plan
    flat = not any(isinstance(given, list | tuple | dict) for given in (*args, *named.values()))
    blocks = None if whole or not flat else blocks_of(built, styles_inside(built, styles))
    if blocks is not None and blocks.is_whole:
        blocks = None
    building = time.process_time() - start
    try:
        with world(devices) as mesh, nullcontext(built) if blocks is None else shortened(built, blocks) as traced:
            captured = capture_device(traced, args, named, symbols, styles, mesh)
            start = time.process_time()
            graph = lower(captured, label)
    except CaptureError as error:
        raise CaptureError(f"{label} on {devices} devices: {error}") from error
    notes = [f"one of {devices} devices; parameters, memory and counts are its own"]
    notes += [UNIFORM] if "ep_dispatch_experts" in styles.values() else []
    seconds = {"build": building, **captured.seconds, "lower": time.process_time() - start}
    return Shared(Source(replace(graph, notes=(*graph.notes, *notes)), seconds), blocks)
