"""Expressions as semi-affine maps of MLIR: over symbols only, since MLIR multiplies symbols but not dimensions.

A map of several results is read as their maximum, as `affine.max` does. What a map cannot say (a minimum, a maximum
inside a division, a constant that does not fit 64 bits) has none. MLIR computes in 64 bits and wraps around silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fxcost.ir.expr import Atom, Expr, exact_quotient, is_nonnegative, rebuilt
from fxcost.ir.printing import natural

MAX_RESULTS: Final = 64
"""Results of one map: a maximum of more terms is left to its formula as text."""
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset(["floordiv", "ceildiv", "mod", "symbol", "loc"])
_OPERATORS = {"floordiv": "floordiv", "mod": "mod"}


@dataclass(frozen=True)
class AffineMap:
    """`()[symbols] -> (results)`; several results stand for their maximum."""

    symbols: tuple[str, ...]
    results: tuple[Expr, ...]

    def __str__(self) -> str:
        plain = all(_BARE.fullmatch(name) and name not in _WORDS for name in self.symbols)
        names = {name: name if plain else f"s{i}" for i, name in enumerate(self.symbols)}
        results = ", ".join(_sum(result, names) for result in self.results)
        return f"affine_map<()[{', '.join(names.values())}] -> ({results})>"


def affine_map(value: Expr, symbols: tuple[str, ...]) -> AffineMap | None:
    """The map of an expression over `symbols`, or None where MLIR has no map for it."""
    results = _maximum_of(value, MAX_RESULTS)
    if results is None or not all(map(_expressible, results)):
        return None
    return AffineMap(symbols, results)


def _maximum_of(value: Expr, room: int) -> tuple[Expr, ...] | None:
    """Expressions without a maximum at the top whose maximum `value` is: `A*max(a, b) + B` is max(A*a + B, A*b + B)."""
    chosen = next((atom for atom in value.atoms() if atom.kind == "max"), None)
    if chosen is None:
        return (value,)
    with_it = rebuilt({m: c for m, c in value.terms.items() if any(atom is chosen for atom, _ in m)})
    factor = exact_quotient(with_it, rebuilt({((chosen, 1),): 1}))
    if factor is None or any(atom is chosen for atom in factor.atoms()) or not is_nonnegative(factor):
        return None
    found: list[Expr] = []
    for argument in chosen.args:
        parts = _maximum_of(factor * argument + (value - with_it), room - len(found))
        if parts is None or len(found) + len(parts) > room:
            return None
        found += parts
    return tuple(dict.fromkeys(found))


def _expressible(value: Expr) -> bool:
    return all(abs(factor) < 2**63 for factor in value.terms.values()) and all(map(_divides, value.atoms()))


def _divides(atom: Atom) -> bool:
    return atom.kind == "symbol" or (atom.kind in _OPERATORS and all(map(_expressible, atom.args)))


def _sum(value: Expr, names: dict[str, str]) -> str:
    terms = []
    for monomial, factor in value.terms.items():
        factors = sorted((_atom(atom, names) for atom, power in monomial for _ in range(power)), key=natural)
        terms.append((-len(factors), " * ".join(factors if factor == 1 and factors else [str(factor), *factors])))
    return " + ".join(term for _, term in sorted(terms)) or "0"  # numbers alone stand last


def _atom(atom: Atom, names: dict[str, str]) -> str:
    if atom.kind == "symbol":
        return names[atom.name]
    left, right = (text if (text := _sum(arg, names)).isalnum() else f"({text})" for arg in atom.args)
    return f"({left} {_OPERATORS[atom.kind]} {right})"
