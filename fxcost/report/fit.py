"""Fit answers, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fxcost.passes.patch_plan import InRoom
from fxcost.query.fit import FitAnswer, FitRow
from fxcost.query.solve import Solution
from fxcost.query.units import human
from fxcost.report.json import compact
from fxcost.report.patch import room_data
from fxcost.report.solve import proof, solution_data
from fxcost.report.terminal import for_output


def fit_text(model: str, answers: Sequence[FitAnswer], at: Mapping[str, int] | None) -> str:
    """Several targets side by side, then each one's checks with need, capacity and margin, and the largest size."""
    beside = [_side_by_side(model, answers, at), Text("")] if len(answers) > 1 else []
    return for_output(Group(*beside, *(part for answer in answers for part in _answer(model, answer, at))))


def _side_by_side(model: str, answers: Sequence[FitAnswer], at: Mapping[str, int] | None) -> RenderableType:
    """One row a machine: its verdict, the check with the least room, and the largest size that passes all of them."""
    wrt = answers[0].wrt
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "fits", "tightest", "needs", "has", "margin", f"largest {wrt}" if wrt else ""):
        table.add_column(column, justify="right" if column not in {"", "fits", "tightest"} else "left", overflow="fold")
    for answer in answers:
        row = tightest(answer)
        cells = ("", "", "", "", "") if row is None else (f"{row.what} ({row.level})", *_cells(row, None)[1:4], "")
        table.add_row(answer.target, answer.verdict, *cells[:4], largest_text(answer.largest, wrt))
    where = ", ".join(f"{n}={v}" for n, v in (at or {}).items())
    return Group(Text(f"{model}" + (f" at {where}" if where else ""), style="bold"), table)


def tightest(answer: FitAnswer) -> FitRow | None:
    """The deciding check that uses most of what there is; one of unknown size where no other is known."""
    rows = [row for row in answer.rows if row.decides]
    known = [row for row in rows if row.need_bytes is not None and row.have_bytes]
    return max(known, key=lambda r: (r.need_bytes or 0) / (r.have_bytes or 1), default=rows[0] if rows else None)


def largest_text(solution: Solution | None, wrt: str | None) -> str:
    """`186`, `any` or `none`; nothing where there was no question."""
    if solution is None or wrt is None:
        return ""
    return f"{solution.max:,}" if solution.max is not None else "any" if solution.feasible else "none"


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
    note = "" if row.decides else ", for a runtime with one arena"
    return f"{row.what} ({row.level}{note})", need, have, margin, row.verdict, largest_text(row.largest, wrt)


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


def fit_json(answers: Sequence[FitAnswer], patched: Mapping[str, InRoom] | None = None) -> str:
    """The answers as JSON, by target, with the patches that fit where they were asked for."""
    found = {a.target: _plain(a) for a in answers}
    if patched is not None:
        for name, answer in found.items():
            answer["patches"] = room_data(patched[name]) if name in patched else None
    return compact({"targets": found})


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
