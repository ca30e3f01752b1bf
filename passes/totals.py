"""Totals: every quantity of the whole model as one expression, with its unit and how far an unknown op touches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Graph, State
from fxcost.ir.predicate import Predicate
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes, weight_bytes
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs
from fxcost.passes.experts import Experts
from fxcost.passes.fuse import Groups
from fxcost.passes.lecture import Lecture
from fxcost.passes.peak import Peak, by_case
from fxcost.passes.training import Training
from fxcost.pipeline import Facts, register_pass

UNITS: Mapping[str, str] = MappingProxyType(
    {
        "params": "elements",
        "params_used": "elements",
        "params_active": "elements",
        "params_trainable": "elements",
        "params_weight": "elements",
        "params_bias": "elements",
        "buffers": "elements",
        "model_bytes": "bytes",
        "macs": "MAC",
        "macs_causal": "MAC",
        "flops": "FLOP",
        "other_ops": "op",
        "total_activations": "elements",
        "peak_activations": "elements",
        "activation_bytes": "bytes",
        "peak_memory": "bytes",
        "peak_memory_with_scratch": "bytes",
        "read_bytes": "bytes",
        "write_bytes": "bytes",
        "weight_bytes": "bytes",
        "input_bytes": "bytes",
        "output_bytes": "bytes",
        "wire_bytes": "bytes",
    }
)

SEVERAL_DEVICES = frozenset(["wire_bytes"])
"""Quantities that only a graph with collectives has."""

COUNTED = frozenset(
    [
        "macs",
        "macs_causal",
        "flops",
        "other_ops",
        "read_bytes",
        "write_bytes",
        "weight_bytes",
        "total_activations",
        "peak_activations",
        "peak_memory_with_scratch",
        "macs_forward",
        "macs_backward",
        "wire_bytes",
    ]
)
"""Quantities that an operator without a rule turns into lower bounds; sizes of values are known without one."""

IN_MEMORY = frozenset(
    ["peak_memory", "peak_memory_with_scratch", "activation_bytes", "saved_activations", "training_memory"]
)
"""Quantities whose formula rests on storage conditions, besides the graph's domain."""


@dataclass(frozen=True)
class Totals:
    """Expressions by quantity name (names and units in UNITS); `guards` restrict the ones in IN_MEMORY."""

    values: Mapping[str, Expr]
    params_by_dtype: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[Predicate, ...] = ()


@register_pass(
    "totals",
    provides=Totals,
    requires=(Costs, Groups, Buffers, Peak, Lecture, Experts, Training),
    options=("weights", "activations", "accounting"),
)
def totals(graph: Graph, facts: Facts) -> Totals:
    """Add everything up."""
    rows, groups, peak, lecture = facts[Costs].rows, facts[Groups].rows, facts[Peak], facts[Lecture]
    options = facts.options
    parameters = [s for s in graph.states if s.kind == "parameter"]
    used = [s for s in parameters if graph.readers.get(s.value.id) or s.value.id in graph.outputs]
    macs = total(row.macs for row in rows)
    inputs = {v.id for v in graph.inputs}
    allocated = [
        (case.when, total(b.size for b in case.buffers if b.id not in inputs)) for case in facts[Buffers].cases
    ]
    values = {
        "params": _elements(parameters),
        "params_used": _elements(used),
        "params_active": _elements(parameters) - facts[Experts].idle,
        "params_trainable": _elements([s for s in parameters if s.trainable]),
        "params_weight": _elements([s for s in parameters if not is_bias(s)]),
        "params_bias": _elements([s for s in parameters if is_bias(s)]),
        "buffers": _elements([s for s in graph.states if s.kind == "buffer"]),
        "model_bytes": total(weight_bytes(s.type, s.paths, options.weights) for s in parameters),
        "macs": macs,
        "macs_causal": total(row.macs if (c := row.detail.causal_macs) is None else c for row in rows),
        "flops": macs * 2,
        "other_ops": total(row.other_ops for row in rows),
        "total_activations": lecture.total_activations,
        "peak_activations": lecture.peak_activations,
        "activation_bytes": by_case(allocated),
        "peak_memory": peak.peak,
        "peak_memory_with_scratch": peak.with_scratch,
        "read_bytes": total(g.read_bytes for g in groups),
        "write_bytes": total(g.write_bytes for g in groups),
        "weight_bytes": total(g.weight_bytes for g in groups),
        "input_bytes": _tensor_bytes(graph, inputs, options.activations),
        "output_bytes": _tensor_bytes(graph, set(graph.outputs) - graph.state_of.keys(), options.activations),
        **facts[Training].values,
    }
    if any(row.detail.exchange is not None for row in rows):
        values["wire_bytes"] = total(row.wire_bytes for row in rows)
    by_dtype: dict[str, int] = {}
    for state in parameters:
        name = state.type.dtype.short
        by_dtype[name] = by_dtype.get(name, 0) + (state.type.numel.constant or 0)
    return Totals(values, by_dtype, peak.guards)


def is_bias(state: State) -> bool:
    """A parameter whose own name says bias (`fc.bias`, `in_proj_bias`), as the lecture reports it apart."""
    return state.paths[0].rpartition(".")[2].endswith("bias")


def _elements(states: list[State]) -> Expr:
    return total(s.type.numel for s in states)


def _tensor_bytes(graph: Graph, values: set[str], activations: str | None) -> Expr:
    kinds = [graph.types[v] for v in sorted(values)]
    return total(activation_bytes(k, k.numel, activations) for k in kinds if isinstance(k, TensorType))
