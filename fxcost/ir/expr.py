"""Exact integer expressions: the one type in which fxcost counts.

An expression is a polynomial with integer coefficients over *atoms*; an atom is a symbol (a positive integer), a floor
division, a remainder, a maximum or a minimum of expressions::

    expr  ::= sum of  coefficient * atom**power * ...
    atom  ::= symbol | expr // expr | expr % expr | max(expr, ...) | min(expr, ...)

Expressions are immutable and hash-consed: equal polynomials are the same object, so `==` is identity and sums over
thousands of nodes are dictionary work. Constructors canonicalise (`(H - 1)//2 + 1` becomes `(H + 1)//2`, nested
divisions by constants fold into one), which makes equal dimensions meet. Ceiling division is `(a + b - 1)//b`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from math import gcd
from operator import index
from typing import Any, Final
from weakref import WeakValueDictionary

from fxcost.errors import ModelError

Monomial = tuple[tuple["Atom", int], ...]
Range = tuple[int | None, int | None]

MAX_TERMS: Final = 20_000
"""An expanded product with more terms than this is refused: no real model comes near, hostile text does."""

DATA_PREFIX: Final = "data_"
"""Symbols with this prefix are counts that only the data decides; unlike sizes they may be zero."""

_LOCK = threading.Lock()


class Atom:
    """An indivisible factor: `kind` is symbol, floordiv, mod, max or min."""

    __slots__ = ("__weakref__", "args", "interval", "kind", "name", "serial")

    kind: str
    name: str
    args: tuple[Expr, ...]
    serial: int
    interval: Range | None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_atom, (self.kind, self.name, self.args))

    def __repr__(self) -> str:
        return f"Atom({self.name or self.kind}, {', '.join(map(repr, self.args))})"


class Expr:
    """An immutable, interned integer polynomial over atoms; build it with `symbol`, `const` and the operators."""

    __slots__ = ("__weakref__", "_symbols", "terms")

    terms: Mapping[Monomial, int]
    _symbols: frozenset[str] | None

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_items, (tuple(self.terms.items()),))

    # -- questions -------------------------------------------------------------------------------------------------
    @property
    def constant(self) -> int | None:
        """The value when the expression holds no symbol, else None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1:
            return self.terms.get(())
        return None

    @property
    def symbols(self) -> frozenset[str]:
        """Names of all symbols inside, at any depth."""
        if self._symbols is None:
            names: set[str] = set()
            for atom in self.atoms():
                if atom.kind == "symbol":
                    names.add(atom.name)
                for arg in atom.args:
                    names |= arg.symbols
            self._symbols = frozenset(names)
        return self._symbols

    def atoms(self) -> Iterator[Atom]:
        """Each distinct top-level atom once, in order of first appearance."""
        seen: set[Atom] = set()
        for monomial in self.terms:
            for atom, _ in monomial:
                if atom not in seen:
                    seen.add(atom)
                    yield atom

    # -- arithmetic ------------------------------------------------------------------------------------------------
    def __add__(self, other: Expr | int) -> Expr:
        return total((self, other))

    __radd__ = __add__

    def __neg__(self) -> Expr:
        return _intern({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Expr | int) -> Expr:
        result = dict(self.terms)
        for monomial, factor in as_expr(other).terms.items():
            result[monomial] = result.get(monomial, 0) - factor
        return _intern(result)

    def __rsub__(self, other: Expr | int) -> Expr:
        return total((-self, other))

    def __mul__(self, other: Expr | int) -> Expr:
        if isinstance(other, int):
            return _intern({m: c * other for m, c in self.terms.items()})
        right = as_expr(other)
        if len(self.terms) * len(right.terms) > MAX_TERMS * 4:
            raise _too_large()
        result: dict[Monomial, int] = {}
        for left_monomial, left_factor in self.terms.items():
            for right_monomial, right_factor in right.terms.items():
                monomial = _times(left_monomial, right_monomial)
                result[monomial] = result.get(monomial, 0) + left_factor * right_factor
        return _intern(result)

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Expr:
        if exponent < 0:
            raise ModelError(f"negative exponent {exponent} in an integer expression")
        result = ONE
        for _ in range(exponent):
            result = result * self
        return result

    def __floordiv__(self, other: Expr | int) -> Expr:
        return floordiv(self, as_expr(other))

    def __mod__(self, other: Expr | int) -> Expr:
        return mod(self, as_expr(other))

    def __str__(self) -> str:
        from fxcost.ir.printing import python

        return python(self)

    def __repr__(self) -> str:
        return f"Expr({self})"


def _too_large() -> ModelError:
    return ModelError(f"an expression would expand to more than {MAX_TERMS:,} terms; use fewer or fixed dimensions")


# -- interning -----------------------------------------------------------------------------------------------------
_ATOMS: WeakValueDictionary[tuple[str, str, tuple[Expr, ...]], Atom] = WeakValueDictionary()
_EXPRS: WeakValueDictionary[frozenset[tuple[Monomial, int]], Expr] = WeakValueDictionary()
_serial = 0


def _atom(kind: str, name: str = "", args: tuple[Expr, ...] = ()) -> Atom:
    global _serial
    key = (kind, name, args)
    found = _ATOMS.get(key)
    if found is not None:
        return found
    with _LOCK:
        found = _ATOMS.get(key)
        if found is None:
            found = Atom()
            found.kind, found.name, found.args = kind, name, args
            found.serial, found.interval = _serial, None
            _serial += 1
            _ATOMS[key] = found
    return found


def _intern(terms: Mapping[Monomial, int]) -> Expr:
    clean = {m: c for m, c in terms.items() if c}
    if len(clean) > MAX_TERMS:
        raise _too_large()
    key = frozenset(clean.items())
    found = _EXPRS.get(key)
    if found is not None:
        return found
    with _LOCK:
        found = _EXPRS.get(key)
        if found is None:
            found = Expr()
            found.terms, found._symbols = clean, None
            _EXPRS[key] = found
    return found


def rebuilt(terms: Mapping[Monomial, int]) -> Expr:
    """An expression from terms whose monomials came from other expressions."""
    return _intern(terms)


def _from_items(items: Iterable[tuple[Monomial, int]]) -> Expr:
    # Serial numbers differ between processes, so factors are put in this process's order again.
    return _intern({tuple(sorted(m, key=_serial_of)): c for m, c in items})


def _serial_of(factor: tuple[Atom, int]) -> int:
    return factor[0].serial


def _times(left: Monomial, right: Monomial) -> Monomial:
    if not left:
        return right
    if not right:
        return left
    powers = dict(left)
    for atom, power in right:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=_serial_of))


