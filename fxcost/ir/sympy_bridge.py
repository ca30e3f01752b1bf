"""Between sympy and our expressions: reading what torch recorded, and showing formulas as sympy expressions.

Floor division and remainder stay uninterpreted integer functions (`FloorDiv`, `IntMod`): sympy's own floor of a quotient
turns into float arithmetic under `lambdify` and is then wrong for some sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd
from typing import Any

import sympy

from fxcost.errors import ModelError
from fxcost.ir.expr import ONE, Atom, Expr, ceildiv, const, floordiv, maximum, minimum, mod, product, total
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
    if kind in {"CeilToInt", "ceiling", "FloorToInt", "TruncToInt", "floor", "RoundToInt"} and len(args) == 1:
        return _whole(kind, args[0], names)
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

MARGIN = Fraction(1, 1024)
"""How far from the next whole number a rounded result has to be: with sizes below 2**31, a dozen roundings stay within."""


@dataclass(frozen=True)
class _Rational:
    """A fraction, and how torch's arithmetic on floats comes to it: `rounded` never, once at the end, or on the way."""

    top: Expr
    bottom: Expr = ONE
    rounded: int = 0

    def checked(self, value: Any) -> _Rational:
        """Itself, unless roundings on the way may have carried it over a whole number; raises Untranslatable."""
        if self.rounded < 2:
            return self
        # The numerator is `least` more than a multiple of `step`, so that is how near it comes to one of the denominator.
        step = gcd(self.bottom.constant or 0, *(factor for monomial, factor in self.top.terms.items() if monomial))
        least = self.top.terms.get((), 0) % step if self.bottom.constant else 0
        if min(least, step - least) <= MARGIN * (self.bottom.constant or 0):
            raise Untranslatable(f"a size depends on how floats are rounded: {value}")
        return self


def _whole(kind: str, value: Any, names: Mapping[str, Expr]) -> Expr:
    """A fraction rounded down, up, or to the nearest whole number, of two equally near to the even one."""
    found = _rational(value, names).checked(value)
    if kind in {"CeilToInt", "ceiling"}:
        return ceildiv(found.top, found.bottom)
    if kind != "RoundToInt":
        return floordiv(found.top, found.bottom)
    if found.rounded > 1:
        raise Untranslatable(f"a size depends on how floats are rounded: {value}")
    twice, step = 2 * found.top + found.bottom, 2 * found.bottom
    half_way = 1 - minimum(mod(twice, step), 1)
    return floordiv(twice, step) - half_way * mod(floordiv(twice, step), 2)


def _fraction(value: Any, names: Mapping[str, Expr]) -> tuple[Expr, Expr]:
    """Numerator and denominator of a rational expression; raises Untranslatable where rounding may tell."""
    found = _rational(value, names)
    if found.rounded > 1:
        raise Untranslatable(f"a comparison depends on how floats are rounded: {value}")
    return found.top, found.bottom


def _rational(value: Any, names: Mapping[str, Expr]) -> _Rational:
    """A rational expression; floats stand for the numbers that they are."""
    kind = type(value).__name__
    if kind in {"IntTrueDiv", "FloatTrueDiv"}:
        over, by = (_rational(each, names) for each in value.args)
        rounded = over.rounded if _is_scale(by) else 2 if over.rounded or by.rounded else 1
        return _Rational(over.top * by.bottom, over.bottom * by.top, rounded)
    if value.is_Rational:
        return _Rational(const(int(value.p)), const(int(value.q)))
    if value.is_Float:
        exact_value = Fraction(float(value))
        rounded = 0 if exact_value.denominator <= MAX_DENOMINATOR else 2
        return _Rational(const(exact_value.numerator), const(exact_value.denominator), rounded)
    if value.is_Mul:
        parts = [_rational(a, names) for a in value.args]
        rounded = sum(p.rounded for p in parts)
        if rounded == 1 and not all(p.rounded or _is_scale(p) for p in parts):
            rounded = 2
        return _Rational(product(p.top for p in parts), product(p.bottom for p in parts), min(rounded, 2))
    if value.is_Add:
        parts = [_rational(a, names) for a in value.args]
        if all(p.bottom is ONE for p in parts):
            return _Rational(total(p.top for p in parts), ONE, 2 * any(p.rounded for p in parts))
        bottom = product(p.bottom for p in parts)
        top = total(p.top * floordiv(bottom, p.bottom) for p in parts)
        return _Rational(top, bottom, 2 * any(p.rounded for p in parts))
    if value.is_Pow and value.exp.is_Integer and int(value.exp) < 0:
        return _Rational(ONE, from_sympy(value.base, names) ** -int(value.exp))
    if kind in {"ToFloat", "Identity"}:
        return _rational(value.args[0], names)
    return _Rational(from_sympy(value, names))


def _is_scale(found: _Rational) -> bool:
    """True for a power of two, by which floats are multiplied and divided exactly."""
    ends = found.top.constant or 0, found.bottom.constant or 0
    return not found.rounded and all(end and end & (end - 1) == 0 for end in map(abs, ends))


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
