"""A graph as MLIR with its costs beside every op: formulas as text, and as affine maps that MLIR itself can fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from fxcost.errors import SpecError, nearest
from fxcost.ir.affine import affine_map
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph, Variant
from fxcost.ir.text import FORMS, Fact, print_graph
from fxcost.query.breakdown import NodeRow

COSTS: Final = ("both", "string", "affine", "none")
"""How costs are written: as text (every parser reads it), as affine maps (MLIR alone does), both, or not at all."""


def mlir_text(
    graph: Graph,
    variants: Iterable[Variant],
    rows: Iterable[NodeRow],
    totals: Mapping[str, Expr],
    *,
    form: str = "generic",
    costs: str = "both",
) -> str:
    """The text of a graph with the metrics of its nodes that are not zero, and the totals at the module.

    `fact.macs = "64*N"` is the formula, `fact.macs.map = affine_map<()[N] -> (64 * N)>` the map, left out where MLIR has
    none. Raises SpecError for an unknown form.
    """
    check_form(form)
    if costs not in COSTS:
        raise SpecError(f"costs={costs!r} is not one of {', '.join(COSTS)}{nearest(costs, COSTS)}")
    if costs == "none":
        return print_graph(graph, None, variants, form=form)
    symbols = tuple(info.name for info in graph.symbols)
    facts = {row.name: formulas(row.metrics, symbols, costs) for row in rows}
    return print_graph(graph, facts | {"": formulas(totals, symbols, costs)}, variants, form=form)


def check_form(form: str) -> None:
    """Refuse a form of MLIR that there is not."""
    if form not in FORMS:
        raise SpecError(f"form={form!r} is not one of {', '.join(FORMS)}{nearest(form, FORMS)}")


def formulas(values: Mapping[str, Expr], symbols: tuple[str, ...], costs: str = "both") -> dict[str, Fact]:
    """What is not zero, as text and as maps over the symbols."""
    found: dict[str, Fact] = {}
    for name, value in values.items():
        if value.constant == 0:
            continue
        if costs != "affine":
            found[name] = str(value)
        chart = affine_map(value, symbols) if costs != "string" else None
        if chart is not None:
            found[f"{name}.map"] = chart
    return found
