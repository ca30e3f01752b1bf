"""Workload: what one run asks of a machine, before any machine is known.

One row per group: MACs, other operations and border traffic, with the type its products are computed in. Besides, the
compulsory part: every input read once, every parameter that is used fetched once, every output written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError
from fxcost.ir.expr import ZERO, Expr, maximum, minimum, total
from fxcost.ir.graph import Graph
from fxcost.ir.types import DType, TensorType
from fxcost.ir.widths import WIDTHS, weight_bytes, weight_width, width
from fxcost.ops.classes import class_of
from fxcost.ops.exchanges import Exchange
from fxcost.passes.cost import Costs, call_of, message
from fxcost.passes.fuse import Group, Groups
from fxcost.passes.storage import Storage
from fxcost.passes.totals import Totals
from fxcost.pipeline import Facts, register_pass

COMPUTE_NAMES: Mapping[DType, str] = {
    DType.F64: "fp64",
    DType.F32: "fp32",
    DType.F16: "fp16",
    DType.BF16: "bf16",
    DType.F8E4M3: "fp8",
    DType.F8E5M2: "fp8",
    DType.I8: "int8",
    DType.U8: "int8",
}
"""Name under which a target states its peak; other types go by their short name, for which no target states one."""


@dataclass(frozen=True)
class Work:
    """One group: counts, bytes at its border, the type of its products, whether a request may change it, its class.

    A collective has its `exchange`, the bytes of its message and of the part that stays here (None: a P-th).
    """

    macs: Expr
    other_ops: Expr
    read_bytes: Expr
    write_bytes: Expr
    weight_bytes: Expr
    dtype: str
    is_floating: bool
    op_class: str
    exchange: Exchange | None = None
    message_bytes: Expr = ZERO
    own_bytes: Expr | None = None

    @property
    def is_idle(self) -> bool:
        """True for views and bookkeeping: nothing is computed and nothing moves."""
        return self.exchange is None and not any(
            amount is not ZERO
            for amount in (self.macs, self.other_ops, self.read_bytes, self.write_bytes, self.weight_bytes)
        )


@dataclass(frozen=True)
class Workload:
    """Rows parallel to the groups; `unknown` are operators without a cost rule, whose work is in no row.

    `used_weight_bytes` are the parameters that some op reads, each once; `arena_bytes` is the peak of live activations,
    in which `inputs_apart` says that graph inputs are not counted. `state_bytes` is what the optimizer of a training step
    keeps beside the weights.
    """

    rows: tuple[Work, ...]
    model_bytes: Expr
    used_weight_bytes: Expr
    input_bytes: Expr
    output_bytes: Expr
    arena_bytes: Expr
    unknown: tuple[tuple[str, int], ...] = ()
    inputs_apart: bool = False
    state_bytes: Expr = ZERO

    @property
    def footprint_bytes(self) -> Expr:
        """What must be on chip, weights apart, for activations to stay there: the arena, and inputs in any case."""
        return self.arena_bytes + self.input_bytes if self.inputs_apart else self.arena_bytes

    def sum_of(self, *amounts: str) -> Expr:
        """Sum of the named amounts over all rows."""
        return total(getattr(row, amount) for row in self.rows for amount in amounts)

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to time: no op works, and none is unknown."""
        return not self.unknown and all(row.is_idle for row in self.rows)

    # Each input, output and used parameter once; never more than what the rows move, so that no reading of a graph
    # (an input that nobody reads, an output that is an input) can lift a lower bound above the estimates.
    @property
    def compulsory_read_bytes(self) -> Expr:
        """Inputs, each read once."""
        return minimum(self.input_bytes, self.sum_of("read_bytes"))

    @property
    def compulsory_write_bytes(self) -> Expr:
        """Outputs, each written once."""
        return minimum(self.output_bytes, self.sum_of("write_bytes"))

    @property
    def compulsory_weight_bytes(self) -> Expr:
        """Parameters that are used, each fetched once."""
        return minimum(self.used_weight_bytes, self.sum_of("weight_bytes"))


