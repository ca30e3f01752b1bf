"""The trace event format, checked as its description says, apart from who writes it.

"Trace Event Format" (Google, 2016): metadata events name processes and threads; complete events have a begin and a
duration in microseconds, and those of one thread nest as calls do; a counter event has a number for each of its series.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

METADATA = {
    "process_name": ("name", str),
    "process_labels": ("labels", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}
"""What each says, and its type."""


def complaints(trace: Any) -> list[str]:
    """What is wrong with a trace in object form; empty where nothing is."""
    if not isinstance(trace, dict) or not isinstance(trace.get("traceEvents"), list):
        return ["no list of traceEvents"]
    found = [] if trace.get("displayTimeUnit", "ms") in {"ms", "ns"} else ["displayTimeUnit is neither ms nor ns"]
    found += [f"event {i}: {each}" for i, event in enumerate(trace["traceEvents"]) for each in _event(event)]
    return found or _nesting(trace["traceEvents"])


def _event(event: Any) -> Iterable[str]:
    if not isinstance(event, dict):
        yield "no object"
        return
    for key in ("pid", "tid"):
        if not _is_number(event.get(key), int):
            yield f"{key} is no integer"
    if not isinstance(event.get("name"), str) or not event["name"]:
        yield "no name"
    if not isinstance(event.get("args", {}), dict):
        yield "args is no object"
    kind = event.get("ph")
    if kind == "M":
        what, kind_of_value = METADATA.get(event["name"], ("", str))
        if not isinstance(event["args"].get(what), kind_of_value):
            yield "unknown metadata"
    elif kind in {"X", "C"}:
        if not _is_number(event.get("ts"), int | float) or event["ts"] < 0:
            yield "ts is no time"
        if kind == "X" and (not _is_number(event.get("dur"), int | float) or event["dur"] < 0):
            yield "dur is no duration"
        if kind == "C" and not (event["args"] and all(_is_number(v, int | float) for v in event["args"].values())):
            yield "a counter counts numbers"
    else:
        yield f"phase {kind!r} is not expected here"


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _nesting(events: list[dict[str, Any]]) -> list[str]:
    """In the order of the file: an event begins within the one that encloses it, and ends there, too."""
    found = []
    stacks: dict[tuple[int, int], list[float]] = {}
    clocks: dict[tuple[int, int], float] = {}
    for event in events:
        if event["ph"] != "X":
            continue
        thread = (event["pid"], event["tid"])
        begin, end = event["ts"], event["ts"] + event["dur"]
        if begin < clocks.get(thread, 0.0):
            found.append(f"{event['name']} begins before what stands in front of it")
        clocks[thread] = begin
        stack = stacks.setdefault(thread, [])
        while stack and stack[-1] <= begin:
            stack.pop()
        if stack and end > stack[-1]:
            found.append(f"{event['name']} ends after what it lies in")
        stack.append(end)
    return found
