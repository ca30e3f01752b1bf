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
            (sum), as the efficiency says. A sum counts all traffic in main memory: what caches save is in the
            shares. Ops that do nothing (views) take time where an overhead names them

What devices send each other is in the roofline and in calibrated latency, beside each collective's other operations and
as long as the fastest algorithm takes (`_interconnect`): max(T_compute + T_interconnect, T_memory), and nothing overlaps
with the ops before and after. The lecture and the bound know one device.

Bytes are served by main memory (the farthest level that holds weights or activations), or by the nearest level on chip
in which the data stays (`_places`): all weights and the arena, or the arena alone for activations. The lecture counts
main memory alone; for it and for the bound, weights that stay on chip cost nothing. A figure that the target does not
state drops the term, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Graph
from fxcost.ops.classes import known_classes
from fxcost.passes._interconnect import PS_PER_S, fastest, picoseconds, unstated
from fxcost.passes._places import Place, places
from fxcost.passes._rates import LatencyFormula, Load, Residence, Term, loads
from fxcost.passes.workload import Work, Workload
from fxcost.pipeline import Facts, register_pass
from fxcost.target import Efficiency, Target

WIRE = "interconnect"
"""What a load is that other devices are sent."""

VECTOR_DTYPE = "fp32"
"""Other operations run on the vector lanes, whose rate is the fp32 figure; one operation each."""


@dataclass(frozen=True)
class Missing:
    """A term that is left out on one side (compute or memory) for want of a figure, where `place` serves the data.

    A side that is neither changes no answer to what binds.
    """

    side: str
    reason: str
    place: Place | None = None

    def applies(self, env: Mapping[str, int]) -> bool:
        """False where the sizes say that the term would not count."""
        if self.place is None:
            return True
        inside, outside = self.place.inside, self.place.outside
        return not ((inside and inside.holds(env) is False) or (outside and outside.holds(env)))


@dataclass(frozen=True)
class Row:
    """Roofline term of one group, the type it computes in, and what is missing of it."""

    term: Term
    dtype: str
    missing: tuple[Missing, ...] = ()

    def is_whole(self, side: str, env: Mapping[str, int] | None = None) -> bool:
        """True when nothing is missing on that side, at these sizes."""
        return not any(m.side == side and m.applies(env or {}) for m in self.missing)


@dataclass(frozen=True)
class Latency:
    """Formulas in seconds, None where the target states too little; rows parallel to the groups.

    `residence` is the condition under which weights stay on chip, None where they never do. `missing` names every term
    that is left out, and why.
    """

    lecture: LatencyFormula | None
    bound: LatencyFormula | None
    roofline: LatencyFormula | None
    calibrated: LatencyFormula | None
    rows: tuple[Row, ...]
    residence: Residence | None
    missing: tuple[Missing, ...]

    @property
    def dropped(self) -> tuple[str, ...]:
        """Why terms are left out, each reason once."""
        return self.dropped_at({})

    def dropped_at(self, env: Mapping[str, int]) -> tuple[str, ...]:
        """The reasons that apply at these sizes."""
        return tuple(dict.fromkeys(m.reason for m in self.missing if m.applies(env)))


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
    here = Served.of(target, work)
    busy = [row for row in work.rows if not row.is_idle]

    def formula(terms: list[Term]) -> LatencyFormula | None:
        made = LatencyFormula.of(terms)
        return None if made.states_nothing and not work.is_idle else made

    products = loads(load for row in work.rows for load in _products(here, row))
    main = (Place(target.home("activations")),)
    streamed = tuple(place for place in here.weights if place.level == target.home("weights"))
    whole = _moved(main, work.sum_of("read_bytes"), work.sum_of("write_bytes"))
    least = _moved(here.activations, work.compulsory_read_bytes, work.compulsory_write_bytes)
    achieved = target.efficiency
    if achieved is not None:
        _check_classes(target)
    rows = tuple(
        Row(roofline_term(here, row), dtype_on(target, row), tuple(_missing_of(here, row))) for row in work.rows
    )
    return Latency(
        lecture=formula([Term(products, loads((*whole, *_fetched(streamed, work.model_bytes))))]),
        bound=formula([Term(products, loads((*least, *_fetched(streamed, work.compulsory_weight_bytes))))]),
        roofline=formula([roofline_term(here, row) for row in busy]),
        calibrated=formula(list(_calibrated_terms(here, achieved, work.rows))) if achieved else None,
        rows=rows,
        residence=next((place.inside for place in reversed(here.weights) if place.inside), None),
        missing=tuple(dict.fromkeys(_missing(target, work, rows))),
    )


def dtype_on(target: Target, row: Work) -> str:
    """The type a group's products are computed in: the one asked for, else the tensors' own."""
    return target.dtype if target.dtype is not None and row.is_floating else row.dtype


# -- terms -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Served:
    """A target, and the levels from which it serves a model's activations and weights."""

    target: Target
    activations: tuple[Place, ...]
    weights: tuple[Place, ...]

    @classmethod
    def of(cls, target: Target, work: Workload) -> Served:
        """The places for a workload."""
        return cls(target, places(target, work, "activations"), places(target, work, "weights"))

    @classmethod
    def from_main_memory(cls, target: Target) -> Served:
        """Everything out of main memory: what shares that were fitted on measured times refer to."""
        return cls(target, (Place(target.home("activations")),), (Place(target.home("weights")),))


def roofline_term(here: Served, row: Work) -> Term:
    """Time of one op or fused group at data-sheet figures."""
    vector = here.target.peak(VECTOR_DTYPE)
    other = [] if vector is None else [Load(row.other_ops, vector, "other")]
    moved, fetched = _moved(here.activations, row.read_bytes, row.write_bytes), _fetched(here.weights, row.weight_bytes)
    return Term(loads((*_products(here, row), *other, *_sent(here.target, row))), loads((*moved, *fetched)))


