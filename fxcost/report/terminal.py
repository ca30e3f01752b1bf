"""Putting a report on a terminal: colours and its width there, plain text of 80 columns anywhere else."""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType

WIDTH = 80


def plain(content: RenderableType, width: int = WIDTH) -> str:
    """The content as text without colours and without blanks at the ends of lines."""
    file = io.StringIO()
    # Names of models and modules come from anywhere: brackets and colons in them are no markup.
    Console(file=file, width=width, no_color=True, markup=False, emoji=False, highlight=False).print(content)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()).rstrip()


def for_output(content: RenderableType) -> str:
    """The content for standard output: with colours where that is a terminal, else plain."""
    if not sys.stdout.isatty():
        return plain(content)
    console = Console(markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(content)
    return captured.get().rstrip()
