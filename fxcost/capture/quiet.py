"""Keeping other people's noise away from the user: what torch says on the way comes back as one error of ours."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def muffled() -> Iterator[None]:
    """Silence warnings, log lines, and what torch.export prints on stderr before it raises."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def short(error: BaseException) -> str:
    """Type and first line of an error, and of its root cause where one was wrapped in another."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    return _line(error) if root is error else f"{_line(error)}, caused by {_line(root)}"


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:200] if lines else type(error).__name__
