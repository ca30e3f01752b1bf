"""`fxcost schedule`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, takes_model


@app.command(epilog="For example: fxcost schedule torchvision:googlenet -i N,3,H,W --at N=1,H=224,W=224")
@takes_model
def schedule(
    asked: Asked,
    time_limit: Annotated[
        float, typer.Option("--time-limit", metavar="SECONDS", min=0.0, help="Stop with the best order so far.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """The execution order that needs least memory, with a proof."""
    from fxcost.report.schedule import schedule_json, schedule_text

    cost, point = analyze(asked)
    found = cost.schedule(point, time_limit)
    graph = cost.at_point(point or {}).graph
    say(schedule_json(graph, found) if as_json else schedule_text(graph, found))
