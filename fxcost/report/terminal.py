"""Putting a report on a terminal: colours and its width there, plain text of 80 columns anywhere else."""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType
from rich.segment import Segment, Segments

from fxcost.report.characters import printable

WIDTH = 80


def plain(content: RenderableType, width: int = WIDTH) -> str:
    """The content as text without colours and without blanks at the ends of lines."""
    text = _drawn(Console(file=io.StringIO(), width=width, no_color=True, markup=False, emoji=False), content)
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip()


def for_output(content: RenderableType) -> str:
    """The content for standard output: with colours where that is a terminal, else plain."""
    if not sys.stdout.isatty():
        return _encodable(plain(content))
    return _encodable(_drawn(Console(markup=False, emoji=False), content).rstrip())


def _encodable(text: str) -> str:
    """The text with the lines of trees in ASCII, where standard output has no others."""
    try:
        "├─│└".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate({ord("├"): "|", ord("─"): "-", ord("│"): "|", ord("└"): "`"})
    return text


def _drawn(console: Console, content: RenderableType) -> str:
    # Brackets in names are no markup, and control characters no control.
    segments = [Segment(printable(s.text), s.style) for s in console.render(content) if not s.control]
    with console.capture() as captured:
        console.print(Segments(segments))
    return captured.get()
