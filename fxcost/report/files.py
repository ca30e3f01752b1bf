"""Writing files whole: to a temporary file beside the target, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fxcost.errors import SpecError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to; it becomes `path` when the body ends well, and is gone when it does not.

    The temporary file keeps the ending of the name, which some writers look at. Raises SpecError where the place cannot
    be written to.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise SpecError(f"cannot write {path}: {error.strerror or error}") from error
