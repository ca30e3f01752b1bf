"""Functions that worker processes are given: what a pool must survive."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def square(number: int) -> int:
    return number * number


def mishap(number: int) -> int:
    """Fails in another way at 3, 5, 7, 11 and 13."""
    if number == 3:
        raise ValueError("three\nwith a second line")
    if number == 5:
        raise SystemExit(5)
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 11:
        return lambda: None  # type: ignore[return-value]  # cannot be pickled
    if number == 13:
        os._exit(1)
    return number


def threads(_: int) -> tuple[str | None, int]:
    return os.environ.get("OMP_NUM_THREADS"), os.getpid()


def noted(place: str) -> str:
    """Leave a trace, then take long."""
    Path(place).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(60)
    return place