def _products(here: Served, row: Work) -> Iterator[Load]:
    peak = here.target.peak(dtype_on(here.target, row))
    if peak is not None:
        yield Load(row.macs * 2, peak, "products")


def _sent(target: Target, row: Work) -> Iterator[Load]:
    if row.exchange is not None and target.interconnect is not None:
        times = picoseconds(row.exchange, row.message_bytes, row.own_bytes, target.interconnect)
        if times:
            yield Load(fastest(times), float(PS_PER_S), WIRE, target.interconnect.name)


def _moved(where: Iterable[Place], read_bytes: Expr, write_bytes: Expr) -> Iterator[Load]:
    for place in where:
        for amount, rate in (
            (read_bytes, place.level.read_bytes_per_s),
            (write_bytes, place.level.write_bytes_per_s),
        ):
            if rate is not None:
                yield place.load(amount, rate, "activations")


def _fetched(where: Iterable[Place], weight_bytes: Expr) -> Iterator[Load]:
    for place in where:
        if place.level.read_bytes_per_s is not None:
            yield place.load(weight_bytes, place.level.read_bytes_per_s, "weights")


def _calibrated_terms(here: Served, achieved: Efficiency, rows: Iterable[Work]) -> Iterator[Term]:
    view_s = dict(here.target.overhead_s).get("view", 0.0)
    if achieved.combine == "sum":
        here = Served.from_main_memory(here.target)
    for row in rows:
        yield Term(fixed=view_s) if row.is_idle else calibrated_term(here, achieved, row)


def calibrated_term(here: Served, achieved: Efficiency, row: Work) -> Term:
    """Time of one op or fused group at the shares of its class, and its fixed time."""
    share = achieved.share(row.op_class)
    shares = {
        "products": share.compute,
        "other": share.of_vector,
        "activations": share.memory,
        "weights": share.of_weights,
        WIRE: 1.0,
    }
    counted = row if achieved.counts_other_ops else replace(row, other_ops=ZERO)
    term = roofline_term(here, counted).with_loads(lambda load: replace(load, rate=load.rate * shares[load.what]))
    if achieved.combine == "sum":
        term = Term(memory=term.loads)
    return replace(term, fixed=here.target.overhead(row.op_class))


# -- what is missing -------------------------------------------------------------------------------------------------
def _missing(target: Target, work: Workload, rows: tuple[Row, ...]) -> Iterator[Missing]:
    for op, count in work.unknown:
        yield Missing("op", f"time and energy of {op} ({count}x): it has no cost rule")
    for row in rows:
        yield from row.missing
    if any(row.exchange is not None for row in work.rows):
        yield Missing(WIRE, "collectives in lecture and bound, which know one device")
        yield Missing(WIRE, "overlap of collectives with other ops: roofline and calibrated wait for each of them")
    if target.efficiency is None:
        yield Missing("fit", f"calibrated latency: {target.name} has no efficiency block")
        return
    if not target.overhead_s and work.rows:
        yield Missing(
            "fit", f"fixed time of each op, its launch, in calibrated latency: {target.name} states no overhead"
        )
    fitted_in = target.efficiency.dtype
    for dtype in sorted({row.dtype for row, made in zip(rows, work.rows, strict=True) if made.macs is not ZERO}):
        if fitted_in not in (None, dtype):
            yield Missing(
                "fit",
                f"what {dtype} products achieve in calibrated latency: the shares were measured in {fitted_in}, and are "
                "taken to be the same",
            )
    if target.efficiency.cores is not None and target.cores not in (None, target.efficiency.cores):
        fitted_on, cores = target.efficiency.cores, target.cores
        yield Missing(
            "fit",
            f"how calibrated latency grows with cores: its shares were measured on {fitted_on} of them, {target.name} "
            f"has {cores}, and all are taken to work as well together",
        )


def _missing_of(here: Served, row: Work) -> Iterator[Missing]:
    name, dtype = here.target.name, dtype_on(here.target, row)
    if row.macs is not ZERO and here.target.peak(dtype) is None:
        yield Missing("compute", f"compute time of {dtype} products: {name} states no {dtype} peak")
    if row.other_ops is not ZERO and here.target.peak(VECTOR_DTYPE) is None:
        reason = f"compute time of other operations (roofline): {name} states no {VECTOR_DTYPE} peak"
        yield Missing("compute", reason)
    for reason, is_whole in () if row.exchange is None else unstated(here.target, row.exchange):
        yield Missing("compute" if is_whole else WIRE, reason)
    for place in here.activations:
        for amount, rate, what in (
            (row.read_bytes, place.level.read_bytes_per_s, "activations read"),
            (row.write_bytes, place.level.write_bytes_per_s, "activations written"),
        ):
            if amount is not ZERO and rate is None:
                yield Missing("memory", _unstated(name, what, place.level.name), place)
    for place in here.weights:
        if row.weight_bytes is not ZERO and place.level.read_bytes_per_s is None:
            what = "weights" if place.inside is None else "weights kept on chip"
            yield Missing("memory", _unstated(name, what, place.level.name), place)


def _unstated(target: str, what: str, level: str) -> str:
    return f"memory time of {what}: {target} states no bandwidth for {level}"


def _check_classes(target: Target) -> None:
    """Refuse efficiencies and overheads of classes that no call belongs to: a slip would go unnoticed."""
    known = known_classes() | {"default"}
    achieved = target.efficiency
    for block, names in (("efficiency", achieved.shares if achieved else ()), ("overhead", target.overhead_s)):
        for name, _ in names:
            if name not in known:
                raise SpecError(f"target {target.name}: {block}.{name} is no class of ops{nearest(name, known)}")
