"""`fxcost export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice
from fxcost.cli.application import app, check_writable, write
from fxcost.cli.options import Asked, takes_model
from fxcost.errors import SpecError

FORMATS = ("mlir", "cost-mlir", "json", "pt2")


@app.command(epilog="For example: fxcost export torchvision:resnet50 -i N,3,H,W --to mlir -o resnet50.mlir")
@takes_model
def export(
    asked: Asked,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FORMAT", help="mlir: the graph; cost-mlir: totals as functions of the sizes; json; pt2."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
    form: Annotated[
        str | None,
        typer.Option("--form", help="Of MLIR: generic (every mlir-opt reads it) or pretty. cost-mlir is pretty."),
    ] = None,
    costs: Annotated[
        str, typer.Option("--costs", help="In MLIR: string (formulas), affine (maps), both or none.")
    ] = "both",
) -> None:
    """Write the graph or its costs as MLIR, the report, or the program."""
    check_choice("--to", to, FORMATS)
    if form is not None:
        if not to.endswith("mlir"):
            raise SpecError(f"--form is for MLIR; --to {to} has one form")
        check_choice("--form", form, ("generic", "pretty"))
    check_choice("--costs", costs, ("both", "string", "affine", "none"))
    check_writable(output)
    cost, point = analyze(asked)
    if to == "pt2":
        cost.save(output, point)
    elif to == "mlir":
        write(output, cost.to_mlir(form=form or "generic", costs=costs))
    elif to == "cost-mlir":
        write(output, cost.to_cost_mlir(form=form or "pretty"))
    else:
        from fxcost.report.formats import render

        write(output, render("json", cost.summary(point)))
