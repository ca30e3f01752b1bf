"""`fxcost solve`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from fxcost.cli.analysis import analyze, blank_quantities, check_free, load_machines
from fxcost.cli.application import app, progress, say
from fxcost.cli.options import AsJson, Asked, Dtype, Strict, Targets, Tie, takes_model, wanted_symbol
from fxcost.errors import Infeasible, SpecError

if TYPE_CHECKING:
    from fxcost.cost import Cost


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
        str, wanted_symbol("The symbol to solve for; N,S for the largest pairs of two; p for the least p x p patches.")
    ],
    tie: Tie = None,
    target: Targets = None,
    dtype: Dtype = None,
    patches: Annotated[
        int | None,
        typer.Option("--patches", metavar="P", help="Let the first layers run in up to P x P patches: peak_memory."),
    ] = None,
    overhead: Annotated[
        float | None,
        typer.Option("--overhead", metavar="PERCENT", min=0.0, help="MACs allowed on top where patches compute twice."),
    ] = None,
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
    if patches is not None or overhead is not None or (wanted == "p" and wanted not in cost.symbols):
        _in_patches(cost, counted, rates, wanted, point, ties, patches, overhead, as_json=as_json)
        return
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


def _in_patches(
    cost: Cost,
    counted: list[str],
    rates: list[tuple[str, str, Fraction]],
    wanted: str,
    point: Mapping[str, int] | None,
    ties: Mapping[str, str],
    patches: int | None,
    overhead: float | None,
    *,
    as_json: bool,
) -> None:
    """Answer `peak_memory <= BYTES` patch by patch."""
    from fxcost.query.constraint_text import parse_constraint
    from fxcost.report.json import compact
    from fxcost.report.solve import solution_data, solution_text

    if rates or len(counted) != 1:
        raise SpecError("patches answer one constraint: 'peak_memory <= BYTES'")
    share = None if overhead is None else overhead / 100
    with progress() as show:
        show("looking for patches")
        found = cost.solve_in_patches(
            parse_constraint(counted[0], cost.quantities),
            wanted,
            point,
            ties,
            patches=patches,
            overhead=share,
            progress=show,
        )
    say(compact(solution_data(found)) if as_json else solution_text(found))
    if not found.feasible:
        raise Infeasible(f"no {wanted} satisfies {counted[0]} in patches")
