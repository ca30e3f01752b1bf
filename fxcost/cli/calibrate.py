"""`fxcost calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fxcost.cli.application import app, progress, say, write
from fxcost.cli.options import output_to


@app.command(epilog="For example: fxcost calibrate -o mine.toml; fxcost report MODEL -i SPEC --target mine.toml")
def calibrate(
    output: Annotated[Path, output_to("FILE.toml", "The target file, named after the machine.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="An image model to run in place of the built-in ones, as torchvision:resnet18; repeat for more. "
            "Loading a factory runs its code.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="cpu or cuda.")] = "cpu",
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Threads on the CPU; with 1, CPU time is measured.")
    ] = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="Wall time to spend on measuring, roughly.")
    ] = 120,
    quick: Annotated[bool, typer.Option("--quick", help="Small models for seconds: to try it out.")] = False,
) -> None:
    """Measure this machine and write it as a target file."""
    from fxcost.calibration import calibrate as measure
    from fxcost.errors import SpecError
    from fxcost.report.calibration import calibration_text
    from fxcost.target.write import to_toml

    # Before minutes of measuring, not after.
    if output.suffix != ".toml":
        raise SpecError(f"{output}: a target file must end in .toml")
    if not output.parent.is_dir() or output.is_dir():
        raise SpecError(f"cannot write {output}: expected a file in a directory that exists")
    with progress() as note:
        found = measure(
            model, name=output.stem, device=device, threads=threads, seconds=seconds, quick=quick, progress=note
        )
    write(output, to_toml(found))
    say(calibration_text(found))