def _of_atom(atom: Atom) -> Expr:
    return _intern({((atom, 1),): 1})


# -- constructors --------------------------------------------------------------------------------------------------
@lru_cache(maxsize=4096)
def const(value: int) -> Expr:
    """The constant `value`."""
    return _intern({(): index(value)})


def symbol(name: str) -> Expr:
    """The symbol `name`, a positive integer."""
    if not name.isidentifier():
        raise ModelError(f"{name!r} is not a symbol name; use letters, digits and _")
    return _of_atom(_atom("symbol", name))


def as_expr(value: Expr | int) -> Expr:
    """Lift an int; expressions pass through."""
    return value if isinstance(value, Expr) else const(value)


def total(values: Iterable[Expr | int]) -> Expr:
    """Sum of many expressions, gathered in one dictionary."""
    result: dict[Monomial, int] = {}
    for value in values:
        if isinstance(value, Expr):
            for monomial, factor in value.terms.items():
                result[monomial] = result.get(monomial, 0) + factor
        else:
            result[()] = result.get((), 0) + value
    return _intern(result)


def product(values: Iterable[Expr | int]) -> Expr:
    """Product of many expressions; 1 for none."""
    factors = iter(values)
    result = as_expr(next(factors, ONE))
    for value in factors:
        result = result * value
    return result


