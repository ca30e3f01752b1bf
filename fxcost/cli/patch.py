"""`fxcost patch`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Asked, takes_model
from fxcost.errors import SpecError


@app.command(
    epilog="For example: fxcost patch torchvision:mobilenet_v2 -i N,3,H,W --at N=1,H=224,W=224 --activations int8 "
    "--memory 320KB"
)
@takes_model
def patch(
    asked: Asked,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="BYTES", help="The fewest MACs within so much: 256KB.")
    ] = None,
    overhead: Annotated[
        float | None,
        typer.Option("--overhead", metavar="PERCENT", min=0.0, help="MACs allowed on top; 20 where nothing is said."),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="ROWSxCOLUMNS", help="Patches to try: 3x3, 8x1. Repeat for more."),
    ] = None,
    square: Annotated[
        bool, typer.Option("--square", help="One stage from the input, p x p, the smallest p within --memory.")
    ] = False,
    cached: Annotated[
        bool, typer.Option("--cached/--recomputed", help="Whether strips may keep their halo rows.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Run stretches patch by patch: a far smaller peak for some MACs."""
    import math

    from fxcost.query.units import parse_amount
    from fxcost.report.patch import patches_json, patches_text

    budget = None if memory is None else math.floor(parse_amount(memory))
    if budget is not None and budget < 0:
        raise SpecError(f"--memory {memory}: expected zero bytes or more")
    grids = None if grid is None else [_grid(text) for text in grid]
    if square and (budget is None or grids is not None or overhead is not None):
        raise SpecError("--square looks for the smallest p within --memory, and takes neither --grid nor --overhead")
    cost, point = analyze(asked)
    with progress() as show:
        if square and budget is not None:
            show("looking for the smallest p")
            found = cost.smallest_patches(budget, point)
        else:
            share = None if overhead is None else overhead / 100
            found = cost.patch(point, memory=budget, overhead=share, grids=grids, cached=cached, progress=show)
    say(patches_json(found) if as_json else patches_text(found))


def _grid(text: str) -> tuple[int, int]:
    rows, _, columns = text.lower().partition("x")
    if not (rows.strip().isdecimal() and columns.strip().isdecimal() and int(rows) * int(columns) > 1):
        raise SpecError(f"--grid {text}: expected rows x columns of at least two patches, such as 3x3")
    return int(rows), int(columns)
