"""`fxcost targets`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.application import app, say


@app.command()
def targets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE.toml]", help="A machine to show with every figure's source.")
    ] = None,
) -> None:
    """List the machines, or show one with its sources."""
    from fxcost.report.machines import target_list, target_text

    say(target_text(name) if name is not None else target_list())
