"""Single quantities, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fxcost.errors import SpecError
from fxcost.query.quantity import Quantity
from fxcost.query.units import fraction
from fxcost.report.json import compact

INTENSITY = "arithmetic_intensity"


@dataclass(frozen=True)
class Answer:
    """A quantity asked for, and what it is at the point: a number, or a formula in the symbols that are left."""

    name: str
    unit: str
    standing: str
    formula: Quantity | None
    value: int | Fraction | Quantity

    def text(self, *, latex: bool) -> str:
        """The value alone."""
        if isinstance(self.value, Quantity):
            return self.value.latex() if latex else str(self.value)
        return fraction(self.value) if isinstance(self.value, Fraction) else str(self.value)

    def data(self, *, latex: bool) -> dict[str, Any]:
        """Plain data for JSON."""
        found: dict[str, Any] = {"unit": self.unit, "standing": self.standing}
        if self.formula is not None:
            found["expr"] = str(self.value if isinstance(self.value, Quantity) else self.formula)
            if latex:
                found["latex"] = self.formula.latex()
        if not isinstance(self.value, Quantity):
            found["value"] = self.value if isinstance(self.value, int) else float(self.value)
        return found


def answers(
    quantities: Mapping[str, Quantity], names: Sequence[str], point: Mapping[str, int] | None
) -> Iterator[Answer]:
    """Answer for each name in turn; raises SpecError where a fraction is asked for without all sizes."""
    for name in names:
        if name == INTENSITY:
            yield _intensity(quantities, point)
        else:
            quantity = quantities[name]
            yield Answer(name, quantity.unit, str(quantity.standing), quantity, value_at(quantity, point))


def value_at(quantity: Quantity, point: Mapping[str, int] | None) -> int | Quantity:
    """The quantity at the sizes of the point that it knows: it has no symbols for data it does not depend on."""
    known = {s.name for s in quantity.symbols}
    found: int | Quantity = quantity.at({name: size for name, size in (point or {}).items() if name in known})
    return found


def _intensity(quantities: Mapping[str, Quantity], point: Mapping[str, int] | None) -> Answer:
    parts = [value_at(quantities[n], point) for n in ("flops", "read_bytes", "write_bytes", "weight_bytes")]
    numbers = [part for part in parts if isinstance(part, int)]
    if len(numbers) < len(parts):
        raise SpecError(f"{INTENSITY} is a fraction and no formula: give every size with --at")
    flops, *traffic = numbers
    return Answer(
        INTENSITY, "FLOP/byte", str(quantities["flops"].standing), None, Fraction(flops, max(sum(traffic), 1))
    )


def query_text(
    quantities: Mapping[str, Quantity], names: Sequence[str], point: Mapping[str, int] | None, *, latex: bool = False
) -> str:
    """One line a quantity: the value and its unit, with its name where there are several."""
    lines = []
    for answer in answers(quantities, names, point):
        sign = ">=" if answer.standing == "lower" else "="
        label = f"{answer.name} {sign} " if len(names) > 1 or sign == ">=" else ""
        lines.append(label + answer.text(latex=latex) + ("" if latex else f" {answer.unit}"))
    return "\n".join(lines)


def query_json(
    quantities: Mapping[str, Quantity], names: Sequence[str], point: Mapping[str, int] | None, *, latex: bool = False
) -> str:
    """The answers by name."""
    return compact({answer.name: answer.data(latex=latex) for answer in answers(quantities, names, point)})
