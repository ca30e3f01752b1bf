"""`fxcost query`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_metrics
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, Strict, takes_model


@app.command(epilog="For example: fxcost query torchvision:resnet50 macs peak_memory -i N,3,H,W --latex")
@takes_model
def query(
    asked: Asked,
    metrics: Annotated[list[str], typer.Argument(metavar="METRIC", help="Quantities: macs, params, peak_memory ...")],
    latex: Annotated[bool, typer.Option("--latex", help="Formulas in LaTeX.")] = False,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """Single quantities, as formulas or numbers."""
    from fxcost.report.query import query_json, query_text

    check_metrics(metrics)
    cost, point = analyze(asked, strict=strict)
    for name in metrics:
        if name != "arithmetic_intensity":
            cost.total(name)  # some are those of a training step alone
    show = query_json if as_json else query_text
    say(show(cost.quantities, metrics, point, latex=latex))
