"""fxcost inside torch's compilers: passes for torch.fx, a backend and an Inductor pass for torch.compile.

fxcost.annotate(program)                                  # node.meta["fxcost"]: formulas
PassManager([torch_pass("schedule", at={"N": 1})])        # steps as passes of torch.fx
torch.compile(model, backend=fxcost.backend(inner="aot_eager", report=print))
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fxcost.cost import Cost
from fxcost.errors import FxcostError, ModelError, SpecError, nearest
from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Graph
from fxcost.passes.schedule import BestOrder
from fxcost.pipeline import Options, passes
from fxcost.query.breakdown import METRICS
from fxcost.steps import STEPS, Setting, run_steps
from fxcost.target import load_target


@dataclass(frozen=True)
class CompiledGraph:
    """A graph on its way through torch.compile: what it costs, and what was done with its order.

    `stage` is forward, backward, inference or post_grad. Peaks are bytes of values that the graph makes, at the sizes
    `at` it was traced with; what the caller holds (inputs, parameters) is not counted. `problem` says why a graph was
    left as it is.
    """

    name: str
    stage: str
    cost: Cost | None = field(repr=False, default=None)
    at: Mapping[str, int] = field(default_factory=dict)
    order: BestOrder | None = field(repr=False, default=None)
    moved: bool = False
    problem: str = ""

    def __str__(self) -> str:
        if self.order is None or self.cost is None:
            return f"{self.name} ({self.stage}): left as it is: {self.problem}"
        sizes = ", ".join(f"{name}={size}" for name, size in self.at.items())
        found = self.order
        done = "reordered" if self.moved else "in its traced order"
        return (
            f"{self.name} ({self.stage}{', at ' + sizes if sizes else ''}): {len(self.cost.graph.nodes)} ops, {done}; "
            f"peak {found.traced_peak:,} bytes as traced, {found.peak:,} best, no order below {found.lower_bound:,}"
        )


Report = Callable[[CompiledGraph], object]


# -- torch.fx ------------------------------------------------------------------------------------------------------
def annotate(program: Any, specs: Any = (), **options: Any) -> Cost:
    """Put the costs of every node into `node.meta["fxcost"]` as formulas, and return the cost of the whole.

    `program` is an ExportedProgram, or a GraphModule: one that was traced with example values is taken as it is, another
    one is captured with `specs`, as by `analyze`, which also takes the `options`. Every node of an operator gets macs,
    other_ops, params and bytes as quantities: `node.meta["fxcost"]["macs"](N=1)`.
    """
    from fxcost.api import analyze
    from fxcost.integrate import fx_passes
    from fxcost.lower.traced import is_traced

    module = getattr(program, "graph_module", program)
    if module is program and not specs and is_traced(module):
        cost = traced_cost(module, name=type(module).__name__)
    else:
        cost = analyze(program, specs, **options)
    found: dict[str, dict[str, Any]] = {"": dict(cost.quantities)}
    sums: dict[str, list[Mapping[str, Expr]]] = {}
    for row in cost.nodes:
        home = cost.origin.nodes.get(row.name, row.name.partition(".")[0])
        sums.setdefault(home, []).append(row.metrics)
    for home, parts in sums.items():
        found[home] = {metric: cost._part(metric, {metric: total(p[metric] for p in parts)}) for metric in METRICS}
    fx_passes.annotate(module, found)
    return cost


def annotate_stored(program: Any, path: str | Path) -> tuple[str, ...]:
    """Put the costs that `Cost.save` left in a .pt2 into `node.meta["fxcost"]` of a program made from it.

    Nodes are told by where they come from, so the program may have been decomposed or renamed since: each node gets the
    formulas of the node that it was, `origin` names that, and `shared` says how many nodes share them. Returns the names
    that no node comes from. Raises FileError where the file is no such .pt2.
    """
    from fxcost.integrate.fx_passes import annotate_by_origin
    from fxcost.integrate.pt2 import read_data
    from fxcost.report.program import stored_costs

    return annotate_by_origin(program.graph_module, stored_costs(read_data(Path(path)), str(path)))


def traced_cost(module: Any, name: str = "graph", states: Collection[str] = (), options: Options | None = None) -> Cost:
    """The cost of a GraphModule whose nodes carry example values; placeholders in `states` are the model's own.

    Raises ModelError where there are no example values.
    """
    from fxcost.lower.traced import lifted, lower_traced

    graph: Graph = lower_traced(module, name, states)
    unnamed = () if states else lifted(module)
    if unnamed:
        warnings.warn(
            f"{name}: {', '.join(unnamed[:3])}{' ...' if len(unnamed) > 3 else ''} look like parameters that torch.export "
            "lifted, and are counted as inputs; give the ExportedProgram",
            stacklevel=3,
        )
    return Cost(graph, options or Options())


def torch_pass(
    name: str,
    *,
    program: Any = None,
    at: Mapping[str, int] | None = None,
    target: Any = None,
    dtype: str | None = None,
    alignment: int = 1,
    time_limit: float = 60.0,
    accounting: str = "eager",
    inputs: str = "freed",
) -> Any:
    """A step (`fxcost.steps`) or an analysis (`fxcost.pipeline`) as a PassBase for torch.fx's PassManager.

    What a step finds goes into `node.meta["fxcost"]` and `module.meta["fxcost"]`; `schedule` moves the nodes, the least
    peak at `at` first (by default the sizes it was traced with). An analysis leaves its fact in
    `module.meta["fxcost"][name]`. `program` is the ExportedProgram that the module belongs to, where there is one: only
    it says which placeholders are parameters; without it all of them are inputs. Raises UnknownName for another name.
    """
    from fxcost.integrate.fx_passes import FxPass

    known = {step.name for step in STEPS} | set(passes())
    if name not in known:
        raise SpecError(f"there is no pass {name!r}{nearest(name, known)}")
    states = states_of(program)
    machine = load_target(target) if isinstance(target, str) else target
    options = Options(accounting=accounting, inputs=inputs, target=machine)

    def run(module: Any) -> tuple[Mapping[str, Mapping[str, Any]], Sequence[str] | None]:
        cost = traced_cost(module, type(module).__name__, states, options)
        if name not in {step.name for step in STEPS}:
            return {"": {name: cost.facts[passes()[name].provides]}}, None
        found = run_steps(cost, [name], Setting(_point(cost, at), machine, dtype, alignment, time_limit))
        return found.found, found.order

    return FxPass(f"fxcost.{name}", run)


def states_of(program: Any) -> frozenset[str]:
    """Placeholders of an ExportedProgram that are no inputs of the user."""
    if program is None:
        return frozenset()
    specs = program.graph_signature.input_specs
    return frozenset(spec.arg.name for spec in specs if spec.kind.name != "USER_INPUT")


def _point(cost: Cost, at: Mapping[str, int] | None) -> dict[str, int]:
    """The sizes asked for, and those of the trace for the rest."""
    traced = {s.name: s.hint for s in cost.graph.symbols if s.hint is not None}
    return traced | dict(at or {})


# -- torch.compile -------------------------------------------------------------------------------------------------
def backend(
    inner: str = "inductor", report: Report | None = None, reorder: bool = True, *, time_limit: float = 10.0
) -> Callable[..., Any]:
    """A backend for `torch.compile` that analyses every graph, and runs it in the order of least peak memory.

    `inner` is what runs it: `aot_eager` runs torch's own kernels in our order; `inductor` gets our order as its starting
    point, and then fuses and orders by itself. Sizes that torch keeps dynamic stay so. `report` is called with a
    `CompiledGraph` for every graph (`report=print`), but not for one that comes out of Inductor's cache. A graph that
    cannot be analysed runs as it is, with a warning. `time_limit` bounds the search in seconds a graph.
    """
    from fxcost.integrate.compile import backend_of

    return backend_of(inner, _change(report, reorder, time_limit), _identity(reorder, time_limit))


def inductor_pass(report: Report | None = None, reorder: bool = True, *, time_limit: float = 10.0) -> Any:
    """The same as a pass for `torch._inductor.config.post_grad_custom_post_pass`."""
    from fxcost.integrate.compile import PostGradPass

    return PostGradPass(_change(report, reorder, time_limit), _identity(reorder, time_limit))


def _identity(reorder: bool, time_limit: float) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        release = version("fxcost")
    except PackageNotFoundError:
        release = "unknown"
    told = f"fxcost {release} reorder={reorder} time_limit={time_limit!r}"
    return hashlib.sha256(told.encode()).hexdigest()


def _change(report: Report | None, reorder: bool, time_limit: float) -> Callable[[Any, str], None]:
    from fxcost.integrate.reorder import reorder_in_place

    count = 0

    def change(module: Any, stage: str) -> None:
        nonlocal count
        name, count = f"graph {count}", count + 1
        try:
            told = _scheduled(module, name, stage, time_limit)
        except Exception as error:  # whatever is strange about a graph must not keep it from running
            known = isinstance(error, FxcostError)
            told = CompiledGraph(name, stage, problem=str(error) if known else f"{type(error).__name__}: {error}")
            warnings.warn(f"fxcost: {told}", stacklevel=2)
        best = told.order
        if reorder and best is not None and told.cost is not None and best.peak < best.traced_peak:
            reorder_in_place(module.graph, [told.cost.graph.nodes[position].name for position in best.order])
            told = replace(told, moved=True)
        if report is not None:
            report(told)

    return change


def _scheduled(module: Any, name: str, stage: str, time_limit: float) -> CompiledGraph:
    """Analyse a graph and find its best order; nothing is moved yet."""
    from fxcost.lower.traced import is_traced, lower_traced

    if not is_traced(module):
        raise ModelError("it has no operators with example values")
    cost = Cost(lower_traced(module, name), Options(inputs="excluded"))
    at = _point(cost, None)
    return CompiledGraph(name, stage, cost, at, cost.schedule(at, time_limit, fold=False))
