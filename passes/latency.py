"""Latency on a target: four predictions that are never mixed, as formulas in seconds.

lecture     max(sum of T_compute, sum of T_memory) of the whole network (MIT 6.5940, lecture 2, section 2.5), with
            T_compute = sum over types of 2 * MACs / peak of the type, T_memory = T_weights + T_activations,
            T_weights = model_bytes / bandwidth, T_activations = (bytes read + bytes written by all ops, under the
            accounting asked for) / bandwidth; other operations are not in it
bound       max(2 * MACs / peak, compulsory bytes / bandwidth): each input, used parameter and output moves once. A
            lower bound for the dense algorithm as counted, with inputs and outputs in main memory (an algorithm with
            fewer products, such as Winograd's, may beat it)
roofline    sum over ops (or fused groups) of max(T_compute, T_memory) at data-sheet figures, with
            T_compute = 2 * MACs / peak + other operations / fp32 peak (one op each: they run on the vector lanes),
            T_memory = bytes read, written and fetched as weights / bandwidth
calibrated  the roofline with rates multiplied by the shares that the target's efficiency states for the op's class
            (fxcost.ops.classes), plus a fixed time per op; compute and memory overlap (max) or follow one another
            (sum), as the efficiency says. Ops that do nothing (views) take time where an overhead names them

Bandwidth is that of the farthest level that holds weights or activations. Weights cause no traffic there where all
weights and the arena fit into the on-chip cache. A figure that the target does not state drops the term, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Graph
from fxcost.ops.classes import known_classes
from fxcost.passes._rates import LatencyFormula, Load, Loads, Residence, Term, loads
from fxcost.passes.workload import Work, Workload
from fxcost.pipeline import Facts, register_pass
from fxcost.target import Efficiency, Target

VECTOR_DTYPE = "fp32"
"""Other operations run on the vector lanes, whose rate is the fp32 figure; one operation each."""


@dataclass(frozen=True)
class Row:
    """Roofline term of one group, and whether each side is all there (False: a missing figure dropped part of it)."""

    term: Term
    dtype: str
    has_compute: bool
    has_memory: bool


@dataclass(frozen=True)
class Latency:
    """Formulas in seconds, None where the target states too little; rows parallel to the groups.

    `dropped` names every term that is missing, and why.
    """

    lecture: LatencyFormula | None
    bound: LatencyFormula | None
    roofline: LatencyFormula | None
    calibrated: LatencyFormula | None
    rows: tuple[Row, ...]
    residence: Residence | None
    dropped: tuple[str, ...]


@register_pass("latency", provides=Latency, requires=(Workload,), options=("target",))
def latency(graph: Graph, facts: Facts) -> Latency:
    """Divide the workload by the target's rates."""
    return latency_on(target_of(facts), facts[Workload])


def target_of(facts: Facts) -> Target:
    """The target of the options; raises SpecError when there is none."""
    target = facts.options.target
    if not isinstance(target, Target):
        raise SpecError("latency, energy and fit need a target: give target=fxcost.load_target(...)")
    return target


def latency_on(target: Target, work: Workload) -> Latency:
    """The four predictions for a workload."""
    residence = residence_on(target, work)
    busy = [row for row in work.rows if not row.is_idle]

    def formula(terms: list[Term]) -> LatencyFormula | None:
        made = LatencyFormula.of(terms, residence)
        return None if made.states_nothing and not work.is_idle else made

    products = _products(target, work.rows)
    whole = Term(
        products,
        memory=_activation_loads(target, work.sum_of("read_bytes"), work.sum_of("write_bytes")),
        streamed=_weight_loads(target, work.model_bytes),
    )
    least = Term(
        products,
        memory=_activation_loads(target, work.compulsory_read_bytes, work.compulsory_write_bytes),
        streamed=_weight_loads(target, work.compulsory_weight_bytes),
    )
    achieved = target.efficiency
    if achieved is not None:
        _check_classes(target)
    return Latency(
        lecture=formula([whole]),
        bound=formula([least]),
        roofline=formula([_roofline_term(target, row) for row in busy]),
        calibrated=formula(list(_calibrated_terms(target, achieved, work.rows))) if achieved else None,
        rows=tuple(_row(target, row) for row in work.rows),
        residence=residence,
        dropped=tuple(dict.fromkeys(_dropped(target, work))),
    )


def residence_on(target: Target, work: Workload) -> Residence | None:
    """When weights stay on chip: the cache in front of main memory takes all of them and the arena."""
    cache = target.cache
    if cache is None or cache.capacity_bytes is None:
        return None
    return Residence(cache.name, work.model_bytes + work.arena_bytes, cache.capacity_bytes)


