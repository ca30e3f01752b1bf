"""Solving constraints for one symbol, exactly, with a proof.

Where every constraint is *proved* monotone in the symbol, the boundary is found by bisection and the proof is the pair of
neighbours; elsewhere the range is scanned value by value. Guards of the domain are constraints too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError, nearest
from fxcost.ir.domain import ranges_within
from fxcost.ir.evaluate import compiled, over_arrays
from fxcost.ir.expr import Expr, as_expr, const, is_nonnegative, mod, substitute, symbol
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Compare, Predicate, decide, fits_sign, holds, replace_symbols
from fxcost.ir.prove import monotone_reason, proves_nonnegative
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo, check_point
from fxcost.query.classes import sign_beyond
from fxcost.query.quantity import Constraint
from fxcost.query.shown import Shown

FIRST_SCAN = 1 << 12
"""A range is scanned this far before the rest is looked at by residue classes."""

SCAN_LIMIT = 1 << 20
"""A range that must be scanned is scanned this far; the answer says so when it stops there."""

_FAR = 1 << 4096
"""A boundary is looked for this far: beyond any size a number of MAX_DIGITS digits can bound."""


@dataclass(frozen=True)
class Solution(Shown):
    """Values of `wrt` that satisfy every constraint.

    `set` holds closed intervals (low, high) of admissible values, high None where no value is too large; `max` is None
    there and when nothing satisfies. `proof` is the argument in words with the neighbour that fails.
    """

    wrt: str
    max: int | None
    min: int | None
    set: tuple[tuple[int, int | None], ...]
    method: str
    proof: str
    standing: Standing = Standing.EXACT

    @property
    def feasible(self) -> bool:
        """True when some value satisfies the constraints."""
        return bool(self.set)

    def __str__(self) -> str:
        if not self.set:
            return f"no {self.wrt} satisfies this\n{self.proof}"
        spans = ", ".join(
            f"{self.wrt} >= {low}"
            if high is None
            else f"{self.wrt} = {low}"
            if low == high
            else f"{low} <= {self.wrt} <= {high}"
            for low, high in self.set[:8]
        )
        more = f" and {len(self.set) - 8} more intervals" if len(self.set) > 8 else ""
        return f"{spans}{more}\n{self.proof}"


@dataclass(frozen=True)
class _Margin:
    """A constraint as `value >= 0`, a function of the one symbol, with how to say it."""

    constraint: Constraint
    value: Expr
    trend: int  # -1 non-increasing, +1 non-decreasing, 0 constant, 2 unknown
    reason: str


def solve(
    constraints: Iterable[Constraint],
    wrt: str,
    symbols: Iterable[SymbolInfo],
    at: Mapping[str, int] | None = None,
    tie: Mapping[str, str] | None = None,
) -> Solution:
    """All values of `wrt` in its range that satisfy the constraints; see Solution.

    Raises SpecError when a symbol is unknown or left open.
    """
    given = list(constraints)
    known = {s.name: s for s in symbols}
    if wrt not in known:
        raise SpecError(f"cannot solve for {wrt!r}: the model has no such symbol{nearest(wrt, known)}")
    fixed = substitution(known, wrt, at or {}, tie or {})
    info = known[wrt]
    ranges = {wrt: info.range}
    wanted = _demands(given, [known[name] for name in tie or ()])
    standing = Standing.EXACT
    for constraint in given:
        standing = standing.combine(constraint.quantity.standing).combine(constraint.bound.standing)
    guards: list[Predicate] = []
    for guard in wanted:
        known_here = replace_symbols(guard, fixed)
        settled = decide(known_here, ranges)
        if settled is False:
            return _nothing(wrt, [f"the formulas hold where {guard}, which is false for every {wrt} here"], standing)
        if settled is None and known_here not in guards:
            guards.append(known_here)
    bounded = _simple_bounds(guards, info)
    # What holds in the domain alone is enough: (H - 2)**2 grows where H >= 3.
    short = info.max is not None and (info.max - info.min) // info.multiple_of < FIRST_SCAN  # sooner tried than proven
    margins = [_margin(c, fixed, wrt, ranges_within([info], guards), short) for c in given]
    if bounded is not None and all(m.trend != 2 for m in margins):
        found = _bisect(margins, info, bounded, guards, standing)
        if found is not None:
            return found
    return _scan(margins, guards, info, standing)


def substitution(
    known: Mapping[str, SymbolInfo], wrt: str, at: Mapping[str, int], tie: Mapping[str, str]
) -> dict[str, Expr | int]:
    """What every other symbol becomes: a number from `at`, an expression in `wrt` from `tie`; all must be named."""
    fixed: dict[str, Expr | int] = {}
    for name in (*at, *tie):
        if name not in known:
            raise SpecError(f"the model has no symbol {name!r}{nearest(name, known)}")
        if name == wrt:
            raise SpecError(f"{wrt} is solved for; it cannot be given as well")
    fixed |= check_point(known.values(), at)
    for name, text in tie.items():
        if name in at:
            raise SpecError(f"{name} is both given and tied")
        tied = parse_expr(text, where=f"tie {name}={text}") if isinstance(text, str) else as_expr(text)
        strange = tied.symbols - {wrt} - at.keys()
        if strange:
            raise SpecError(f"tie {name}={text}: {', '.join(sorted(strange))} is neither {wrt} nor given")
        fixed[name] = substitute(tied, dict(at))
    missing = [n for n, s in known.items() if n != wrt and n not in fixed]
    if missing:
        raise SpecError(
            f"also say what {', '.join(missing)} is: at={{...}} (--at {missing[0]}=1) or tie (--tie {missing[0]}={wrt})"
        )
    return fixed


def _margin(
    constraint: Constraint,
    fixed: Mapping[str, Expr | int],
    wrt: str,
    ranges: Mapping[str, tuple[int | None, int | None]],
    short: bool,
) -> _Margin:
    left, right = substitute(constraint.quantity.value, fixed), substitute(constraint.bound.value, fixed)
    strange = (left.symbols | right.symbols) - {wrt}
    if strange:
        raise SpecError(
            f"{constraint}: {', '.join(sorted(strange))} has no value; sizes the data decides cannot be solved over"
        )
    value = {"<=": right - left, "<": right - left - 1, ">=": left - right, ">": left - right - 1}[constraint.op]
    if value.constant is not None:
        return _Margin(constraint, value, 0, f"does not depend on {wrt}")
    # One side constant is the usual case: then the reason speaks of the quantity itself, not of a difference.
    for side, sign in ((left, -1), (right, 1)):
        other = right if side is left else left
        if other.constant is not None:
            reason = monotone_reason(side, wrt, ranges, structure=short)
            if reason is not None:
                trend = sign if constraint.op in {"<=", "<"} else -sign
                return _Margin(constraint, value, trend, f"is non-decreasing in {wrt} ({reason})")
    for trend, form in ((1, value), (-1, -value)):
        reason = monotone_reason(form, wrt, ranges, structure=short)
        if reason is not None:
            return _Margin(constraint, value, trend, f"has a difference of sides monotone in {wrt} ({reason})")
    return _Margin(constraint, value, 2, f"is not proved monotone in {wrt}")


def _demands(given: list[Constraint], tied: list[SymbolInfo]) -> list[Predicate]:
    """What must hold besides: the domains of the formulas, and the ranges of the symbols that follow the one."""
    domains = [guard for c in given for guard in (*c.quantity.domain, *c.bound.domain)]
    return list(dict.fromkeys([*domains, *(guard for info in tied for guard in range_guards(info))]))


def range_guards(info: SymbolInfo) -> list[Predicate]:
    """That a symbol is within its stated range, as comparisons."""
    name = symbol(info.name)
    found: list[Predicate] = [Compare(">=", name, const(info.min))]
    if info.max is not None:
        found.append(Compare("<=", name, const(info.max)))
    if info.multiple_of > 1:
        found.append(Compare("==", mod(name, info.multiple_of), const(0)))
    return found


def _simple_bounds(guards: list[Predicate], info: SymbolInfo) -> tuple[int, int | None] | None:
    """The interval that guards of the form `symbol OP number` leave, or None when some guard has another form."""
    low, high = info.min, info.max
    for guard in guards:
        if not isinstance(guard, Compare) or str(guard.left) != info.name or guard.right.constant is None:
            return None
        limit = guard.right.constant
        if guard.op in {">=", ">"}:
            low = max(low, limit + (guard.op == ">"))
        elif guard.op in {"<=", "<"}:
            bound = limit - (guard.op == "<")
            high = bound if high is None else min(high, bound)
        elif guard.op == "!=" and limit == info.min:
            low = max(low, limit + 1)
        else:
            return None
    return low, high


def _bisect(
    margins: list[_Margin],
    info: SymbolInfo,
    bounded: tuple[int, int | None],
    guards: list[Predicate],
    standing: Standing,
) -> Solution | None:
    """The one interval between two boundaries; None where a boundary is neither found nor excluded."""
    step = info.multiple_of
    low = -(-bounded[0] // step) * step
    high = None if bounded[1] is None else bounded[1] // step * step
    if high is not None and high < low:
        return _nothing(info.name, [f"no {info.name} lies in its range: {info}{_of_domain(guards)}"], standing)
    first, last = low, high
    lines: list[str] = []
    for margin in margins:
        at = _at(margin.value, info.name)
        if margin.trend == 0:
            if at(low) < 0:
                return _nothing(info.name, [_says(margin, info.name, low)], standing)
            lines.append(f"{margin.constraint} {margin.reason}, and holds")
        elif last is None and _everywhere(margin.value, info.name, low):
            lines.append(f"{margin.constraint} holds for every {info.name}")
        elif last is None and _everywhere(-1 - margin.value, info.name, low):
            lines = [f"{margin.constraint.quantity.name} {margin.reason}, but {margin.constraint} for no {info.name}"]
            return _nothing(info.name, lines, standing)
        elif margin.trend < 0:
            end = _last_true(at, low, last, step)
            if end == _FAR:
                return None
            if end is None:
                return _nothing(
                    info.name,
                    [f"{margin.constraint.quantity.name} {margin.reason}", _says(margin, info.name, low)],
                    standing,
                )
            lines.append(f"{margin.constraint.quantity.name} {margin.reason}")
            if end != last:
                last = end
                lines += [_says(margin, info.name, end), _says(margin, info.name, end + step)]
        else:
            start = _first_true(at, low, last, step)
            if start == _FAR:
                return None
            if start is None:
                lines = [f"{margin.constraint.quantity.name} {margin.reason}"]
                lines += [_says(margin, info.name, last)] if last is not None and last >= low else []
                return _nothing(info.name, lines, standing)
            lines.append(f"{margin.constraint.quantity.name} {margin.reason}")
            if start > first:
                first = start
                lines += [_says(margin, info.name, start - step)] if start > low else []
                lines += [_says(margin, info.name, start)]
    if last is not None and first > last:
        return _nothing(info.name, lines, standing)
    if last is not None and last == high:
        lines.append(f"{info.name} = {last} is the end of the range: {info}" + _of_domain(guards))
    elif last is None:
        lines.append(f"no {info.name} is too large")
    return Solution(
        info.name,
        last,
        first,
        ((first, last),),
        "bisection on a proved monotone form",
        "; ".join(dict.fromkeys(lines)),
        standing,
    )


def _of_domain(guards: list[Predicate]) -> str:
    return f", where the formulas hold for {', '.join(map(str, guards))}" if guards else ""


def _at(value: Expr, name: str) -> Callable[[int], int]:
    function = compiled((value,), (name,))
    return lambda size: function(size)[0]


def _last_true(at: Callable[[int], int], low: int, high: int | None, step: int) -> int | None:
    """Largest admissible size with at(size) >= 0 for a non-increasing margin.

    None when the smallest fails, _FAR when none is found to fail.
    """
    if at(low) < 0:
        return None
    if high is None:
        reach = step
        while at(low + reach) >= 0:
            reach *= 2
            if reach > _FAR:
                return _FAR
        high = low + reach
    elif at(high) >= 0:
        return high
    good, bad = low, high
    while bad - good > step:
        middle = good + (bad - good) // step // 2 * step
        good, bad = (middle, bad) if at(middle) >= 0 else (good, middle)
    return good


def _first_true(at: Callable[[int], int], low: int, high: int | None, step: int) -> int | None:
    """Smallest admissible size with at(size) >= 0 for a non-decreasing margin.

    None when the largest fails, _FAR when none is found to hold.
    """
    if at(low) >= 0:
        return low
    end = high
    if end is None:
        reach = step
        while at(low + reach) < 0:
            reach *= 2
            if reach > _FAR:
                return _FAR
        end = low + reach
    elif at(end) < 0:
        return None
    bad, good = low, end
    while good - bad > step:
        middle = bad + (good - bad) // step // 2 * step
        bad, good = (bad, middle) if at(middle) >= 0 else (middle, good)
    return good


def _says(margin: _Margin, name: str, size: int) -> str:
    """`at H = 52 peak_memory = 302,848 <= 320,000`, with the relation that is true there."""
    quantity, bound = margin.constraint.quantity, margin.constraint.bound
    value = _at(margin.value, name)(size)
    limit = bound.value.constant
    op = margin.constraint.op
    if limit is None:
        verdict = "holds" if value >= 0 else "fails"
        return f"at {name} = {size:,} {margin.constraint} {verdict}"
    amount = {"<=": limit - value, "<": limit - 1 - value, ">=": limit + value, ">": limit + 1 + value}[op]
    true_op = op if value >= 0 else {"<=": ">", "<": ">=", ">=": "<", ">": "<="}[op]
    return f"at {name} = {size:,} {quantity.name} = {amount:,} {true_op} {limit:,} {quantity.unit}"


def _nothing(name: str, lines: list[str], standing: Standing) -> Solution:
    proof = "; ".join(dict.fromkeys(lines)) or "the constraints exclude each other"
    return Solution(name, None, None, (), "bisection on a proved monotone form", proof, standing)


def _scan(margins: list[_Margin], guards: list[Predicate], info: SymbolInfo, standing: Standing) -> Solution:
    """Every value of the range one by one, as far as it takes until the rest is proven, or up to SCAN_LIMIT values."""
    import numpy as np

    step = info.multiple_of
    start = -(-info.min // step) * step
    if info.max is not None and info.max < start:
        return _nothing(info.name, [f"no {info.name} lies in its range: {info}"], standing)
    beyond: bool | None = None
    for count in (FIRST_SCAN, SCAN_LIMIT):
        end = start + (count - 1) * step
        clipped = info.max is None or info.max > end
        end = end if clipped else info.max // step * step if info.max is not None else end
        beyond = _beyond(margins, guards, info, end + step) if clipped else False
        if not clipped or beyond is not None:
            break
    sizes = np.arange(start, end + 1, step, dtype=np.int64)
    good = np.ones(sizes.shape, dtype=bool)
    for margin in margins:
        good &= np.asarray(over_arrays(margin.value, (info.name,))(sizes) >= 0, dtype=bool)
    for guard in guards:
        good &= holds_at(guard, info.name, sizes)
    spans = intervals(sizes[good], step)
    last_value = None if info.max is None else info.max // step * step
    if beyond and spans and spans[-1][1] == end:
        spans[-1] = (spans[-1][0], last_value)
    elif beyond:
        spans.append((end + step, last_value))
    reasons = "; ".join(f"{m.constraint.quantity.name} {m.reason}" for m in margins)
    lines = [reasons, f"every {info.name} from {start:,} to {end:,} was tried"]
    if clipped:
        verdict = {True: "the constraints hold for all", False: "they fail for all", None: "nothing is said"}[beyond]
        lines.append(f"beyond {end:,} {verdict}" + ("" if beyond is None else ", by residue classes"))
    if guards:
        lines.append("within the domain " + ", ".join(map(str, guards)))
    if spans:
        last = spans[-1][1]
        if last is not None and last + step <= end:
            lines += [_says(m, info.name, last + step) for m in margins if _at(m.value, info.name)(last + step) < 0]
    return Solution(
        info.name,
        spans[-1][1] if spans else None,
        spans[0][0] if spans else None,
        tuple(spans),
        "scan of the range",
        "; ".join(dict.fromkeys(lines)),
        standing,
    )


def _beyond(margins: list[_Margin], guards: list[Predicate], info: SymbolInfo, first: int) -> bool | None:
    """True where everything is proven to hold from `first` on, False where something is proven to fail, else None."""
    beyond = {info.name: (first, info.max)}
    known: list[bool | None] = [decide(guard, beyond) for guard in guards]
    for margin in margins:
        sign = sign_beyond(margin.value, info.name, first, info.multiple_of)
        known.append(None if sign is None else sign > 0)
        if sign is None and _everywhere(margin.value, info.name, first):
            known[-1] = True
    if False in known:
        return False
    return None if None in known else True


def _everywhere(value: Expr, name: str, low: int) -> bool:
    """Proved non-negative for every size from `low` on."""
    beyond = {name: (low, None)}
    return is_nonnegative(value, beyond) or proves_nonnegative(value, beyond)


def holds_at(guard: Predicate, name: str, sizes: object) -> object:
    """Where a predicate in one symbol holds: a boolean for every size of the array."""
    import numpy as np

    array = np.asarray(sizes)
    if isinstance(guard, Compare):
        difference = np.asarray(over_arrays(guard.left - guard.right, (name,))(array))
        return fits_sign(guard.op, difference)
    return np.array([holds(guard, {name: int(size)}) for size in array], dtype=bool)


def intervals(values: object, step: int) -> list[tuple[int, int | None]]:
    """Maximal runs of consecutive admissible values."""
    import numpy as np

    array = np.asarray(values)
    if not array.size:
        return []
    breaks = np.flatnonzero(np.diff(array) != step)
    starts = np.concatenate([array[:1], array[breaks + 1]])
    ends = np.concatenate([array[breaks], array[-1:]])
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
