"""`fxcost fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_free, load_machines
from fxcost.cli.application import app, complain, progress, say
from fxcost.cli.options import AsJson, Asked, Dtype, NeededTargets, Strict, Tie, takes_model, wanted_symbol


@app.command(epilog="For example: fxcost fit torchvision:mobilenet_v2 -i N,3,H,W --target stm32h743 --activations int8")
@takes_model
def fit(
    asked: Asked,
    target: NeededTargets,
    tie: Tie = None,
    wanted: Annotated[
        str | None, wanted_symbol("The symbol whose largest size is asked: H if there is one, or S.")
    ] = None,
    dtype: Dtype = None,
    patches: Annotated[
        bool, typer.Option("--patches", help="Where activations do not fit, look for patches with which they do.")
    ] = False,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """Does it fit a machine, and what is the largest input?"""
    from fxcost.ir.specs import parse_ties
    from fxcost.query.fit import room_for_activations
    from fxcost.report.fit import fit_json, fit_text
    from fxcost.report.patch import fit_line

    ties, machines = parse_ties(tie), load_machines(target, dtype)
    cost, point = analyze(asked, strict=strict)
    check_free(cost, wanted)
    answers = [cost.fit(machine, point, wanted, ties, dtype) for machine in machines]
    if not as_json:
        say(fit_text(cost.graph.name, answers, point))
    rooms = {}
    for answer in answers if patches else ():
        room = room_for_activations(answer)
        if room is None:
            complain(f"{answer.target}: it is not known what memory there is for activations")
        else:
            rooms[answer.target] = room
    with progress() as show:
        found = cost.fitting_patches(rooms, point, show)
    if as_json:
        say(fit_json(answers, found if patches else None))
    for name, each in () if as_json else found.items():
        say(fit_line(f"{cost.graph.name} on {name}", each.level, each.bytes, each.found))
