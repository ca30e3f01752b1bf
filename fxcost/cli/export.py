"""`fxcost export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice
from fxcost.cli.application import app, write
from fxcost.cli.options import Asked, takes_model
from fxcost.errors import SpecError


@app.command(epilog="For example: fxcost export torchvision:resnet50 -i N,3,H,W --to mlir -o resnet50.mlir")
@takes_model
def export(
    asked: Asked,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="mlir or json.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")],
) -> None:
    """Write the graph as IR text, or the report as JSON."""
    check_choice("--to", to, ("mlir", "json"))
    if output.is_dir() or not output.parent.is_dir():
        problem = "it is a folder" if output.is_dir() else f"there is no folder {output.parent}"
        raise SpecError(f"cannot write {output}: {problem}")
    cost, point = analyze(asked)
    if to == "mlir":
        from fxcost.ir.text import print_graph

        text = print_graph(cost.graph)
    else:
        from fxcost.report.formats import render

        text = render("json", cost.summary(point))
    write(output, text)
