"""Expressions as text: Python integer syntax, exact and short, with the common factor in front.

`names` maps expressions to names; where one of them occurs it is printed by its name (see `name_parts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fxcost.ir.expr import Atom, Expr, Monomial, common_factor, exact_quotient, rebuilt

_CALLS = {"max", "min"}
_DIGITS = re.compile(r"(\d{1,18})")
_OPERATORS = {"floordiv": "//", "mod": "%"}


def python(value: Expr, names: Mapping[Atom, str] | None = None) -> str:
    """Return `value` in Python syntax: `+ - * ** // % max() min()`, integers and names."""
    return _collected(value, names) if names else _plain(value)


@lru_cache(maxsize=8192)
def _plain(value: Expr) -> str:
    """Without names the text depends on the expression alone, and shared parts are printed once."""
    return _collected(value, None)


def _collected(value: Expr, names: Mapping[Atom, str] | None) -> str:
    if not value.terms:
        return "0"
    factor = common_factor([value])
    if len(value.terms) > 1 and factor.constant != 1:
        inner = exact_quotient(value, factor)
        assert inner is not None, "a common factor divides"
        products, rest = complete_products(inner)
        if len(products) == 1 and products[0].factor == 1 and not rest.terms:
            return f"{_product(factor, names)}*{_sum(inner, names)}"
        return f"{_product(factor, names)}*({_sum(inner, names)})"
    return _sum(value, names)


def _sum(value: Expr, names: Mapping[Atom, str] | None) -> str:
    products, rest = complete_products(value)
    parts = [(_monomial(m, names), m, c) for m, c in rest.terms.items()]
    parts += [
        (_shifted(p.first, p.by, names) + "*" + _shifted(p.second, p.by_second, names), p.monomial, p.factor)
        for p in products
    ]
    text = ""
    for body, monomial, factor in sorted(parts, key=_rank):
        size = abs(factor)
        bare = factor == 1 and len(monomial) == 1 and monomial[0][1] == 1 and body.startswith("(")
        term = body[1:-1] if bare else body if size == 1 and monomial else f"{size}*{body}" if monomial else str(size)
        text += (" - " if factor < 0 else " + ") + term
    return "-" + text[3:] if text.startswith(" - ") else text[3:]


@dataclass(frozen=True)
class ShiftedProduct:
    """`factor * (first - by) * (second - by_second)`, a product of two divisions as convolutions without padding give."""

    factor: int
    first: Atom
    by: int
    second: Atom
    by_second: int

    @property
    def monomial(self) -> Monomial:
        """The leading monomial, for ordering."""
        return ((self.first, 1), (self.second, 1))


def complete_products(value: Expr) -> tuple[list[ShiftedProduct], Expr]:
    """Rewrite c*a*b - p*a - p*b + ... as products of shifted divisions, and what is left over.

    Two neighbouring shifts k and k + 1 with weights that add up to c and to p say the same in fewer terms, exactly.
    """
    linear = {m[0][0]: c for m, c in value.terms.items() if len(m) == 1 and m[0][1] == 1}
    if not any(c < 0 for c in linear.values()):
        return [], value
    products: list[ShiftedProduct] = []
    rest = dict(value.terms)
    for monomial, factor in sorted(_pairs(value), key=lambda term: natural(_monomial(term[0], None))):
        (first, _), (second, _) = sorted(monomial, key=lambda each: natural(_atom(each[0], None)))
        p, q = -rest.get(((first, 1),), 0), -rest.get(((second, 1),), 0)
        if p <= 0 or p != q:
            continue
        shift, upper = divmod(p, factor)
        for weight, by in ((factor - upper, shift), (upper, shift + 1)):
            if weight:
                products.append(ShiftedProduct(weight, first, by, second, by))
                rest[()] = rest.get((), 0) - weight * by * by
        for done in (monomial, ((first, 1),), ((second, 1),)):
            del rest[done]
    return products, rebuilt(rest)


def _pairs(value: Expr) -> list[tuple[Monomial, int]]:
    """Positive terms that are the product of two shiftable sizes."""
    return [
        (monomial, factor)
        for monomial, factor in value.terms.items()
        if factor > 0 and len(monomial) == 2 and all(power == 1 and _shiftable(atom) for atom, power in monomial)
    ]


def _shiftable(atom: Atom) -> bool:
    """A size, or a size divided by a number: what unpadded windows shorten."""
    return atom.kind == "symbol" or (atom.kind == "floordiv" and atom.args[1].constant is not None)


def _shifted(atom: Atom, by: int, names: Mapping[Atom, str] | None) -> str:
    if by == 0:
        return _atom(atom, names)
    if atom.kind == "symbol" or (names and atom in names):
        return f"({_atom(atom, names)} - {by})"
    left, right = atom.args
    return f"({_operand(left - right * by, names)}//{_operand(right, names)})"


def _rank(part: tuple[str, Monomial, int]) -> tuple[bool, int, list[tuple[int, str]]]:
    body, monomial, factor = part
    # Positive terms first, so that a sum never opens with a minus when it need not; then high degree, then name.
    return factor < 0, -sum(power for _, power in monomial), natural(body)


def natural(text: str) -> list[tuple[int, str]]:
    """A sorting key under which H4 stands before H16."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(text) if part]


