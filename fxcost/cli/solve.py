"""`fxcost solve`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, blank_quantities, check_free, load_machines
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, Dtype, Strict, Targets, Tie, takes_model
from fxcost.errors import Infeasible, SpecError


@app.command(
    epilog="For example: fxcost solve torchvision:mobilenet_v2 'peak_memory <= 320KB' -i N,3,H,W --for H --at N=1 "
    "--tie W=H --activations int8"
)
@takes_model
def solve(
    asked: Asked,
    constraints: Annotated[
        list[str],
        typer.Argument(
            metavar="CONSTRAINT",
            help="'peak_memory <= 320KB', 'macs < 300M', on a --target 'roofline <= 50ms' or 'energy < 2mJ'; all must hold.",
        ),
    ],
    wanted: Annotated[
        str, typer.Option("--for", metavar="SYMBOL", help="The symbol to solve for; N,S for the largest pairs of two.")
    ],
    tie: Tie = None,
    target: Targets = None,
    dtype: Dtype = None,
    as_json: AsJson = False,
    strict: Strict = False,
) -> None:
    """All sizes that satisfy constraints, exactly, with a proof."""
    from fxcost.ir.specs import parse_ties
    from fxcost.query.constraint_text import parse_constraint, parse_rate
    from fxcost.report.json import compact
    from fxcost.report.solve import frontier_data, frontier_text, solution_data, solution_text

    ties, blank, machines = parse_ties(tie), blank_quantities(), load_machines(target, dtype)
    counted = [text for text in constraints if parse_rate(text) is None]
    rates = [rate for text in constraints if (rate := parse_rate(text)) is not None]
    for text in counted:
        parse_constraint(text, blank)
    if rates and not machines:
        raise SpecError(f"{rates[0][0]} is that on a machine: name one with --target")
    cost, point = analyze(asked, strict=strict)
    pair = tuple(name.strip() for name in wanted.split(","))
    for name in pair:
        check_free(cost, name)
    given = [parse_constraint(text, cost.quantities) for text in counted]
    if len(pair) == 2:
        if rates or ties:
            raise SpecError("pairs of sizes are found under quantities alone, without --tie: solve for one size")
        corners = cost.frontier(given, (pair[0], pair[1]), point)
        say(compact(frontier_data(corners)) if as_json else frontier_text(corners))
        feasible = corners.feasible
    else:
        here = cost.at_point(point or {}) if rates else cost
        if here is not cost:  # the nodes that run there are others
            given = [parse_constraint(text, here.quantities) for text in counted]
            point = {name: size for name, size in (point or {}).items() if name in here.symbols}
        timed = [here.rate(name, m, dtype).against(op, limit) for name, op, limit in rates for m in machines]
        solution = here.solve([*given, *timed], wrt=wanted, at=point, tie=ties)
        say(compact(solution_data(solution)) if as_json else solution_text(solution))
        feasible = solution.feasible
    if not feasible:
        raise Infeasible(f"no {wanted} satisfies {', '.join(constraints)}")