@register_pass(
    "workload",
    provides=Workload,
    requires=(Costs, Groups, Storage, Totals),
    options=("weights", "activations", "accounting", "inputs"),
)
def workload(graph: Graph, facts: Facts) -> Workload:
    """Gather what latency, energy and fit need."""
    options, values = facts.options, facts[Totals].values
    return Workload(
        rows=tuple(
            _work(graph, group, options.weights, options.activations, facts[Costs].rows[group.anchor].detail.exchange)
            for group in facts[Groups].rows
        ),
        model_bytes=values["model_bytes"],
        used_weight_bytes=_used_weight_bytes(graph, facts[Costs], options.weights, facts[Storage].homes),
        input_bytes=values["input_bytes"],
        output_bytes=values["output_bytes"],
        arena_bytes=values["peak_memory"],
        unknown=tuple(facts[Costs].unknown.items()),
        inputs_apart=options.inputs == "excluded",
        state_bytes=values.get("optimizer_bytes", ZERO),
    )


def _work(
    graph: Graph,
    group: Group,
    weights: Iterable[tuple[str, str]],
    activations: str | None,
    exchange: Exchange | None,
) -> Work:
    sent, own = (ZERO, None) if exchange is None else message(exchange, activations)
    return Work(
        macs=group.macs,
        other_ops=group.other_ops,
        read_bytes=group.read_bytes,
        write_bytes=group.write_bytes,
        weight_bytes=group.weight_bytes,
        dtype=_compute_dtype(graph, group, weights, activations),
        is_floating=group.dtype.is_floating,
        op_class=class_of(call_of(graph, graph.nodes[group.anchor])),
        exchange=exchange,
        message_bytes=sent,
        own_bytes=own,
    )


def _compute_dtype(graph: Graph, group: Group, weights: Iterable[tuple[str, str]], activations: str | None) -> str:
    """The wider of activations and weight matrices: int8 needs both, weight-only int8 computes as activations do."""
    own = COMPUTE_NAMES.get(group.dtype, group.dtype.short)
    if not group.dtype.is_floating:
        return own
    widest = activations or own
    for operand in graph.nodes[group.anchor].operands:
        state = graph.state_of.get(operand)
        if state is None or not state.type.dtype.is_floating or state.type.rank < 2:
            continue
        asked = next((w.name for path in state.paths if (w := weight_width(path, weights)) is not None), None)
        name = asked or COMPUTE_NAMES[state.type.dtype]
        if width(name).bits > width(widest).bits:
            widest = name
    return widest


def _used_weight_bytes(
    graph: Graph, costs: Costs, weights: tuple[tuple[str, str], ...], homes: Mapping[str, str]
) -> Expr:
    """Distinct bytes of parameters that the run must fetch: per parameter, the most that one op reads of it.

    A view of a parameter (`homes`) is read as the parameter itself.
    """
    used: dict[str, Expr] = {}
    for node, cost in zip(graph.nodes, costs.rows, strict=True):
        if cost.kind in {"view", "free", "unknown"}:
            continue
        for position, operand in enumerate(node.operands):
            home = homes.get(operand)
            state = None if home is None else graph.state_of.get(home)
            if home is None or state is None or state.kind != "parameter":
                continue
            deployed, elements = weight_bytes(state.type, state.paths, weights), state.type.numel
            read = cost.detail.reads.get(position, graph.tensor(operand).numel)
            share = deployed if read is elements else minimum(deployed, deployed * read // elements)
            used[home] = maximum(used[home], share) if home in used else share
    return total(used.values())


# -- the type asked for ------------------------------------------------------------------------------------------------
def in_dtype(graph: Graph, facts: Facts, dtype: str | None) -> Facts:
    """Facts with widths that go with computing in `dtype`: tf32 keeps fp32, the others are stored as they compute.

    Widths that the options state already are left alone, and a model in that type needs no change.
    """
    if dtype is None:
        return facts
    stored = "fp32" if dtype == "tf32" else dtype
    if stored not in WIDTHS:
        raise SpecError(f"dtype={dtype!r} has no storage width")
    kinds = (value.type for value in graph.values())
    floating = {k.dtype for k in kinds if isinstance(k, TensorType) and k.dtype.is_floating}
    if {COMPUTE_NAMES[d] for d in floating} <= {stored}:
        return facts
    options = facts.options
    return facts.under(weights=options.weights or (("*", stored),), activations=options.activations or stored)
