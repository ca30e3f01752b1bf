"""Pictures for people: one way to begin a figure and to write it, with matplotlib as an extra."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from fxcost.errors import SpecError
from fxcost.report.characters import printable, shortened
from fxcost.report.files import whole

ENDINGS = (".png", ".svg", ".pdf")
LONGEST_NAME = 60
FONT = "DejaVu Sans"
"""It comes with matplotlib: pictures look alike on every machine, whatever its settings name."""


def check_picture(path: Path) -> None:
    """Refuse a name that no picture can have, and say how to get the library, before work is done."""
    if path.suffix.lower() not in ENDINGS:
        raise SpecError(f"cannot draw {path}: a picture ends in {', '.join(ENDINGS)}")
    _library()


def figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of this size in inches, and its axes. Drawn without a display."""
    made, (axes,) = stacked(width, height, 1)
    return made, axes


def stacked(width: float, height: float, rows: int) -> tuple[Any, list[Any]]:
    """A figure, each of its `rows` axes of this size in inches, one above the other over the same sizes."""
    _library()
    from matplotlib.figure import Figure

    made: Any = Figure(figsize=(width, height * rows), layout="constrained")
    found = list(made.subplots(rows, sharex=True, squeeze=False)[:, 0])
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    return made, found


def panels(width: float, height: float, columns: int) -> tuple[Any, list[Any]]:
    """A figure of this size with `columns` axes beside each other over the same rows."""
    _library()
    from matplotlib.figure import Figure

    made: Any = Figure(figsize=(width, height), layout="constrained")
    found = list(made.subplots(1, columns, sharey=True, squeeze=False)[0])
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return made, found


def titled(model: str) -> str:
    """A model's name in what a title has room for: a path may be any length."""
    return printable(shortened(model, LONGEST_NAME))


def save(made: Any, path: Path) -> None:
    """Write a figure whole, in the format of the name's ending; the same figure gives the same bytes."""
    import matplotlib as mpl

    check_picture(path)
    _read_literally(made, _writer(path))
    with whole(path) as beside, _quiet(), mpl.rc_context({"svg.hashsalt": "fxcost", "svg.fonttype": "none"}):
        made.savefig(beside, format=path.suffix.lower()[1:], dpi=150, metadata=_dateless(path))


def laid_out(made: Any, path: Path) -> None:
    """Settle where everything in a figure lies, with the texts that will be written to that path."""
    _read_literally(made, _writer(path))
    with _quiet():
        made.draw_without_rendering()


@contextmanager
def _quiet() -> Iterator[None]:
    """An SVG has characters that its reader's fonts draw, whether ours knows them or not."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _writer(path: Path) -> Callable[[str], str]:
    return str if path.suffix.lower() == ".svg" else written_out


def written_out(text: str) -> str:
    """The text with what the font has no glyph for as its escape: a box could stand for any character."""
    known = _glyphs()
    return "".join(
        letter if letter == "\n" or ord(letter) in known else letter.encode("unicode_escape").decode()
        for letter in text
    )


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the font of all pictures draws."""
    from matplotlib import font_manager

    font: Any = font_manager.get_font(font_manager.findfont(FONT))
    return frozenset(font.get_charmap())


def _read_literally(made: Any, write: Callable[[str], str]) -> None:
    """Dollar signs in names begin no formula, and controls control nothing; powers of ten along axes are formulas."""
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    for axis in (axis for axes in made.axes for axis in (axes.xaxis, axes.yaxis)):
        named = axis.get_major_formatter()
        if isinstance(named, FuncFormatter):  # it sets the names along the axis anew when they are drawn
            axis.set_major_formatter(FuncFormatter(partial(_written, write, named)))
    powers = {
        label
        for axes in made.axes
        for axis in (axes.xaxis, axes.yaxis)
        if axis.get_scale() == "log"
        for label in axis.get_ticklabels(which="both")
    }
    for text in made.findobj(Text):
        text.set_fontfamily(FONT)
        if text not in powers:
            text.set_parse_math(False)
            text.set_text(write(printable(text.get_text())))


def _written(
    write: Callable[[str], str], named: Callable[[float, int | None], str], at: float, place: int | None
) -> str:
    return write(printable(named(at, place)))


def _dateless(path: Path) -> dict[str, Any]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _library() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise SpecError("pictures need matplotlib: pip install 'fxcost[plot]'") from error
