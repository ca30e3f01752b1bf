"""Patches on a page: the plans found at one point, and what their peaks and MACs are computed from at any other size.

The page sweeps over the stages of a plan itself (tiles.js), as `fxcost.passes._patch_sweep` does: here are the windows,
the maps and the blocks of memory that it does so with. It holds for the graph and the accounting that the plans are of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fxcost.ir.graph import Graph
from fxcost.ir.predicate import TRUE
from fxcost.ops.locality import Axis, Local
from fxcost.passes._patch_setting import bits_of, last_uses, maps_of, windows_of
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.patch import bound_formula
from fxcost.passes.patch_plan import PatchPlan, Stage
from fxcost.passes.storage import Storage
from fxcost.passes.totals import Totals
from fxcost.pipeline import Facts
from fxcost.query.fit import room_for_activations
from fxcost.report.html.javascript import Conditions, Table
from fxcost.report.html.packing import Numbered, Pool, case_data
from fxcost.report.html.subject import Subject
from fxcost.report.patch import grid_text, summary_line

WINDOW, AVERAGE, COUNTED, DIVISOR, LOWEST = (1 << bit for bit in range(5))
"""What a call is, in one number: see `fxcost.ops.locality.Local`; LOWEST is padding with the smallest value."""


@dataclass(frozen=True)
class _Scene:
    """The nodes in an order, with the facts of it."""

    graph: Graph
    facts: Facts


def patches_data(
    subject: Subject, tables: Sequence[Table], conditions: Conditions, pool: Pool
) -> dict[str, Any] | None:
    """Plans that no other beats at the point of the page, fewest MACs first; and the memory of every machine."""
    summary, chosen = subject.summary, subject.settings[subject.chosen]
    found = summary.patches
    if found is None:
        return None
    plans = [
        (peak, macs, stages, False)
        for (peak, macs), stages in zip(found.frontier, found.choices, strict=True)
        if not found.order or (macs < found.macs and peak > found.peak)
    ]
    plans += [(found.peak, found.macs, found.stages, True)] * bool(found.order)
    region = _region(subject, found)
    scenes: list[_Scene] = []
    if region is not None:
        scenes.append(_Scene(subject.regions[region].graph, chosen.facts[region].under(order=None)))
        if found.order:
            graph = found.setting.graph
            scenes.append(_Scene(graph, Facts(graph, scenes[0].facts.options)))
    cuts = [[_cut(scenes[moved].graph, s) for s in stages] if scenes else [] for _, _, stages, moved in plans]
    here = None if region is None else tables[region]
    return {
        "plainPeak": found.plain_peak,
        "plainMacs": found.plain_macs,
        "bound": found.bound,
        "certificate": found.certificate,
        "point": {name: str(size) for name, size in found.point.items()},
        "at": ", ".join(f"{name}={size}" for name, size in found.point.items()),
        "accounting": chosen.options.accounting,
        "widths": chosen.widths,
        "plans": [
            {"peak": peak, "macs": macs, "stages": [_stage(s) for s in stages], "order": moved, "cuts": cut}
            for (peak, macs, stages, moved), cut in zip(plans, cuts, strict=True)
        ],
        "rooms": list(_rooms(subject, found)),
        "region": region,
        "guards": [conditions(guard) for guard in chosen.facts[region][Totals].guards] if region is not None else [],
        "boundFormula": None if here is None else here(bound_formula(scenes[0].graph, scenes[0].facts)),
        "scenes": [
            _scene(
                scene,
                [c for plan, cut in zip(plans, cuts, strict=True) if plan[3] == i for c in cut],
                here,
                conditions,
                pool,
            )
            for i, scene in enumerate(scenes)
            if here is not None
        ],
    }


def _rooms(subject: Subject, found: PatchPlan) -> Iterator[dict[str, Any]]:
    for name, answer in subject.settings[subject.chosen].largest.items():
        room, patched = room_for_activations(answer), subject.summary.patched_fits.get(name)
        least = "none found" if patched is None or patched.found is None else summary_line(patched.found)
        if room is not None and found.plain_peak <= room[1]:
            least = "none needed"
        yield {"name": name, "level": room and room[0], "bytes": room and room[1], "least": least if room else ""}


def _stage(stage: Stage) -> dict[str, Any]:
    return {"from": stage.first, "to": stage.up_to or stage.last, "cut": grid_text(stage), "peak": stage.peak}


def _region(subject: Subject, found: PatchPlan) -> int | None:
    """The region whose nodes the plan is about, in whichever order; None where they were captured anew for it."""
    nodes = {id(node) for node in found.setting.graph.nodes}
    matching = (i for i, each in enumerate(subject.regions) if {id(node) for node in each.graph.nodes} == nodes)
    return next(matching, None)


def _cut(graph: Graph, stage: Stage) -> list[int]:
    """First node, one past the last, rows, columns, and whether halos are kept."""
    place = {node.name: k for k, node in enumerate(graph.nodes)}
    return [place[stage.first], place[stage.last] + 1, stage.rows, stage.columns, int(stage.cached)]


def _scene(
    scene: _Scene, cuts: Sequence[Sequence[int]], table: Table, conditions: Conditions, pool: Pool
) -> dict[str, Any]:
    """Blocks of memory, maps, and the calls inside the stages."""
    graph, facts = scene.graph, scene.facts
    inside = sorted({k for cut in cuts for k in range(cut[0], cut[1])})
    windows, axes, values = windows_of(graph, facts[Storage]), Numbered[Axis](), Numbered[str]()
    nodes = [_call(graph, k, window, values, axes, pool) for k in inside if isinstance(window := windows[k], Local)]
    base = {v: (a.when, a.of) for v, a in facts[Storage].aliases.items()}
    base |= {v: (TRUE, of) for v, of in facts[Groups].virtual.items()}
    for value in values.things:
        while value in base:  # who owns the memory is asked about as well
            value = base[value][1]
            values(value)
    names = values.things
    maps, last = maps_of(graph), last_uses(graph)
    defined = {value.id: k for k, node in enumerate(graph.nodes) for value in node.results}
    sizes = [(*maps[v].shape[-2:], maps[v].numel) if v in maps else None for v in names]
    rows, columns, elements = ([-1 if s is None else table(s[i]) for s in sizes] for i in range(3))
    return {
        "steps": len(graph.nodes),
        "direct": facts.options.accounting != "eager",
        "macs": pool.column(table(row.macs) for row in facts[Costs].rows),
        "cases": [
            {
                **case_data(case, table, pool, conditions),
                "of": _blocks({v: i for i, b in enumerate(case.buffers) for v in b.values}, names),
            }
            for case in facts[Buffers].cases
        ],
        "axes": [[axis.kernel, axis.stride, axis.dilation, axis.before, axis.after] for axis in axes.things],
        "nodes": nodes,
        "rows": rows,
        "columns": columns,
        "elements": elements,
        "bits": [bits_of(maps[v], facts.options.activations) if v in maps else 0 for v in names],
        "last": [last.get(v, -1) for v in names],
        "defined": [defined.get(v, -1) for v in names],
        "base": [_base(base[v], values, conditions) if v in base else [-1, -1] for v in names],
    }


def _blocks(block_of: Mapping[str, int], names: Sequence[str]) -> list[int]:
    return [block_of.get(name, -1) for name in names]


def _base(base: tuple[Any, str], values: Numbered[str], conditions: Conditions) -> list[int]:
    """Under which condition a value lives in another one's memory, and in whose; -1 is always."""
    when, of = base
    return [-1 if when == TRUE else conditions(when), values(of)]


def _call(
    graph: Graph, position: int, window: Local, values: Numbered[str], axes: Numbered[Axis], pool: Pool
) -> list[Any]:
    """Position, name, result, operands, which of them move, which are written, what it is, and its windows."""
    node = graph.nodes[position]
    flags = WINDOW * (window.form == "window") + AVERAGE * window.average + COUNTED * window.counted
    flags += DIVISOR * bool(window.divisor) + LOWEST * (window.fill is None)
    operands = [values(operand) for operand in node.operands]
    written = [operands[i] for i in node.effects.writes]
    result = values(node.results[0].id)
    return [
        position,
        pool.text(node.name),
        result,
        operands,
        list(window.moving),
        written,
        flags,
        *map(axes, window.axes),
    ]
