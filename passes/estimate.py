"""Estimates: latency, energy and fit of one graph on one target, at a point or as formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fxcost.errors import OutsideDomain, SpecError, nearest
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, substitute
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Predicate, decide, replace_symbols
from fxcost.ir.symbols import check_point, ranges_of
from fxcost.passes._rates import (
    EnergyFormula,
    FormulaType,
    LatencyFormula,
    Loads,
    RateFormula,
    Term,
    Values,
    amounts_of,
    at_point,
    loads,
)
from fxcost.passes.energy import EnergyUse
from fxcost.passes.fits import Fits
from fxcost.passes.fuse import Groups
from fxcost.passes.latency import WIRE, Latency, Missing, Row
from fxcost.passes.totals import Totals
from fxcost.passes.workload import Work, Workload, in_dtype
from fxcost.pipeline import Facts
from fxcost.target import DTYPES, Target

Seconds = float | LatencyFormula | None
Joules = float | EnergyFormula | None

LATENCIES = ("lecture", "bound", "roofline", "calibrated")

SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "float64": "fp64",
        "float32": "fp32",
        "float16": "fp16",
        "half": "fp16",
        "bfloat16": "bf16",
        "f64": "fp64",
        "f32": "fp32",
        "f16": "fp16",
        "f8": "fp8",
        "i8": "int8",
    }
)


@dataclass(frozen=True)
class NodeTime:
    """One op or fused group on the target: counts, both times in seconds, which one binds, and joules.

    `binds` is compute, memory or interconnect (equal times count as compute); unknown where a missing figure could change
    the answer; open where the sizes decide. `binding_level` is the memory level that takes most of the memory time, where
    memory binds; `t_level_s` is that time by level. `t_wire_s` is what other devices are sent, after computing. `nodes` are
    the names of all ops in the group, `name` is the one that gives it its class.
    """

    name: str
    op: str
    module: str
    nodes: tuple[str, ...]
    op_class: str
    dtype: str
    macs: int | Expr
    other_ops: int | Expr
    bytes: int | Expr
    t_compute_s: Seconds
    t_memory_s: Seconds
    t_wire_s: Seconds
    t_level_s: Mapping[str, Seconds]
    binds: str
    binding_level: str | None
    energy_j: Joules

    @property
    def t_s(self) -> float | None:
        """Roofline seconds of the group: the larger of the two times; None where a size is open or both are unknown.

        What is sent to other devices follows on computing.
        """
        sides = (self.t_compute_s, self.t_memory_s, self.t_wire_s or None)
        known = [t for t in sides if t is not None]
        if not known or not all(isinstance(t, float) for t in known):
            return None
        compute, memory, wire = (t if isinstance(t, float) else 0.0 for t in sides)
        return max(compute + wire, memory)


@dataclass(frozen=True)
class Estimate:
    """Latency in seconds, energy in joules and fit on one target.

    Where `at` gives every symbol the values are floats, else formulas; None where the target states too little for any.
    `dropped_terms` names everything that is missing, and why. The calibration's origin, n and error are in
    `target.efficiency`.
    """

    target: Target
    dtype: str | None
    at: Mapping[str, int]
    lecture: Seconds
    bound: Seconds
    roofline: Seconds
    calibrated: Seconds
    energy: Joules
    energy_parts: Mapping[str, Joules]
    energy_dtypes: Mapping[str, Joules]
    energy_levels: Mapping[str, Joules]
    fits: Fits
    dropped_terms: tuple[str, ...]
    _graph: Graph = field(repr=False, compare=False)
    _groups: Groups = field(repr=False, compare=False)
    _workload: Workload = field(repr=False, compare=False)
    _latency: Latency = field(repr=False, compare=False)
    _energy: EnergyUse = field(repr=False, compare=False)

    @property
    def average_power_w(self) -> float | None:
        """Energy over roofline latency; None where either is open or unknown, or the latency misses a term."""
        if any(m.side in {"compute", "memory"} and m.applies(self.at) for m in self._latency.missing):
            return None
        if isinstance(self.energy, float) and isinstance(self.roofline, float) and self.roofline:
            return self.energy / self.roofline
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Figures that contradict each other: an energy that the machine could not draw in that time."""
        power, limit, table = self.average_power_w, self.target.limits.tdp_w, self.target.energy
        if power is None or limit is None or table is None or power <= limit:
            return ()
        return (
            f"energy: {power:.0f} W over the roofline latency exceeds the {limit:g} W of {self.target.name}; the table "
            f"({table.table}) is not that of this chip: compare energies, do not read them as measurements",
        )

    @property
    def calibration(self) -> str:
        """Where the efficiency comes from, in a line; empty without one."""
        fit = self.target.efficiency
        if fit is None:
            return ""
        whose = f"shipped for {self.target.kind}, {self.target.runtime}, measured on {fit.machine}"
        whose = whose if fit.machine else "a fit of its own"
        noise = "" if fit.noise is None else f", measurements repeat to {100 * fit.noise:.0f} %"
        return f"{whose}; {fit.origin}: {100 * fit.error:.1f} % over {fit.n} runs{noise}"

    @property
    def costliest(self) -> NodeTime | None:
        """The group that takes longest on the roofline, the first of equals; None without numbers."""
        timed = [row for row in self.by_node() if row.t_s is not None]
        return max(timed, key=lambda row: row.t_s or 0.0, default=None)

    def by_node(self) -> tuple[NodeTime, ...]:
        """Every group that works or moves data, in traced order; the roofline is the sum of their larger times."""
        return tuple(
            self._node_time(position, work, row)
            for position, (work, row) in enumerate(zip(self._workload.rows, self._latency.rows, strict=True))
            if not work.is_idle
        )

    def sides(self, wanted: Iterable[int] | None = None) -> Sides:
        """Compute and memory loads of the groups that hold these nodes, added up; of the whole network without any.

        The whole network is compared as in the lecture's latency: products against all bytes, without other operations.
        """
        if wanted is None:
            return _sides_of_network(self._latency).bound(self.at)
        nodes = set(wanted)
        rows = [
            row for group, row in zip(self._groups.rows, self._latency.rows, strict=True) if nodes & set(group.nodes)
        ]
        return Sides(
            loads(load for row in rows for load in row.term.compute if load.what != WIRE),
            loads(load for row in rows for load in row.term.memory),
            tuple(dict.fromkeys(m for row in rows for m in row.missing)),
        ).bound(self.at)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: numbers where `at` gives every symbol, else formulas as text; null where unknown."""
        fit = self.target.efficiency
        return {
            "runtime": self.target.runtime,
            "dtype": self.dtype,
            "latency_s": {name: _plain(getattr(self, name)) for name in LATENCIES},
            "calibration": fit
            and {
                "origin": fit.origin,
                "n": fit.n,
                "error": fit.error,
                "noise": fit.noise,
                "machine": fit.machine or self.target.name,
                "is_own": not fit.machine,
            },
            "energy_j": _plain(self.energy),
            "energy_parts_j": {name: _plain(part) for name, part in self.energy_parts.items()},
            "energy_dtypes_j": {name: _plain(part) for name, part in self.energy_dtypes.items()},
            "energy_levels_j": {name: _plain(level) for name, level in self.energy_levels.items()},
            "fits": self.fits.to_dict(),
            "average_power_w": self.average_power_w,
            "dropped_terms": list(self.dropped_terms),
            "warnings": list(self.warnings),
            "nodes": [{f.name: _plain(getattr(row, f.name)) for f in fields(row)} for row in self.by_node()],
        }

    @cached_property
    def _values(self) -> Values | None:
        """Every amount of every group at the point, None where a size is open."""
        terms = [row.term for row in self._latency.rows] + [term for terms in self._energy.rows for term in terms]
        amounts = amounts_of(terms)
        if not frozenset().union(*(amount.symbols for amount in amounts)) <= self.at.keys():
            return None
        return Values.of(amounts, self.at)

    def _node_time(self, position: int, work: Work, row: Row) -> NodeTime:
        group, graph, term = self._groups.rows[position], self._graph, row.term
        anchor = graph.nodes[group.anchor]
        whole = {side: row.is_whole(side, self.at) for side in ("compute", "memory")}
        sent = tuple(load for load in term.compute if load.what == WIRE)
        computed = tuple(load for load in term.compute if load.what != WIRE)
        is_whole = whole["compute"] or work.exchange is not None
        compute, memory = self._seconds(computed, is_whole), self._seconds(term.memory, whole["memory"])
        alone = work.exchange is None or work.exchange.devices.constant == 1
        wire = self._seconds(sent, alone)
        names = dict.fromkeys(load.level for load in term.memory)
        levels = {name: self._seconds(tuple(p for p in term.memory if p.level == name), True) for name in names}
        levels = {name: part for name, part in levels.items() if part != 0.0}
        binds = self._binding(term, whole)
        return NodeTime(
            name=anchor.name,
            op=anchor.op,
            module=anchor.module,
            nodes=tuple(graph.nodes[i].name for i in group.nodes),
            op_class=work.op_class,
            dtype=row.dtype,
            macs=self._amount(work.macs),
            other_ops=self._amount(work.other_ops),
            bytes=self._amount(work.read_bytes + work.write_bytes + work.weight_bytes),
            t_compute_s=compute,
            t_memory_s=memory,
            t_wire_s=wire,
            t_level_s=MappingProxyType(levels),
            binds=binds,
            binding_level=_longest(levels) if binds == "memory" else None,
            energy_j=self._joules(self._energy.rows[position]),
        )

    def _seconds(self, parts: Loads, is_whole: bool) -> Seconds:
        if not parts:
            return 0.0 if is_whole else None
        return LatencyFormula.of([Term(memory=parts)]) if self._values is None else self._values.of_loads(parts)

    def _binding(self, term: Term, whole: Mapping[str, bool]) -> str:
        """Which side is the longer one; a side of which a term is missing can only be longer still."""
        if self._values is None:
            sides = {"compute": term.compute, "memory": term.memory}
            return "unknown" if any(not parts and not whole[side] for side, parts in sides.items()) else "open"
        if self._values.exactly(term.compute) >= self._values.exactly(term.memory):
            sent = tuple(load for load in term.compute if load.what == WIRE)
            longer = (
                "interconnect" if 2 * self._values.exactly(sent) > self._values.exactly(term.compute) else "compute"
            )
            return longer if whole["memory"] else "unknown"
        return "memory" if whole["compute"] else "unknown"

    def _joules(self, terms: tuple[Term, ...]) -> Joules:
        if not any(term.loads or term.fixed for term in terms):
            return None
        return EnergyFormula.of(terms) if self._values is None else sum(map(self._values.of_term, terms))

    def _amount(self, amount: Expr) -> int | Expr:
        if amount.symbols <= self.at.keys():
            return evaluate(amount, self.at)
        return substitute(amount, self.at)


@dataclass(frozen=True)
class Sides:
    """What the two sides of a roofline add up to, and what is missing of them."""

    compute: Loads
    memory: Loads
    missing: tuple[Missing, ...] = ()

    def bound(self, env: Mapping[str, int]) -> Sides:
        """The sides with sizes put in."""
        compute, memory = (tuple(load.bound(env) for load in side) for side in (self.compute, self.memory))
        return Sides(compute, memory, self.missing)


def _sides_of_network(latency: Latency) -> Sides:
    missing = [m for m in latency.missing if m.side in {"compute", "memory"} and "other operations" not in m.reason]
    terms = latency.lecture.terms if latency.lecture else ()
    return Sides(
        loads(replace(load, amount=load.amount * term.count) for term in terms for load in term.compute),
        loads(replace(load, amount=load.amount * term.count) for term in terms for load in term.memory),
        tuple(missing),
    )


def estimate(
    graph: Graph, facts: Facts, target: Target, dtype: str | None = None, env: Mapping[str, int] | None = None
) -> Estimate:
    """Estimate a graph on a target.

    Args:
        graph: the captured model.
        facts: its facts; accounting and widths are taken from their options.
        target: the machine.
        dtype: type to compute in. Weights and activations are stored in it, too, unless the options state widths. None
            computes in the tensors' own types.
        env: sizes; without it, or with some symbols missing, the values are formulas.

    Raises:
        SpecError: an unknown type or symbol, or a size outside its range.
        OutsideDomain: a guard of the graph, or of its memory formulas, is false at the point.
    """
    name = None if dtype is None else compute_name(dtype)
    at = check_point(graph.symbols, env or {})
    facts = in_dtype(graph, facts, name).under(target=target.computing_in(name))
    _check_domain(graph, graph.domain + facts[Totals].guards, at)
    found, used = facts[Latency], facts[EnergyUse]
    missing = found.dropped_at(at)

    def named(what: str, formula: FormulaType | None) -> float | FormulaType | None:
        """The value, or the formula with what it is called and lacks."""
        if formula is not None:
            formula = replace(formula, name=f"{what} on {target.name}", missing=missing)
        return at_point(formula, at)

    return Estimate(
        target=target,
        dtype=name,
        at=at,
        lecture=named("lecture", found.lecture),
        bound=named("bound", found.bound),
        roofline=named("roofline", found.roofline),
        calibrated=named("calibrated", found.calibrated),
        energy=named("energy", used.total),
        energy_parts={name: at_point(part, at) for name, part in used.parts.items()},
        energy_dtypes={name: at_point(part, at) for name, part in used.dtypes.items()},
        energy_levels={name: at_point(level, at) for name, level in used.levels.items()},
        fits=facts[Fits].at(at),
        dropped_terms=found.dropped_at(at) + used.dropped_at(at),
        _graph=graph,
        _groups=facts[Groups],
        _workload=facts[Workload],
        _latency=found,
        _energy=used,
    )


def _check_domain(graph: Graph, guards: tuple[Predicate, ...], at: Mapping[str, int]) -> None:
    ranges = ranges_of(graph.symbols)
    for guard in guards:
        if decide(replace_symbols(guard, at), ranges) is False:
            where = ", ".join(f"{name}={size}" for name, size in at.items())
            raise OutsideDomain(
                f"estimate of {graph.name} at {where}: the formulas hold where {guard}, which is false there; "
                "capture the model at this point"
            )


def _longest(times: Mapping[str, Seconds]) -> str:
    return max(times, key=lambda level: t if isinstance(t := times[level], float) else 0.0)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, RateFormula | Expr) else list(value) if isinstance(value, tuple) else value


def compute_name(dtype: str) -> str:
    """The name that targets use for a type; raises SpecError with the nearest known ones."""
    name = SPELLINGS.get(dtype, dtype)
    if name not in DTYPES:
        raise SpecError(f"dtype={dtype!r} is no compute type{nearest(dtype, DTYPES)}")
    return name
