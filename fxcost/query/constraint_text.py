"""Constraints as people type them: `peak_memory <= 320KB`, `macs < 300M`, `peak_memory <= model_bytes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.query.quantity import Constraint, Quantity
from fxcost.query.units import fraction, parse_amount, parse_small

RATE_UNITS = {"lecture": "s", "bound": "s", "roofline": "s", "calibrated": "s", "energy": "J"}
"""What a machine adds to the quantities: latencies and energy, with their units."""

_FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*(.+?)\s*")


def parse_constraint(text: str, quantities: Mapping[str, Quantity]) -> Constraint:
    """Read `QUANTITY OP AMOUNT`, where an amount is a number with a unit or another quantity.

    Raises SpecError or UnknownName.
    """
    found = _form(text)
    left = _named(found[1], text, quantities)
    right = _named(found[3], text, quantities) if found[3].isidentifier() else _amount(found[3], text)
    return {"<=": left.__le__, "<": left.__lt__, ">=": left.__ge__, ">": left.__gt__}[found[2]](right)


def parse_rate(text: str) -> tuple[str, str, Fraction] | None:
    """Read `roofline <= 50ms` or `energy < 2mJ`: name, comparison and limit; None where it is about a quantity."""
    found = _form(text)
    unit = RATE_UNITS.get(found[1])
    if unit is None:
        return None
    try:
        return found[1], found[2], parse_small(found[3], unit)
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None


def _form(text: str) -> re.Match[str]:
    found = _FORM.fullmatch(text)
    if not found:
        raise SpecError(f"constraint {text!r}: expected QUANTITY <= AMOUNT, for example 'peak_memory <= 320KB'")
    return found


def parse_budget(text: str, quantities: Mapping[str, Quantity]) -> tuple[str, int]:
    """Read `peak_memory=320KB`: the quantity and the largest integer within the budget."""
    name, equals, amount = (part.strip() for part in text.partition("="))
    if not equals or not name or not amount:
        raise SpecError(f"budget {text!r}: expected QUANTITY=AMOUNT, for example peak_memory=320KB")
    return _named(name, text, quantities).name, floor(_amount(amount, text))


@dataclass(frozen=True)
class Allowance:
    """How much a quantity may grow: by a share of what it was, and by an amount on top; one of them is zero."""

    share: Fraction = Fraction(0)
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.amount:,}" if self.amount else f"{fraction(100 * self.share)} %"

    def ceiling(self, before: int) -> int:
        """The largest integer that is within the allowance."""
        return floor(before * (1 + self.share)) + self.amount


def parse_growth(text: str, quantities: Mapping[str, Quantity]) -> tuple[str, Allowance]:
    """Read `macs=5%`, or `peak_memory=64KB` for an amount: the quantity and how much it may grow."""
    name, equals, most = (part.strip() for part in text.partition("="))
    if not equals or not name or not most:
        raise SpecError(f"growth {text!r}: expected QUANTITY=SHARE%, for example macs=5%, or an amount, params=10K")
    found = _named(name, text, quantities).name
    if most.endswith("%"):
        return found, Allowance(share=_amount(most[:-1].strip(), text) / 100)
    return found, Allowance(amount=floor(_amount(most, text)))


def _named(name: str, text: str, quantities: Mapping[str, Quantity]) -> Quantity:
    found = quantities.get(name)
    if found is None:
        raise UnknownName(f"{text!r}: there is no quantity {name!r}{nearest(name, quantities)}")
    return found


def _amount(text: str, whole: str) -> Fraction:
    try:
        return parse_amount(text)
    except SpecError as error:
        raise SpecError(f"{whole!r}: {error}") from None
