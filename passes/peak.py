"""Peak memory as a closed form: the largest live sum of any step, a maximum of few terms.

Steps whose sum never exceeds another step's are dropped, each by a proof; a term that could win nowhere in a sample but
resists proof is kept, so the form is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from fxcost.errors import ModelError
from fxcost.ir.domain import ranges_within
from fxcost.ir.evaluate import compiled
from fxcost.ir.expr import ONE, ZERO, Expr, Monomial, Range, bounds_of, maximum, substitute, total
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import AllOf, Compare, Predicate, indicator
from fxcost.ir.prove import proves_nonnegative
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs
from fxcost.passes.liveness import Liveness, Timeline
from fxcost.pipeline import Facts, register_pass

SAMPLE = (1, 2, 3, 5, 8, 14, 31, 32, 33, 64, 97, 224, 350, 1024, 4099)


@dataclass(frozen=True)
class Peak:
    """Peak bytes and the same with scratch memory; `guards` are storage conditions under which both hold."""

    peak: Expr
    with_scratch: Expr
    guards: tuple[Predicate, ...]


@register_pass("peak", provides=Peak, requires=(Liveness, Costs, Buffers))
def peak(graph: Graph, facts: Facts) -> Peak:
    """Reduce the timelines to one expression each."""
    found = facts[Liveness]
    ranges = ranges_within(graph.symbols, graph.domain)
    scratch = [ZERO, *(facts[Costs].rows[i].scratch_bytes for i in found.order)]
    plain = [(t.when, largest(t.sums, ranges)) for t in found.timelines]
    loaded = [(t.when, largest(_with(t, scratch), ranges)) for t in found.timelines]
    return Peak(by_case(plain), by_case(loaded), facts[Buffers].guards)


def _with(timeline: Timeline, scratch: list[Expr]) -> list[Expr]:
    return [total(pair) for pair in zip(timeline.sums, scratch, strict=True)]


def by_case(cases: list[tuple[Predicate, Expr]]) -> Expr:
    """One expression for all cases: each case's value times the indicator of its condition.

    The first case is the generic one. A special case whose value the generic form already has (a peak that is not
    touched by the view) is dropped, which is what usually happens.
    """
    generic = cases[0][1]
    special = [(when, value) for when, value in cases[1:] if not _agrees(when, value, generic)]
    if not special:
        return generic
    parts = [indicator(when) * value for when, value in special]
    rest = ONE - total(indicator(when) for when, _ in special)
    return total([rest * generic, *parts])


def _agrees(when: Predicate, value: Expr, generic: Expr) -> bool:
    if value is generic:
        return True
    at = _forced(when)
    try:
        return bool(at) and substitute(value, at) is substitute(generic, at)
    except ModelError:  # a division by zero: the formula has no value there in any case
        return True


def _forced(when: Predicate) -> dict[str, int]:
    """Symbols that the condition sets to a number (`S == 1`)."""
    parts = when.parts if isinstance(when, AllOf) else (when,)
    return {
        str(p.left): p.right.constant
        for p in parts
        if isinstance(p, Compare) and p.op == "==" and p.right.constant is not None and str(p.left) in p.left.symbols
    }


def largest(values: Iterable[Expr], ranges: Mapping[str, Range]) -> Expr:
    """Maximum of many expressions over the ranges, with provably dominated ones removed."""
    distinct = undominated(list(dict.fromkeys(values)), ranges)
    if len(distinct) == 1:
        return distinct[0]
    winners, losers = _split_by_sample(distinct, ranges)
    kept = list(winners)
    for value in losers:
        if not any(proves_nonnegative(winner - value, ranges) for winner in winners):
            kept.append(value)
    return maximum(*kept)


def undominated(values: list[Expr], ranges: Mapping[str, Range]) -> list[Expr]:
    """Drop every value that another one exceeds coefficient by coefficient.

    Each atom is written as its lower bound plus something non-negative first; then larger coefficients everywhere mean
    a larger value everywhere.
    """
    shifted = [_from_lower_bounds(value, ranges) for value in values]
    columns = {monomial: i for i, monomial in enumerate(dict.fromkeys(m for terms in shifted for m in terms))}
    table = np.zeros((len(values), len(columns)), dtype=object)
    for row, terms in enumerate(shifted):
        for monomial, factor in terms.items():
            table[row, columns[monomial]] = factor
    order = sorted(
        range(len(values)), key=lambda i: -sum(table[i])
    )  # the larger sum cannot be dominated by the smaller
    kept: list[int] = []
    for i in order:
        if not any((table[k] >= table[i]).all() for k in kept):
            kept.append(i)
    return [values[i] for i in sorted(kept)]


def _from_lower_bounds(value: Expr, ranges: Mapping[str, Range]) -> dict[tuple[Monomial, int], int]:
    """The polynomial in (atom - lower bound), by monomial and sign.

    A monomial with an atom that has no lower bound is entered with both signs: then only equal coefficients compare.
    """
    result: dict[tuple[Monomial, int], int] = {}
    for monomial, factor in value.terms.items():
        lows = [bounds_of(atom, ranges)[0] for atom, _ in monomial]
        if None in lows:
            result |= {(monomial, 1): factor, (monomial, -1): -factor}
            continue
        parts: dict[Monomial, int] = {(): factor}
        for (atom, power), low in zip(monomial, lows, strict=True):
            for _ in range(power):
                grown: dict[Monomial, int] = {}
                for key, coefficient in parts.items():
                    powers = dict(key)
                    powers[atom] = powers.get(atom, 0) + 1
                    raised = tuple(sorted(powers.items(), key=lambda pair: pair[0].serial))
                    grown[raised] = grown.get(raised, 0) + coefficient
                    grown[key] = grown.get(key, 0) + coefficient * (low or 0)
                parts = grown
        for key, coefficient in parts.items():
            result[key, 1] = result.get((key, 1), 0) + coefficient
    return result


def _split_by_sample(values: list[Expr], ranges: Mapping[str, Range]) -> tuple[list[Expr], list[Expr]]:
    """Those that are the largest somewhere on a grid of sizes, most frequent first, and all others."""
    names = tuple(sorted(set().union(*(v.symbols for v in values))))
    at = compiled(tuple(values), names)
    wins: dict[int, int] = {}
    axis = SAMPLE if len(names) <= 2 else SAMPLE[::2] if len(names) == 3 else SAMPLE[::4]
    axes = [sorted({_clamp(size, ranges.get(name, (1, None))) for size in axis}) for name in names]
    if names[3:]:  # many symbols: a diagonal and its neighbours instead of the whole grid
        points: Iterable[tuple[int, ...]] = [tuple(a[min(i, len(a) - 1)] for a in axes) for i in range(len(axis))]
    else:
        points = product(*axes)
    for point in points:
        try:
            results = at(*point)
        except ZeroDivisionError:  # `S//(S//128)` has no value at small sizes, which the domain excludes
            continue
        best = max(range(len(results)), key=results.__getitem__)
        wins[best] = wins.get(best, 0) + 1
    order = sorted(wins, key=lambda i: (-wins[i], i))
    return [values[i] for i in order], [v for i, v in enumerate(values) if i not in wins]


def _clamp(size: int, span: Range) -> int:
    low, high = span
    at_least = max(size, 1 if low is None else low)
    return at_least if high is None else min(at_least, high)
