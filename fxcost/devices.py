"""A model on several devices: what one of them holds, computes and sends, and which number of devices is best.

Tensor parallelism shares out matrices, expert parallelism experts; the plan is the model's own (models of transformers
carry one) or given. Numbers are those of the first device. What is not modelled is said: pipelines, data parallelism
across replicas, and overlap of what is sent with what is computed, so that latencies are upper bounds in that respect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fxcost.api import _over_regions, _patterns, _width_name
from fxcost.cost import Cost
from fxcost.errors import CaptureError, Infeasible, OutsideDomain, SpecError
from fxcost.formulas import Origin
from fxcost.passes.estimate import Estimate
from fxcost.pipeline import Options
from fxcost.report.devices import SHOWN, DeviceRow, DeviceTable
from fxcost.serving.stack import NotRepeatable, stacked

if TYPE_CHECKING:
    from fxcost.lower.devices import Shared
    from fxcost.lower.model import Source
    from fxcost.target import Target

Plan = str | Mapping[str, Any]
Progress = Callable[[str], None]
DEGREES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Degree:
    """One number of devices: the cost of one of them, or why the model cannot be shared out so."""

    devices: int
    cost: Cost | None
    reason: str = ""
    estimate: Estimate | None = None

    @property
    def fits(self) -> str:
        """yes, no, open or unknown, where there is an estimate."""
        return "refused" if self.cost is None else self.estimate.fits.verdict if self.estimate else "unknown"

    def latency_s(self, name: str = "roofline") -> float | None:
        """Seconds, None where unknown."""
        value = None if self.estimate is None else getattr(self.estimate, name)
        return value if isinstance(value, float) else None


@dataclass(frozen=True)
class Degrees:
    """A model on several numbers of devices, at one point."""

    model: str
    plan: str
    at: Mapping[str, int]
    rows: tuple[Degree, ...]
    target: Target | None = None

    @property
    def smallest(self) -> Degree | None:
        """The fewest devices on which it fits, None where it does on none."""
        return next((row for row in self.rows if row.fits == "yes"), None)

    @property
    def fastest(self) -> Degree | None:
        """The least roofline latency among those that fit (among all, where it is not known whether they do)."""
        known = [row for row in self.rows if row.fits == "yes"] or [
            r for r in self.rows if r.fits in ("unknown", "open")
        ]
        timed = [row for row in known if row.latency_s() is not None]
        return min(timed, key=lambda row: row.latency_s() or 0.0, default=None)

    def best(self, goal: str = "latency") -> Degree:
        """The degree for a goal: `memory`, the fewest devices that it fits on, or `latency`, the fastest.

        Raises Infeasible where none fits, SpecError for another goal.
        """
        if goal not in ("latency", "memory"):
            raise SpecError(f"goal {goal!r} is not one of latency, memory")
        found = self.smallest if goal == "memory" else self.fastest
        if found is None:
            listed = ", ".join(str(row.devices) for row in self.rows)
            where = self.target.name if self.target else "no machine"
            raise Infeasible(f"{self.model}: none of {listed} devices of {where} serves the goal {goal}")
        return found


def on_devices(
    model: Any,
    specs: Any,
    devices: int,
    *,
    kwargs: Mapping[str, Any] | None = None,
    plan: Plan = "tensor",
    accounting: str = "eager",
    inputs: str = "freed",
    weights: str | Mapping[str, str] | None = None,
    activations: str | None = None,
    name: str | None = None,
    pins: Mapping[str, int] | None = None,
    whole: bool = False,
    progress: Progress = lambda _: None,
) -> Cost:
    """The cost of one of `devices` that share a model, as formulas in the sizes.

    Where the blocks of a model of transformers repeat, few of them are traced, compared, and put together in full.

    Args:
        model: an nn.Module or a loader name (`hf:examples/llama-3-8b`).
        specs: input specs, as for `analyze`; with expert parallelism they are one device's own.
        devices: how many.
        kwargs: keyword inputs by name.
        plan: `tensor` or `expert`, the plan that the model carries, or a style by path of module: torch's own
            `ParallelStyle`s, or names such as colwise and rowwise.
        accounting: as for `analyze`, like what follows.
        inputs: see there.
        weights: see there.
        activations: see there.
        name: what to call the model.
        pins: sizes that are to be plain numbers; a model's code often does something else where a size is one.
        whole: trace all blocks, even where few would do.
        progress: called with a line at each stage.

    Raises SpecError for a plan that does not apply, CaptureError where the model cannot be shared out or traced.
    """
    from fxcost.lower.devices import capture_on_devices

    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise SpecError(f"devices={devices!r}: expected a whole number from 1 on")
    options = Options(
        accounting=accounting, inputs=inputs, weights=_patterns(weights), activations=_width_name(activations)
    )

    given = partial(capture_on_devices, model, specs, kwargs or {}, devices, plan, name)

    def source(point: Mapping[str, int] | None, numbers: Mapping[str, int] | None) -> Source:
        return _in_full(partial(given, point, numbers), whole, progress)

    def capture(point: Mapping[str, int] | None) -> Cost:
        found = source(point, pins)
        return Cost(found.graph, options, "inference", (), Origin(capture, found.seconds))

    progress(f"tracing one of {devices} devices")
    return _over_regions(capture(None), lambda ones: source(None, {**(pins or {}), **ones}), progress)


def _in_full(given: Callable[[bool], Shared], whole: bool, progress: Progress) -> Source:
    """The graph of all blocks: put together from those that were traced, or traced whole where those do not repeat."""
    if not whole:
        try:
            found = given(False)
            if found.blocks is None:
                return found.source
            graph = stacked(found.source.graph, found.blocks.path, found.blocks.templates)
            return replace(found.source, graph=replace(graph, notes=(*graph.notes, found.blocks.note)))
        except NotRepeatable as error:
            progress(f"{error}; tracing all blocks")
    return given(True).source


def degrees(
    model: Any,
    specs: Any,
    at: Mapping[str, int],
    *,
    devices: Iterable[int] = DEGREES,
    target: str | Target | None = None,
    dtype: str | None = None,
    plan: Plan = "tensor",
    **settings: Any,
) -> Degrees:
    """The model on every number of devices, at a point, with an estimate of one of them where there is a `target`.

    A number of devices that the model cannot be shared out on stays in the table with the reason. `settings` are those of
    `on_devices`. Raises SpecError where no number of devices is given.
    """
    from fxcost.lower.devices import module_of
    from fxcost.target import load_target

    machine = load_target(target) if isinstance(target, str) else target
    pins = {name: size for name, size in at.items() if size == 1}
    rows: list[Degree] = []
    label = settings.get("name") or (model if isinstance(model, str) else type(model).__name__)
    built = module_of(model, label)
    for count in dict.fromkeys(devices):
        try:
            cost = on_devices(built, specs, count, plan=plan, pins=pins, **{**settings, "name": label})
            cost = _holding(cost, _known(cost, at))
            estimate = None if machine is None else cost.on(machine, dtype, _known(cost, at))
        except CaptureError as error:
            rows.append(Degree(count, None, str(error)))
            continue
        rows.append(Degree(count, cost, "", estimate))
    if not rows:
        raise SpecError("no number of devices is given; for example 1,2,4,8")
    if all(row.cost is None for row in rows):
        raise CaptureError(f"{label}: {rows[-1].reason}")
    return Degrees(label, plan if isinstance(plan, str) else "as given", dict(at), tuple(rows), machine)


def _holding(cost: Cost, point: Mapping[str, int]) -> Cost:
    """The cost, traced anew at the point where its formulas do not hold there: layouts are chosen by sizes."""
    try:
        cost.peak_memory.at(point)
        cost.macs.at(point)
    except OutsideDomain:
        return cost.recapture(point)
    return cost


def _known(cost: Cost, at: Mapping[str, int]) -> dict[str, int]:
    """The sizes that are symbols of the cost; those that are one are numbers in it."""
    return {name: size for name, size in at.items() if name in cost.symbols or size != 1}


def plan_from(texts: Iterable[str]) -> Plan:
    """A plan as it is typed: `tensor`, `expert`, or one `PATH=STYLE` a module; raises SpecError for anything else."""
    given = list(texts)
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    pairs = [text.partition("=") for text in given]
    if not all(equals and path and style for path, equals, style in pairs):
        raise SpecError(f"plan {', '.join(given)}: expected tensor or expert, or PATH=STYLE for every module")
    return {path: style for path, _, style in pairs}


def table_of(found: Degrees) -> DeviceTable:
    """Everything that is shown of it."""
    smallest, fastest = found.smallest, found.fastest
    return DeviceTable(
        found.model,
        found.plan,
        found.at,
        tuple(_row(row, found.at) for row in found.rows),
        found.target.name if found.target else None,
        smallest.devices if smallest else None,
        fastest.devices if fastest else None,
    )


def _row(row: Degree, at: Mapping[str, int]) -> DeviceRow:
    if row.cost is None:
        return DeviceRow(row.devices, row.reason, fits="refused")
    point = _known(row.cost, at)
    quantities = {name: row.cost.quantities[name] for name in SHOWN if name in row.cost.quantities}
    values = {name: quantity.at(point) for name, quantity in quantities.items()}
    sent = None if row.estimate is None else [node.t_wire_s for node in row.estimate.by_node()]
    known = sent is not None and all(isinstance(each, float) for each in sent)
    return DeviceRow(
        row.devices,
        "",
        quantities,
        {name: value if isinstance(value, int) else None for name, value in values.items()},
        row.fits,
        row.latency_s(),
        row.latency_s("calibrated"),
        sum(each for each in sent or () if isinstance(each, float)) if known else None,
        row.estimate.dropped_terms if row.estimate else (),
    )
