"""`fxcost opt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.analysis import check_choice
from fxcost.cli.application import app, check_writable, complain, say, write
from fxcost.cli.options import Accounting, Alignment, At, Dtype, InputMode, TimeLimit, one_target, output_to

PASSES = "cost, storage, liveness, peak, fuse, roofline, energy, schedule (moves ops), plan"


@app.command(
    epilog="For example: fxcost opt model.mlir --passes schedule,plan --at N=1,H=224,W=224 -o planned.mlir",
)
def opt(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.mlir", help="A graph as `fxcost export --to mlir` writes it, or linalg or stablehlo."
        ),
    ],
    passes: Annotated[str, typer.Option("--passes", metavar="NAMES", help=f"Run in this order: {PASSES}.")],
    output: Annotated[Path | None, output_to("FILE", "The file to write; without it, print.")] = None,
    at: At = None,
    target: Annotated[str | None, one_target("The machine of roofline and energy.")] = None,
    dtype: Dtype = None,
    accounting: Accounting = "eager",
    input_mode: InputMode = "freed",
    alignment: Alignment = 1,
    time_limit: TimeLimit = 60.0,
    form: Annotated[str, typer.Option("--form", help="generic (every mlir-opt reads it) or pretty.")] = "generic",
) -> None:
    """Run passes over a graph in MLIR, without torch."""
    from fxcost.api import analyze
    from fxcost.errors import SpecError
    from fxcost.ir.specs import parse_point
    from fxcost.ir.text import print_graph
    from fxcost.steps import Setting, run_steps, step_called

    names = [name.strip() for name in passes.split(",") if name.strip()]
    if not names:
        raise SpecError("--passes names none; for example --passes cost,liveness")
    for name in names:
        step_called(name)
    check_choice("--form", form, ("generic", "pretty"))
    if output is not None:
        check_writable(output)
    point = parse_point(at) if at is not None else None
    cost = analyze(file if file.suffix == ".mlir" else _text(file), accounting=accounting, inputs=input_mode)
    done = run_steps(cost, names, Setting(point, target, dtype, alignment, time_limit))
    if len(done.cost.variants) < len(cost.variants):
        complain(f"{file}: at these sizes the model runs another graph, which alone is written")
    text = print_graph(done.cost.graph, done.facts(), done.cost.variants, form=form)
    if output is not None:
        write(output, text)
    else:
        say(text.rstrip("\n"))


def _text(file: Path) -> str:
    """The text of a file of another name, such as /dev/stdin."""
    from fxcost.errors import FileError

    try:
        return file.read_text(encoding="utf-8") + "\n"
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(f"{file}: cannot be read: {problem}") from None
