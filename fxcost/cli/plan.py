"""`fxcost plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import check_pictures
from fxcost.cli.application import app, check_writable, complain, progress, say, write
from fxcost.cli.options import Alignment, TimeLimit, output_to, plot_to


@app.command(epilog="For example: fxcost plan buffers.csv --capacity 1MiB -o plan.csv")
def plan(
    buffers: Annotated[
        Path, typer.Argument(metavar="BUFFERS.csv", help="Columns id,lower,upper,size: alive from lower until upper.")
    ],
    capacity: Annotated[
        str | None,
        typer.Option(
            "--capacity", metavar="BYTES", help="The arena it must fit (1MiB), or several banks (512KB,128KB)."
        ),
    ] = None,
    alignment: Alignment = 1,
    time_limit: TimeLimit = 60.0,
    output: Annotated[Path | None, output_to("PLAN.csv", "Write the table with its offsets.")] = None,
    plot: Annotated[Path | None, plot_to("Draw addresses over time.")] = None,
) -> None:
    """Give every buffer an address, in the least memory or an arena."""
    import math

    from fxcost.errors import SpecError
    from fxcost.passes.memory_plan import plan as plan_buffers
    from fxcost.passes.memory_plan_csv import read_buffers, write_buffers
    from fxcost.query.units import parse_amount
    from fxcost.report.memory_plan import plan_text

    if output is not None:
        check_writable(output)
    check_pictures(plot)
    banks: list[int] = []
    for text in capacity.split(",") if capacity is not None else ():
        amount = parse_amount(text)
        if amount < 0:
            raise SpecError(f"--capacity {text}: expected zero bytes or more")
        banks.append(math.floor(amount))
    room = banks[0] if len(banks) == 1 else banks or None
    with progress() as show:
        show(f"reading {buffers}")
        source = read_buffers(buffers)
        for note in source.notes:
            complain(f"{buffers}: {note}")
        show(f"placing {len(source.requests):,} buffers, at most {time_limit:g} s")
        found = plan_buffers(
            source.requests, room, alignment=math.lcm(alignment, source.alignment), time_limit=time_limit
        )
    if output is not None:
        write(output, write_buffers(source, found.offsets, found.banks))
    if plot is not None:
        from fxcost.report.memory_map import draw_plan

        draw_plan(found, plot, buffers.stem)
    say(plan_text(found))
