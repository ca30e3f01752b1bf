"""`fxcost fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_free, load_machines
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, Dtype, Strict, Tie, takes_model


@app.command(epilog="For example: fxcost fit torchvision:mobilenet_v2 -i N,3,H,W --target stm32h743 --activations int8")
@takes_model
def fit(
    asked: Asked,
    target: Annotated[
        list[str],
        typer.Option("--target", metavar="NAME|FILE.toml", help="A machine, see `fxcost targets`. Repeat to compare."),
    ],
    tie: Tie = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="SYMBOL", help="The symbol whose largest size is asked: H if there is one, or S."
        ),
    ] = None,
    dtype: Dtype = None,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """Does it fit a machine, and what is the largest input?"""
    from fxcost.ir.specs import parse_ties
    from fxcost.report.fit import fit_json, fit_text

    ties, machines = parse_ties(tie), load_machines(target, dtype)
    cost, point = analyze(asked, strict=strict)
    check_free(cost, wanted)
    answers = [cost.fit(machine, point, wanted, ties, dtype) for machine in machines]
    say(fit_json(answers) if as_json else fit_text(cost.graph.name, answers, point))
