"""`fxcost arena`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import analyze, check_pictures, load_machines
from fxcost.cli.application import app, check_writable, progress, say, write
from fxcost.cli.options import AsJson, Asked, TimeLimit, output_to, plot_to, takes_model
from fxcost.errors import SpecError


@app.command(
    epilog="For example: fxcost arena timm:mobilenetv2_035 -i N,3,H,W --target stm32h743:tflm --at N=1,H=96,W=96"
)
@takes_model
def arena(
    asked: Asked,
    target: Annotated[
        list[str],
        typer.Option("--target", metavar="NAME:RUNTIME", help="A microcontroller and its runtime. Repeat to compare."),
    ],
    padding: Annotated[
        str,
        typer.Option("--padding", metavar="KIND", help="explicit, as torch pads; same, as the format does, no copies."),
    ] = "explicit",
    output: Annotated[Path | None, output_to("PLAN.csv", "Write the buffers with their offsets; needs --at.")] = None,
    plot: Annotated[Path | None, plot_to("Draw addresses over time; needs --at.")] = None,
    time_limit: TimeLimit = 60.0,
    as_json: AsJson = False,
) -> None:
    """What a microcontroller's runtime allocates for it in int8."""
    from fxcost.passes.memory_plan_csv import plan_csv
    from fxcost.report.arena import arena_json, arena_text

    if output is not None:
        check_writable(output)
    check_pictures(plot)
    if (output or plot) and len(target) != 1:
        raise SpecError("a plan is written and drawn for one target")
    machines = load_machines(target, None)
    cost, point = analyze(asked)
    left = [s.name for s in cost.graph.symbols if s.name not in (point or {})]
    if (output or plot) and left:
        raise SpecError(f"a plan is for one point: give {', '.join(left)} with --at")
    with progress() as show:
        show("planning arenas")
        answers = [
            cost.arena(machine, point if not left else None, padding=padding, time_limit=time_limit)
            for machine in machines
        ]
    plan = answers[0].plan
    if output is not None and plan is not None:
        write(output, plan_csv(plan))
    if plot is not None and plan is not None:
        from fxcost.report.memory_map import draw_plan

        draw_plan(plan, plot, f"{cost.graph.name} on {answers[0].target}")
    say(arena_json(answers, point) if as_json else arena_text(cost.graph.name, answers, point))
