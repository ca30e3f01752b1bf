"""Two unknowns: the pairs of sizes beyond which no constraint leaves room, a Pareto frontier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fxcost.errors import SpecError, nearest
from fxcost.ir.evaluate import compiled
from fxcost.ir.expr import Expr, substitute
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate, decide, replace_symbols
from fxcost.ir.prove import monotone_reason
from fxcost.ir.symbols import SymbolInfo, check_point, ranges_of
from fxcost.query.quantity import Constraint
from fxcost.query.shown import Shown

MOST_POINTS = 10_000
"""Pairs that are listed; a longer frontier is cut there, and says so."""

MOST_SHOWN = 24
"""Pairs that are printed."""

FAR = 1 << 62
"""A size that no constraint excludes up to here is called unbounded."""


@dataclass(frozen=True)
class Frontier(Shown):
    """The largest pairs of two sizes: all of them satisfy the constraints, and neither size can grow alone.

    `points` are in growing order of the first size; the second is None where nothing limits it. A pair satisfies the
    constraints exactly if some point is at least as large in both.
    """

    wrt: tuple[str, str]
    points: tuple[tuple[int, int | None], ...]
    proof: str
    standing: Standing = Standing.EXACT
    cut: bool = False

    @property
    def feasible(self) -> bool:
        """True when some pair satisfies the constraints."""
        return bool(self.points)

    def admits(self, first: int, second: int) -> bool:
        """True when a pair satisfies the constraints."""
        return any(first <= a and (b is None or second <= b) for a, b in self.points)

    def __str__(self) -> str:
        first, second = self.wrt
        lines = [
            f"{first} = {a:,}, {second} {'is not limited' if b is None else f'= {b:,}'}"
            for a, b in self.points[:MOST_SHOWN]
        ]
        if len(self.points) > MOST_SHOWN:
            lines.append(f"and {len(self.points) - MOST_SHOWN:,} more pairs")
        return "\n".join(lines) or f"no {first} and {second} satisfy this"


def frontier(
    constraints: Iterable[Constraint], wrt: tuple[str, str], symbols: Sequence[SymbolInfo], at: Mapping[str, int]
) -> Frontier:
    """The frontier of two symbols under constraints that are proven to tighten as either grows.

    Raises SpecError where one is not, where a symbol is unknown or left open, or a guard cuts the range.
    """
    known = {s.name: s for s in symbols}
    for name in wrt:
        if name not in known:
            raise SpecError(f"the model has no symbol {name!r}{nearest(name, known)}")
    point = check_point(known.values(), at)
    given = list(constraints)
    ranges = {name: known[name].range for name in wrt}
    lines: list[str] = []
    margins = [_margin(c, wrt, point, ranges, lines) for c in given]
    guards: dict[Predicate, None] = {}
    for c in given:
        for guard in (*c.quantity.domain, *c.bound.domain):
            here = replace_symbols(guard, point)
            if decide(here, ranges_of(known[name] for name in wrt)) is not True:
                guards[here] = None
    if guards:
        raise SpecError(
            f"the formulas hold where {', '.join(map(str, guards))} only: bound the sizes in the spec, or solve for one size"
        )
    if not margins:
        raise SpecError("no constraint was given: nothing limits the sizes")
    standing = Standing.EXACT
    for c in given:
        standing = standing.combine(c.quantity.standing).combine(c.bound.standing)
    margin = compiled(tuple(margins), wrt)
    points, cut = _staircase(known[wrt[0]], known[wrt[1]], lambda a, b: min(margin(a, b)) >= 0)
    return Frontier(wrt, tuple(points), "; ".join(dict.fromkeys(lines)), standing, cut)


def _margin(
    c: Constraint,
    wrt: tuple[str, str],
    point: Mapping[str, int],
    ranges: Mapping[str, tuple[int | None, int | None]],
    lines: list[str],
) -> Expr:
    """`value >= 0` for the constraint, proven to fall as either size grows."""
    left, right = substitute(c.quantity.value, point), substitute(c.bound.value, point)
    value = {"<=": right - left, "<": right - left - 1, ">=": left - right, ">": left - right - 1}[c.op]
    strange = value.symbols - set(wrt)
    if strange:
        raise SpecError(f"{c}: also give {', '.join(sorted(strange))}")
    for name in wrt:
        reason = monotone_reason(-value, name, dict(ranges))
        if reason is None:
            raise SpecError(f"{c} is not proven to tighten as {name} grows: solve for one size at a time")
        lines.append(f"{c} tightens as {name} grows ({reason})")
    return value


def _staircase(
    first: SymbolInfo, second: SymbolInfo, fits: Callable[[int, int], bool]
) -> tuple[list[tuple[int, int | None]], bool]:
    """Corners of the region: the largest second size for a first one, then the largest first size with that."""
    a, low = _least(first), _least(second)
    found: list[tuple[int, int | None]] = []
    while _within(first, a) and fits(a, low):
        if len(found) == MOST_POINTS:
            return found, True
        b = _largest(second, partial(fits, a))
        height = FAR // second.multiple_of * second.multiple_of if b is None else b
        last = _largest(first, lambda size, other=height: fits(size, other), a)  # type: ignore[misc]
        if last is None:  # nothing limits the first size beside this second one: it is the last corner
            found.append((first.max if first.max is not None else FAR, b))
            return found, False
        found.append((last, b))
        a = last + first.multiple_of
    return found, False


def _least(info: SymbolInfo) -> int:
    step = info.multiple_of
    return -(-info.min // step) * step


def _within(info: SymbolInfo, size: int) -> bool:
    return info.max is None or size <= info.max


def _largest(info: SymbolInfo, fits: Callable[[int], bool], start: int | None = None) -> int | None:
    """The largest size that fits, from one on that does; None where none up to FAR is too large."""
    step, good = info.multiple_of, _least(info) if start is None else start
    if info.max is not None:
        end = info.max // step * step
        if fits(end):
            return end
        bad = end
    else:
        reach = step
        while fits(good + reach):
            reach *= 2
            if good + reach > FAR:
                return None
        bad = good + reach
    while bad - good > step:
        middle = good + (bad - good) // step // 2 * step
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good
