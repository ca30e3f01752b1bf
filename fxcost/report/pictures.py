"""Pictures for people: one way to begin a figure and to write it, with matplotlib as an extra."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from fxcost.errors import SpecError
from fxcost.report.characters import printable, shortened
from fxcost.report.files import whole

ENDINGS = (".png", ".svg", ".pdf")
LONGEST_NAME = 60


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
    _read_literally(made)
    quiet = warnings.catch_warnings()
    with whole(path) as beside, quiet, mpl.rc_context({"svg.hashsalt": "fxcost", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for it; an SVG has the character
        made.savefig(beside, format=path.suffix.lower()[1:], dpi=150, metadata=_dateless(path))


def _read_literally(made: Any) -> None:
    """Dollar signs in names begin no formula, and controls control nothing; powers of ten along axes are formulas."""
    from matplotlib.text import Text

    powers = {
        label
        for axes in made.axes
        for axis in (axes.xaxis, axes.yaxis)
        if axis.get_scale() == "log"
        for label in axis.get_ticklabels(which="both")
    }
    for text in made.findobj(Text):
        if text not in powers:
            text.set_parse_math(False)
            text.set_text(printable(text.get_text()))


def _dateless(path: Path) -> dict[str, Any]:
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower(), {})


def _library() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise SpecError("pictures need matplotlib: pip install 'fxcost[plot]'") from error
