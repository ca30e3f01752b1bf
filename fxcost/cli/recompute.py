"""`fxcost recompute`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_choice, check_pictures
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Asked, plot_to, takes_model
from fxcost.errors import SpecError


@app.command(
    epilog="For example: fxcost recompute torchvision:resnet18 -i N,3,H,W --at N=32,H=224,W=224 --memory 500MB"
)
@takes_model
def recompute(
    asked: Asked,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="BYTES", help="The fewest MACs on top within so much: 2GB.")
    ] = None,
    of: Annotated[
        str,
        typer.Option(
            "--of", metavar="NAME", help="What is within it: saved_activations, or peak_memory of the whole step."
        ),
    ] = "saved_activations",
    over: Annotated[
        str | None, typer.Option("--over", metavar="SYMBOL", help="Which plan rules for which size of it, by formulas.")
    ] = None,
    plot: Annotated[Path | None, plot_to("Draw bytes against MACs on top.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which activations of a training step to compute again?"""
    import math

    from fxcost.passes.recompute_plan import MEASURES
    from fxcost.query.units import parse_amount
    from fxcost.report.recompute import recompute_json, recompute_text, rulings_json, rulings_text

    check_choice("--of", of, MEASURES)
    budget = None if memory is None else math.floor(parse_amount(memory))
    if over is not None and budget is None:
        raise SpecError("--over asks which plan is the cheapest within a budget: give --memory BYTES, too")
    if over is not None and plot is not None:
        raise SpecError("--plot draws the plans at one point: leave out --over")
    check_pictures(plot)
    cost, point = analyze(replace(asked, mode="training"))
    with progress() as show:
        if over is not None and budget is not None:
            rulings = cost.recompute_over(budget, over, point, of=of, progress=show)
        else:
            rulings, found = None, cost.recompute(budget, point, of=of, progress=show)
    if rulings is not None:
        say(rulings_json(rulings) if as_json else rulings_text(rulings))
        return
    if plot is not None:
        found.plot(plot)
    say(recompute_json(found) if as_json else recompute_text(found))
