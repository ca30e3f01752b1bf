"""Putting a report on a terminal: colours and its width there, plain text of 80 columns anywhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.text import Text

from fxcost.report.characters import printable

WIDTH = 80


@dataclass(frozen=True)
class Branch:
    """A name behind the lines of a tree; where it takes several lines, the tree's go on beside it."""

    first: str
    others: str
    name: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = self.name.wrap(console, max(options.max_width - len(self.first), 1), overflow="fold")
        for number, line in enumerate(lines):
            yield Text.assemble((self.others if number else self.first, "dim"), line)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        name = Measurement.get(console, options, self.name)
        return Measurement(len(self.first) + name.minimum, len(self.first) + name.maximum)


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
