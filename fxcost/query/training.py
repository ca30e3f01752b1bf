"""A training step by module: MACs of both passes, what each keeps for the backward pass, gradients; and what is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fxcost.ir.expr import ZERO, Expr
from fxcost.ir.graph import Graph
from fxcost.ir.widths import weight_bytes
from fxcost.passes.cost import Costs
from fxcost.passes.training import INPUTS, Training
from fxcost.pipeline import Facts

COLUMNS = ("macs_forward", "macs_backward", "saved_activations", "saved_activations_tinytl", "gradient_bytes")
"""What each row has: MACs, kept bytes by both rules (what torch keeps, and by layer), bytes of gradients."""


@dataclass(frozen=True)
class TrainingRow:
    """One module with everything below it, or what the caller passes in (INPUTS)."""

    module: str
    values: Mapping[str, Expr]


def training_rows(graph: Graph, facts: Facts) -> tuple[TrainingRow, ...]:
    """Every module with what it does itself, in order; together they are the whole step.

    What the network does outside all modules is the row without a name. Empty for inference.
    """
    training = facts[Training]
    if not training.values:
        return ()
    found: dict[str, dict[str, Expr]] = {}

    def add(module: str, column: str, amount: Expr) -> None:
        row = found.setdefault(module, dict.fromkeys(COLUMNS, ZERO))
        row[column] = row[column] + amount

    for node, cost in zip(graph.nodes, facts[Costs].rows, strict=True):
        if node.phase == "update":
            state = graph.state_of[node.operands[0]]
            add(node.module, "gradient_bytes", weight_bytes(state.type, state.paths, facts.options.weights))
        else:
            add(node.module, f"macs_{node.phase}", cost.macs)
    for column, saved in (
        ("saved_activations", training.saved),
        ("saved_activations_tinytl", training.saved_tinytl),
    ):
        for module, size in saved.items():
            add(module, column, size)
    rows = (TrainingRow(module, values) for module, values in found.items())
    return tuple(row for row in rows if any(value is not ZERO for value in row.values.values()))


def at_depth(rows: Iterable[TrainingRow], depth: int) -> tuple[TrainingRow, ...]:
    """The rows summed up to modules at most `depth` levels below the whole network."""
    found: dict[str, dict[str, Expr]] = {}
    for row in rows:
        short = row.module if row.module == INPUTS else ".".join(row.module.split(".")[:depth])
        sums = found.setdefault(short, dict.fromkeys(COLUMNS, ZERO))
        for column, value in row.values.items():
            sums[column] = sums[column] + value
    return tuple(TrainingRow(module, values) for module, values in found.items())
