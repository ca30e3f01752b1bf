"""A quantity: an exact formula with its unit, its standing and the domain on which it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from fxcost.errors import ModelError, OutsideDomain, SpecError, nearest
from fxcost.ir.evaluate import evaluate, over_arrays
from fxcost.ir.expr import Expr, Range, as_expr, const, substitute
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import AllOf, AnyOf, Compare, Predicate, decide, fits_sign, holds, replace_symbols, symbols_of
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo, check_point, ranges_of
from fxcost.query.asymptotics import Growth, growth

if TYPE_CHECKING:
    import numpy as np

Recapture = Callable[[str, Mapping[str, int]], int]
AGAIN = "call with recapture=True to capture the model anew at this point"
ELSEWHERE = "choose other sizes"


@dataclass(frozen=True)
class Constraint:
    """`quantity OP bound` with OP one of <= < >= >; made by comparing quantities."""

    quantity: Quantity
    op: str
    bound: Quantity

    def __str__(self) -> str:
        bound = self.bound
        right = f"{bound.value.constant:,} {bound.unit}" if bound.value.constant is not None else bound.name
        return f"{self.quantity.name} {self.op} {right}"

    def __bool__(self) -> bool:
        raise ModelError(f"the constraint {self} is no truth value; pass it to solve, or compare numbers at a point")


@dataclass(frozen=True)
class Quantity:
    """An exact integer expression in the symbols, with a unit.

    Call it with sizes for the exact number; with some of them for a quantity in the rest. `expr` is the sympy
    expression, `compile` a vectorised function. Comparing with a number or a quantity makes a Constraint.
    """

    name: str
    unit: str
    value: Expr
    standing: Standing = Standing.EXACT
    domain: tuple[Predicate, ...] = ()
    symbols: tuple[SymbolInfo, ...] = ()
    pinned: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    recapture: Recapture | None = field(default=None, compare=False, repr=False)

    def __call__(self, *, recapture: int = False, **sizes: int) -> Any:
        """The exact integer at a point, or a Quantity in the symbols that are missing.

        Raises SpecError for an unknown symbol or a size outside its range, OutsideDomain naming the guard that is false
        there; with `recapture=True` the model is captured again at that point instead.
        """
        return self.at(sizes, recapture=bool(recapture))

    def at(self, sizes: Mapping[str, int], *, recapture: bool = False) -> Any:
        """As calling, with the sizes in a mapping. A size that the model pins may be given, if it is the pinned one."""
        if recapture and self.recapture is not None and any(sizes.get(n, v) != v for n, v in self.pinned.items()):
            return self.recapture(self.name, sizes)
        advice = ELSEWHERE if self.recapture is None else AGAIN
        sizes = without_pinned(sizes, self.pinned, advice)
        point = check_point(self.symbols, sizes)
        complete = all(s.name in point for s in self.symbols if s.name in self.value.symbols)
        for guard in self.domain:
            if decide(replace_symbols(guard, point), ranges_of(self.symbols)) is False:
                if complete and recapture and self.recapture is not None:
                    return self.recapture(self.name, point)
                where = ", ".join(f"{n}={v}" for n, v in point.items())
                outside = f"{self.name} at {where}: the formula holds where {guard}, which is false there"
                raise OutsideDomain(outside, advice)
        return evaluate(self.value, point) if complete else self.substituted(dict(point))

    def substituted(self, sizes: Mapping[str, Expr | int]) -> Quantity:
        """The quantity with symbols replaced by numbers or expressions; its domain follows."""
        ranges = ranges_of(self.symbols)
        guards = []
        for guard in self.domain:
            known = replace_symbols(guard, sizes)
            if decide(known, ranges) is not True:
                guards.append(known)
        left = tuple(s for s in self.symbols if s.name not in sizes)
        return replace(self, value=substitute(self.value, sizes), domain=tuple(guards), symbols=left)

    def assume(self, **forms: str | int | Expr) -> Quantity:
        """The quantity where symbols have a form, `assume(H="32*h")`: floors and remainders of them become polynomials.

        New names in a form are symbols from one on. Raises SpecError for an unknown symbol or an unreadable form.
        """
        known = {s.name: s for s in self.symbols}
        put: dict[str, Expr | int] = {}
        for name, form in forms.items():
            if name not in known:
                raise SpecError(f"{self.name} has no symbol {name!r}{nearest(name, known)}")
            put[name] = parse_expr(form, where=f"assume {name}={form}") if isinstance(form, str) else as_expr(form)
        made = self.substituted(put)
        names = {n for value in put.values() for n in as_expr(value).symbols} - {s.name for s in made.symbols}
        return replace(made, symbols=(*made.symbols, *(SymbolInfo(name) for name in sorted(names))), recapture=None)

    @property
    def growth(self) -> Growth:
        """Leading terms with their coefficients, the order (`O(N*S**2)`) and the degree in every symbol."""
        return growth(self.value)

    def doubled(self, name: str, **sizes: int) -> Fraction:
        """How many times larger the quantity is when a symbol doubles, at a point, exactly."""
        if name not in sizes:
            raise SpecError(f"{self.name} with {name} doubled: give every symbol a size")
        before, after = self.at(sizes), self.at({**sizes, name: 2 * sizes[name]})
        if not isinstance(before, int) or not isinstance(after, int):
            raise SpecError(f"{self.name} with {name} doubled: give every symbol a size")
        if not before:
            raise SpecError(f"{self.name} is zero there: no multiple of it")
        return Fraction(after, before)

    @property
    def expr(self) -> Any:
        """The formula as a sympy expression; floor division is the exact integer function FloorDiv."""
        from fxcost.ir.sympy_bridge import to_sympy

        return to_sympy(self.value)

    def compile(self) -> Callable[..., np.ndarray[Any, Any]]:
        """A vectorised function of int64 arrays, exact at every size.

        One keyword a symbol; positional arrays are taken in the order of `symbols`, those that matter only.
        Points outside the domain come back masked (numpy.ma); without a domain the result is a plain array.
        """
        names = tuple(sorted(self.value.symbols))
        function = over_arrays(self.value, names)
        checks = [mask_of(guard) for guard in self.domain]
        needed = set(names).union(*(symbols_of(guard) for guard in self.domain))
        known = {s.name for s in self.symbols} | needed
        order = tuple(s.name for s in self.symbols if s.name in needed)

        def call(*positional: Any, **columns: Any) -> np.ndarray[Any, Any]:
            import numpy as np

            if len(positional) > len(order):
                raise SpecError(f"{self.name} takes {len(order)} arrays ({', '.join(order)}), found {len(positional)}")
            columns = dict(zip(order, positional, strict=False)) | columns
            unknown, missing = columns.keys() - known, needed - columns.keys()
            if unknown or missing:
                raise SpecError(
                    f"{self.name} takes {', '.join(sorted(needed)) or 'no symbols'}; "
                    f"unknown: {', '.join(sorted(unknown)) or '-'}, missing: {', '.join(sorted(missing)) or '-'}"
                )
            shape = np.broadcast_shapes(*(np.shape(column) for column in columns.values()))
            result = np.broadcast_to(function(*(columns[n] for n in names)), shape)
            if not checks:
                return result
            bad = np.zeros(shape, dtype=bool)
            for check in checks:
                bad |= ~np.broadcast_to(np.asarray(check(columns), dtype=bool), shape)
            return np.ma.masked_array(result, mask=bad)

        return call

    def latex(self) -> str:
        """The formula in LaTeX."""
        import sympy

        return str(sympy.latex(self.expr))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        return str(self.value)

    def __int__(self) -> int:
        if self.value.constant is None:
            raise ModelError(f"{self.name} is a formula in {', '.join(sorted(self.value.symbols))}; call it with sizes")
        return self.value.constant

    # -- constraints -----------------------------------------------------------------------------------------------
    def __le__(self, bound: object) -> Constraint:
        return self._against("<=", bound, floor)

    def __lt__(self, bound: object) -> Constraint:
        return self._against("<", bound, ceil)

    def __ge__(self, bound: object) -> Constraint:
        return self._against(">=", bound, ceil)

    def __gt__(self, bound: object) -> Constraint:
        return self._against(">", bound, floor)

    def _against(self, op: str, bound: object, rounded: Callable[[Fraction], int]) -> Constraint:
        if isinstance(bound, Quantity):
            if bound.unit != self.unit:
                raise SpecError(f"{self.name} is in {self.unit}, {bound.name} in {bound.unit}: they cannot be compared")
            return Constraint(self, op, bound)
        if isinstance(bound, bool) or not isinstance(bound, int | float | Fraction):
            raise SpecError(f"{self.name} {op} {bound!r}: expected a number or a quantity")
        try:  # the comparison of an integer with a fraction is one with the integer beside it
            limit = rounded(Fraction(bound))
        except (ValueError, OverflowError) as error:
            raise SpecError(f"{self.name} {op} {bound!r}: expected a finite number") from error
        return Constraint(self, op, Quantity(str(limit), self.unit, const(limit)))

    # -- arithmetic ------------------------------------------------------------------------------------------------
    def __add__(self, other: Quantity | int) -> Quantity:
        return self._combined("+", other, lambda a, b: a + b)

    def __sub__(self, other: Quantity | int) -> Quantity:
        return self._combined("-", other, lambda a, b: a - b)

    def __mul__(self, other: int) -> Quantity:
        return self._combined("*", other, lambda a, b: a * b)

    __radd__, __rmul__ = __add__, __mul__

    def _combined(self, sign: str, other: Quantity | int, combine: Callable[[Expr, Expr], Expr]) -> Quantity:
        if isinstance(other, Quantity):
            if other.unit != self.unit:
                raise SpecError(f"{self.name} is in {self.unit}, {other.name} in {other.unit}: no sum of the two")
            known = {s.name: s for s in (*self.symbols, *other.symbols)}
            return replace(
                self,
                name=f"{self.name} {sign} {other.name}",
                value=combine(self.value, other.value),
                standing=self.standing.combine(other.standing),
                domain=tuple(dict.fromkeys((*self.domain, *other.domain))),
                symbols=tuple(known.values()),
                recapture=None,
            )
        return replace(
            self, name=f"{self.name} {sign} {other}", value=combine(self.value, as_expr(other)), recapture=None
        )

    @property
    def ranges(self) -> dict[str, Range]:
        """Ranges of the symbols, by name."""
        return ranges_of(self.symbols)


def without_pinned(sizes: Mapping[str, int], pinned: Mapping[str, int], advice: str = AGAIN) -> dict[str, int]:
    """The sizes without those that the model pins; raises OutsideDomain where one differs from the pinned size."""
    for name, size in pinned.items():
        if sizes.get(name, size) != size:
            raise OutsideDomain(f"{name}={sizes[name]} is outside: the capture is fixed to {name}={size}", advice)
    return {name: size for name, size in sizes.items() if name not in pinned}


def mask_of(guard: Predicate) -> Callable[[Mapping[str, Any]], Any]:
    """A vectorised test of a guard."""
    if isinstance(guard, AllOf | AnyOf):
        parts = [mask_of(p) for p in guard.parts]
        every = isinstance(guard, AllOf)

        def combined(columns: Mapping[str, Any]) -> Any:
            import numpy as np

            results = (p(columns) for p in parts)
            return reduce(np.logical_and if every else np.logical_or, results, np.bool_(every))

        return combined
    return _mask_of_comparison(guard)


def _mask_of_comparison(guard: Compare) -> Callable[[Mapping[str, Any]], Any]:
    difference = guard.left - guard.right
    names = tuple(sorted(difference.symbols))
    function = over_arrays(difference, names)

    def test(columns: Mapping[str, Any]) -> Any:
        value = function(*(columns[n] for n in names))
        return fits_sign(guard.op, value)

    return test


def inside(domain: tuple[Predicate, ...], point: Mapping[str, int]) -> bool:
    """True when every guard holds at the point."""
    return all(holds(guard, point) for guard in domain)


def may_hold(domain: tuple[Predicate, ...], sizes: Mapping[str, int]) -> bool:
    """False when some guard is false at these sizes, whatever the other symbols are."""
    return all(decide(replace_symbols(guard, sizes)) is not False for guard in domain)
