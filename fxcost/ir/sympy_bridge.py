"""Between sympy and our expressions: reading what torch recorded, and showing formulas as sympy expressions.

Floor division and remainder stay uninterpreted integer functions (`FloorDiv`, `IntMod`): sympy's own floor of a quotient
turns into float arithmetic under `lambdify` and is then wrong for some sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy

from fxcost.errors import ModelError
from fxcost.ir.expr import Atom, Expr, ceildiv, const, floordiv, maximum, minimum, mod, product, total
from fxcost.ir.predicate import Compare, Predicate, all_of, any_of, indicator, negate


class Untranslatable(ModelError):
    """A sympy expression uses a function that has no exact integer meaning here."""


class FloorDiv(sympy.Function):  # type: ignore[misc]
    """Integer `a // b`."""

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, a: Any, b: Any) -> Any:
        """Evaluate on integers only."""
        if isinstance(a, sympy.Integer) and isinstance(b, sympy.Integer) and b != 0:
            return sympy.Integer(int(a) // int(b))
        return None

    def _latex(self, printer: Any, exp: Any = None) -> str:
        text = rf"\left\lfloor \frac{{{printer._print(self.args[0])}}}{{{printer._print(self.args[1])}}} \right\rfloor"
        return text if exp is None else rf"{text}^{{{exp}}}"

    def _infix(self, printer: Any) -> str:
        return f"(({printer._print(self.args[0])})//({printer._print(self.args[1])}))"

    _sympystr = _pythoncode = _numpycode = _infix


class IntMod(sympy.Function):  # type: ignore[misc]
    """Integer `a % b` with the sign of b."""

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, a: Any, b: Any) -> Any:
        """Evaluate on integers only."""
        if isinstance(a, sympy.Integer) and isinstance(b, sympy.Integer) and b != 0:
            return sympy.Integer(int(a) % int(b))
        return None

    def _latex(self, printer: Any, exp: Any = None) -> str:
        text = rf"\left({printer._print(self.args[0])} \bmod {printer._print(self.args[1])}\right)"
        return text if exp is None else rf"{text}^{{{exp}}}"

    def _infix(self, printer: Any) -> str:
        return f"(({printer._print(self.args[0])})%({printer._print(self.args[1])}))"

    _sympystr = _pythoncode = _numpycode = _infix


def to_sympy(value: Expr) -> Any:
    """A sympy expression equal to `value`; symbols are positive integers."""
    return sympy.Add(
        *(
            sympy.Mul(factor, *(sympy.Pow(_atom_to_sympy(atom), power) for atom, power in monomial))
            for monomial, factor in value.terms.items()
        )
    )


@lru_cache(maxsize=4096)
def _atom_to_sympy(atom: Atom) -> Any:
    if atom.kind == "symbol":
        return sympy.Symbol(atom.name, integer=True, positive=True)
    args = [to_sympy(arg) for arg in atom.args]
    if atom.kind in {"max", "min"}:
        return (sympy.Max if atom.kind == "max" else sympy.Min)(*args, evaluate=False)
    return (FloorDiv if atom.kind == "floordiv" else IntMod)(*args)


def from_sympy(value: Any, names: Mapping[str, Expr]) -> Expr:
    """Translate torch's symbolic size; `names` gives the expression for each of its symbols.

    Raises Untranslatable for functions without exact integer meaning and for symbols not in `names`.
    """
    kind = type(value).__name__
    if value.is_Integer:
        return const(int(value))
    if value.is_Symbol:
        found = names.get(value.name)
        if found is None:
            raise Untranslatable(f"a size mentions {value.name}, which is no dimension of an input")
        return found
    if value.is_Add:
        return total(from_sympy(a, names) for a in value.args)
    if value.is_Mul:
        return _product_of(value, names)
    if value.is_Pow and value.exp.is_Integer and int(value.exp) > 0:
        return from_sympy(value.base, names) ** int(value.exp)
    if kind in _RELATIONS:  # a truth value that is counted with
        return indicator(predicate_from_sympy(value, names))
    args = value.args
    if value.is_Piecewise:  # the first case whose condition holds
        result, open_still = const(0), const(1)
        for case, condition in args:
            here = indicator(predicate_from_sympy(condition, names))
            result, open_still = result + open_still * here * from_sympy(case, names), open_still * (1 - here)
        return result
    if kind in {"CeilToInt", "ceiling", "FloorToInt", "TruncToInt", "floor"} and len(args) == 1:
        top, bottom = _fraction(args[0], names)
        return (ceildiv if kind in {"CeilToInt", "ceiling"} else floordiv)(top, bottom)
    translated = [from_sympy(a, names) for a in args]
    if kind in {"FloorDiv", "CleanDiv"}:
        return floordiv(*translated)
    if kind in {"Mod", "PythonMod"}:
        return mod(*translated)
    if kind == "ModularIndexing":
        return mod(floordiv(translated[0], translated[1]), translated[2])
    if kind in {"Max", "Min"}:
        return (maximum if kind == "Max" else minimum)(*translated)
    if kind in {"ToFloat", "Identity"}:
        return translated[0]
    raise Untranslatable(f"a size uses {kind}, which has no exact integer form here: {value}")


def _product_of(value: Any, names: Mapping[str, Expr]) -> Expr:
    top, bottom = _fraction(value, names)
    if bottom.constant == 1:
        return top
    raise Untranslatable(f"a size is a fraction: {value}")


MAX_DENOMINATOR = 1024
"""Of a binary fraction: with sizes below 2**43, torch's arithmetic on floats is exact then, as ours is."""


