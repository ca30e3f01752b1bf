"""A model on a machine, as data of a page: four latencies, energy, what fits, and a roofline row for every op."""

from __future__ import annotations

from typing import Any

from fxcost.ir.expr import ZERO
from fxcost.ir.graph import Graph
from fxcost.passes.energy import EnergyUse
from fxcost.passes.estimate import LATENCIES, compute_name, estimate
from fxcost.passes.fits import Fits
from fxcost.passes.fuse import Groups
from fxcost.passes.latency import VECTOR_DTYPE, Latency, Missing
from fxcost.passes.workload import Work, Workload, in_dtype
from fxcost.pipeline import Facts
from fxcost.query.units import human
from fxcost.report.html.packing import Numbered, Pool, Rates
from fxcost.report.html.subject import Machine
from fxcost.report.roofline import bandwidths

AMOUNTS = ("macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes")


def facts_on(machine: Machine, graph: Graph, facts: Facts) -> Facts:
    """Facts of a graph computing on a machine, as `fxcost.passes.estimate` takes them."""
    dtype = None if machine.dtype is None else compute_name(machine.dtype)
    return in_dtype(graph, facts, dtype).under(target=machine.target.computing_in(dtype))


def machine_data(machine: Machine, graph: Graph, facts: Facts, pool: Pool, rates: Rates) -> dict[str, Any]:
    """Formulas and rows; `rates` gathers the terms of the region."""
    here = facts_on(machine, graph, facts)
    latency, energy = here[Latency], here[EnergyUse]
    missing = Numbered[Missing]()
    for each in (*latency.missing, *energy.missing):
        missing(each)
    return {
        "latencies": {name: rates.formula(getattr(latency, name)) for name in LATENCIES},
        "energy": rates.formula(energy.total),
        "parts": {name: rates.formula(part) for name, part in energy.parts.items()},
        "fits": [
            [pool.text(row.what), pool.text(row.level), rates.amount(row.need_bytes), row.have_bytes, row.decides]
            for row in here[Fits].rows
        ],
        "groups": _groups(graph, here, latency, pool, rates, missing),
        "missing": [
            [m.side, pool.text(m.reason), *(rates.place(p) for p in (_inside(m), _outside(m)))] for m in missing.things
        ],
        "calibration": estimate(graph, facts, machine.target, machine.dtype).calibration,
    }


def _inside(missing: Missing) -> Any:
    return missing.place.inside if missing.place else None


def _outside(missing: Missing) -> Any:
    return missing.place.outside if missing.place else None


def _groups(
    graph: Graph, facts: Facts, latency: Latency, pool: Pool, rates: Rates, missing: Numbered[Missing]
) -> dict[str, Any]:
    """Columns over the groups that do something: the node that names each, amounts, roofline term, what it lacks."""
    rows = [
        (group, work, row)
        for group, work, row in zip(facts[Groups].rows, facts[Workload].rows, latency.rows, strict=True)
        if not work.is_idle
    ]
    lacks = Numbered[tuple[int, ...]]()
    return {
        "node": pool.column(group.anchor for group, _, _ in rows),
        "size": pool.column(len(group.nodes) for group, _, _ in rows),
        "class": pool.words(work.op_class for _, work, _ in rows),
        "term": pool.column(rates.term(row.term) for _, _, row in rows),
        "lacks": pool.column(lacks(tuple(missing(m) for m in row.missing)) for _, _, row in rows),
        "lacking": lacks.things,
        **{name: pool.column(rates.amount(getattr(work, name)) for _, work, _ in rows) for name in AMOUNTS},
    }


def ceilings(machine: Machine, works: list[tuple[Work, str]]) -> dict[str, Any]:
    """Peaks of the types that ops compute in, and bandwidths of the levels that can serve a model."""
    used = {dtype for work, dtype in works if work.macs is not ZERO}
    used |= {VECTOR_DTYPE} if any(work.other_ops is not ZERO for work, _ in works) else set()
    peaks = sorted(machine.target.peaks, key=lambda pair: -pair[1])
    return {
        "peaks": [[f"{dtype} {human(rate, '')}op/s", rate] for dtype, rate in peaks if dtype in used],
        "bandwidths": [[level.label, level.rate] for level in bandwidths(machine.target)],
    }
