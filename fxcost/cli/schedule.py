"""`fxcost schedule`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_free, check_pictures
from fxcost.cli.application import app, check_writable, complain, progress, say, write
from fxcost.cli.options import (
    Alignment,
    AsJson,
    Asked,
    Tie,
    TimeLimit,
    output_to,
    plot_to,
    takes_model,
    wanted_symbol,
)
from fxcost.errors import SpecError


@app.command(epilog="For example: fxcost schedule torchvision:googlenet -i N,3,H,W --at N=1,H=224,W=224")
@takes_model
def schedule(
    asked: Asked,
    wanted: Annotated[str | None, wanted_symbol("The best order as a function of this size.")] = None,
    tie: Tie = None,
    time_limit: TimeLimit = 60.0,
    output: Annotated[
        Path | None, output_to("FILE.pt2", "Write the program in its best order, with its costs.")
    ] = None,
    plot: Annotated[Path | None, plot_to("Draw memory over execution, traced against best order.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="PLAN.csv", help="Give every buffer an address, too: other orders if need be."),
    ] = None,
    alignment: Alignment = 1,
    as_json: AsJson = False,
) -> None:
    """The execution order that needs least memory, with a proof."""
    for path in filter(None, (output, plan)):
        check_writable(path)
    check_pictures(plot)
    cost, point = analyze(asked)
    graph = cost.at_point(point or {}).graph
    check_free(cost, wanted)
    open_sizes = [s.name for s in graph.symbols if s.kind == "size" and s.name not in (point or {})]
    if wanted is not None or tie or open_sizes:
        if output is not None or plot is not None or plan is not None:
            raise SpecError(
                f"an order is written, drawn and planned for one point: give {', '.join(open_sizes)} with --at"
            )
        from fxcost.ir.specs import parse_ties
        from fxcost.report.orders import orders_json, orders_text

        with progress() as show:
            orders = cost.best_orders(wanted, point, parse_ties(tie), time_limit, progress=show)
        say(orders_json(graph, orders) if as_json else orders_text(graph, orders))
        return
    from fxcost.report.schedule import schedule_json, schedule_text

    with progress() as show:
        show(f"looking for the best order, at most {time_limit:g} s")
        found = cost.schedule(point, time_limit)
        if plan is not None:
            show("placing its buffers")
            placed = found.plan(alignment=alignment, time_limit=time_limit)
            found = placed.schedule
    if output is not None:
        cost.save(output, point, found)
        if not asked.model.endswith(".pt2"):
            complain(
                f"{output} holds no weights: the model was built without them; schedule a .pt2 to keep its weights"
            )
    if plot is not None:
        found.plot(plot)
    if plan is not None:
        from fxcost.passes.memory_plan_csv import plan_csv
        from fxcost.report.memory_plan import plan_text

        write(plan, plan_csv(placed))
    say(schedule_json(graph, found, found.timelines()) if as_json else schedule_text(graph, found))
    if plan is not None and not as_json:
        say(plan_text(placed))
