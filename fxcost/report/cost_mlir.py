"""Formulas as functions in MLIR's `func` and `arith`: what a compiler can inline, fold, lower and call.

Nothing of ours is in the text, so it parses without unregistered dialects. `index` has 64 bits: results are exact while
everything in between stays below 2^63, and wrap around beyond.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import wrap

from fxcost.ir.expr import Atom, Expr
from fxcost.query.quantity import Quantity
from fxcost.report.mlir import check_form

_CHARACTERS = re.compile(r"[^A-Za-z0-9_]+")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEX = "index"


def cost_functions(model: str, quantities: Mapping[str, Quantity], *, form: str = "pretty") -> str:
    """One `func.func @model__metric(%N: index, ...) -> index` per quantity, all with the same arguments.

    A formula with a number that does not fit 64 bits is left out, which a comment says. Raises SpecError for an unknown
    form.
    """
    check_form(form)
    symbols = tuple(dict.fromkeys(s.name for q in quantities.values() for s in q.symbols))
    lines = _heading(model, symbols, quantities)
    lines.append("module {" if form == "pretty" else '"builtin.module"() ({')
    for name, quantity in quantities.items():
        lines += ["", f"  // {quantity.unit}, {quantity.standing}"]
        if too_large(quantity.value):
            lines.append(f"  // {name} is left out: its formula has a number of more than 64 bits")
            continue
        lines += _Function(symbols, form).text(f"{_name(model)}__{name}", quantity.value)
    if form == "pretty":
        return "\n".join([*lines, "}", ""])
    return "\n".join([*lines, "}) : () -> ()", ""])


def _heading(model: str, symbols: tuple[str, ...], quantities: Mapping[str, Quantity]) -> list[str]:
    comments = [f"Costs of {model!a} as functions of {', '.join(symbols) or 'nothing'}: exact below 2^63, modulo 2^64."]
    guards = dict.fromkeys(str(guard) for quantity in quantities.values() for guard in quantity.domain)
    if guards:
        comments += wrap("They hold where " + " and ".join(f"({guard})" for guard in guards), 116)
    return [f"// {comment}" for comment in comments]


def _name(model: str) -> str:
    """The model's name as a plain symbol of MLIR."""
    found = _CHARACTERS.sub("_", model).strip("_")
    return found if found and not found[0].isdecimal() else f"model_{found}"


def too_large(value: Expr) -> bool:
    """True for a formula with a number that does not fit 64 bits, at any depth."""
    return any(not -(2**63) <= c < 2**63 for c in value.terms.values()) or any(
        too_large(arg) for atom in value.atoms() for arg in atom.args
    )


class _Function:
    """Writes one formula in static single assignment; shared parts are computed once."""

    def __init__(self, symbols: tuple[str, ...], form: str) -> None:
        plain = all(map(_ARGUMENT.fullmatch, symbols))
        self.arguments = {name: f"%{name}" if plain else f"%arg{i}" for i, name in enumerate(symbols)}
        self.form = form
        self.lines: list[str] = []
        self.known: dict[object, str] = {}

    def text(self, name: str, value: Expr) -> list[str]:
        result = self.sum(value)
        arguments = ", ".join(f"{argument}: index" for argument in self.arguments.values())
        if self.form == "pretty":
            return [
                f"  func.func @{name}({arguments}) -> index {{",
                *self.lines,
                f"    func.return {result} : index",
                "  }",
            ]
        types = ", ".join([_INDEX] * len(self.arguments))
        return [
            '  "func.func"() ({',
            *([f"  ^bb0({arguments}):"] if arguments else []),
            *self.lines,
            f'    "func.return"({result}) : (index) -> ()',
            f'  }}) {{function_type = ({types}) -> index, sym_name = "{name}"}} : () -> ()',
        ]

    def sum(self, value: Expr) -> str:
        parts: list[str] = []
        subtracted: list[str] = []
        for monomial, factor in sorted(value.terms.items(), key=lambda term: -len(term[0])):  # numbers alone come last
            factors = [self.atom(atom) for atom, power in monomial for _ in range(power)]
            into = parts if factor > 0 or not factors else subtracted
            number = factor if into is parts else -factor
            if number != 1 or not factors:
                factors.insert(0, self.constant(number))
            into.append(self.fold("arith.muli", factors))
        total = self.fold("arith.addi", parts) if parts else self.constant(0)
        for part in subtracted:
            total = self.apply("arith.subi", total, part)
        return total

    def atom(self, atom: Atom) -> str:
        if atom.kind == "symbol":
            return self.arguments[atom.name]
        found = self.known.get(atom)
        if found is None:
            arguments = [self.sum(arg) for arg in atom.args]
            if atom.kind in {"max", "min"}:
                found = self.fold(f"arith.{atom.kind}si", arguments)
            else:
                left, right = arguments
                found = self.apply("arith.floordivsi", left, right)
                if atom.kind == "mod":  # with the sign of the divisor, as the formula means it
                    found = self.apply("arith.subi", left, self.apply("arith.muli", found, right))
            self.known[atom] = found
        return found

    def fold(self, op: str, values: list[str]) -> str:
        result = values[0]
        for value in values[1:]:
            result = self.apply(op, result, value)
        return result

    def apply(self, op: str, left: str, right: str) -> str:
        key = (op, left, right)
        if key not in self.known:
            if self.form == "pretty":
                self.known[key] = self.define(f"{op} {left}, {right} : index")
            else:
                self.known[key] = self.define(f'"{op}"({left}, {right}) : (index, index) -> index')
        return self.known[key]

    def constant(self, value: int) -> str:
        if value not in self.known:
            if self.form == "pretty":
                self.known[value] = self.define(f"arith.constant {value} : index")
            else:
                self.known[value] = self.define(f'"arith.constant"() {{value = {value} : index}} : () -> index')
        return self.known[value]

    def define(self, operation: str) -> str:
        name = f"%{len(self.lines)}"
        self.lines.append(f"    {name} = {operation}")
        return name