def _fraction(value: Any, names: Mapping[str, Expr]) -> tuple[Expr, Expr]:
    """Numerator and denominator of a rational expression."""
    kind = type(value).__name__
    if kind in {"IntTrueDiv", "FloatTrueDiv"}:
        (top, over), (bottom, under) = _fraction(value.args[0], names), _fraction(value.args[1], names)
        return top * under, bottom * over
    if value.is_Rational:
        return const(int(value.p)), const(int(value.q))
    if value.is_Float:
        exact = Fraction(float(value))
        if exact.denominator <= MAX_DENOMINATOR:
            return const(exact.numerator), const(exact.denominator)
    if value.is_Mul:
        parts = [_fraction(a, names) for a in value.args]
        return product(p[0] for p in parts), product(p[1] for p in parts)
    if value.is_Add:
        parts = [_fraction(a, names) for a in value.args]
        if all(p[1].constant == 1 for p in parts):
            return total(p[0] for p in parts), const(1)
        bottom = product(p[1] for p in parts)
        return total(p[0] * (bottom // p[1]) for p in parts), bottom
    if value.is_Pow and value.exp.is_Integer and int(value.exp) < 0:
        return const(1), from_sympy(value.base, names) ** -int(value.exp)
    return from_sympy(value, names), const(1)


_RELATIONS = {"Equality": "==", "Unequality": "!=", "LessThan": "<=", "StrictLessThan": "<"} | {
    "GreaterThan": ">=",
    "StrictGreaterThan": ">",
}


def predicate_from_sympy(value: Any, names: Mapping[str, Expr]) -> Predicate:
    """Translate a guard; raises Untranslatable like `from_sympy`."""
    kind = type(value).__name__
    if kind in _RELATIONS:
        (top, over), (bottom, under) = (_fraction(side, names) for side in value.args)
        return Compare(_RELATIONS[kind], top * under, bottom * over)
    if kind in {"And", "Or"}:
        parts = [predicate_from_sympy(a, names) for a in value.args]
        return all_of(parts) if kind == "And" else any_of(parts)
    if kind == "Not":
        return negate(predicate_from_sympy(value.args[0], names))
    if value is sympy.true or value is sympy.false:
        return all_of(()) if value is sympy.true else any_of(())
    raise Untranslatable(f"a guard uses {kind}: {value}")
