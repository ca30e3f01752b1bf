"""A part of a quantity against the whole, as an exact fraction of formulas."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, common_factor, exact_quotient
from fxcost.query.asymptotics import growth
from fxcost.query.quantity import Quantity
from fxcost.query.shown import Shown


@dataclass(frozen=True)
class Share(Shown):
    """What a module takes of a quantity: `part / whole`, exact at every size."""

    module: str
    part: Quantity
    whole: Quantity

    def __call__(self, **sizes: int) -> Fraction:
        """The exact share at a point; zero of nothing is zero. Raises SpecError where a size is missing."""
        part, whole = self.part.at(sizes), self.whole.at(sizes)
        if not isinstance(part, int) or not isinstance(whole, int):
            raise SpecError("a share is a fraction: give every symbol a size")
        return Fraction(part, whole) if whole else Fraction(0)

    @property
    def reduced(self) -> tuple[Expr, Expr]:
        """Numerator and denominator without their common factor."""
        factor = common_factor([self.part.value, self.whole.value])
        sides = (exact_quotient(self.part.value, factor), exact_quotient(self.whole.value, factor))
        numerator, denominator = sides
        if numerator is None or denominator is None:
            return self.part.value, self.whole.value
        return numerator, denominator

    @property
    def limit(self) -> Fraction | None:
        """The share as all sizes grow together; None where the leading terms do not say."""
        part, whole = growth(self.part.value), growth(self.whole.value)
        if len(whole.terms) != 1:
            return None
        coefficient, powers = whole.terms[0]
        mine = next((c for c, p in part.terms if p == powers), Fraction(0))
        if coefficient is None or mine is None or (not mine and len(part.terms) > 1):
            return None
        return mine / coefficient

    def __str__(self) -> str:
        numerator, denominator = self.reduced
        return f"({numerator})/({denominator})"
