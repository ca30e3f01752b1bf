"""Will it fit? Every check of a target at a point, and the largest size of one symbol for which all of them hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fxcost.ir.expr import substitute
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.fits import Check, Fits
from fxcost.query.quantity import Quantity
from fxcost.query.solve import Solution, solve


@dataclass(frozen=True)
class FitRow:
    """One check at the point: bytes needed and available (None: unknown), the verdict, and its own largest size."""

    what: str
    level: str
    need_bytes: int | None
    have_bytes: int | None
    verdict: str
    decides: bool
    largest: Solution | None

    @property
    def margin_bytes(self) -> int | None:
        """What is left over, negative where it does not fit; None where a side is unknown."""
        return None if self.need_bytes is None or self.have_bytes is None else self.have_bytes - self.need_bytes


@dataclass(frozen=True)
class FitAnswer:
    """The verdict on one target: `yes`, `no`, `unknown` or `open`, its rows, and the largest size that passes all.

    `given` says what the other symbols are in the question for the largest size: numbers, or expressions in it.
    """

    target: str
    verdict: str
    rows: tuple[FitRow, ...]
    wrt: str | None
    largest: Solution | None
    given: Mapping[str, int | str] = field(default_factory=dict)


def room_for_activations(found: FitAnswer) -> tuple[str, int] | None:
    """The memory that holds all activations in one piece, and its bytes: the largest bank, else what weights leave."""
    rows = {row.what: row for row in found.rows}
    for what in ("all activations in the largest bank", "activations"):
        if what in rows and rows[what].have_bytes is not None:
            return rows[what].level, rows[what].have_bytes or 0
    return None


def answer(
    name: str,
    checks: Fits,
    symbols: Sequence[SymbolInfo],
    domain: tuple[Predicate, ...],
    standing: Standing,
    at: Mapping[str, int],
    wrt: str | None,
    tie: Mapping[str, str],
) -> FitAnswer:
    """Evaluate a target's checks at a point and solve them for `wrt`; other symbols come from `at` and `tie`."""
    here = checks.at(at)
    names = {s.name for s in symbols}
    fixed = {n: v for n, v in at.items() if n in names and n != wrt and n not in tie}
    counts = {n: v for n, v in at.items() if n not in names}  # sizes that the data decides

    def solved(rows: Sequence[Check]) -> Solution | None:
        """The largest size that passes all rows; None where one of them is open for another reason than this size."""
        needs = [(row, substitute(row.need_bytes, counts)) for row in rows if row.have_bytes is not None]
        if wrt is None or not needs or any(need.symbols - names for _, need in needs):
            return None
        limits = [
            Quantity(row.what, "bytes", need, standing, domain, tuple(symbols)) <= (row.have_bytes or 0)
            for row, need in needs
        ]
        return solve(limits, wrt, symbols, fixed, tie)

    rows = tuple(
        FitRow(
            bound.what,
            bound.level,
            bound.need_bytes.constant,
            bound.have_bytes,
            here.verdict_of(bound),
            bound.decides,
            solved([check]),
        )
        for bound, check in zip(here.rows, checks.rows, strict=True)
    )
    largest = solved([row for row in checks.rows if row.decides])
    return FitAnswer(name, here.verdict, rows, wrt, largest, {**fixed, **tie})


def default_unknown(symbols: Sequence[SymbolInfo], tie: Mapping[str, str]) -> tuple[str | None, dict[str, str]]:
    """What to solve for when nobody says: H with W tied to it, else S, else the first symbol."""
    names = [s.name for s in symbols]
    for wanted in ("H", "S", *names):
        if wanted in names and wanted not in tie:
            ties = dict(tie)
            if wanted == "H" and "W" in names and "W" not in ties:
                ties["W"] = "H"
            return wanted, ties
    return None, dict(tie)
