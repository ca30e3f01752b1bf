"""`fxcost compare`."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fxcost.cli.analysis import analyze, check_free, check_pictures, check_sizes, load_machines
from fxcost.cli.application import app, check_writable, command_line, say
from fxcost.cli.options import AsJson, Asked, Targets, Tie, page_to, plot_to, takes_model, wanted_symbol
from fxcost.errors import SpecError, UnknownName, nearest

if TYPE_CHECKING:
    from fxcost.cost import Cost
    from fxcost.ir.symbols import SymbolInfo


@app.command(
    epilog="For example: fxcost compare torchvision:resnet18 torchvision:mobilenet_v2 -i N,3,H,W --metric peak_memory "
    "--at N=1 --tie W=H"
)
@takes_model
def compare(
    asked: Asked,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The second model; the same, to compare two targets.")],
    metric: Annotated[
        str,
        typer.Option(
            "--metric", metavar="NAME[,NAME]", help="A quantity, or on a --target: roofline, energy ...; two: one each."
        ),
    ] = "macs",
    wanted: Annotated[str | None, wanted_symbol("The size along which to compare.")] = None,
    tie: Tie = None,
    target: Targets = None,
    plot: Annotated[Path | None, plot_to("Draw both along the size.")] = None,
    page: Annotated[Path | None, page_to("Write a page that draws all along the size: it loads nothing.")] = None,
    more: Annotated[
        list[str] | None, typer.Option("--and", metavar="MODEL", help="One more model for the page. Repeat for more.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """For which sizes one model needs less than another, exactly."""
    from fxcost.formulas import one_left
    from fxcost.ir.specs import parse_point, parse_ties
    from fxcost.passes.totals import UNITS
    from fxcost.passes.training import TRAINING_UNITS
    from fxcost.query.compare import joint_symbols, settled_of
    from fxcost.query.constraint_text import RATE_UNITS
    from fxcost.report.json import compact
    from fxcost.report.solve import comparison_data, comparison_text

    known = [*UNITS, *TRAINING_UNITS, *RATE_UNITS, "min_peak_memory"]
    metrics = metric.split(",")
    for name in metrics:
        if name not in known:
            raise UnknownName(f"there is no quantity {name!r}{nearest(name, known)}")
    if len(metrics) > 2:
        raise SpecError(f"--metric {metric}: two models are compared in one metric, or in one each")
    check_pictures(plot)
    if page is not None:
        check_writable(page)
    elif more:
        raise SpecError(f"--and {more[0]} is one more model for a page: give --html FILE, too")
    ties, machines = parse_ties(tie), load_machines(target, None)
    if len(machines) > 2 and page is None:
        raise SpecError(f"two models are compared on one machine or on two, found {len(machines)}")
    pair = [*dict.fromkeys([asked.model, other])]
    answers = [analyze(replace(asked, model=model), shared=True) for model in (*pair, *(more or ()))]
    cost, *beside = (each for each, _ in answers)
    check_sizes([cost, *beside], parse_point(asked.at) if asked.at is not None else None)
    for each in (cost, *beside):
        check_free(each, wanted)
    second = beside[0] if len(pair) > 1 else cost
    point, points = (
        {name: size for _, sizes in part for name, size in (sizes or {}).items()}
        for part in (answers[: len(pair)], answers)
    )
    on = None if not machines else (machines[0], machines[-1])
    known_here, found = joint_symbols(_sizes(cost), _sizes(second)), None
    follows = ties
    if len(answers) > 2:  # the others may have sizes that the first two have not
        every = reduce(joint_symbols, map(_sizes, (cost, *beside)))
        wanted = wanted or one_left("a comparison is", every, points, ties)
        point, follows = settled_of(known_here, wanted, points, ties)
    if len(answers) <= 2 or any(symbol.name == wanted for symbol in known_here):
        found = cost.compare(second, (metrics[0], metrics[-1]), wanted, point, follows, on)
    if plot is not None and found is None:
        raise SpecError(f"--plot draws the first two models along {wanted}, which neither of them has")
    if plot is not None and found is not None:
        from fxcost.report.curves import draw_comparison

        draw_comparison(found, plot)
    if page is not None:
        cost.compare_to_html(
            beside, page, metric=metrics[0], wrt=wanted, at=points, tie=ties, targets=machines, command=command_line()
        )
    if found is None:
        say("null" if as_json else f"{cost.graph.name} beside {second.graph.name}: neither has a size {wanted}")
    else:
        say(compact(comparison_data(found)) if as_json else comparison_text(found))


def _sizes(cost: Cost) -> tuple[SymbolInfo, ...]:
    """Sizes of inputs: what only the data decides is nobody's to give."""
    return tuple(symbol for symbol in cost.graph.symbols if symbol.kind == "size")
