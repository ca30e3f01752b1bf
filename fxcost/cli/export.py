"""`fxcost export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice
from fxcost.cli.application import app, check_writable, write
from fxcost.cli.options import Asked, takes_model


@app.command(epilog="For example: fxcost export torchvision:resnet50 -i N,3,H,W --to mlir -o resnet50.mlir")
@takes_model
def export(
    asked: Asked,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="mlir, json or pt2.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
) -> None:
    """Write the graph as IR text, the report as JSON, or the program."""
    check_choice("--to", to, ("mlir", "json", "pt2"))
    check_writable(output)
    cost, point = analyze(asked)
    if to == "pt2":
        cost.save(output, point)
        return
    if to == "mlir":
        from fxcost.ir.text import print_graph

        text = print_graph(cost.graph)
    else:
        from fxcost.report.formats import render

        text = render("json", cost.summary(point))
    write(output, text)
