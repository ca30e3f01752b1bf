"""`fxcost patch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from fxcost.cli.analysis import analyze, check_free
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Asked, Tie, takes_model, wanted_symbol
from fxcost.errors import SpecError

if TYPE_CHECKING:
    from fxcost.cost import Cost


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
    cached: Annotated[bool, typer.Option("--cached/--recomputed", help="Whether patches may keep their halos.")] = True,
    up_to: Annotated[
        str | None,
        typer.Option("--up-to", metavar="NAME", help="Formulas of one stage up to a module or node, in one --grid."),
    ] = None,
    wanted: Annotated[str | None, wanted_symbol("With --up-to, the size that the peak is a formula in.")] = None,
    tie: Tie = None,
    as_json: AsJson = False,
) -> None:
    """Run stretches patch by patch: a far smaller peak for some MACs."""
    import math

    from fxcost.ir.specs import parse_ties
    from fxcost.query.units import parse_amount
    from fxcost.report.patch import patches_json, patches_text

    budget = None if memory is None else math.floor(parse_amount(memory))
    if budget is not None and budget < 0:
        raise SpecError(f"--memory {memory}: expected zero bytes or more")
    grids = None if grid is None else [_grid(text) for text in grid]
    if square and (budget is None or grids is not None or overhead is not None):
        raise SpecError("--square looks for the smallest p within --memory, and takes neither --grid nor --overhead")
    if up_to is not None and (grids is None or len(grids) != 1 or square or overhead is not None):
        raise SpecError("--up-to is about one stage: give one --grid, and neither --square nor --overhead")
    if up_to is None and (wanted is not None or tie is not None):
        raise SpecError(f"{'--for' if wanted is not None else '--tie'} goes with --up-to")
    ties = parse_ties(tie)
    cost, point = analyze(asked)
    if up_to is not None and grids is not None:
        check_free(cost, wanted)
        say(_formulas(cost, up_to, grids[0], point, wanted, ties, budget, recomputed=not cached, as_json=as_json))
        return
    with progress() as show:
        if square and budget is not None:
            show("looking for the smallest p")
            found = cost.smallest_patches(budget, point)
        else:
            share = None if overhead is None else overhead / 100
            found = cost.patch(point, memory=budget, overhead=share, grids=grids, cached=cached, progress=show)
    say(patches_json(found) if as_json else patches_text(found))


def _formulas(
    cost: Cost,
    up_to: str,
    grid: tuple[int, int],
    point: Mapping[str, int] | None,
    wanted: str | None,
    ties: Mapping[str, str],
    memory: int | None,
    *,
    recomputed: bool,
    as_json: bool,
) -> str:
    """Halos, MACs and peak of one stage; halos are kept unless they are to be computed again."""
    from fxcost.query.patch_peak import NoFormula, PatchedPeak
    from fxcost.report.patch_formulas import formulas_json, formulas_text

    halos = cost.halos(up_to)
    inputs = {value.id: halos[value.id] for value in cost.graph.inputs if value.id in halos}
    kept = not recomputed
    macs = cost.patched_macs(up_to, *((1, 1) if kept else grid))
    peak: PatchedPeak | str
    largest = None
    with progress() as show:
        try:
            peak = cost.patched_peak(up_to, *grid, cached=kept, wrt=wanted, at=point, tie=ties or None)
            show("every class of sizes")
            largest = None if memory is None else peak.solve(memory, show)
        except NoFormula as error:
            if memory is not None:
                raise
            peak = str(error)
    return (formulas_json if as_json else formulas_text)(inputs, macs, peak, largest)


def _grid(text: str) -> tuple[int, int]:
    rows, _, columns = text.lower().partition("x")
    if not (rows.strip().isdecimal() and columns.strip().isdecimal() and int(rows) * int(columns) > 1):
        raise SpecError(f"--grid {text}: expected rows x columns of at least two patches, such as 3x3")
    return int(rows), int(columns)
