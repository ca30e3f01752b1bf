"""`fxcost check`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, blank_quantities
from fxcost.cli.application import app, say
from fxcost.cli.options import Asked, takes_model
from fxcost.errors import Infeasible, SpecError, UnknownOps


@app.command(
    epilog="For example: fxcost check torchvision:resnet18 -i N,3,H,W --at N=1,H=224,W=224 --max macs=2G "
    "--max peak_memory=8MB"
)
@takes_model
def check(
    asked: Asked,
    budgets: Annotated[
        list[str],
        typer.Option("--max", metavar="METRIC=AMOUNT", help="A budget: peak_memory=320KB. Repeat for more."),
    ],
) -> None:
    """For CI: exit with 4 when a budget is exceeded."""
    from fxcost.query.constraint_text import parse_budget
    from fxcost.report.query import value_at

    blank = blank_quantities()
    limits = [parse_budget(text, blank) for text in budgets]
    cost, point = analyze(asked)
    exceeded = []
    for name, limit in limits:
        quantity = cost.total(name)
        value = value_at(quantity, point)
        if not isinstance(value, int):
            raise SpecError(f"{name} is a formula in {', '.join(sorted(value.value.symbols))}; give sizes with --at")
        verdict = "ok" if value <= limit else "EXCEEDED"
        share = f"{100 * value / limit:.1f} % of" if limit else "against"
        say(f"{verdict:<9}{name} = {value:,} {quantity.unit}, {share} the budget of {limit:,}")
        exceeded += [name] * (value > limit)
    if cost.unknown_ops:
        raise UnknownOps(
            f"no cost rule for {', '.join(cost.unknown_ops)}: the totals are lower bounds, a budget proves nothing"
        )
    if exceeded:
        raise Infeasible(f"over budget: {', '.join(exceeded)}")
