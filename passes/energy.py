"""Energy on a target, by the lecture's formula.

E = MACs * (multiply + add) + bytes * energy per byte, each byte at the level that serves it, + static power * roofline
latency. Activations count as read and written by all ops under the accounting asked for, weights as fetched; which level
serves them is decided as for latency (`_places`). Other operations and register traffic are not in the lecture's formula,
hence not here. A figure that the target does not state drops the part, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Graph
from fxcost.passes._places import Place
from fxcost.passes._rates import EnergyFormula, Load, Term, loads
from fxcost.passes.latency import Latency, Missing, Served, dtype_on, target_of
from fxcost.passes.workload import Work, Workload
from fxcost.pipeline import Facts, register_pass
from fxcost.target import Target

PJ_PER_J = 1e12

Formulas = Mapping[str, EnergyFormula | None]


@dataclass(frozen=True)
class EnergyUse:
    """Formulas in joules: the whole, by part (macs, weights, activations, static), by type of product, by memory level.

    None where the target states nothing for it; `missing` names every part that is left out, and why. `rows` are the
    terms of each group, parallel to the groups.
    """

    total: EnergyFormula | None
    parts: Formulas = field(default_factory=dict)
    dtypes: Formulas = field(default_factory=dict)
    levels: Formulas = field(default_factory=dict)
    rows: tuple[tuple[Term, ...], ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Why parts are left out, each reason once."""
        return self.dropped_at({})

    def dropped_at(self, env: Mapping[str, int]) -> tuple[str, ...]:
        """The reasons that apply at these sizes."""
        return tuple(dict.fromkeys(m.reason for m in self.missing if m.applies(env)))


@register_pass("energy", provides=EnergyUse, requires=(Workload, Latency), options=("target",))
def energy(graph: Graph, facts: Facts) -> EnergyUse:
    """Multiply the workload by the target's energies."""
    return energy_on(target_of(facts), facts[Workload], facts[Latency])


def energy_on(target: Target, work: Workload, latency: Latency) -> EnergyUse:
    """Energy of a workload whose latency is known."""
    here = Served.of(target, work)
    moved, fetched = work.sum_of("read_bytes", "write_bytes"), work.sum_of("weight_bytes")
    products = [load for row in work.rows for load in _products(target, row)]
    activations = list(_bytes(target, here.activations, moved, "activations"))
    weights = list(_bytes(target, here.weights, fetched, "weights"))
    static = [] if latency.roofline is None else list(_static(target, latency.roofline.terms))

    def formula(parts: Iterable[Load], terms: Iterable[Term] = (), *, asked: bool = True) -> EnergyFormula | None:
        made = EnergyFormula.of([Term(memory=loads(parts)), *terms])
        return None if made.states_nothing and asked else made

    def at(level: str) -> EnergyFormula | None:
        served = [load for load in (*activations, *weights) if load.level == level]
        return formula(served, asked=_pj_per_byte(target, level) is None)

    dtypes = dict.fromkeys(dtype_on(target, row) for row in work.rows if row.macs is not ZERO)
    levels = dict.fromkeys(place.level.name for place in (*here.activations, *here.weights))
    return EnergyUse(
        total=formula([*products, *activations, *weights], static, asked=not work.is_idle),
        parts={
            "macs": formula(products, asked=work.sum_of("macs") is not ZERO),
            "weights": formula(weights, asked=fetched is not ZERO),
            "activations": formula(activations, asked=moved is not ZERO),
            "static": formula([], static, asked=not work.is_idle),
        },
        dtypes={dtype: formula(load for load in products if load.what == dtype) for dtype in dtypes},
        levels={name: at(name) for name in levels},
        rows=tuple(
            tuple(_row_terms(here, row, found.term)) for row, found in zip(work.rows, latency.rows, strict=True)
        ),
        missing=tuple(dict.fromkeys(_missing(here, work, latency))),
    )


def _row_terms(here: Served, row: Work, roofline: Term) -> Iterator[Term]:
    moved = _bytes(here.target, here.activations, row.read_bytes + row.write_bytes, "activations")
    fetched = _bytes(here.target, here.weights, row.weight_bytes, "weights")
    yield Term(memory=loads((*_products(here.target, row), *moved, *fetched)))
    yield from _static(here.target, (roofline,))


def _products(target: Target, row: Work) -> Iterator[Load]:
    dtype = dtype_on(target, row)
    picojoules = _pj_per_mac(target, dtype)
    if picojoules is not None:
        yield Load(row.macs, PJ_PER_J / picojoules, dtype)


def _bytes(target: Target, where: Iterable[Place], amount: Expr, what: str) -> Iterator[Load]:
    for place in where:
        picojoules = _pj_per_byte(target, place.level.name)
        if picojoules is not None:
            yield place.load(amount, PJ_PER_J / picojoules, what)


def _static(target: Target, roofline: Iterable[Term]) -> Iterator[Term]:
    """Static power times the roofline latency: the roofline's terms with rates per joule in place of per second."""
    watts = _static_w(target)
    if watts:
        for term in roofline:
            yield term.with_loads(lambda load: replace(load, rate=load.rate / watts))


def _pj_per_mac(target: Target, dtype: str) -> float | None:
    found = dict(target.energy.pj_per_mac).get(dtype) if target.energy else None
    return None if found is None else found.mult + found.add


def _pj_per_byte(target: Target, level: str) -> float | None:
    return dict(target.energy.pj_per_byte).get(level) if target.energy else None


def _static_w(target: Target) -> float | None:
    return target.energy.static_w if target.energy else None


def _missing(here: Served, work: Workload, latency: Latency) -> Iterator[Missing]:
    target = here.target
    if target.energy is None:
        yield Missing("energy", f"energy: {target.name} has no energy block")
        return
    for row in work.rows:
        dtype = dtype_on(target, row)
        if row.macs is not ZERO and _pj_per_mac(target, dtype) is None:
            yield Missing("energy", f"energy of {dtype} products: {target.name} states no {dtype} MAC")
    for where, amount, what in (
        (here.activations, work.sum_of("read_bytes", "write_bytes"), "activations"),
        (here.weights, work.sum_of("weight_bytes"), "weights"),
    ):
        for place in where:
            if amount is not ZERO and _pj_per_byte(target, place.level.name) is None:
                kept = " kept on chip" if place.inside else ""
                reason = f"energy of {what}{kept}: {target.name} states no energy per byte of {place.level.name}"
                yield Missing("energy", reason, place)
    if any(row.exchange is not None for row in work.rows):
        yield Missing("energy", "energy of collectives: no target states what a byte to another device costs")
    if _static_w(target) is None:
        yield Missing("energy", f"static energy: {target.name} states no static power")
    elif latency.roofline is None:
        yield Missing("energy", f"static energy: {target.name} states too little for a roofline latency")
