"""What can go wrong, in two families: `ModelError` (your model, file or request) and `InternalError` (our bug).

Every message says where, what was found, what was expected and what to do. The command line prints the message
alone and leaves with the class's `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FxcostError(Exception):
    """Base of every error that fxcost raises on purpose."""

    exit_code = 1


class InternalError(FxcostError):
    """A promise inside fxcost is broken; please report it."""

    exit_code = 1


class ModelError(FxcostError):
    """Something in the user's model, file or request is wrong."""

    exit_code = 2


class SpecError(ModelError, ValueError):
    """An input specification, symbol or option does not say what it must say."""


class FileError(ModelError, ValueError):
    """A file (IR text, target, .pt2) cannot be read or is malformed."""


class UnknownName(ModelError, LookupError):
    """A name is not registered; the message lists the nearest known ones."""


class OutsideDomain(ModelError, ValueError):
    """A formula was asked for at a point where one of its guards is false.

    `outside` says which; `advice` what a caller in Python can do about it, in whose place a command line puts its own.
    """

    def __init__(self, outside: str, advice: str = "") -> None:
        """Say both, one behind the other."""
        super().__init__(f"{outside}; {advice}" if advice else outside)
        self.outside, self.advice = outside, advice


class CaptureError(ModelError):
    """The model could not be captured, not even numerically."""

    exit_code = 3


class Infeasible(ModelError):
    """No value satisfies the constraint, or a budget is exceeded."""

    exit_code = 4


class UnknownOps(ModelError):
    """The model has operators without a cost rule, and the request was strict."""

    exit_code = 5


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return a hint such as `; did you mean 'macs'?`, or the first known names when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(repr(c) for c in close) + "?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known: {shown}" if names else ""
