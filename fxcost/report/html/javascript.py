"""Expressions as JavaScript: literal functions over BigInt, exact at every size, with shared parts computed once.

A number in JavaScript is a float, exact up to 2**53 only; so every literal is a BigInt, and `div`, `mod`, `max` and `min`
(exact.js) mean what they mean in Python. Symbols become `s0`, `s1` ... by position: no name of a model reaches the code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fxcost.ir.expr import Atom, Expr, Monomial
from fxcost.ir.predicate import AllOf, AnyOf, Predicate

_CALLS: Mapping[str, str] = {"floordiv": "div", "mod": "mod", "max": "max", "min": "min"}


@dataclass
class Table:
    """Distinct expressions, numbered in the order in which they are first asked for; `function` gives all their values."""

    symbols: Sequence[str]
    _numbers: dict[Expr, int] = field(default_factory=dict)

    def __call__(self, value: Expr) -> int:
        """The number of an expression."""
        return self._numbers.setdefault(value, len(self._numbers))

    @property
    def values(self) -> tuple[Expr, ...]:
        """All expressions, by number."""
        return tuple(self._numbers)

    def function(self) -> str:
        """`(s0, s1) => [value, ...]`."""
        writer = _Writer(self.symbols, self._numbers)
        results = ",\n".join(writer.sum(value) for value in self._numbers)
        return f"({writer.arguments}) => {{\n{writer.definitions()}return [{results}];\n}}"


@dataclass
class Conditions:
    """Distinct predicates, numbered; `functions` gives each as a function of its own: one may not be defined everywhere."""

    symbols: Sequence[str]
    _numbers: dict[Predicate, int] = field(default_factory=dict)

    def __call__(self, condition: Predicate) -> int:
        """The number of a predicate."""
        return self._numbers.setdefault(condition, len(self._numbers))

    @property
    def texts(self) -> tuple[str, ...]:
        """All predicates as text, by number."""
        return tuple(str(condition) for condition in self._numbers)

    def functions(self) -> str:
        """`[(s0, s1) => true or false, ...]`."""
        return "[" + ",\n".join(self._one(condition) for condition in self._numbers) + "]"

    def _one(self, condition: Predicate) -> str:
        writer = _Writer(self.symbols, ())
        text = _condition(condition, writer)
        return f"({writer.arguments}) => {{ {writer.definitions()}return {text}; }}"


def _condition(condition: Predicate, writer: _Writer) -> str:
    if isinstance(condition, AllOf | AnyOf):
        joint, empty = ("&&", "true") if isinstance(condition, AllOf) else ("||", "false")
        return f"({f' {joint} '.join(_condition(part, writer) for part in condition.parts) or empty})"
    operator = {"==": "===", "!=": "!=="}.get(condition.op, condition.op)
    return f"({writer.sum(condition.left - condition.right)}) {operator} 0n"


class _Writer:
    """Text of expressions over local constants: `a0` for divisions and extremes, `m0` for products that occur again."""

    def __init__(self, symbols: Sequence[str], values: Iterable[Expr]) -> None:
        self._symbols = {name: f"s{i}" for i, name in enumerate(symbols)}
        self._lines: list[str] = []
        self._atoms: dict[Atom, str] = {}
        self._products: dict[Monomial, str] = {}
        self._uses = _products_in(values)

    @property
    def arguments(self) -> str:
        return ", ".join(self._symbols.values())

    def definitions(self) -> str:
        return f"const {', '.join(self._lines)};\n" if self._lines else ""

    def sum(self, value: Expr) -> str:
        """The expression; what it shares with others is defined before."""
        text = ""
        for monomial, factor in value.terms.items():
            product = self._product(monomial)
            sign = "-" if factor < 0 else "+" if text else ""
            size = abs(factor)
            # A minus right before a power is no JavaScript: -1n*s0**2n.
            bare = size == 1 and (text or factor > 0)
            text += sign + (f"{size}n" if not product else product if bare else f"{size}n*{product}")
        return text or "0n"

    def _product(self, monomial: Monomial) -> str:
        known = self._products.get(monomial)
        if known is not None:
            return known
        text = "*".join(self._atom(atom) + (f"**{power}n" if power > 1 else "") for atom, power in monomial)
        if self._uses[monomial] > 1 and ("*" in text):
            text = self._defined(f"m{len(self._products)}", text)
        self._products[monomial] = text
        return text

    def _atom(self, atom: Atom) -> str:
        if atom.kind == "symbol":
            return self._symbols[atom.name]
        if atom not in self._atoms:
            arguments = ",".join(self.sum(arg) for arg in atom.args)
            self._atoms[atom] = self._defined(f"a{len(self._atoms)}", f"{_CALLS[atom.kind]}({arguments})")
        return self._atoms[atom]

    def _defined(self, name: str, text: str) -> str:
        self._lines.append(f"{name}={text}")
        return name


def _products_in(values: Iterable[Expr]) -> Counter[Monomial]:
    """How often each product occurs, in the expressions and inside their divisions and extremes."""
    uses: Counter[Monomial] = Counter()
    pending, seen = list(values), set[Atom]()
    while pending:
        for monomial in pending.pop().terms:
            uses[monomial] += 1
            for atom, _ in monomial:
                if atom not in seen:
                    seen.add(atom)
                    pending.extend(atom.args)
    return uses
