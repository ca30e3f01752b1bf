"""`fxcost cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from fxcost.cli.application import app, say
from fxcost.cli.options import AsJson


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove every entry.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the graphs kept on disk, or remove them.

    Graphs are kept by commands with --cache, or with FXCOST_CACHE=1 in the environment; FXCOST_CACHE=FOLDER names
    another folder, and FXCOST_CACHE_SIZE=500MB bounds it: those not used for longest go first.
    """
    from fxcost.cache.folder import folder_of
    from fxcost.cache.listing import listing_json, listing_text

    folder = folder_of(True)
    assert folder is not None, "it was asked for"
    if clear:
        removed = folder.clear()
        say(f"{folder.path}: {removed} {'entry' if removed == 1 else 'entries'} removed")
        return
    say(listing_json(folder) if as_json else listing_text(folder))
