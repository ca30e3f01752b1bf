"""Expressions as text: Python integer syntax, exact and short, with the common factor in front.

`names` maps expressions to names; where one of them occurs it is printed by its name (see `name_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fxcost.ir.expr import Atom, Expr, Monomial, common_factor, exact_quotient

_CALLS = {"max", "min"}
_OPERATORS = {"floordiv": "//", "mod": "%"}


def python(value: Expr, names: Mapping[Atom, str] | None = None) -> str:
    """Return `value` in Python syntax: `+ - * ** // % max() min()`, integers and names."""
    if not value.terms:
        return "0"
    factor = common_factor([value])
    if len(value.terms) > 1 and factor.constant != 1:
        inner = exact_quotient(value, factor)
        assert inner is not None, "a common factor divides"
        return f"{_product(factor, names)}*({_sum(inner, names)})"
    return _sum(value, names)


def _sum(value: Expr, names: Mapping[Atom, str] | None) -> str:
    parts = sorted(((_monomial(m, names), m, c) for m, c in value.terms.items()), key=_rank)
    text = ""
    for body, monomial, factor in parts:
        size = abs(factor)
        bare = factor == 1 and len(monomial) == 1 and monomial[0][1] == 1 and body.startswith("(")
        term = body[1:-1] if bare else body if size == 1 and monomial else f"{size}*{body}" if monomial else str(size)
        text += (" - " if factor < 0 else " + ") + term
    return "-" + text[3:] if text.startswith(" - ") else text[3:]


def _rank(part: tuple[str, Monomial, int]) -> tuple[bool, int, str]:
    body, monomial, factor = part
    # Positive terms first, so that a sum never opens with a minus when it need not; then high degree, then name.
    return factor < 0, -sum(power for _, power in monomial), body


def _product(value: Expr, names: Mapping[Atom, str] | None) -> str:
    ((monomial, factor),) = value.terms.items()
    body = _monomial(monomial, names)
    return str(factor) if not monomial else body if factor == 1 else f"{factor}*{body}"


def _monomial(monomial: Monomial, names: Mapping[Atom, str] | None) -> str:
    factors = sorted((_atom(atom, names), power) for atom, power in monomial)
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
    """Name the divisions that occur at least `least` times in `values`: `H32` for (H + 31)//32, else `p1`, `p2` ..."""
    counts: dict[Atom, int] = {}
    for value in values:
        for monomial in value.terms:
            for atom, _ in monomial:
                _count(atom, counts)
    taken = {name for value in counts for arg in value.args for name in arg.symbols}
    names: dict[Atom, str] = {}
    for atom, count in counts.items():
        if count < least or atom.kind not in _OPERATORS:
            continue
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


def _short_name(atom: Atom) -> str | None:
    """`H4` for the rounded-up quarter of H, the shape that strides and same padding give."""
    left, right = atom.args
    divisor = right.constant
    if atom.kind != "floordiv" or divisor is None or len(left.symbols) != 1:
        return None
    (name,) = left.symbols
    ceiling = str(left) == f"{name} + {divisor - 1}"
    return f"{name}{divisor}" if ceiling else None
