"""analyze: capture a model once and hand back its costs.

The torch side is imported only when a model is captured; a graph read from IR text is analysed without torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxcost.cache.folder import Folder, folder_of
from fxcost.cache.question import question_of
from fxcost.cache.recall import recalled
from fxcost.cost import Cost
from fxcost.errors import FileError, ModelError, SpecError, nearest
from fxcost.formulas import Origin
from fxcost.ir.domain import is_one_excluded, is_thin
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph, Standing, Variant
from fxcost.ir.predicate import holds, symbols_of
from fxcost.ir.widths import width
from fxcost.passes.cost import Costs
from fxcost.passes.liveness import Liveness, live_bytes
from fxcost.passes.totals import Totals
from fxcost.pipeline import ACCOUNTINGS, PRECISIONS, Facts, Options
from fxcost.query.regions import agrees, domain_without, excluded_ones, slices
from fxcost.sampling import sample

if TYPE_CHECKING:
    from fxcost.ir.text_reader import Program
    from fxcost.lower.model import Source
    from fxcost.query.fitted import Sampled

Progress = Callable[[str], None]
Step = tuple[Callable[[Any], Any] | None, tuple[str, ...]]
MODES = ("inference", "training")
NOT_CHECKED = "no self-check: no other size was found that the eager model runs at without values"


def analyze(
    model: Any,
    specs: Any = (),
    *,
    kwargs: Mapping[str, Any] | None = None,
    accounting: str = "eager",
    inputs: str = "freed",
    weights: str | Mapping[str, str] | None = None,
    activations: str | None = None,
    device: str = "cpu",
    mode: str = "inference",
    loss: Callable[[Any], Any] | None = None,
    train: str | Sequence[str] | None = None,
    optimizer: str | None = None,
    precision: str | None = None,
    rule: str | None = None,
    strict: bool = False,
    check: bool = True,
    name: str | None = None,
    cache: bool | str | Path | None = None,
    progress: Progress = lambda _: None,
) -> Cost:
    """Capture a model once and return its costs as formulas.

    Args:
        model: an nn.Module, ExportedProgram or fx.GraphModule, a loader name (`torchvision:resnet50`), the path of a
            `.pt2`, or MLIR (the path of a `.mlir`, or its text): fxcost IR, linalg or stablehlo.
        specs: one input spec or a tuple of them; see the input specs in the README.
        kwargs: keyword inputs by name.
        accounting: what the runtime folds: eager, inplace or fused.
        inputs: graph inputs are freed after their last reader, held by the caller, or excluded.
        weights: width of parameters (`int8`), or widths by name pattern.
        activations: width of floating activations.
        device: whose strides decide what copies: cpu or meta.
        mode: inference, or training: forward, backward and update of one step. A model that is in train mode keeps what
            its parts are in, another one is put into train mode; parameters without `requires_grad` stay frozen.
        loss: for training, the loss as a function of the model's outputs, a single number; without one the sum of all
            floating outputs.
        train: for training, which parameters: `biases`, `last` (the last layer), or patterns of their names
            (`layer4.*`); without it those that ask for a gradient.
        optimizer: for training, whose state counts: sgd, momentum or adam.
        precision: for training, fp32, bf16, or mixed (bf16 beside float32 copies and states); without it the model's.
        rule: for training, what `saved_activations` counts: autograd, what torch keeps, or tinytl, by layer.
        strict: raise UnknownOps instead of reporting lower bounds.
        check: compare the count with one eager run at another size.
        name: what to call the model.
        cache: keep captures of models that are given by name or file, and recall them without torch: a folder, True for
            the usual one, False for none; None does what `FXCOST_CACHE` says.
        progress: called with a line at each stage.

    Raises SpecError, UnknownName, FileError, CaptureError, UnknownOps; see `fxcost.errors`.
    """
    if mode not in MODES:
        raise SpecError(f"mode={mode!r} is not one of {', '.join(MODES)}{nearest(mode, MODES)}")
    if loss is not None and mode != "training":
        raise SpecError("a loss is that of a training step: give mode='training' as well")
    asked = {"train": train, "optimizer": optimizer, "precision": precision, "rule": rule}
    extra = next((each for each, value in asked.items() if value is not None and mode != "training"), None)
    if extra is not None:
        raise SpecError(f"{extra}={asked[extra]!r} is about a training step: give mode='training' as well")
    if precision is not None and (weights is not None or activations is not None):
        raise SpecError("precision= sets the widths of weights and activations: give it, or weights= and activations=")
    stored = None if precision is None else "bf16" if precision == "mixed" else precision
    if mode == "training" and accounting == "fused":
        raise SpecError("accounting='fused' is that of an inference runtime; a training step is eager or inplace")
    options = Options(
        accounting=accounting,
        inputs=inputs,
        weights=_patterns(weights if precision not in PRECISIONS else stored),
        activations=_width_name(activations if precision not in PRECISIONS else stored),
        device=device,
        optimizer=optimizer or "sgd",
        precision=precision,
        rule=rule or "autograd",
    )
    if isinstance(model, Graph):
        cost = Cost(model, options, mode)
    elif _is_text(model):
        program = _read_text(model, specs)
        cost = Cost(program.graph, options, mode, variants=program.variants)
    else:
        step = (loss, trained(train)) if mode == "training" else None
        capture = partial(remembered, folder_of(cache), model, specs, kwargs, options)
        cost = capture(name, None, check=check, step=step, progress=progress)
    if mode == "training" and "saved_activations" not in cost.quantities:
        raise SpecError(f"{cost.graph.name} holds no backward pass; give the model itself to analyse its training step")
    if strict:
        cost.check_strict()
    return cost


def remembered(
    cache: Folder | None,
    model: Any,
    specs: Any,
    kwargs: Mapping[str, Any] | None,
    options: Options,
    name: str | None,
    point: Mapping[str, int] | None,
    *,
    check: bool = False,
    step: Step | None = None,
    recorded: bool = False,
    progress: Progress = lambda _: None,
) -> Cost:
    """What `captured` gives, from the cache where that holds it."""
    capture = partial(captured, model, specs, kwargs, options, name, point, step=step, recorded=recorded)
    asked = None
    if cache is not None and (step is None or step[0] is None):  # a loss is code without a name
        train = None if step is None else step[1]
        asked = question_of(model, specs, kwargs, options, name, point, check=check, train=train, recorded=recorded)
    if cache is None or asked is None:
        return capture(check=check, progress=progress)

    def rebuilt(program: Program, samples: Sampled | None) -> Cost:
        origin = Origin(fetch=lambda: capture().origin.program)
        mode = "inference" if step is None else "training"
        return Cost(program.graph, options, mode, origin=origin, variants=program.variants, samples=samples)

    cost = recalled(cache, asked, partial(capture, check=check, progress=progress), rebuilt)
    again = partial(remembered, cache, model, specs, kwargs, options, cost.graph.name)
    numeric = cost.graph.standing is Standing.NUMERIC
    origin = replace(cost.origin, again=lambda at: again(at, step=step, recorded=numeric))
    return replace(cost, origin=origin)


def captured(
    model: Any,
    specs: Any,
    kwargs: Mapping[str, Any] | None,
    options: Options,
    name: str | None,
    point: Mapping[str, int] | None,
    *,
    check: bool = False,
    step: Step | None = None,
    recorded: bool = False,
    progress: Progress = lambda _: None,
) -> Cost:
    """Capture a model, at a point where one is given; with `check`, settle its guards and compare with an eager run.

    `step` asks for a training step and holds its loss, or None, and which parameters are trained; `recorded` for one run
    written down instead of a trace.
    """
    from fxcost.capture.record import BY_DATA
    from fxcost.lower.model import Training, capture_graph

    training = None if step is None else Training(*step)
    source = capture_graph(
        model, specs, kwargs, name=name, point=point, training=training, recorded=recorded, progress=progress
    )
    is_record = source.graph.standing is Standing.NUMERIC
    again = model if source.module is None else source.module
    origin = Origin(
        lambda at: captured(again, specs, kwargs, options, source.graph.name, at, step=step, recorded=is_record),
        source.seconds,
        source.program,
        source.origins,
    )
    graph = source.graph if source.eager_peak is None else _lived(source.graph, source.eager_peak, check)
    unsure = tuple(note for note in graph.notes if note.startswith(BY_DATA))
    cost = Cost(graph, options, "inference" if step is None else "training", unsure, origin)
    if not check:
        return cost

    def slice_at(pins: Mapping[str, int]) -> Source:
        """The model with some symbols fixed."""
        return capture_graph(model, specs, kwargs, name=source.graph.name, pins=pins, training=training)

    def sample_at(pins: Mapping[str, int]) -> Graph:
        """The graph with some symbols fixed, made as this one was."""
        found = capture_graph(
            again, specs, kwargs, name=source.graph.name, pins=pins, training=training, recorded=is_record
        )
        return found.graph

    cost = _verified(cost, slice_at, progress)
    takes = {n: info for n, info in source.asked.items() if n not in source.refused}
    cost = sample(cost, takes, source.roles, sample_at, progress)
    if cost.samples is None:
        cost = _over_regions(cost, slice_at, progress)
    if source.eager_count is None:
        return _noted(cost, NOT_CHECKED)
    progress("comparing with an eager run at another size")
    return _checked(cost, source.eager_count)


SOME = 16
"""How many of what only the data decide, where two formulas are compared."""


def _verified(cost: Cost, capture: Callable[[Mapping[str, int]], Source], progress: Progress) -> Cost:
    """Drop guards that fix a size expression to its traced value, if captures at two other sizes agree in every total.

    Some operators compare sizes with numbers without using the outcome (`max_pool1d`). Agreement is no proof, so what is
    left is `fitted`; without it the guard stays.
    """
    thin = [guard for guard in cost.graph.domain if is_thin(guard)]
    names = frozenset().union(*(symbols_of(guard) for guard in thin))
    if not names & frozenset().union(*(total.symbols for total in _all_totals(cost.graph, cost.options).values())):
        return cost  # unrolled: what the size is, the graph does not say
    agreeing = 0
    for point in _other_points(cost.graph) if thin else ():
        pins = {name: point[name] for name in names if name in point}
        rest = {name: size for name, size in point.items() if name not in pins}
        progress("comparing with a capture at " + ", ".join(f"{n}={v}" for n, v in pins.items()))
        try:
            special = _all_totals(capture(pins).graph, cost.options)
        except ModelError:
            continue
        totals = _all_totals(cost.graph, cost.options)
        found = frozenset().union(*(each.symbols for each in (*totals.values(), *special.values()))) - point.keys()
        for at in (rest, dict.fromkeys(rest, 3)):
            at = {**dict.fromkeys(found, SOME), **cost.graph.pinned, **at}
            if any(evaluate(v, {**at, **pins}) != evaluate(special[n], at) for n, v in totals.items()):
                return cost
        agreeing += 1
    if agreeing < 2:
        return cost
    kept = tuple(guard for guard in cost.graph.domain if guard not in thin)
    note = f"verified by captures at two other sizes, not proven: {'; '.join(map(str, thin))} was dropped as a guard"
    graph = replace(cost.graph, domain=kept, standing=cost.graph.standing.combine(Standing.FITTED))
    return _noted(replace(cost, graph=graph), note)


def _lived(graph: Graph, peak: Callable[[Mapping[str, int]], int], elsewhere: bool) -> Graph:
    """A training step's graph, with a note on whether eager torch's own step held what the formula says.

    At the traced sizes, and with `elsewhere` at others.
    """
    traced = {info.name: info.hint for info in graph.symbols if info.hint is not None}
    found = Facts(graph, Options())[Liveness]  # numbers at a point are quicker than the closed form
    agreed = []
    for point in (traced, *(_other_points(graph) if elsewhere and traced else ())):
        where = ", ".join(f"{n}={v}" for n, v in point.items()) or "its sizes"
        if not all(holds(guard, point) for guard in graph.domain):
            continue
        try:
            held, expected = peak(point), max(live_bytes(found, point))
        except Exception:  # this size is outside what the model or the formula takes: try the next
            continue
        if held != expected:
            note = f"peak memory at {where}: {expected:,} bytes by the formula, {held:,} in a run of eager torch"
            return replace(graph, notes=(*graph.notes, note))
        agreed.append(where)
        if len(agreed) == 2:
            break
    note = f"peak memory at {' and at '.join(agreed)}: equal to that of eager torch's own step on fake tensors"
    return replace(graph, notes=(*graph.notes, note)) if agreed else graph


def trained(train: str | Sequence[str] | None) -> tuple[str, ...]:
    """Patterns of the parameters that are trained, as a tuple; empty: all."""
    return () if train is None else (train,) if isinstance(train, str) else tuple(train)


def _over_regions(cost: Cost, capture: Callable[[Mapping[str, int]], Source], progress: Progress) -> Cost:
    """Capture the slices where an excluded symbol is one; drop guards that turn out harmless (see `query.regions`).

    Slices are captured while that takes no longer than the first capture did, or ten seconds; what is left stays a
    guard.
    """
    excluded, origin = excluded_ones(cost.graph), cost.origin
    start, allowed = time.process_time(), max(10.0, origin.seconds.get("export", 0.0))
    variants: list[Variant] = []
    for ones in slices(excluded):
        if time.process_time() - start > allowed:
            break
        progress(f"capturing where {' and '.join(sorted(ones))} = 1")
        try:
            source = capture(dict.fromkeys(sorted(ones), 1))
        except ModelError:  # the model does not run there: the guard is right
            continue
        others = {n for n in excluded if n not in ones}
        strange = [g for g in source.graph.domain if is_one_excluded(g) not in others and g not in cost.graph.domain]
        if (
            source.graph.standing == cost.graph.standing
            and not strange
            and not source.graph.fixed.keys() - cost.graph.fixed.keys()
        ):
            variants.append(Variant(ones, source.graph))
    if not variants:
        return cost
    seconds = {**origin.seconds, "regions": time.process_time() - start}
    cost = replace(cost, origin=replace(origin, seconds=seconds), variants=tuple(variants))
    generic = _all_totals(cost.graph, cost.options)
    same = all(agrees(generic, _all_totals(v.graph, cost.options), v.ones) for v in variants)
    if same and len(variants) == len(slices(excluded)):
        domain = domain_without(cost.graph, (v.ones for v in variants), excluded)
        return replace(cost, graph=replace(cost.graph, domain=domain), variants=())
    return cost


def _all_totals(graph: Graph, options: Options) -> dict[str, Expr]:
    """Totals under every accounting: a guard is dropped for all of them, since a page shows all from one capture."""
    return {
        f"{name}, {accounting}": value
        for accounting in ACCOUNTINGS
        for name, value in Facts(graph, replace(options, accounting=accounting))[Totals].values.items()
    }


def _checked(cost: Cost, count: Callable[[Mapping[str, int]], int]) -> Cost:
    """Compare the formula with torch's own count of one eager run away from the traced size."""
    families = {r.rule.family for r in cost.facts[Costs].rows if r.rule is not None and r.macs.constant != 0}
    if not families <= {"conv", "matmul", "attention", "einsum", "recurrent"} or cost.unknown_ops:
        return cost  # torch's counter has no formula for what this model does
    data = sorted(s.name for s in cost.graph.symbols if s.kind == "data" and s.name in cost.macs.value.symbols)
    if data:
        return _noted(cost, f"no self-check: MACs depend on {', '.join(data)}, which only the data decide")
    start = time.process_time()
    points = _other_points(cost.graph)
    if cost.samples is not None:  # a fitted formula is asked where it was not looked at: well beyond its samples
        points.insert(0, {name: 1 if name == "N" else 4 * size for name, size in points[0].items()})
    for point in points:
        try:
            counted, expected = count(point), cost.macs.at(point)
        except Exception:  # this size is outside what the model or the formula takes: try the next
            continue
        seconds = {**cost.origin.seconds, "check": time.process_time() - start}
        origin = replace(cost.origin, seconds=seconds)
        where = " at " + ", ".join(f"{n}={v}" for n, v in point.items()) if point else ""
        if counted == expected:
            note = f"self-check{where}: equal to torch's count of an eager run"
            return replace(_noted(cost, note), origin=origin)
        note = (
            f"self-check{where}: the formula gives {expected:,} MACs, an eager run {counted:,}; "
            "treat totals as lower bounds"
        )
        cost = _noted(cost, note)
        graph = replace(cost.graph, standing=Standing.LOWER)
        return replace(cost, graph=graph, warnings=(*cost.warnings, note), origin=origin)
    return _noted(cost, NOT_CHECKED)


