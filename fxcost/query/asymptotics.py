"""How a formula grows: its leading terms, with exact coefficients where floors and maxima leave them certain.

A floor differs from its quotient by less than one, a remainder is bounded, a maximum is its argument that grows fastest.
So a formula is a polynomial with rational coefficients, beside monomials of which only an upper bound is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fxcost.ir.expr import Atom, Expr

Powers = tuple[tuple[str, int], ...]
"""A monomial: symbols with their powers, by name."""

_ONE: Powers = ()


@dataclass(frozen=True)
class Growth:
    """Leading terms of a formula as all symbols grow, largest first; a coefficient of None is not known exactly."""

    terms: tuple[tuple[Fraction | None, Powers], ...]
    degrees: dict[str, int]

    @property
    def order(self) -> str:
        """Landau's notation: `O(N*S**2)`; several monomials where none of them dominates."""
        return f"O({' + '.join(_text(powers) for _, powers in self.terms) or '0'})"

    def __str__(self) -> str:
        """`4096*N*S**2 + ...`, with a tilde for what is only bounded."""
        parts = []
        for coefficient, powers in self.terms:
            factor = "~" if coefficient is None else str(coefficient)
            parts.append(factor if not powers else _text(powers) if factor == "1" else f"{factor}*{_text(powers)}")
        return " + ".join(parts) or "0"


@dataclass(frozen=True)
class _Series:
    """Exact coefficients, and monomials to which something bounded may be added."""

    exact: dict[Powers, Fraction]
    vague: frozenset[Powers] = frozenset()

    @property
    def leading(self) -> tuple[Powers, ...]:
        """Monomials that no other one dominates."""
        known = {p for p, c in self.exact.items() if c} | self.vague
        return tuple(sorted(p for p in known if not any(p != other and _divides(p, other) for other in known)))


def growth(value: Expr) -> Growth:
    """The leading terms of a formula, and its degree in every symbol."""
    series = _of_expression(value, {})
    terms = tuple((None if p in series.vague else series.exact[p], p) for p in series.leading)
    monomials = [p for p, c in series.exact.items() if c] + list(series.vague)
    degrees = {name: max((dict(p).get(name, 0) for p in monomials), default=0) for name in sorted(value.symbols)}
    return Growth(tuple(sorted(terms, key=lambda t: (-sum(n for _, n in t[1]), t[1]))), degrees)


def _of_expression(value: Expr, known: dict[Atom, _Series]) -> _Series:
    exact: dict[Powers, Fraction] = {}
    vague: set[Powers] = set()
    for monomial, factor in value.terms.items():
        term = _Series({_ONE: Fraction(factor)})
        for atom, power in monomial:
            if atom not in known:
                known[atom] = _of_atom(atom, known)
            for _ in range(power):
                term = _times(term, known[atom])
        for powers, coefficient in term.exact.items():
            exact[powers] = exact.get(powers, Fraction(0)) + coefficient
        vague |= term.vague
    return _Series({p: c for p, c in exact.items() if c}, frozenset(vague))


def _of_atom(atom: Atom, known: dict[Atom, _Series]) -> _Series:
    if atom.kind == "symbol":
        return _Series({((atom.name, 1),): Fraction(1)})
    parts = [_of_expression(part, known) for part in atom.args]
    if atom.kind == "mod":
        return _Series({}, frozenset([_ONE]) if parts[1].exact.keys() <= {_ONE} else frozenset(parts[1].exact))
    if atom.kind == "floordiv":
        above, by = parts
        if by.vague or by.exact.keys() != {_ONE}:  # by a size: only that it is no larger than what is divided is known
            return _Series({}, frozenset(above.leading))
        divisor = by.exact[_ONE]
        return _Series({p: c / divisor for p, c in above.exact.items()}, above.vague | {_ONE})
    best = parts[0]
    for other in parts[1:]:
        chosen = _larger(best, other) if atom.kind == "max" else _larger(other, best, smaller=True)
        if chosen is None:
            both = frozenset(best.exact) | best.vague | frozenset(other.exact) | other.vague
            chosen = _Series({}, both)
        best = chosen
    return best


def _larger(a: _Series, b: _Series, *, smaller: bool = False) -> _Series | None:
    """The one that is larger (or smaller) once all sizes are large; None where that is not certain."""
    exact = {p: a.exact.get(p, Fraction(0)) - b.exact.get(p, Fraction(0)) for p in a.exact.keys() | b.exact.keys()}
    difference = _Series({p: c for p, c in exact.items() if c}, a.vague | b.vague)
    leading = difference.leading
    if not leading:
        return a
    signs = {difference.exact.get(p, Fraction(0)) > 0 for p in leading}
    if any(p in difference.vague for p in leading) or len(signs) > 1:
        return None
    return (b if smaller else a) if signs == {True} else (a if smaller else b)


def _times(a: _Series, b: _Series) -> _Series:
    exact: dict[Powers, Fraction] = {}
    for p, c in a.exact.items():
        for q, d in b.exact.items():
            both = _product(p, q)
            exact[both] = exact.get(both, Fraction(0)) + c * d
    vague = {_product(p, q) for p in a.vague for q in (*b.exact, *b.vague)}
    vague |= {_product(p, q) for p in a.exact for q in b.vague}
    return _Series(exact, frozenset(vague))


def _product(p: Powers, q: Powers) -> Powers:
    found = dict(p)
    for name, power in q:
        found[name] = found.get(name, 0) + power
    return tuple(sorted(found.items()))


def _divides(p: Powers, q: Powers) -> bool:
    larger = dict(q)
    return all(power <= larger.get(name, 0) for name, power in p)


def _text(powers: Powers) -> str:
    return "*".join(name if power == 1 else f"{name}**{power}" for name, power in powers) or "1"
