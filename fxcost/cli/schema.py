"""`fxcost schema`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.application import app, say


@app.command(epilog="For example: fxcost schema report > fxcost-report.schema.json")
def schema(
    command: Annotated[
        str, typer.Argument(metavar="[COMMAND]", help="The command whose --json it describes.")
    ] = "report",
) -> None:
    """The JSON Schema of what a command prints with --json."""
    from fxcost.report.json import compact
    from fxcost.report.schema import schema as schema_of

    say(compact(schema_of(command)))
