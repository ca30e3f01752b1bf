"""Peak of what torch's allocator hands out while something runs: compiled code and kernels' own memory included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile


def allocated_peak(call: Callable[[], Any]) -> int:
    """Most bytes of CPU memory allocated at once during a call, beyond what was there before; what it returns is kept.

    The profiler's memory events are added up in the order in which they happened.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        kept = call()
    assert found.profiler is not None
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    del kept
    return peak
