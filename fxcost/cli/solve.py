"""`fxcost solve`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, blank_quantities, check_free
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, Strict, Tie, takes_model
from fxcost.errors import Infeasible


@app.command(
    epilog="For example: fxcost solve torchvision:mobilenet_v2 'peak_memory <= 320KB' -i N,3,H,W --for H --at N=1 "
    "--tie W=H --activations int8"
)
@takes_model
def solve(
    asked: Asked,
    constraints: Annotated[
        list[str],
        typer.Argument(metavar="CONSTRAINT", help="'peak_memory <= 320KB', 'macs < 300M'; all must hold."),
    ],
    wanted: Annotated[str, typer.Option("--for", metavar="SYMBOL", help="The symbol to solve for.")],
    tie: Tie = None,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """All sizes that satisfy constraints, exactly, with a proof."""
    from fxcost.ir.specs import parse_ties
    from fxcost.query.constraint_text import parse_constraint
    from fxcost.report.json import compact
    from fxcost.report.solve import solution_data, solution_text

    ties, blank = parse_ties(tie), blank_quantities()
    for text in constraints:
        parse_constraint(text, blank)
    cost, point = analyze(asked, strict=strict)
    check_free(cost, wanted)
    given = [parse_constraint(text, cost.quantities) for text in constraints]
    solution = cost.solve(given, wrt=wanted, at=point, tie=ties)
    say(compact(solution_data(solution)) if as_json else solution_text(solution))
    if not solution.feasible:
        raise Infeasible(f"no {wanted} satisfies {', '.join(constraints)}")
