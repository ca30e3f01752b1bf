"""The peak of a run with one stage in patches as a function of one size: polynomials, exact, by residue class.

Sizes s = start + period * k of one class cut every map of the stage into strips whose first and last rows are linear in
k, once each strip is longer than its halo: from then on which patch touches which border of the map does not change any
more, and what is alive at every moment of every patch is a polynomial in k, the same sums of products of lengths. Three
sizes give its coefficients, a fourth checks them; the peak is the largest of them all, term by term. Smaller sizes are
counted one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt

import numpy as np

from fxcost.errors import InternalError, SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, floordiv, substitute
from fxcost.ir.graph import Graph, Standing
from fxcost.ir.predicate import replace_symbols, symbols_of
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes._patch_setting import Numbers, Setting
from fxcost.passes._patch_sweep import Grid, Sweep
from fxcost.passes.buffers import Buffers
from fxcost.passes.patch_fields import Field, fields
from fxcost.pipeline import Facts
from fxcost.query.classes import Polynomial, period_of, polynomial
from fxcost.query.shown import Shown
from fxcost.query.solve import Solution
from fxcost.query.spans import union

MOST_SIZES = 1 << 16
"""Sizes of one class that a solution holds."""

SHOWN = 4
"""Residue classes that are printed."""


class NoFormula(SpecError):
    """There is no formula in this form; a point can be asked for."""


@dataclass(frozen=True)
class Piece:
    """Bytes at the peak at `start + period * k`, c[0] + c[1] * k + c[2] * k**2, for k from `first` to `last` (None: on)."""

    first: int
    last: int | None
    coefficients: tuple[int, int, int]

    def at(self, k: int) -> int:
        """Bytes at a place of the class."""
        return _at(self.coefficients, k)


@dataclass(frozen=True)
class PatchedPeak(Shown):
    """Peak bytes of a run with one stage in patches along the size `wrt`; call it with a size.

    period, stable   from the size `stable` on the peak is a polynomial in k on each class of sizes `start + period * k`
    where            the stage and its patches, and what the other sizes are, in words; `others` are these sizes
    """

    wrt: str
    period: int
    stable: int
    info: SymbolInfo
    where: str
    standing: Standing
    others: Mapping[str, Expr | int]
    _levels: Callable[[int], Numbers] = field(repr=False, compare=False)
    _known: dict[int, tuple[Piece, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, size: int) -> int:
        """Bytes at a size; raises SpecError where it is outside its range, or the maps are too small for the patches."""
        low, high = self.info.range
        if size < (low or 0) or (high is not None and size > high) or size % self.info.multiple_of:
            raise SpecError(f"{self.wrt}={size} is outside its range: {self.info}")
        if size < self.stable:
            return int(self._levels(size).max())
        k = (size - self.start_of(size)) // self.period
        return next(piece.at(k) for piece in self.pieces(size) if piece.last is None or k <= piece.last)

    def start_of(self, size: int) -> int:
        """The first size of a size's class for which the polynomials hold."""
        return self.stable + (size - self.stable) % self.period

    def pieces(self, size: int) -> tuple[Piece, ...]:
        """The pieces of the class of a size, from k = 0 on."""
        start = self.start_of(size)
        if start not in self._known:
            self._known[start] = envelope(self._polynomials(start))
        return self._known[start]

    def _polynomials(self, start: int) -> set[tuple[int, int, int]]:
        """What is alive at every moment of every patch, as polynomials in k."""
        a, b, c, check = (self._levels(start + self.period * k) for k in range(4))
        twice = c - 2 * b + a
        if (twice % 2).any() or (check - 3 * c + 3 * b - a).any():
            raise InternalError(f"what is alive at {self.wrt}={start} and beyond is no polynomial of degree two")
        rows = np.stack([a, b - a - twice // 2, twice // 2], axis=-1).reshape(-1, 3)
        return {(int(x), int(y), int(z)) for x, y, z in np.unique(rows, axis=0)}

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first size of every class."""
        return tuple(range(self.stable, self.stable + self.period, self.info.multiple_of))

    def solve(self, memory: int, progress: Callable[[str], None] = lambda _: None) -> Solution:
        """All sizes whose peak is within so many bytes, with the proof."""
        fitting: set[int] = set()
        for size in range(self._least, self.stable, self.info.multiple_of):
            try:
                if self(size) <= memory:
                    fitting.add(size)
            except SpecError:  # the maps are too small to be cut
                continue
        for number, start in enumerate(self.starts, 1):
            progress(f"class {number} of {len(self.starts)}")
            for piece in self.pieces(start):
                for low, high in within(piece, memory):
                    if high is None or high - low > MOST_SIZES:
                        raise SpecError(f"more than {MOST_SIZES:,} sizes of {self.wrt} fit: give it a range")
                    fitting |= {start + self.period * k for k in range(low, high + 1)}
        largest = max(fitting, default=None)
        lines = []
        if largest is not None:
            step = self.info.multiple_of
            lines = [f"{self.wrt} = {size}: {self(size):,} bytes" for size in (largest, largest + step)]
        lines.append(
            f"{self.where}; from {self.wrt} = {self.stable} on polynomials on {len(self.starts)} classes of sizes "
            f"modulo {self.period}, smaller sizes counted one by one"
        )
        step = self.info.multiple_of
        spans = [(size, size + step if size + step in fitting else size) for size in fitting]
        return Solution(
            self.wrt,
            largest,
            min(fitting, default=None),
            union(spans),
            "polynomials by residue class",
            "; ".join(lines),
            self.standing,
        )

    @property
    def _least(self) -> int:
        return -(-max(self.info.min, 1) // self.info.multiple_of) * self.info.multiple_of

    def __str__(self) -> str:
        lines = [f"{self.where}: peak bytes, exact"]
        for start in self.starts[:SHOWN]:
            for piece in self.pieces(start):
                size = f"{start} + {self.period}*k"
                span = f"k >= {piece.first}" if piece.last is None else f"{piece.first} <= k <= {piece.last}"
                lines.append(f"  {self.wrt} = {size}, {span}: {polynomial_text(piece.coefficients)}")
        if len(self.starts) > SHOWN:
            lines.append(f"  and {len(self.starts) - SHOWN} more classes of sizes modulo {self.period}")
        return "\n".join(lines)


def peak_along(
    graph: Graph,
    facts: Facts,
    stop: int,
    grid: Grid,
    info: SymbolInfo,
    others: Mapping[str, Expr | int],
    setting_at: Callable[[int], Setting],
    where: str,
) -> PatchedPeak:
    """The peak with one stage of the first `stop` nodes in patches, along one size; `others` are numbers or follow it.

    Raises NoFormula where there is no such form: branches of several resolutions, values that are read after the stage,
    element widths below a byte, sizes that are no polynomials of degree one on residue classes.
    """
    seen = fields(graph, facts, 0, stop)
    result = graph.tensor(graph.nodes[stop - 1].results[0].id).shape[-2:]
    maps = {value: graph.tensor(value).shape[-2:] for value in seen}
    edges = [floordiv(size * i, n) for size, n in zip(result, (grid.rows, grid.columns), strict=True) for i in range(n)]
    lengths = [substitute(size, others) for size in (*edges, *(size for pair in maps.values() for size in pair))]
    blocks = [buffer.size for case in facts.under(order=None)[Buffers].cases for buffer in case.buffers]
    sizes = [substitute(size, others) for size in blocks]
    first = _stable(seen, [substitute(size, others) for size in result], grid, info)
    period = period_of([*lengths, *sizes], info.name, first, info.multiple_of)
    if not period:
        raise NoFormula(f"{where}: the sizes are no polynomials in {info.name} on few residue classes; ask at a point")
    if any(len(_known(length, info.name, first, period)) > 2 for length in lengths):
        raise NoFormula(f"{where}: rows and columns do not grow linearly with {info.name}; ask at a point")
    conditions = [case.when for case in facts.under(order=None)[Buffers].cases]
    if any(info.name in symbols_of(replace_symbols(when, others)) for when in conditions):
        raise NoFormula(f"{where}: sizes decide which values share memory; ask at a point")
    setting = setting_at(first)
    if any(shape.bits % 8 for shape in setting.shapes.values()):
        raise NoFormula(f"{where}: elements of less than a byte are rounded in every tile; ask at a point")

    def levels(size: int) -> Numbers:
        here = setting_at(size)
        sweep = Sweep(here, stop, grid)
        stage = next((s for s in [*sweep.candidates({0})]), None)
        if stage is None:
            raise SpecError(f"{info.name}={size}: {sweep.reason}")
        outside = np.array([here.start, *here.alive[stop:]], dtype=np.int64)
        return np.concatenate([sweep.levels(0).ravel(), outside])

    return PatchedPeak(info.name, period, first, info, where, graph.standing, others, levels)


def _known(value: Expr, name: str, start: int, period: int) -> Polynomial:
    found = polynomial(value, name, start, period)
    assert found is not None, "a period was found for it"
    return found


def _stable(seen: Mapping[str, tuple[Field, Field]], result: Sequence[Expr], grid: Grid, info: SymbolInfo) -> int:
    """The least size from which on every strip of the result is longer than its halo in every value."""
    enough = []
    for axis, parts in enumerate((grid.rows, grid.columns)):
        # Only the first strip is cut at the map's front, only the last one behind: a window begins within the map.
        halo = max(-(-max(pair[axis].before, pair[axis].reach) // pair[axis].stride) + 1 for pair in seen.values())
        enough.append(halo * parts if parts > 1 else 1)
    step = info.multiple_of
    low = -(-max(info.min, 1) // step)
    if result[0].symbols | result[1].symbols:

        def fits(size: int) -> bool:
            lengths = (evaluate(length, {info.name: size * step}) for length in result)
            return all(length >= least for length, least in zip(lengths, enough, strict=True))

        high = low
        while not fits(high):
            high *= 2
            if high > 1 << 40:
                raise NoFormula(f"strips do not grow with {info.name}: ask at a point")
        while high > low and fits(high - 1):  # sizes of results do not shrink as inputs grow
            gap = (high - low) // 2
            high = high - gap if gap and fits(high - gap) else high - 1
        return high * step
    return low * step


def envelope(polynomials: Iterable[tuple[int, int, int]]) -> tuple[Piece, ...]:
    """The largest of several polynomials in k >= 0, as pieces."""
    left = _undominated(polynomials)
    found: list[Piece] = []
    k = 0
    while True:
        best = max(left, key=lambda each: _shifted(each, k))
        following = [j for each in left if (j := _overtakes(each, best, k)) is not None]
        last = min(following) - 1 if following else None
        found.append(Piece(k, last, best))
        if last is None:
            return tuple(found)
        k = last + 1


def _undominated(polynomials: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Those that no other is at least, coefficient by coefficient."""
    kept: list[tuple[int, int, int]] = []
    for each in sorted(set(polynomials), reverse=True):
        if not any(all(a >= b for a, b in zip(other, each, strict=True)) for other in kept):
            kept.append(each)
    return kept


def _overtakes(each: tuple[int, int, int], best: tuple[int, int, int], k: int) -> int | None:
    """The first place behind k where one is larger than what is the largest at k; None where there is none."""
    below, slope, bend = (a - b for a, b in zip(_shifted(each, k), _shifted(best, k), strict=True))
    low, high = 1, 1
    if bend < 0:  # it can rise above in the middle alone
        if slope <= 0:
            return None
        top = max(slope // (-2 * bend), 1)
        high = max((top, top + 1), key=lambda j: below + slope * j + bend * j * j)
        if below + slope * high + bend * high * high <= 0:
            return None
    elif bend == 0 and slope <= 0:
        return None
    else:
        while below + slope * high + bend * high * high <= 0:
            low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        if below + slope * middle + bend * middle * middle > 0:
            high = middle
        else:
            low = middle + 1
    return k + low


def within(piece: Piece, memory: int) -> list[tuple[int, int | None]]:
    """Places of a piece with at most so many bytes; its bytes bend upwards, being sums of products of lengths."""
    c, b, a = piece.coefficients
    c -= memory
    first, last = piece.first, piece.last
    if a == 0 and b == 0:
        return [(first, last)] if c <= 0 else []
    if a == 0:
        low, high = (first, -c // b) if b > 0 else (-(-c // -b), None)
    else:
        inside = b * b - 4 * a * c
        if inside < 0:
            return []
        root = isqrt(inside)
        low, high = (-b - root - 1) // (2 * a), (-b + root) // (2 * a) + 1
        while _at((c, b, a), low) > 0 and low <= high:
            low += 1
        while _at((c, b, a), high) > 0 and high >= low:
            high -= 1
    low = max(low, first)
    high = high if last is None else last if high is None else min(high, last)
    return [(low, high)] if high is None or low <= high else []


def _at(coefficients: tuple[int, int, int], k: int) -> int:
    c, b, a = coefficients
    return c + b * k + a * k * k


def _shifted(coefficients: tuple[int, int, int], k: int) -> tuple[int, int, int]:
    """The coefficients with k as the origin."""
    _, b, a = coefficients
    return _at(coefficients, k), b + 2 * a * k, a


def polynomial_text(coefficients: tuple[int, int, int]) -> str:
    """`3*k**2 + 2*k + 1`."""
    c, b, a = coefficients
    terms = [f"{a:,}*k**2"] * bool(a) + [f"{b:,}*k"] * bool(b) + [f"{c:,}"] * bool(c or not (a or b))
    return " + ".join(terms).replace("+ -", "- ")
