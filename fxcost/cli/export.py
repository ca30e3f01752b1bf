"""`fxcost export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice, load_machines
from fxcost.cli.application import app, check_writable, write
from fxcost.cli.options import Asked, Dtype, Targets, output_to, takes_model
from fxcost.errors import SpecError

REPORTS = ("json", "csv", "markdown", "graphml", "dot", "chrome-trace")
FORMATS = ("mlir", "cost-mlir", "pt2", *REPORTS, "model-explorer")


@app.command(epilog="For example: fxcost export torchvision:resnet50 -i N,3,H,W --to mlir -o resnet50.mlir")
@takes_model
def export(
    asked: Asked,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="mlir: the graph; cost-mlir: totals as functions of the sizes; pt2: the program; json; csv: a line a node; "
            "markdown; graphml, dot: the graph with its costs; chrome-trace: the run on each --target, for Perfetto; "
            "model-explorer: --metric by node, for Model Explorer.",
        ),
    ],
    output: Annotated[Path, output_to("FILE", "The file to write.")],
    form: Annotated[
        str | None,
        typer.Option("--form", help="Of MLIR: generic (every mlir-opt reads it) or pretty. cost-mlir is pretty."),
    ] = None,
    costs: Annotated[
        str, typer.Option("--costs", help="In MLIR: string (formulas), affine (maps), both or none.")
    ] = "both",
    target: Targets = None,
    dtype: Dtype = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="For model-explorer: macs, params, other_ops, traffic, live_memory; on a --target roofline, energy.",
        ),
    ] = "macs",
) -> None:
    """Write the graph, its costs or the report for other tools."""
    check_choice("--to", to, FORMATS)
    if form is not None:
        if not to.endswith("mlir"):
            raise SpecError(f"--form is for MLIR; --to {to} has one form")
        check_choice("--form", form, ("generic", "pretty"))
    check_choice("--costs", costs, ("both", "string", "affine", "none"))
    machines = load_machines(target, dtype)
    if to == "chrome-trace" and not machines:
        raise SpecError("a trace is that of a machine: name one with --target")
    if to == "model-explorer":
        from fxcost.report.nodes import check_node_metric

        check_node_metric(metric, len(machines))
    check_writable(output)
    cost, point = analyze(asked)
    if to == "pt2":
        cost.save(output, point)
    elif to == "mlir":
        write(output, cost.to_mlir(form=form or "generic", costs=costs))
    elif to == "cost-mlir":
        write(output, cost.to_cost_mlir(form=form or "pretty"))
    elif to == "model-explorer":
        from fxcost.report.model_explorer import overlay_text

        write(output, overlay_text(cost.summary(point, machines, dtype), metric))
    else:
        from fxcost.query.breakdown import readable_depth
        from fxcost.report.formats import render

        by = "node" if to == "csv" else "module"
        write(output, render(to, cost.summary(point, machines, dtype, readable_depth(cost.modules), by)))
