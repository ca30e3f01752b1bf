"""Energy on a target, by the lecture's formula.

E = MACs * (multiply + add) + bytes * energy per byte, each byte at the level where it lives, + static power * roofline
latency. Activations count as read and written by all ops under the accounting asked for, weights as fetched. Where all
weights stay on chip they are charged at that level instead. Other operations and register traffic are not in the
lecture's formula, hence not here. A figure that the target does not state drops the part, by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Graph
from fxcost.passes._rates import EnergyFormula, Load, Loads, Term, loads
from fxcost.passes.latency import Latency, dtype_on, target_of
from fxcost.passes.workload import Workload
from fxcost.pipeline import Facts, register_pass
from fxcost.target import Target

PJ_PER_J = 1e12


@dataclass(frozen=True)
class EnergyUse:
    """Formulas in joules: the whole, by part (macs, weights, activations, static) and by memory level.

    None where the target states nothing for it; `dropped` names every part that is missing, and why.
    """

    total: EnergyFormula | None
    parts: Mapping[str, EnergyFormula | None] = field(default_factory=dict)
    levels: Mapping[str, EnergyFormula | None] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


@register_pass("energy", provides=EnergyUse, requires=(Workload, Latency), options=("target",))
def energy(graph: Graph, facts: Facts) -> EnergyUse:
    """Multiply the workload by the target's energies."""
    return energy_on(target_of(facts), facts[Workload], facts[Latency])


def energy_on(target: Target, work: Workload, latency: Latency) -> EnergyUse:
    """Energy of a workload whose latency is known."""
    home, store, cache = target.home("activations"), target.home("weights"), latency.residence
    moved, fetched = work.sum_of("read_bytes", "write_bytes"), work.sum_of("weight_bytes")
    read_and_written = Term(memory=_byte_loads(target, home.name, moved))
    streamed = Term(streamed=_byte_loads(target, store.name, fetched))
    resident = Term(resident=_byte_loads(target, cache.level, fetched)) if cache else Term()

    def formula(*terms: Term, asked: bool = True) -> EnergyFormula | None:
        made = EnergyFormula.of(terms, cache)
        return None if made.states_nothing and asked else made

    products = Term(_mac_loads(target, work))
    static = _static_terms(target, latency)
    levels: dict[str, list[Term]] = {home.name: [read_and_written]}
    levels.setdefault(store.name, []).append(streamed)
    if cache is not None:
        levels.setdefault(cache.level, []).append(resident)
    return EnergyUse(
        total=formula(products, read_and_written, streamed, resident, *static, asked=not work.is_idle),
        parts={
            "macs": formula(products, asked=work.sum_of("macs") is not ZERO),
            "weights": formula(streamed, resident, asked=fetched is not ZERO),
            "activations": formula(read_and_written, asked=moved is not ZERO),
            "static": formula(*static, asked=not work.is_idle),
        },
        levels={name: formula(*terms, asked=_pj_per_byte(target, name) is None) for name, terms in levels.items()},
        dropped=tuple(dict.fromkeys(_dropped(target, work, latency))),
    )


def _mac_loads(target: Target, work: Workload) -> Loads:
    return loads(*((row.macs, _per_joule(_pj_per_mac(target, dtype_on(target, row)))) for row in work.rows))


def _byte_loads(target: Target, level: str, amount: Expr) -> Loads:
    return loads((amount, _per_joule(_pj_per_byte(target, level))))


def _static_terms(target: Target, latency: Latency) -> tuple[Term, ...]:
    """Static power times the roofline latency: the roofline's terms with rates per joule in place of per second."""
    watts = _static_w(target)
    if not watts or latency.roofline is None:
        return ()
    return tuple(
        term.with_loads(lambda parts: tuple(Load(part.amount, part.rate / watts) for part in parts))
        for term in latency.roofline.terms
    )


def _pj_per_mac(target: Target, dtype: str) -> float | None:
    found = dict(target.energy.pj_per_mac).get(dtype) if target.energy else None
    return None if found is None else found.mult + found.add


def _pj_per_byte(target: Target, level: str) -> float | None:
    return dict(target.energy.pj_per_byte).get(level) if target.energy else None


def _static_w(target: Target) -> float | None:
    return target.energy.static_w if target.energy else None


def _per_joule(picojoules: float | None) -> float | None:
    return None if picojoules is None else PJ_PER_J / picojoules


def _dropped(target: Target, work: Workload, latency: Latency) -> Iterator[str]:
    if target.energy is None:
        yield f"energy: {target.name} has no energy block"
        return
    for row in work.rows:
        dtype = dtype_on(target, row)
        if row.macs is not ZERO and _pj_per_mac(target, dtype) is None:
            yield f"energy of {dtype} products: {target.name} states no {dtype} MAC"
    places = [
        (work.sum_of("read_bytes", "write_bytes"), "activations", target.home("activations").name),
        (work.sum_of("weight_bytes"), "weights", target.home("weights").name),
    ]
    if latency.residence is not None:
        places.append((work.sum_of("weight_bytes"), "weights kept on chip", latency.residence.level))
    for amount, what, level in places:
        if amount is not ZERO and _pj_per_byte(target, level) is None:
            yield f"energy of {what}: {target.name} states no energy per byte of {level}"
    if _static_w(target) is None:
        yield f"static energy: {target.name} states no static power"
    elif latency.roofline is None:
        yield f"static energy: {target.name} states too little for a roofline latency"
