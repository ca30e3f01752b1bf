"""The domain of a graph's formulas: guards, without those that other guards or the symbols' ranges imply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import gcd

from fxcost.ir.expr import Expr, Range, const, exact_quotient, extreme_args, symbol, symbol_factor
from fxcost.ir.predicate import AllOf, AnyOf, Compare, Predicate, decide
from fxcost.ir.prove import proves_nonnegative
from fxcost.ir.symbols import SymbolInfo, ranges_of


def simplify_domain(guards: Iterable[Predicate], ranges: Mapping[str, Range]) -> tuple[Predicate, ...]:
    """Distinct guards that are not implied; bounds of single symbols come first and tighten the ranges for the rest."""
    parts: dict[Predicate, None] = {}
    for guard in guards:
        for part in guard.parts if isinstance(guard, AllOf) else (guard,):
            if decide(part, ranges) is not True:
                parts[reduced(_without_extreme(part))] = None
    kept: list[Predicate] = []
    tightened = dict(ranges)
    for name, (low, high) in _single_bounds(parts).items():
        old_low, old_high = tightened.get(name, (1, None))
        if low is not None and low == high and (old_low, old_high) != (low, high):
            kept.append(Compare("==", symbol(name), const(low)))
            tightened[name] = (low, high)
            continue
        if low is not None and (old_low is None or low > old_low):
            kept.append(Compare(">=", symbol(name), const(low)))
            old_low = low
        if high is not None and (old_high is None or high < old_high):
            kept.append(Compare("<=", symbol(name), const(high)))
            old_high = high
        tightened[name] = (old_low, old_high)
    kept += [part for part in parts if not _implied(part, tightened)]
    single = dict.fromkeys(kept)
    return tuple(
        p for p in single if not (isinstance(p, AnyOf) and any(_without_extreme(q) in single for q in p.parts))
    )


def is_one_excluded(guard: Predicate) -> str | None:
    """The symbol that a guard of the form `N != 1`, `N > 1` or `N >= 2` keeps from being one, else None."""
    name, limit = _symbol_against_constant(guard)
    excluded = isinstance(guard, Compare) and (guard.op, limit) in {("!=", 1), (">", 1), (">=", 2)}
    return name if excluded else None


def _without_extreme(guard: Predicate) -> Predicate:
    """`e == min(c, e)` says `e <= c`, and `e == max(c, e)` says `e >= c`."""
    if not isinstance(guard, Compare) or guard.op != "==":
        return guard
    for plain, other in ((guard.left, guard.right), (guard.right, guard.left)):
        for kind, op in (("min", "<="), ("max", ">=")):
            args = extreme_args(other, kind)
            rest = [arg for arg in args if arg is not plain]
            if len(args) == 2 and len(rest) == 1:
                return Compare(op, plain, rest[0])
    return guard


def is_thin(guard: Predicate) -> bool:
    """A guard that a size expression equals one number: true at few sizes besides the traced one."""
    return (
        isinstance(guard, Compare)
        and guard.op == "=="
        and guard.right.constant is not None
        and guard.left.constant is None
        and not any(atom.kind == "mod" for atom in guard.left.atoms())
    )


def reduced(guard: Predicate) -> Predicate:
    """A comparison with a constant, both sides divided by their common factor: 16*S != 16 is S != 1."""
    if not isinstance(guard, Compare) or guard.right.constant is None:
        return guard
    factor = gcd(guard.right.constant, *guard.left.terms.values())
    if factor < 2:
        return guard
    return Compare(guard.op, guard.left // factor, guard.right // factor)


def ranges_within(symbols: Iterable[SymbolInfo], domain: Iterable[Predicate]) -> dict[str, Range]:
    """Ranges of the symbols, tightened by what the domain demands of single symbols."""
    ranges = ranges_of(symbols)
    for name, (low, high) in _single_bounds(domain).items():
        old_low, old_high = ranges.get(name, (1, None))
        lows = [end for end in (low, old_low) if end is not None]
        highs = [end for end in (high, old_high) if end is not None]
        ranges[name] = (max(lows, default=None), min(highs, default=None))
    return ranges


def _implied(guard: Predicate, ranges: Mapping[str, Range]) -> bool:
    if decide(guard, ranges) is True:
        return True
    if isinstance(guard, AnyOf):
        return any(_implied(part, ranges) for part in guard.parts)
    if not isinstance(guard, Compare):
        return False
    difference = guard.left - guard.right
    if guard.op == "==":  # windows: what a size is padded to is a multiple of the window, on every residue class
        difference = _without_factor(difference)
        return proves_nonnegative(difference, ranges) and proves_nonnegative(-difference, ranges)
    goals = {
        ">=": [difference],
        ">": [difference - 1],
        "<=": [-difference],
        "<": [-difference - 1],
        "!=": [difference - 1, -difference - 1],
    }.get(guard.op, [])
    return any(proves_nonnegative(goal, ranges) for goal in goals)


def _without_factor(value: Expr) -> Expr:
    """Zero where `value` is, and nowhere else: divided by the sizes that are in every term."""
    return exact_quotient(value, symbol_factor(value, value)) or value


def _single_bounds(parts: Iterable[Predicate]) -> dict[str, tuple[int | None, int | None]]:
    """Bounds from guards of the form `symbol OP constant`."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for part in parts:
        name, limit = _symbol_against_constant(part)
        if name is None or not isinstance(part, Compare):
            continue
        low, high = found.get(name, (None, None))
        if part.op in {">=", ">"}:
            bound = limit + (part.op == ">")
            low = bound if low is None else max(low, bound)
        elif part.op in {"<=", "<"}:
            bound = limit - (part.op == "<")
            high = bound if high is None else min(high, bound)
        found[name] = (low, high)
    return found


def _symbol_against_constant(part: Predicate) -> tuple[str | None, int]:
    if isinstance(part, Compare) and part.right.constant is not None:
        names = part.left.symbols
        if len(names) == 1 and str(part.left) in names:
            return str(part.left), part.right.constant
    return None, 0