def floordiv(a: Expr | int, b: Expr | int) -> Expr:
    """`a // b`, rounding towards minus infinity; b must not be zero."""
    a, b = as_expr(a), as_expr(b)
    divisor = b.constant
    if divisor is None:
        return _floordiv_symbolic(a, b)
    if divisor == 0:
        raise ModelError(f"division by zero in ({a})//0")
    if divisor < 0:
        return floordiv(-a, const(-divisor))
    if divisor == 1:
        return a
    varying = [c for m, c in a.terms.items() if m and c % divisor]
    if varying and max(varying) < 0:  # floor(-x/d) == -ceil(x/d): one spelling for both idioms of rounding up
        return -floordiv(divisor - 1 - a, b)
    whole = _intern({m: c // divisor for m, c in a.terms.items()})
    rest = _intern({m: c % divisor for m, c in a.terms.items()})
    if not varying:  # what is left is a constant below the divisor
        return whole
    shared = gcd(divisor, *(c for m, c in rest.terms.items() if m))
    if shared > 1:
        rest = _intern({m: c // shared for m, c in rest.terms.items()})
        return whole + floordiv(rest, const(divisor // shared))
    folded = _fold_inner(rest, divisor)
    if folded is not None:
        return whole + floordiv(*folded)
    return whole + _of_atom(_atom("floordiv", "", (rest, b)))


def _fold_inner(rest: Expr, divisor: int) -> tuple[Expr, Expr] | None:
    """(p//q + c)//d == (p + c*q)//(q*d), where the only varying term is one floor division by a constant."""
    varying = [(m, c) for m, c in rest.terms.items() if m]
    (monomial, factor), offset = varying[0], rest.terms.get((), 0)
    if len(varying) > 1 or factor != 1 or len(monomial) > 1 or monomial[0][1] != 1 or monomial[0][0].kind != "floordiv":
        return None
    inner, by = monomial[0][0].args
    step = by.constant
    return None if step is None else (inner + offset * step, const(divisor * step))


def _floordiv_symbolic(a: Expr, b: Expr) -> Expr:
    quotient = exact_quotient(a, b)
    if quotient is not None:
        return quotient
    shared = symbol_factor(a, b)
    if shared is not ONE:
        return floordiv(_divided(a, shared), _divided(b, shared))
    if len(b.terms) == 1:  # pull out the terms that a monomial divides: (q*b + r)//b == q + r//b
        whole, rest = ZERO, dict(a.terms)
        for monomial, factor in a.terms.items():
            part = exact_quotient(_intern({monomial: factor}), b)
            if part is not None:
                whole = whole + part
                del rest[monomial]
        left = _intern(rest)
        return whole + (_of_atom(_atom("floordiv", "", (left, b))) if rest else 0)
    return _of_atom(_atom("floordiv", "", (a, b)))


def symbol_factor(a: Expr, b: Expr) -> Expr:
    """The symbols that divide every term of both: N in (6*N*H, 4*N). Division leaves them out, for sizes are positive."""
    powers: dict[Atom, int] | None = None
    for monomial in (*a.terms, *b.terms):
        here = {atom: power for atom, power in monomial if atom.kind == "symbol"}
        powers = here if powers is None else {at: min(p, here[at]) for at, p in powers.items() if at in here}
        if not powers:
            return ONE
    return _intern({tuple(sorted((powers or {}).items(), key=_serial_of)): 1})


def _divided(a: Expr, monomial: Expr) -> Expr:
    quotient = _monomial_quotient(a, monomial)
    assert quotient is not None, "the factor divides every term"
    return quotient


def exact_quotient(a: Expr, b: Expr) -> Expr | None:
    """The polynomial q with q*b == a, or None; long division by b's leading term."""
    if not b.terms:
        return None
    if len(b.terms) == 1:
        return _monomial_quotient(a, b)

    # Lexicographic in atom order with the larger power first: a proper monomial order, as long division needs.
    def rank(monomial: Monomial) -> tuple[tuple[int, int], ...]:
        return tuple((-atom.serial, power) for atom, power in monomial)

    lead = max(b.terms, key=rank)
    lead_factor, quotient, rest = b.terms[lead], ZERO, a
    for _ in range(len(a.terms) + 8):
        if not rest.terms:
            return quotient
        top = max(rest.terms, key=rank)
        powers, divides = dict(top), rest.terms[top] % lead_factor == 0
        for atom, power in lead:
            left = powers.get(atom, 0) - power
            divides &= left >= 0
            powers[atom] = left
        if not divides:
            return None
        step = _intern({tuple((at, p) for at, p in powers.items() if p): rest.terms[top] // lead_factor})
        quotient, rest = quotient + step, rest - step * b
    return None


def _monomial_quotient(a: Expr, b: Expr) -> Expr | None:
    ((monomial, factor),) = b.terms.items()
    result: dict[Monomial, int] = {}
    for top, coefficient in a.terms.items():
        powers = dict(top)
        for atom, power in monomial:
            powers[atom] = powers.get(atom, 0) - power
        if coefficient % factor or any(power < 0 for power in powers.values()):
            return None
        result[tuple((atom, power) for atom, power in powers.items() if power)] = coefficient // factor
    return _intern(result)


def ceildiv(a: Expr | int, b: Expr | int) -> Expr:
    """`ceil(a / b)` for positive b."""
    return floordiv(as_expr(a) + b - 1, b)


def mod(a: Expr | int, b: Expr | int) -> Expr:
    """`a % b` with the sign of b, as Python has it."""
    a, b = as_expr(a), as_expr(b)
    divisor = b.constant
    if divisor is None:
        if exact_quotient(a, b) is not None:
            return ZERO
        shared_sizes = symbol_factor(a, b)
        if shared_sizes is not ONE:
            return shared_sizes * mod(_divided(a, shared_sizes), _divided(b, shared_sizes))
        return _of_atom(_atom("mod", "", (a, b)))
    if divisor == 0:
        raise ModelError(f"remainder by zero in ({a})%0")
    if divisor < 0:
        return -mod(-a, const(-divisor))
    reduced = _intern({m: c % divisor for m, c in a.terms.items()})
    if reduced.constant is not None:
        return const(reduced.constant % divisor)
    shared = gcd(divisor, *(c for m, c in reduced.terms.items() if m))
    if shared > 1:
        offset = reduced.terms.get((), 0)
        scaled = _intern({m: (offset // shared if m == () else c // shared) for m, c in reduced.terms.items()})
        return mod(scaled, const(divisor // shared)) * shared + offset % shared
    return _of_atom(_atom("mod", "", (reduced, b)))


def maximum(*values: Expr | int) -> Expr:
    """Largest of the arguments; arguments that another one dominates coefficient by coefficient are dropped."""
    return _extreme("max", [as_expr(v) for v in values])


def minimum(*values: Expr | int) -> Expr:
    """Smallest of the arguments."""
    return _extreme("min", [as_expr(v) for v in values])


def _extreme(kind: str, values: list[Expr]) -> Expr:
    if not values:
        raise ModelError(f"{kind}() of nothing")
    flat: dict[Expr, None] = {}
    for value in values:
        atom = _sole_atom(value)
        for part in atom.args if atom is not None and atom.kind == kind else (value,):
            flat[part] = None
    kept: list[Expr] = []
    for value in flat:
        if any(_beats(kind, other, value) for other in kept):
            continue
        kept = [other for other in kept if not _beats(kind, value, other)]
        kept.append(value)
    if len(kept) == 1:
        return kept[0]
    factor = common_factor(kept)
    if factor is not ONE:
        reduced = [exact_quotient(value, factor) for value in kept]
        return factor * _extreme(kind, [r for r in reduced if r is not None])
    kept.sort(key=_order_key)
    return _of_atom(_atom(kind, "", tuple(kept)))


def extreme_args(value: Expr, kind: str) -> tuple[Expr, ...]:
    """Arguments of a bare `max` or `min`, empty when the expression is something else."""
    atom = _sole_atom(value)
    return atom.args if atom is not None and atom.kind == kind else ()


def _order_key(value: Expr) -> str:
    from fxcost.ir.printing import python

    return python(value)


def _sole_atom(value: Expr) -> Atom | None:
    if len(value.terms) == 1:
        (monomial, factor), *_ = value.terms.items()
        if factor == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            return monomial[0][0]
    return None


def _beats(kind: str, winner: Expr, loser: Expr) -> bool:
    gap = winner - loser if kind == "max" else loser - winner
    if is_nonnegative(gap):
        return True
    lower = _without_rounding(gap)
    return lower is not gap and is_nonnegative(lower)


def _without_rounding(value: Expr) -> Expr:
    """No larger than `value`, and without quotients: `x - 4*(x//4)` becomes `x - x`, `4*((x + 3)//4)` becomes `x`."""
    lower = value
    for monomial, factor in value.terms.items():
        if len(monomial) == 1 and monomial[0][0].kind == "floordiv" and monomial[0][1] == 1:
            dividend, divisor = monomial[0][0].args
            by = divisor.constant
            if by is not None and factor % by == 0:
                least = dividend if factor < 0 else dividend - (by - 1)
                lower = lower + _intern({monomial: -factor}) + least * (factor // by)
    return lower


def common_factor(values: list[Expr]) -> Expr:
    """Greatest integer times monomial of non-negative atoms that divides every term of every value."""
    factor, powers = 0, None
    for value in values:
        for monomial, coefficient in value.terms.items():
            factor = gcd(factor, coefficient)
            here = dict(monomial)
            powers = here if powers is None else {a: min(p, here[a]) for a, p in powers.items() if a in here}
    powers = {a: p for a, p in (powers or {}).items() if is_nonnegative(_of_atom(a))}
    return _intern({tuple(sorted(powers.items(), key=_serial_of)): factor or 1})


# -- bounds --------------------------------------------------------------------------------------------------------
def bounds(value: Expr, ranges: Mapping[str, Range] | None = None) -> Range:
    """A sound interval for `value`; symbols lie in `ranges`, by default in [1, inf). None is unbounded."""
    return _bounds(value, ranges, {})


def _bounds(value: Expr, ranges: Mapping[str, Range] | None, done: dict[Atom, Range]) -> Range:
    low: int | None = 0
    high: int | None = 0
    for monomial, factor in value.terms.items():
        span: Range = (1, 1)
        for atom, power in monomial:
            base = done.get(atom)
            if base is None:
                base = done[atom] = _interval(atom, ranges, done) if ranges else bounds_of(atom)
            for _ in range(power):
                span = _multiply(span, base)
        span = _multiply(span, (factor, factor))
        low = None if low is None or span[0] is None else low + span[0]
        high = None if high is None or span[1] is None else high + span[1]
    return low, high


def is_nonnegative(value: Expr, ranges: Mapping[str, Range] | None = None) -> bool:
    """True when interval arithmetic proves `value >= 0` (sound, not complete; `prove` knows more)."""
    low, _ = bounds(value, ranges)
    return low is not None and low >= 0


def _multiply(a: Range, b: Range) -> Range:
    """Interval product; None is minus infinity on the left end and plus infinity on the right end."""
    if a[0] is not None and b[0] is not None and a[0] >= 0 and b[0] >= 0:  # the common case: sizes
        if a[1] is not None and b[1] is not None:
            return a[0] * b[0], a[1] * b[1]
        return a[0] * b[0], 0 if a[1] == 0 or b[1] == 0 else None
    inf = float("inf")
    ends = [
        0 if 0 in (x, y) else x * y if inf not in (abs(x), abs(y)) else inf if (x > 0) == (y > 0) else -inf
        for x in (-inf if a[0] is None else a[0], inf if a[1] is None else a[1])
        for y in (-inf if b[0] is None else b[0], inf if b[1] is None else b[1])
    ]
    low, high = min(ends), max(ends)
    return (None if low == -inf else int(low)), (None if high == inf else int(high))


def bounds_of(atom: Atom, ranges: Mapping[str, Range] | None = None) -> Range:
    """A sound interval for one atom; intervals under the default ranges are kept with the atom."""
    if ranges:
        return _interval(atom, ranges, {})
    if atom.interval is None:
        atom.interval = _interval(atom, None, {})
    return atom.interval


def _interval(atom: Atom, ranges: Mapping[str, Range] | None, done: dict[Atom, Range]) -> Range:
    if atom.kind == "symbol":
        default = (0 if atom.name.startswith(DATA_PREFIX) else 1, None)
        return (ranges or {}).get(atom.name, default)
    spans = [_bounds(arg, ranges, done) for arg in atom.args]
    if atom.kind == "max":
        lows = [s[0] for s in spans if s[0] is not None]
        highs = [s[1] for s in spans]
        return (max(lows) if lows else None), _all_or_none(highs, max)
    if atom.kind == "min":
        known = [s[1] for s in spans if s[1] is not None]
        return _all_or_none([s[0] for s in spans], min), (min(known) if known else None)
    (low, high), (by_low, by_high) = spans
    if by_low is None or by_low <= 0:
        return None, None
    if atom.kind == "mod":
        return 0, (None if by_high is None else by_high - 1)
    # floordiv by a positive number: the end of the divisor that is worst for each sign
    floor_low = None if low is None else (low // by_high if low >= 0 and by_high else 0 if low >= 0 else low // by_low)
    ceil_high = None if high is None else (high // by_low if high >= 0 else high // by_high if by_high else -1)
    return floor_low, ceil_high


def _all_or_none(ends: list[int | None], pick: Any) -> int | None:
    known = [e for e in ends if e is not None]
    return pick(known) if len(known) == len(ends) else None


# -- substitution --------------------------------------------------------------------------------------------------
def substitute(value: Expr, env: Mapping[str, Expr | int]) -> Expr:
    """Replace symbols by expressions or numbers, everywhere, and canonicalise again."""
    if not env or not (value.symbols & env.keys()):
        return value
    return _substitute(value, env, {})


def _substitute(value: Expr, env: Mapping[str, Expr | int], done: dict[Atom, Expr]) -> Expr:
    parts: list[Expr] = []
    for monomial, factor in value.terms.items():
        part = const(factor)
        for atom, power in monomial:
            replaced = done.get(atom)
            if replaced is None:
                replaced = done[atom] = _rebuild(atom, env, done)
            for _ in range(power):
                part = part * replaced
        parts.append(part)
    return total(parts)


def _rebuild(atom: Atom, env: Mapping[str, Expr | int], done: dict[Atom, Expr]) -> Expr:
    if atom.kind == "symbol":
        return as_expr(env[atom.name]) if atom.name in env else _of_atom(atom)
    args = [_substitute(arg, env, done) for arg in atom.args]
    return BUILDERS[atom.kind](*args)


BUILDERS: Final[Mapping[str, Callable[..., Expr]]] = {"floordiv": floordiv, "mod": mod, "max": maximum, "min": minimum}
"""Constructor by atom kind, for code that rebuilds expressions (substitution, readers)."""

ZERO: Final = const(0)
ONE: Final = const(1)