def dtype_on(target: Target, row: Work) -> str:
    """The type a group's products are computed in: the one asked for, else the tensors' own."""
    return target.dtype if target.dtype is not None and row.is_floating else row.dtype


# -- terms -----------------------------------------------------------------------------------------------------------
def _row(target: Target, row: Work) -> Row:
    compute, memory = list(_missing_compute(target, row)), list(_missing_memory(target, row))
    return Row(_roofline_term(target, row), dtype_on(target, row), not compute, not memory)


def _roofline_term(target: Target, row: Work) -> Term:
    return Term(
        loads((row.macs * 2, target.peak(dtype_on(target, row))), (row.other_ops, target.peak(VECTOR_DTYPE))),
        memory=_activation_loads(target, row.read_bytes, row.write_bytes),
        streamed=_weight_loads(target, row.weight_bytes),
    )


def _calibrated_terms(target: Target, achieved: Efficiency, rows: Iterable[Work]) -> Iterator[Term]:
    view_s = dict(target.overhead_s).get("view", 0.0)
    for row in rows:
        yield Term(fixed=view_s) if row.is_idle else calibrated_term(target, achieved, row)


def calibrated_term(target: Target, achieved: Efficiency, row: Work) -> Term:
    """Time of one op or fused group at the shares of its class, and its fixed time."""
    share = achieved.share(row.op_class)
    plain = _roofline_term(target, replace(row, other_ops=ZERO))
    other = _roofline_term(target, replace(row, macs=ZERO)) if achieved.counts_other_ops else Term()
    compute = _slower(plain.compute, share.compute) + _slower(other.compute, share.of_vector)
    memory = _slower(plain.memory, share.memory)
    one_after_another = achieved.combine == "sum"
    return Term(
        compute=() if one_after_another else compute,
        memory=compute + memory if one_after_another else memory,
        streamed=_slower(plain.streamed, share.of_weights),
        fixed=target.overhead(row.op_class),
    )


def _slower(parts: Loads, share: float) -> Loads:
    return tuple(Load(part.amount, part.rate * share) for part in parts)


def _products(target: Target, rows: Iterable[Work]) -> Loads:
    return loads(*((row.macs * 2, target.peak(dtype_on(target, row))) for row in rows))


def _activation_loads(target: Target, read_bytes: Expr, write_bytes: Expr) -> Loads:
    level = target.home("activations")
    return loads((read_bytes, level.read_bytes_per_s), (write_bytes, level.write_bytes_per_s))


def _weight_loads(target: Target, weight_bytes: Expr) -> Loads:
    return loads((weight_bytes, target.home("weights").read_bytes_per_s))


# -- what is missing -------------------------------------------------------------------------------------------------
def _dropped(target: Target, work: Workload) -> Iterator[str]:
    for op, count in work.unknown:
        yield f"time and energy of {op} ({count}x): it has no cost rule"
    for row in work.rows:
        yield from _missing_compute(target, row)
        yield from _missing_memory(target, row)
    if target.efficiency is None:
        yield f"calibrated latency: {target.name} has no efficiency block"


def _missing_compute(target: Target, row: Work) -> Iterator[str]:
    dtype = dtype_on(target, row)
    if row.macs is not ZERO and target.peak(dtype) is None:
        yield f"compute time of {dtype} products: {target.name} states no {dtype} peak"
    if row.other_ops is not ZERO and target.peak(VECTOR_DTYPE) is None:
        yield f"compute time of other operations (roofline): {target.name} states no {VECTOR_DTYPE} peak"


def _missing_memory(target: Target, row: Work) -> Iterator[str]:
    home, store = target.home("activations"), target.home("weights")
    for amount, rate, what, level in (
        (row.read_bytes, home.read_bytes_per_s, "activations read", home),
        (row.write_bytes, home.write_bytes_per_s, "activations written", home),
        (row.weight_bytes, store.read_bytes_per_s, "weights", store),
    ):
        if amount is not ZERO and rate is None:
            yield f"memory time of {what}: {target.name} states no bandwidth for {level.name}"


def _check_classes(target: Target) -> None:
    """Refuse efficiencies and overheads of classes that no call belongs to: a slip would go unnoticed."""
    known = known_classes() | {"default"}
    achieved = target.efficiency
    for block, names in (("efficiency", achieved.shares if achieved else ()), ("overhead", target.overhead_s)):
        for name, _ in names:
            if name not in known:
                raise SpecError(f"target {target.name}: {block}.{name} is no class of ops{nearest(name, known)}")
