"""Clocks for short, noisy runs: marks around an action, and how long it took where it ran.

On a CPU with one thread the clock is that thread's CPU time: what other programs do in between does not count. With
several threads it is wall time. On CUDA marks are events in the stream: nothing waits until all of a run is queued.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch

from fxcost.errors import SpecError

FLUSH_BYTES = 256 * 2**20
"""More than any cache on a GPU."""


class Clock(Protocol):
    """Marks in time on one device."""

    device: str

    def mark(self) -> Any:
        """A point in time on the device."""

    def finish(self) -> None:
        """Wait until every mark has happened."""

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds between two marks, without what marking itself costs."""

    def chill(self) -> None:
        """Forget what the caches hold, where that is wanted."""

    def cold(self) -> Clock | None:
        """A clock on the same device whose runs start with empty caches, where they can be emptied."""


class CpuClock:
    """CPU time of this thread with one thread, else wall time."""

    device = "cpu"

    def __init__(self, threads: int) -> None:
        """A clock for runs on `threads` threads."""
        self._now = time.thread_time_ns if threads == 1 else time.perf_counter_ns
        marks = [self._now() for _ in range(1000)]
        self._tick = min(later - earlier for earlier, later in pairwise(marks))

    def mark(self) -> int:
        """Nanoseconds."""
        return self._now()

    def finish(self) -> None:
        """Nothing is ever queued."""

    def seconds(self, start: int, end: int) -> float:
        """Seconds between two marks; never less than a nanosecond."""
        return max(end - start - self._tick, 1) * 1e-9

    def chill(self) -> None:
        """A run finds what the one before left."""

    def cold(self) -> None:
        """There is no portable way to empty the caches of a CPU."""


class CudaClock:
    """Events in the current stream; with `cold`, every run starts with an empty L2 cache."""

    device = "cuda"

    def __init__(self, cold: bool = False) -> None:
        """A clock for the current CUDA device."""
        self._flush = torch.empty(FLUSH_BYTES, dtype=torch.uint8, device="cuda") if cold else None

    def mark(self) -> Any:
        """An event in the stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def finish(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize()

    def seconds(self, start: Any, end: Any) -> float:
        """Seconds between two events; never less than a nanosecond. Events count milliseconds."""
        return max(float(start.elapsed_time(end)) * 1e-3, 1e-9)

    def chill(self) -> None:
        """Write more than the caches hold."""
        if self._flush is not None:
            self._flush.zero_()

    def cold(self) -> CudaClock:
        """Every run starts with an empty L2 cache."""
        return CudaClock(cold=True)


@contextmanager
def measuring(device: str, threads: int) -> Iterator[Clock]:
    """A clock for the device, with torch on so many threads; raises SpecError where there is no such device."""
    if device == "cuda" and not torch.cuda.is_available():
        raise SpecError("device='cuda': this torch sees no CUDA device; calibrate with device='cpu'")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield CudaClock() if device == "cuda" else CpuClock(threads)
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs: the best of all, and the best of the first and of the second half."""

    best: float
    halves: tuple[float, float]
    repeats: int

    @property
    def noise(self) -> float:
        """Relative difference between the two halves' best: what repeating the measurement changes."""
        return abs(self.halves[0] - self.halves[1]) / self.best

    @classmethod
    def of(cls, times: list[float]) -> Timing:
        """The timing of at least one run."""
        middle = (len(times) + 1) // 2
        return cls(min(times), (min(times[:middle]), min(times[middle:] or times)), len(times))

    def __or__(self, other: Timing) -> Timing:
        """Two measurements apart in time, as one; its noise is how far the new one is from the best so far."""
        return Timing(min(self.best, other.best), (self.best, other.best), self.repeats + other.repeats)


def timed(action: Callable[[], Any], clock: Clock, *, seconds: float, repeats: int = 50, warm_up: int = 1) -> Timing:
    """Repeat an action until `seconds` of wall time or `repeats` are over, at least three times after warming up."""
    for _ in range(warm_up):
        action()
    clock.finish()
    until = time.monotonic() + seconds
    times: list[float] = []
    while len(times) < 3 or (len(times) < repeats and time.monotonic() < until):
        clock.chill()
        start = clock.mark()
        action()
        end = clock.mark()
        clock.finish()
        times.append(clock.seconds(start, end))
    return Timing.of(times)
