"""Proofs that an expression is never negative, or grows with a symbol, for all sizes at once.

Sound and not complete: True is a proof, False says only that none was found. Interval arithmetic (`expr.bounds`) goes
first; what it cannot settle is reduced, step by step, to polynomials over residue classes (`residues`):

1. A sample of points: one negative value ends the search.
2. Few points in all: every one is evaluated.
3. max and min: at each point one of the arguments is the value, so it is enough to prove all of the cases; where the
   atom is multiplied by something of known sign and stands on the good side, any one argument will do.
4. Division by a symbol, or by a number too large for a grid of residue classes: `b*(a//b)` lies in [a - b + 1, a].
5. Otherwise sizes s are written L*t + r with L a common multiple of the divisors. In each class r all floors are exact,
   the expression is a polynomial in the t's, and coefficients that are all >= 0 prove it.
6. Where only the smallest sizes spoil the coefficients, these are settled one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, product
from math import prod
from typing import Final

from fxcost.errors import ModelError
from fxcost.ir.evaluate import compiled, over_arrays
from fxcost.ir.expr import BUILDERS, Atom, Expr, Range, bounds, const, is_nonnegative, substitute, symbol, total
from fxcost.ir.residues import classes, nonnegative_in_classes

MAX_POINTS: Final = 4096
"""Ranges with at most so many points are checked exhaustively."""
MAX_CLASSES: Final = 65_536
"""Residue classes in one grid; divisors that need more are relaxed."""
_STEPS = 60  # proofs of parts, before the search gives up
_SHIFT = 16  # smallest sizes that are settled one by one

Ranges = Mapping[str, Range]


def proves_nonnegative(value: Expr, ranges: Ranges | None = None) -> bool:
    """True when `value >= 0` is proven for every point of `ranges`; symbols left out have their usual range."""
    return nonnegative_reason(value, ranges) is not None


def nonnegative_reason(value: Expr, ranges: Ranges | None = None) -> str | None:
    """In a few words, the argument that proves `value >= 0`; None without a proof."""
    known = ranges or {}
    return _reason(value, tuple((name, _range(name, known)) for name in sorted(value.symbols)))


def _range(name: str, ranges: Ranges) -> Range:
    return ranges[name] if name in ranges else bounds(symbol(name))


@lru_cache(maxsize=4096)
def _reason(value: Expr, ranges: tuple[tuple[str, Range], ...]) -> str | None:
    known = dict(ranges)
    if is_nonnegative(value, known):
        return "interval arithmetic"
    if any(high is not None and low is not None and high < low for low, high in known.values()):
        return "the range is empty"
    if any(low is None for low, _ in known.values()):
        return None
    try:
        search = _Search(_STEPS, [])
        if _few_points(known):
            return f"all {_count(known):,} points" if _holds_everywhere(value, known) else None
        if _refuted(value, known) or not _prove(value, known, search):
            return None
    except (ModelError, ZeroDivisionError, OverflowError):  # expands to too much, or divides by zero somewhere
        return None
    return ", ".join(dict.fromkeys(search.used)) or "interval arithmetic"


@dataclass
class _Search:
    """What is left of the budget, and the arguments used so far."""

    steps: int
    used: list[str]


def _prove(value: Expr, ranges: Ranges, search: _Search, shifted: frozenset[str] = frozenset()) -> bool:
    search.steps -= 1
    if search.steps < 0:
        return False
    mark = len(search.used)
    found = is_nonnegative(value, ranges) or _prove_harder(value, ranges, search, shifted)
    if not found:
        del search.used[mark:]
    return found


def _prove_harder(value: Expr, ranges: Ranges, search: _Search, shifted: frozenset[str]) -> bool:
    extremes = [(a, _helps(value, a, ranges)) for a in _atoms(value) if a.kind in {"max", "min"}]
    if extremes:  # those that need all cases first: the others may then choose an argument for each case
        return _by_cases(value, *min(extremes, key=lambda pair: pair[1]), ranges, search, shifted)
    atom = next((a for a in _atoms(value) if a.kind != "symbol" and a.args[1].constant is None), None)
    if atom is None and prod(classes(value).values()) > MAX_CLASSES:
        divisions = [a for a in _atoms(value) if a.kind != "symbol"]
        atom = max(divisions, key=lambda a: a.args[1].constant or 0)
    if atom is not None:
        relaxed = _relaxed(value, atom, ranges, search)
        return relaxed is not None and _prove(*relaxed, search, shifted)
    if nonnegative_in_classes(value, ranges):
        modulo = ", ".join(f"{name} modulo {m}" for name, m in classes(value).items() if m > 1)
        search.used.append(f"residue classes of {modulo}" if modulo else "coefficients")
        return True
    return _from_the_smallest(value, ranges, search, shifted)


# -- one step each -------------------------------------------------------------------------------------------------
def _by_cases(value: Expr, atom: Atom, helps: bool, ranges: Ranges, search: _Search, shifted: frozenset[str]) -> bool:
    """A maximum is one of its arguments, so all cases are enough; where it helps, the value is no less with any one."""
    proofs = (_prove(replaced(value, atom, arg), ranges, search, shifted) for arg in atom.args)
    found = any(proofs) if helps else all(proofs)
    if found:
        search.used.append(f"{'an argument' if helps else 'every argument'} of {atom.kind}")
    return found


def _helps(value: Expr, atom: Atom, ranges: Ranges) -> bool:
    """True when `value` is known not to fall as a max grows, or not to rise as a min grows."""
    good = 1 if atom.kind == "max" else -1
    if sign_of_factor(value, atom, ranges) == good:
        return True
    replaced = _as_symbol(value, atom, ranges)
    return replaced is not None and _direction(*replaced, {}) == good


def _as_symbol(value: Expr, atom: Atom, ranges: Ranges) -> tuple[Expr, str, Ranges] | None:
    """`value` with a new symbol for `atom`: (value, symbol, ranges). It is shifted to start at 1, as symbols must."""
    low, high = bounds(_alone(atom), ranges)
    if low is None:
        return None
    name = next(name for number in count() if (name := f"_{number}") not in ranges)
    span = (1, None if high is None else high - low + 1)
    return replaced(value, atom, symbol(name) + (low - 1)), name, {**ranges, name: span}


def _relaxed(value: Expr, atom: Atom, ranges: Ranges, search: _Search) -> tuple[Expr, Ranges] | None:
    """A smaller value without the division, and ranges that cover its new symbols."""
    left, right = atom.args
    positive = is_nonnegative(right - 1, ranges)
    side = sign_of_factor(value, atom, ranges)
    if side is not None and positive:
        factor, rest = _split(value, atom)
        search.used.append("bounds of roundings")
        if atom.kind == "mod":
            return rest if side > 0 else rest + factor * (right - 1), ranges
        return right * rest + factor * (left - right + 1 if side > 0 else left), ranges
    replaced = _as_symbol(value, atom, ranges)
    if replaced is None:
        return None
    search.used.append("bounds of parts")
    return replaced[0], replaced[2]


def _from_the_smallest(value: Expr, ranges: Ranges, search: _Search, shifted: frozenset[str]) -> bool:
    """Prove it for larger sizes of one symbol, then for each of the smallest ones."""
    for name in sorted(value.symbols - shifted):
        low, high = _range(name, ranges)
        if low is None or (high is not None and high < low + _SHIFT):
            continue
        if _prove(value, {**ranges, name: (low + _SHIFT, high)}, search, shifted | {name}):
            search.used.append(f"the smallest {name} one by one")
            return all(_prove(substitute(value, {name: low + i}), ranges, search, shifted) for i in range(_SHIFT))
    return False


# -- points --------------------------------------------------------------------------------------------------------
def _count(ranges: Ranges) -> int:
    return prod(high - low + 1 for low, high in ranges.values() if high is not None and low is not None)


def _few_points(ranges: Ranges) -> bool:
    return all(high is not None for _, high in ranges.values()) and _count(ranges) <= MAX_POINTS


def _holds_everywhere(value: Expr, ranges: Ranges) -> bool:
    names = tuple(sorted(value.symbols))
    columns = zip(*product(*(range(ranges[n][0] or 0, (ranges[n][1] or 0) + 1) for n in names)), strict=True)
    return bool((over_arrays(value, names)(*map(list, columns)) >= 0).all())


def _refuted(value: Expr, ranges: Ranges) -> bool:
    """True when one of a few dozen points is negative: most false claims end here."""
    names = tuple(sorted(value.symbols))
    function = compiled((value,), names)
    return any(function(*point)[0] < 0 for point in _sample([ranges[name] for name in names]))


def _sample(ranges: list[Range]) -> Iterator[tuple[int, ...]]:
    steps = (0, 1, 2, 3, 4, 6, 7, 14, 15, 16, 30, 31, 32, 33, 63, 64, 100, 223, 999, 10**6)
    for turn in (0, 1, 7):  # 0 moves along the diagonal, the others mix small and large sizes
        for position in range(len(steps)):
            picks = (steps[(position + turn * index) % len(steps)] for index in range(len(ranges)))
            yield tuple(
                (low or 0) + step if high is None else min((low or 0) + step, high)
                for (low, high), step in zip(ranges, picks, strict=True)
            )


# -- taking expressions apart --------------------------------------------------------------------------------------
def _atoms(value: Expr) -> Iterator[Atom]:
    """Every atom at any depth, the outer ones first."""
    seen: set[Atom] = set()
    level = list(value.atoms())
    while level:
        yield from (atom for atom in level if atom not in seen)
        seen.update(level)
        level = [inner for atom in level for arg in atom.args for inner in arg.atoms() if inner not in seen]


def _alone(atom: Atom) -> Expr:
    return BUILDERS[atom.kind](*atom.args)


def _split(value: Expr, atom: Atom) -> tuple[Expr, Expr]:
    """(factor, rest) with value == factor*atom + rest, where the atom stands at the top and with power 1 only."""
    single = _alone(atom)
    factor = total(
        prod((_power(a, p) for a, p in m if a is not atom), start=const(c))
        for m, c in value.terms.items()
        if any(a is atom for a, _ in m)
    )
    return factor, value - factor * single


def _power(atom: Atom, power: int) -> Expr:
    return (symbol(atom.name) if atom.kind == "symbol" else _alone(atom)) ** power


def sign_of_factor(value: Expr, atom: Atom, ranges: Ranges) -> int | None:
    """The sign of the factor of `atom`, or None: unknown, not linear, or the atom stands inside another one too."""
    powers = [p for m in value.terms for a, p in m if a is atom]
    if not powers or max(powers) > 1:
        return None
    factor, rest = _split(value, atom)
    if any(a is atom for part in (factor, rest) for a in _atoms(part)):
        return None
    return 1 if is_nonnegative(factor, ranges) else -1 if is_nonnegative(-factor, ranges) else None


def replaced(value: Expr, atom: Atom, by: Expr) -> Expr:
    """`value` with every occurrence of `atom`, at any depth, replaced."""
    done: dict[Atom, Expr] = {atom: by}

    def rebuilt(current: Atom) -> Expr:
        if current not in done:
            done[current] = (
                symbol(current.name)
                if current.kind == "symbol"
                else BUILDERS[current.kind](*(over(arg) for arg in current.args))
            )
        return done[current]

    def over(expression: Expr) -> Expr:
        return total(prod((rebuilt(a) ** p for a, p in m), start=const(c)) for m, c in expression.terms.items())

    return over(value)


# -- growth --------------------------------------------------------------------------------------------------------
def proves_monotone(value: Expr, name: str, ranges: Ranges | None = None) -> bool:
    """True when `value` is proven never to fall as the symbol `name` grows inside `ranges`."""
    return monotone_reason(value, name, ranges) is not None


def monotone_reason(value: Expr, name: str, ranges: Ranges | None = None, *, structure: bool = False) -> str | None:
    """In a few words, the argument that proves that `value` never falls as `name` grows; None without a proof.

    With `structure` only how the expression is built is looked at, which takes no time; else its steps are, too.
    """
    known = dict(ranges or {})
    direction = _direction(value, name, known, {})
    if direction == 0:
        return f"{name} does not occur"
    if direction == 1:
        return "built from growing parts"
    if structure:
        return None
    low, high = _range(name, known)
    if high is not None:
        known[name] = (low, high - 1)
    step = nonnegative_reason(substitute(value, {name: symbol(name) + 1}) - value, known)
    return None if step is None else f"each step of {name} adds at least 0 ({step})"


def _direction(value: Expr, name: str, ranges: Ranges, done: dict[Atom, int | None]) -> int | None:
    """1 when it never falls as the symbol grows, -1 when it never rises, 0 when it does not depend on it."""
    found: int | None = 0
    for monomial, factor in value.terms.items():
        term: int | None = 0
        for atom, _ in monomial:
            if atom not in done:
                done[atom] = _atom_direction(atom, name, ranges, done)
            term = _joined(term, done[atom])
        alone = len(monomial) == 1 and monomial[0][1] == 1
        if term and not alone and not all(is_nonnegative(_power(atom, 1), ranges) for atom, _ in monomial):
            return None  # products grow only where every factor is non-negative
        found = _joined(found, term if term is None or factor > 0 else -term)
    return found


def _atom_direction(atom: Atom, name: str, ranges: Ranges, done: dict[Atom, int | None]) -> int | None:
    if atom.kind == "symbol":
        return int(atom.name == name)
    directions = [_direction(arg, name, ranges, done) for arg in atom.args]
    if atom.kind in {"max", "min"}:
        found: int | None = 0
        for direction in directions:
            found = _joined(found, direction)
        return found
    top, bottom = directions
    if top == bottom == 0:
        return 0
    if atom.kind == "mod" or bottom is None or not is_nonnegative(atom.args[1] - 1, ranges):
        return None
    if bottom and not is_nonnegative(atom.args[0], ranges):
        return None
    return _joined(top, -bottom)


def _joined(a: int | None, b: int | None) -> int | None:
    """The direction of a sum, or of a product of non-negative factors."""
    if a is None or b is None or a * b < 0:
        return None
    return a or b
