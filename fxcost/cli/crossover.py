"""`fxcost crossover`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_free, check_pictures, load_machines
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, Dtype, NeededTargets, Strict, Tie, plot_to, takes_model, wanted_symbol
from fxcost.errors import SpecError


@app.command(epilog="For example: fxcost crossover torchvision:resnet18 -i N,3,H,W --target t4 --node layer1.0.conv1")
@takes_model
def crossover(
    asked: Asked,
    target: NeededTargets,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME", help="A node or module; without one the network and all its ops."),
    ] = None,
    tie: Tie = None,
    wanted: Annotated[str | None, wanted_symbol("The symbol: H if there is one, or S.")] = None,
    dtype: Dtype = None,
    pieces: Annotated[
        bool, typer.Option("--pieces", help="The roofline latency between the crossovers, a plain sum in each piece.")
    ] = False,
    plot: Annotated[Path | None, plot_to("Draw both times along the size: of the network, or of each --node.")] = None,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """From which size on does compute bind, and not memory?"""
    from fxcost.ir.specs import parse_ties
    from fxcost.report.crossover import crossover_data, crossover_text, pieces_data, pieces_text
    from fxcost.report.json import compact

    check_pictures(plot)
    if plot is not None and pieces:
        raise SpecError("--plot draws where the two sides cross; ask for it without --pieces")
    ties, machines = parse_ties(tie), load_machines(target, dtype)
    cost, point = analyze(asked, strict=strict)
    check_free(cost, wanted)
    if pieces:
        parts = {
            machine.name: cost.latency_pieces(machine, wrt=wanted, at=point, tie=ties, dtype=dtype)
            for machine in machines
        }
        if as_json:
            say(compact({"targets": {name: pieces_data(each) for name, each in parts.items()}}))
        else:
            label = wanted or cost.default_symbol(point, ties)
            say("\n\n".join(f"{name}\n{pieces_text(label, each)}" for name, each in parts.items()))
        return
    found = {machine.name: cost.crossovers(machine, wanted, point, ties, dtype, node) for machine in machines}
    if plot is not None:
        from fxcost.report.curves import draw_crossovers

        drawn = [each for answers in found.values() for each in (answers if node else answers[:1])]
        draw_crossovers(cost.graph.name, drawn, plot)
    if as_json:
        say(compact({"targets": {name: [crossover_data(each) for each in answers] for name, answers in found.items()}}))
    else:
        say("\n\n".join(crossover_text(cost.graph.name, answers) for answers in found.values()))
