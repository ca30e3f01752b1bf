"""Will it fit? Every check of a target at a point, and the largest size of one symbol for which all of them hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.fits import Check, Fits
from fxcost.query.quantity import Constraint, Quantity
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
    fixed = {n: v for n, v in at.items() if n != wrt and n not in tie}

    def limit(row: Check) -> Constraint | None:
        if row.have_bytes is None:
            return None
        need = Quantity(row.what, "bytes", row.need_bytes, standing, domain, tuple(symbols))
        return need <= row.have_bytes

    limits = [limit(row) for row in checks.rows]
    deciding = [c for c, row in zip(limits, checks.rows, strict=True) if c is not None and row.decides]
    rows = tuple(
        FitRow(
            bound.what,
            bound.level,
            bound.need_bytes.constant,
            bound.have_bytes,
            here.verdict_of(bound),
            bound.decides,
            solve([c], wrt, symbols, fixed, tie) if wrt is not None and c is not None else None,
        )
        for bound, c in zip(here.rows, limits, strict=True)
    )
    largest = solve(deciding, wrt, symbols, fixed, tie) if wrt is not None and deciding else None
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
