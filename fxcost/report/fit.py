"""Fit answers and machines, for the terminal and as JSON."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.query.fit import FitAnswer, FitRow
from fxcost.query.solve import Solution
from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.target import load_target, targets

WIDTH = 80


def fit_text(model: str, answers: Sequence[FitAnswer], at: Mapping[str, int] | None) -> str:
    """Every target's checks with need, capacity and margin, then the largest size with its proof."""
    return _drawn(Group(*(part for answer in answers for part in _answer(model, answer, at))))


def _answer(model: str, answer: FitAnswer, at: Mapping[str, int] | None) -> list[RenderableType]:
    where = ", ".join(f"{n}={v}" for n, v in (at or {}).items())
    verdict = {"yes": "fits", "no": "does not fit", "unknown": "unknown", "open": "depends on the sizes"}[
        answer.verdict
    ]
    head = Text(f"{model} on {answer.target}" + (f" at {where}" if where else "") + f": {verdict}", style="bold")
    table = Table(box=None, pad_edge=False)
    for column, justify in (("", "left"), ("needs", "right"), ("has", "right"), ("margin", "right"), ("", "left")):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in answer.rows:
        table.add_row(*_cells(row, answer.wrt))
    parts: list[RenderableType] = [head, table]
    if answer.largest is not None and answer.wrt is not None:
        parts.append(Text(_largest(answer.wrt, answer.largest, answer.rows)))
    return [*parts, Text("")]


def _cells(row: FitRow, wrt: str | None) -> tuple[str, str, str, str, str]:
    need = "a formula" if row.need_bytes is None else human(row.need_bytes, "bytes")
    have = "unknown" if row.have_bytes is None else human(row.have_bytes, "bytes")
    margin = "" if row.margin_bytes is None else human(row.margin_bytes, "bytes")
    best = ""
    if row.largest is not None and wrt is not None:
        best = (
            f"{wrt} <= {row.largest.max:,}"
            if row.largest.max is not None
            else "any"
            if row.largest.feasible
            else "never"
        )
    note = "" if row.decides else " (for a runtime with one arena)"
    return f"{row.what} ({row.level}){note}", need, have, margin, f"{row.verdict:<8}{best}"


def _largest(wrt: str, solution: Solution, rows: Sequence[FitRow]) -> str:
    if solution.max is not None:
        return f"largest {wrt} that fits: {solution.max:,}\n  {_proof(solution)}"
    if solution.feasible:
        return f"every {wrt} fits: {_proof(solution)}"
    lines = [f"no {wrt} fits: {_proof(solution)}"]
    for row in rows:
        if row.decides and row.largest is not None and row.largest.max is not None:
            lines.append(f"{row.what} alone: {wrt} <= {row.largest.max:,}\n  {_proof(row.largest)}")
    return "\n".join(lines)


def _proof(solution: Solution) -> str:
    return solution.proof.replace("; ", "\n  ")


def fit_json(answers: Sequence[FitAnswer]) -> str:
    """The answers as JSON, by target."""
    return compact({"targets": {a.target: _plain(a) for a in answers}})


def _plain(answer: FitAnswer) -> dict[str, Any]:
    return {
        "fits": answer.verdict,
        "for": answer.wrt,
        "largest": _solution(answer.largest),
        "checks": [
            {
                "what": row.what,
                "level": row.level,
                "need_bytes": row.need_bytes,
                "have_bytes": row.have_bytes,
                "margin_bytes": row.margin_bytes,
                "verdict": row.verdict,
                "decides": row.decides,
                "largest": _solution(row.largest),
            }
            for row in answer.rows
        ],
    }


def _solution(solution: Solution | None) -> dict[str, Any] | None:
    if solution is None:
        return None
    return {"max": solution.max, "set": [list(span) for span in solution.set], "proof": solution.proof}


def target_list() -> str:
    """All machines with their main figures."""
    table = Table(box=None, pad_edge=False)
    for column in ("name", "class", "runtime", "peaks (operations/s)"):
        table.add_column(column, overflow="fold")
    for name in targets():
        machine = load_target(name)
        peaks = ", ".join(f"{dtype} {human(peak, '')}" for dtype, peak in machine.peaks)
        table.add_row(name, machine.kind, machine.runtime, peaks)
    return _drawn(table)


def target_text(name: str) -> str:
    """One machine, every figure with its source."""
    machine = load_target(name)
    table = Table(
        title=f"{machine.name}: {machine.vendor} {machine.kind}, runtime {machine.runtime}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("figure", "value", "source"):
        table.add_column(column, overflow="fold")
    for row in machine.rows():
        source = row.source
        cited = f"{source.document} ({source.date}, checked: {source.checked})" if source is not None else ""
        table.add_row(row.key, f"{row.value} {row.unit or ''}".strip(), cited)
    return _drawn(table)


def _drawn(content: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=WIDTH, no_color=True)
    console.print(content)
    return str(console.file.getvalue()).rstrip()  # type: ignore[attr-defined]