def _product(value: Expr, names: Mapping[Atom, str] | None) -> str:
    ((monomial, factor),) = value.terms.items()
    body = _monomial(monomial, names)
    return str(factor) if not monomial else body if factor == 1 else f"{factor}*{body}"


def _monomial(monomial: Monomial, names: Mapping[Atom, str] | None) -> str:
    factors = sorted(((_atom(atom, names), power) for atom, power in monomial), key=lambda f: natural(f[0]))
    return "*".join(text if power == 1 else f"{text}**{power}" for text, power in factors)


def _atom(atom: Atom, names: Mapping[Atom, str] | None) -> str:
    if names and atom in names:
        return names[atom]
    if atom.kind == "symbol":
        return atom.name
    if atom.kind in _CALLS:
        return f"{atom.kind}({', '.join(python(arg, names) for arg in atom.args)})"
    left, right = atom.args
    # Parentheses on the outside too: `a*(b//c)` must not read as `(a*b)//c`.
    return f"({_operand(left, names)}{_OPERATORS[atom.kind]}{_operand(right, names)})"


def _operand(value: Expr, names: Mapping[Atom, str] | None) -> str:
    text = python(value, names)
    return text if text.isidentifier() or text.isdecimal() else f"({text})"


def name_parts(values: Iterable[Expr], least: int = 2) -> dict[Atom, str]:
    """Name the divisions that occur at least `least` times in `values`: `H32` for (H + 31)//32, else `p1`, `p2` ...

    What stands inside another comes before it, then small divisors come first: the order of terms is that in which they
    happened to be built, which must not show.
    """
    counts: dict[Atom, int] = {}
    for value in values:
        for monomial in value.terms:
            for atom, _ in monomial:
                _count(atom, counts)
    taken = {name for value in counts for arg in value.args for name in arg.symbols}
    names: dict[Atom, str] = {}
    depths: dict[Atom, int] = {}
    found = [atom for atom, count in counts.items() if count >= least and atom.kind in _OPERATORS]
    for atom in sorted(found, key=lambda a: (_depth(a, depths), a.args[1].constant or 0, natural(_atom(a, None)))):
        name = _short_name(atom)
        if name is None or name in taken:
            name = next(n for i in range(1, len(counts) + 2) if (n := f"p{i}") not in taken)
        names[atom] = name
        taken.add(name)
    return names


def _count(atom: Atom, counts: dict[Atom, int]) -> None:
    counts[atom] = counts.get(atom, 0) + 1
    for arg in atom.args:
        for inner in arg.atoms():
            if inner.kind != "symbol":
                _count(inner, counts)


def _depth(atom: Atom, known: dict[Atom, int]) -> int:
    """How many atoms stand inside one another."""
    if atom not in known:
        known[atom] = 1 + max((_depth(inner, known) for arg in atom.args for inner in arg.atoms()), default=0)
    return known[atom]


def _short_name(atom: Atom) -> str | None:
    """`H4` for the rounded-up quarter of H, the shape that strides and same padding give."""
    left, right = atom.args
    divisor = right.constant
    if atom.kind != "floordiv" or divisor is None or len(left.symbols) != 1:
        return None
    (name,) = left.symbols
    ceiling = str(left) == f"{name} + {divisor - 1}"
    return f"{name}{divisor}" if ceiling else None
