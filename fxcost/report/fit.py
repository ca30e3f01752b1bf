"""Fit answers and machines, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.fit import FitAnswer, FitRow
from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.solve import proof, solution_data
from fxcost.report.terminal import for_output
from fxcost.target import load_target, targets


def fit_text(model: str, answers: Sequence[FitAnswer], at: Mapping[str, int] | None) -> str:
    """Every target's checks with need, capacity and margin, then the largest size with its proof."""
    return for_output(Group(*(part for answer in answers for part in _answer(model, answer, at))))


def _answer(model: str, answer: FitAnswer, at: Mapping[str, int] | None) -> list[RenderableType]:
    where = ", ".join(f"{n}={v}" for n, v in (at or {}).items())
    verdict = {"yes": "fits", "no": "does not fit", "unknown": "unknown", "open": "depends on the sizes"}[
        answer.verdict
    ]
    head = Text(f"{model} on {answer.target}" + (f" at {where}" if where else "") + f": {verdict}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "needs", "has", "margin", "fits", f"largest {answer.wrt}" if answer.wrt else ""):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    for row in answer.rows:
        table.add_row(*_cells(row, answer.wrt))
    parts: list[RenderableType] = [head, table]
    return [*parts, *largest_lines(answer), Text("")]


def _cells(row: FitRow, wrt: str | None) -> tuple[str, ...]:
    need = "a formula" if row.need_bytes is None else human(row.need_bytes, "bytes")
    have = "unknown" if row.have_bytes is None else human(row.have_bytes, "bytes")
    margin = "" if row.margin_bytes is None else human(row.margin_bytes, "bytes")
    best = ""
    if row.largest is not None and wrt is not None:
        best = f"{row.largest.max:,}" if row.largest.max is not None else "any" if row.largest.feasible else "none"
    note = "" if row.decides else ", for a runtime with one arena"
    return f"{row.what} ({row.level}{note})", need, have, margin, row.verdict, best


def largest_lines(answer: FitAnswer) -> list[RenderableType]:
    """The largest size that fits with its proof; where none does, the largest of each check alone."""
    solution = answer.largest
    if solution is None:
        return []
    given = ", ".join(f"{name}={value}" for name, value in answer.given.items())
    aside = f" ({given})" if given else ""
    if solution.max is not None:
        return [Text(f"largest {answer.wrt} that fits{aside}: {solution.max:,}"), *proof(solution)]
    if solution.feasible:
        return [Text(f"every {answer.wrt} fits{aside}"), *proof(solution)]
    lines = [Text(f"no {answer.wrt} fits{aside}"), *proof(solution)]
    for row in answer.rows:
        if row.decides and row.largest is not None and row.largest.max is not None:
            lines += [Text(f"{row.what} alone: {answer.wrt} <= {row.largest.max:,}"), *proof(row.largest)]
    return lines


def fit_json(answers: Sequence[FitAnswer]) -> str:
    """The answers as JSON, by target."""
    return compact({"targets": {a.target: _plain(a) for a in answers}})


def _plain(answer: FitAnswer) -> dict[str, Any]:
    return {
        "fits": answer.verdict,
        "for": answer.wrt,
        "given": dict(answer.given),
        "largest": answer.largest and solution_data(answer.largest),
        "checks": [
            {
                "what": row.what,
                "level": row.level,
                "need_bytes": row.need_bytes,
                "have_bytes": row.have_bytes,
                "margin_bytes": row.margin_bytes,
                "verdict": row.verdict,
                "decides": row.decides,
                "largest": row.largest and solution_data(row.largest),
            }
            for row in answer.rows
        ],
    }


def target_list() -> str:
    """All machines with their main figures."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "class", "runtime", "peaks (operations/s)"):
        table.add_column(column, overflow="fold")
    for name in targets():
        machine = load_target(name)
        peaks = ", ".join(f"{dtype} {human(peak, '')}" for dtype, peak in machine.peaks)
        table.add_row(name, machine.kind, machine.runtime, peaks)
    return for_output(table)


def target_text(name: str) -> str:
    """One machine: every figure with the number of its source, then the sources."""
    machine = load_target(name)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("figure", "value", "source"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    cited: dict[str, int] = {}
    for row in machine.rows():
        mark = ""
        if row.source is not None:
            text = f"{row.source.document}, {row.source.date}, checked: {row.source.checked}"
            mark = f"[{cited.setdefault(text, len(cited) + 1)}]"
        table.add_row(row.key, _figure(row.value, row.unit), mark)
    sources = [Text(f"[{number}] {text}") for text, number in cited.items()]
    head = Text(f"{machine.name}: {machine.vendor} {machine.kind}, runtime {machine.runtime}", style="bold")
    return for_output(Group(head, table, Text(""), *sources))


def _figure(value: float, unit: str) -> str:
    if unit == "byte":
        return f"{value:,.0f} bytes"
    return human(value, {"byte/s": "B/s"}.get(unit, unit))
