"""`fxcost check`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fxcost.cli.analysis import analyze, blank_quantities
from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson, Asked, takes_model
from fxcost.errors import Infeasible, SpecError

if TYPE_CHECKING:
    from fxcost.report.budget import Verdict


@app.command(
    epilog="For example: fxcost check torchvision:resnet18 -i N,3,H,W --at N=1,H=224,W=224 --max macs=2G "
    "--max peak_memory=8MB; or, with what `fxcost report ... --json > before.json` wrote on another branch: "
    "--against before.json --max-growth macs=5%"
)
@takes_model
def check(
    asked: Asked,
    budgets: Annotated[
        list[str] | None,
        typer.Option("--max", metavar="METRIC=AMOUNT", help="A budget: peak_memory=320KB. Repeat for more."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", metavar="OLD.json", help="Show what changed since an earlier `fxcost report --json`."
        ),
    ] = None,
    growth: Annotated[
        list[str] | None,
        typer.Option("--max-growth", metavar="METRIC=SHARE%", help="What may be added to the old: macs=5%, params=1K."),
    ] = None,
    as_json: AsJson = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="As Markdown, for a comment on a pull request.")
    ] = False,
) -> None:
    """For CI: what changed, and exit with 4 when over budget."""
    from fxcost.ir.specs import parse_point
    from fxcost.query.constraint_text import parse_budget, parse_growth
    from fxcost.query.difference import difference
    from fxcost.report.budget import check_counted, judge, judge_growth
    from fxcost.report.stored import read_revision, revision_of

    if growth and against is None:
        raise SpecError(f"--max-growth {growth[0]} needs the earlier report: --against OLD.json")
    if budgets is None and against is None:
        raise SpecError("nothing to check: give a budget (--max macs=2G) or an earlier report (--against OLD.json)")
    if as_json and as_markdown:
        raise SpecError("choose one of --json and --markdown")
    blank = blank_quantities()
    limits = [parse_budget(text, blank) for text in budgets or ()]
    allowances = [parse_growth(text, blank) for text in growth or ()]
    before, stored_at = (None, {}) if against is None else read_revision(against)
    if asked.at is None and stored_at:
        asked = replace(asked, at=",".join(f"{name}={size}" for name, size in stored_at.items()))
    cost, point = analyze(asked)
    verdicts = judge({name: cost.total(name) for name, _ in limits}, limits, point)
    found = None
    if before is not None:
        given = parse_point(asked.at) if asked.at is not None else {}
        found = difference(before, revision_of(cost.summary(point)), given)
        verdicts += judge_growth(found, allowances)
    if as_json:
        from fxcost.report.difference import difference_data
        from fxcost.report.json import compact

        say(compact({"verdicts": [_plain(v) for v in verdicts], "against": found and difference_data(found)}))
    else:
        if found is not None:
            from fxcost.report.difference import difference_markdown, difference_text

            say(difference_markdown(found) if as_markdown else difference_text(found) + "\n" * bool(verdicts))
        for verdict in verdicts:
            say(f"- {verdict}" if as_markdown else str(verdict))
    check_counted(cost.unknown_ops)
    over = [verdict.metric for verdict in verdicts if verdict.exceeded]
    if over:
        raise Infeasible(f"over budget: {', '.join(over)}")


def _plain(verdict: Verdict) -> dict[str, object]:
    return {
        "metric": verdict.metric,
        "unit": verdict.unit,
        "value": verdict.value,
        "limit": verdict.limit,
        "exceeded": verdict.exceeded,
        "reason": verdict.reason,
    }