def _noted(cost: Cost, note: str) -> Cost:
    return replace(cost, graph=replace(cost.graph, notes=(*cost.graph.notes, note)))


def _other_points(graph: Graph) -> list[dict[str, int]]:
    """Points away from the traced one: larger sizes with a batch of one, then smaller ones."""
    traced = {s.name: (s, s.hint) for s in graph.symbols if s.hint is not None}

    def point(move: Callable[[str, int], int]) -> dict[str, int]:
        moved: dict[str, int] = {}
        for name, (info, hint) in traced.items():
            size = max(move(name, hint or 1), info.min)
            size = size if info.max is None else min(size, info.max)
            moved[name] = max(size // info.multiple_of, 1) * info.multiple_of
        return moved

    return [
        point(lambda name, hint: 1 if name == "N" else hint + 64 if hint >= 128 else hint + 3),
        point(lambda name, hint: 1 if name == "N" else max(hint // 2, 1)),
    ]


def _patterns(weights: str | Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    if weights is None:
        return ()
    pairs = (("*", weights),) if isinstance(weights, str) else tuple(weights.items())
    return tuple((pattern, width(name).name) for pattern, name in pairs)


def _width_name(name: str | None) -> str | None:
    return None if name is None else width(name).name


def _is_text(model: Any) -> bool:
    return (isinstance(model, Path) and model.suffix == ".mlir") or (
        isinstance(model, str) and (model.endswith(".mlir") or "\n" in model)
    )


def _read_text(model: str | Path, specs: Any) -> Program:
    """Our own text, or MLIR of another dialect, whose open sizes the specs give names to."""
    from fxcost.dialects import is_foreign, parse_foreign, read_foreign
    from fxcost.ir.text_reader import Program, parse_program, read_program

    def foreign(graph: Graph) -> Program:
        from fxcost.dialects.naming import with_names

        texts = (specs,) if isinstance(specs, str) else tuple(specs)
        return Program(with_names(graph, texts) if texts else graph)

    if isinstance(model, str) and "\n" in model:
        return foreign(parse_foreign(model)) if is_foreign(model) else parse_program(model)
    path = Path(model)
    if not path.is_file():
        raise FileError(f"{path}: no such file; expected fxcost IR text (.mlir)")
    return foreign(read_foreign(path)) if is_foreign(_opening(path)) else read_program(path)


def _opening(path: Path) -> str:
    """A file's text, as far as it is text, to tell whose it is."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
