"""A run on a machine as it is estimated, in the trace event format that chrome://tracing and ui.perfetto.dev open.

A machine is a process, its ops are complete events ("X") one after the other inside their modules, with the roofline's
times; a counter ("C") beside them shows the activations that are alive. Times are microseconds in steps of 1/1024, about
a nanosecond: such floats add up exactly, and viewers see that one op begins where the one before it ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from fxcost.errors import SpecError
from fxcost.passes.estimate import Estimate, NodeTime
from fxcost.report.formats import register_format
from fxcost.report.summary import Summary

TICKS = 1024
"""Steps of time in a microsecond."""

TRACK = 1
COUNTER = "activations alive"


@dataclass(frozen=True)
class Timed:
    """An op or a fused group with when it begins and ends, in ticks."""

    row: NodeTime
    start: int
    end: int

    @property
    def path(self) -> tuple[str, ...]:
        """The modules it runs in, outermost first."""
        parts = self.row.module.split(".") if self.row.module else []
        return tuple(".".join(parts[: i + 1]) for i in range(len(parts)))


@register_format("chrome-trace")
def report_trace(summary: Summary) -> str:
    """The trace of every machine as JSON; raises SpecError without a machine or with an open size."""
    return json.dumps(trace(summary), ensure_ascii=False)


def trace(summary: Summary) -> dict[str, Any]:
    """The trace in the format's object form."""
    if not summary.estimates:
        raise SpecError("a trace is that of a machine: name one with --target")
    if summary.point is None or not summary.live:
        raise SpecError("a trace needs a size for every symbol: give --at")
    events: list[dict[str, Any]] = []
    for process, (name, estimate) in enumerate(summary.estimates.items(), 1):
        events += _machine(process, f"{summary.model} on {name}", estimate, summary.live)
    return {
        "displayTimeUnit": "ns",
        "traceEvents": events,
        "otherData": {
            "model": summary.model,
            "sizes": ", ".join(f"{n}={v}" for n, v in summary.point.items()),
            "times": "estimated: the roofline of each op, one after the other",
            "versions": ", ".join(f"{n} {v}" for n, v in summary.versions.items()),
            **{f"left out on {name}": "; ".join(e.dropped_terms) for name, e in summary.estimates.items()},
        },
    }


def timed(rows: Sequence[NodeTime]) -> Iterator[Timed]:
    """The ops one after the other; one whose time is unknown takes none."""
    clock = 0.0
    for row in rows:
        start, clock = clock, clock + (row.t_s or 0.0)
        yield Timed(row, round(1e6 * TICKS * start), round(1e6 * TICKS * clock))


def _machine(process: int, title: str, estimate: Estimate, live: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    where = {"pid": process, "tid": TRACK}
    yield {"ph": "M", "name": "process_name", **where, "args": {"name": title}}
    yield {"ph": "M", "name": "process_sort_index", **where, "args": {"sort_index": process}}  # as asked for
    yield {"ph": "M", "name": "thread_name", **where, "args": {"name": "ops, in traced order"}}
    ops = list(timed(estimate.by_node()))
    for event in _nested(ops):
        yield event | where
    for at, alive in _counter(ops, live):
        yield {"ph": "C", "name": COUNTER, "ts": at / TICKS, **where, "args": {"bytes": alive}}


def _complete(name: str, category: str, begin: int, end: int, details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": begin / TICKS,
        "dur": (end - begin) / TICKS,
        "args": dict(details),
    }


def _details(row: NodeTime) -> dict[str, Any]:
    found: dict[str, Any] = {"op": row.op, "module": row.module, "computes in": row.dtype, "MACs": row.macs}
    found |= {"other operations": row.other_ops, "bytes": row.bytes, "binds": row.binding_level or row.binds}
    if len(row.nodes) > 1:
        found["fused"] = ", ".join(row.nodes)
    if row.t_s is None:
        found["time"] = "unknown"
    if isinstance(row.energy_j, float):
        found["energy J"] = row.energy_j
    return found


def _nested(ops: Sequence[Timed]) -> list[dict[str, Any]]:
    """Ops and the modules around them, each before what it encloses; a run of ops that share a path is one visit."""
    events: list[dict[str, Any]] = []
    around: list[tuple[str, int, dict[str, Any]]] = []
    for op in ops:
        shared = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1], zip(around, op.path, strict=False)))
        del around[shared:]
        for path in op.path[shared:]:
            event = _complete(path.rpartition(".")[2], "module", op.start, op.start, {"module": path})
            around.append((path, op.start, event))
            events.append(event)
        events.append(_complete(op.row.name, op.row.op_class, op.start, op.end, _details(op.row)))
        for _, start, event in around:
            event["dur"] = (op.end - start) / TICKS
    return events


def _counter(ops: Sequence[Timed], live: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
    """Bytes alive when: a node that takes no time of its own counts at the moment it runs, the highest of them stays."""
    begins = {op.row.name: op.start for op in ops}
    ends = {op.row.name: op.end for op in ops}
    found: dict[int, int] = {}
    now = 0
    for name, alive in live:
        at = begins.get(name, now)
        found[at] = max(found.get(at, 0), alive)
        now = ends.get(name, at)
    found.setdefault(now, live[-1][1])
    return sorted(found.items())
