"""Passes as steps over a program: what each finds out becomes attributes of the ops; `schedule` moves the ops.

One list serves IR text (`fxcost opt`) and torch.fx graphs (`fxcost.compiler`). A step is a function of the cost of the
graph as it stands and of the setting; its attributes are named after it: `liveness.bytes`, `plan.offset`. When a step
moves ops, what earlier steps found out about the order before is found out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fxcost.cost import Cost
from fxcost.errors import InternalError, SpecError, nearest
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph
from fxcost.ir.symbols import check_point
from fxcost.ir.text import Fact
from fxcost.ir.verify import verify
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.liveness import Liveness
from fxcost.passes.memory_plan_graph import plan_of
from fxcost.passes.peak import by_case
from fxcost.passes.schedule import complete_point
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.schedule_problem import block_roots
from fxcost.passes.storage import Storage
from fxcost.report.mlir import formulas

if TYPE_CHECKING:
    from fxcost.target import Target

Found = Mapping[str, Mapping[str, Any]]
"""By node name (empty: the whole graph), then by attribute: formulas, numbers, text."""


@dataclass(frozen=True)
class Setting:
    """What steps may ask for: sizes, a machine and the type to compute in, alignment in bytes, seconds to search."""

    at: Mapping[str, int] | None = None
    target: str | Target | None = None
    dtype: str | None = None
    alignment: int = 1
    time_limit: float = 60.0


@dataclass(frozen=True)
class Step:
    """A step: `find` annotates; with `moves` it comes with an order, and what `by_order` ones found is found anew."""

    name: str
    summary: str
    find: Callable[[Cost, Setting], Found]
    by_order: bool = False
    moves: bool = False


@dataclass(frozen=True)
class Outcome:
    """The program after all steps: its cost (the graph in its new order), and what the steps found out."""

    cost: Cost
    found: Mapping[str, Mapping[str, Any]]
    order: tuple[str, ...] | None = None

    def facts(self) -> dict[str, dict[str, Fact]]:
        """As attributes of IR text: formulas as text, and as affine maps where MLIR has one."""
        symbols = tuple(info.name for info in self.cost.graph.symbols)
        return {
            node: {name: one for key, value in values.items() for name, one in _plain(key, value, symbols).items()}
            for node, values in self.found.items()
        }


def run_steps(cost: Cost, names: Sequence[str], setting: Setting) -> Outcome:
    """Run steps in the order given.

    Raises SpecError for an unknown step, naming the nearest known ones, and for a setting that a step lacks.
    """
    wanted = [step_called(name) for name in names]
    if setting.at is not None:
        cost = cost.at_point(check_point(cost.graph.symbols, setting.at))
    done: dict[str, Found] = {}
    order: tuple[str, ...] | None = None
    for step in wanted:
        found = step.find(cost, setting)
        if step.moves:
            found, order = dict(found), found[""]["schedule.order"]
            cost = reordered(cost, order)
            for earlier in STEPS:
                if earlier.name in done and earlier.by_order and not earlier.moves:
                    done[earlier.name] = earlier.find(cost, setting)
        done[step.name] = found
    together: dict[str, dict[str, Any]] = {}
    for found in done.values():
        for node, values in found.items():
            together.setdefault(node, {}).update(values)
    return Outcome(cost, together, order)


def step_called(name: str) -> Step:
    """The step of this name; raises SpecError with the nearest known ones."""
    for step in STEPS:
        if step.name == name:
            return step
    raise SpecError(f"there is no pass {name!r}{nearest(name, [step.name for step in STEPS])}")


def reordered(cost: Cost, order: Iterable[str]) -> Cost:
    """The same with the nodes in this order, by name; raises InternalError where a value is used before it is made."""
    nodes = {node.name: node for node in cost.graph.nodes}
    graph = replace(cost.graph, nodes=tuple(nodes[name] for name in order))
    verify(graph, cost.graph.name, InternalError)
    return Cost(graph, cost.options, cost.mode, cost.warnings)


def _plain(key: str, value: Any, symbols: tuple[str, ...]) -> Mapping[str, Fact]:
    if isinstance(value, Expr):
        return formulas({key: value}, symbols) or {key: "0"}
    if value is None:
        return {key: "unknown"}
    return {key: value if isinstance(value, bool | int | float | tuple) else str(value)}


# -- what each step finds ------------------------------------------------------------------------------------------
def _cost(cost: Cost, setting: Setting) -> Found:
    found: dict[str, dict[str, Any]] = {}
    for node, row, counted in zip(cost.graph.nodes, cost.nodes, cost.facts[Costs].rows, strict=True):
        metrics = {f"cost.{name}": value for name, value in row.metrics.items() if value.constant != 0}
        found[node.name] = metrics | {"cost.rule": counted.rule.family if counted.rule else "unknown"}
    return found | {"": {f"cost.{name}": q.value for name, q in cost.quantities.items() if q.value.constant != 0}}


def _storage(cost: Cost, setting: Setting) -> Found:
    aliases = cost.facts[Storage].aliases
    found: dict[str, dict[str, Any]] = {}
    for node in cost.graph.nodes:
        shared = [
            (position, alias.of, str(alias.when))
            for position, value in enumerate(node.results)
            if (alias := aliases.get(value.id)) is not None
        ]
        if shared:
            found[node.name] = {"storage.shares": tuple((p, of, when) for p, of, when in shared)}
    return found


def _liveness(cost: Cost, setting: Setting) -> Found:
    graph, lines = cost.graph, cost.facts[Liveness].timelines
    ends = {v: b for b in cost.facts[Buffers].cases[0].buffers for v in b.values}
    found: dict[str, dict[str, Any]] = {"": {"liveness.before": by_case([(t.when, t.sums[0]) for t in lines])}}
    for step, node in enumerate(graph.nodes):
        alive = by_case([(line.when, line.sums[step + 1]) for line in lines])
        dying = tuple(
            dict.fromkeys(
                b.id for v in (*node.operands, *(r.id for r in node.results)) if (b := ends.get(v)) and b.last == step
            )
        )
        found[node.name] = {"liveness.bytes": alive} | ({"liveness.frees": dying} if dying else {})
    return found


def _peak(cost: Cost, setting: Setting) -> Found:
    whole: dict[str, Any] = {
        f"peak.{name}": cost.total(name).value for name in ("peak_memory", "peak_memory_with_scratch")
    }
    if all(s.name in (setting.at or {}) for s in cost.graph.symbols):
        owner = cost.peak_owner(**_sizes(cost, setting, "peak"))
        whole |= {"peak.node": owner.node, "peak.bytes": owner.nbytes}
    return {"": whole}


def _fuse(cost: Cost, setting: Setting) -> Found:
    nodes = cost.graph.nodes
    return {nodes[i].name: {"fuse.group": nodes[g.anchor].name} for g in cost.facts[Groups].rows for i in g.nodes}


def _roofline(cost: Cost, setting: Setting) -> Found:
    estimate = _estimate(cost, setting, "roofline")
    found: dict[str, dict[str, Any]] = {
        row.name: {
            "roofline.seconds": row.t_s,
            "roofline.compute_s": row.t_compute_s,
            "roofline.memory_s": row.t_memory_s,
            "roofline.binds": row.binds,
        }
        for row in estimate.by_node()
    }
    for row in found.values():
        if row["roofline.seconds"] is None:
            del row["roofline.seconds"]
    whole = {f"roofline.{name}_s": getattr(estimate, name) for name in ("lecture", "bound", "roofline", "calibrated")}
    told = {"roofline.target": estimate.target.name, "roofline.dropped": estimate.dropped_terms}
    return found | {"": whole | {name: value for name, value in told.items() if value}}


def _energy(cost: Cost, setting: Setting) -> Found:
    estimate = _estimate(cost, setting, "energy")
    found: dict[str, dict[str, Any]] = {row.name: {"energy.joules": row.energy_j} for row in estimate.by_node()}
    parts = {f"energy.{name}": value for name, value in estimate.energy_parts.items()}
    return found | {"": {"energy.target": estimate.target.name, "energy.joules": estimate.energy} | parts}


def _estimate(cost: Cost, setting: Setting, step: str) -> Any:
    if setting.target is None:
        raise SpecError(f"the pass {step!r} needs a machine: give a target, see `fxcost targets`")
    at = None if setting.at is None else _sizes(cost, setting, step)
    return cost.on(setting.target, setting.dtype, at)


def _schedule(cost: Cost, setting: Setting) -> Found:
    at = _sizes(cost, setting, "schedule")
    best = cost.schedule(at, setting.time_limit, fold=False)  # nodes of parameters alone stay where they are run
    check_schedule(cost.graph, cost.facts, at, best.order, best.folded)
    whole: dict[str, Any] = {
        "schedule.order": best.names,
        "schedule.at": tuple(at.items()),
        "schedule.peak": best.peak,
        "schedule.traced_peak": best.traced_peak,
        "schedule.lower_bound": best.lower_bound,
        "schedule.optimal": best.optimal,
        "schedule.certificate": best.certificate,
    }
    return {"": whole}


def _plan(cost: Cost, setting: Setting) -> Found:
    """The offset of the block that each result lives in; `plan.block` names it where another value made it."""
    at = _sizes(cost, setting, "plan")
    plan = plan_of(cost.graph, cost.facts, at, fold=False, alignment=setting.alignment, time_limit=setting.time_limit)
    roots = block_roots(cost.graph, cost.facts, at)
    found: dict[str, dict[str, Any]] = {}
    for node in cost.graph.nodes:
        placed = [
            (v.id, roots[v.id], plan.offsets[roots[v.id]]) for v in node.results if roots.get(v.id) in plan.offsets
        ]
        if len(node.results) > 1:
            found[node.name] = {"plan.offsets": tuple(placed)}
        elif placed:
            ((value, block, offset),) = placed
            found[node.name] = {"plan.offset": offset} | ({"plan.block": block} if block != value else {})
    inputs = tuple((v.id, plan.offsets[v.id]) for v in cost.graph.inputs if v.id in plan.offsets)
    whole: dict[str, Any] = {
        "plan.at": tuple(at.items()),
        "plan.height": plan.height,
        "plan.load_bound": plan.load_bound,
        "plan.optimal": plan.optimal,
        "plan.alignment": plan.alignment,
        "plan.inputs": inputs,
    }
    return found | {"": whole}


def _sizes(cost: Cost, setting: Setting, step: str) -> dict[str, int]:
    """The point, complete."""
    known = {s.name for s in cost.graph.symbols}
    at = {name: size for name, size in (setting.at or {}).items() if name in known}
    missing = [s.name for s in cost.graph.symbols if s.name not in at]
    if missing:
        raise SpecError(f"the pass {step!r} needs a size for {', '.join(missing)}: {_example(cost.graph)}")
    return complete_point(cost.graph, at)


def _example(graph: Graph) -> str:
    return "for example --at " + ",".join(f"{s.name}={s.hint or max(s.min, 1)}" for s in graph.symbols)


STEPS = (
    Step("cost", "MACs, other operations and traffic of every op, and the totals", _cost),
    Step("storage", "which results share memory with an operand, and when", _storage),
    Step("liveness", "bytes alive while each op runs, and what it frees", _liveness, by_order=True),
    Step("peak", "the peak as a formula; with sizes, the op that owns it", _peak, by_order=True),
    Step("fuse", "which op's kernel each op runs in", _fuse),
    Step("roofline", "seconds of every op on a target, and what binds", _roofline),
    Step("energy", "joules of every op on a target", _energy),
    Step("schedule", "ops in the order of least peak memory", _schedule, by_order=True, moves=True),
    Step("plan", "an offset for every result in the smallest arena", _plan, by_order=True),
)
"""Every step, in the order in which they are listed to users."""
