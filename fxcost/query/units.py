"""Units people write and read: KB is 10^3 bytes, KiB is 2^10."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

from fxcost.errors import SpecError, nearest

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KiB, MiB, GiB, TiB = 2**10, 2**20, 2**30, 2**40

_SUFFIXES = {
    "": 1,
    "B": 1,
    "KB": KB,
    "MB": MB,
    "GB": GB,
    "TB": TB,
    "KiB": KiB,
    "MiB": MiB,
    "GiB": GiB,
    "TiB": TiB,
    "K": KB,
    "M": MB,
    "G": GB,
    "T": TB,
}
_SMALL = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "J": 1, "mJ": 10**3, "uJ": 10**6, "nJ": 10**9}
_SCALES = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))
_NUMBER = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)\s*([A-Za-z]*)\s*")


def parse_amount(text: str) -> Fraction:
    """Read `320KB`, `1.5MiB`, `300M` or `4096` exactly; raises SpecError with what is expected."""
    found = _NUMBER.fullmatch(text)
    if not found or len(found[1]) > 40:
        raise SpecError(
            f"{text.strip()!r} is not an amount; write a number and a unit, for example 320KB, 1.5MiB or 300M"
        )
    suffix = {"kB": "KB", "k": "K"}.get(found[2], found[2])
    if suffix not in _SUFFIXES:
        raise SpecError(f"unknown unit {suffix!r} in {text.strip()!r}{nearest(suffix, [s for s in _SUFFIXES if s])}")
    return Fraction(found[1].replace("_", "").replace(",", "")) * _SUFFIXES[suffix]


def parse_small(text: str, unit: str) -> Fraction:
    """Read `50ms`, `1.5 s` or `20mJ` exactly, in the unit `s` or `J`; raises SpecError with what is expected."""
    found = _NUMBER.fullmatch(text)
    if not found or len(found[1]) > 40 or not found[2].endswith(unit) or found[2] not in _SMALL:
        raise SpecError(
            f"{text.strip()!r}: expected a number with {unit}, m{unit}, u{unit} or n{unit}, for example 50m{unit}"
        )
    return Fraction(found[1].replace("_", "").replace(",", "")) / _SMALL[found[2]]


def human(value: float, unit: str) -> str:
    """A number for people: `4.09 GMAC`, `6.42 MB`, `25.6 M`; exact below ten thousand."""
    short = {"bytes": "B", "elements": ""}.get(unit, unit)
    if abs(value) < 10_000 and value == int(value):
        return f"{int(value):,} {short}".strip()
    for scale, letter in _SCALES:
        if abs(value) * 2000 >= scale * 1999:  # from here on three digits round up to 1
            amount = Decimal(value) / scale  # exact enough for integers of any size
            digits = f"{float(amount):.3g}" if abs(amount) < 999.5 else f"{amount:,.0f}"
            return f"{digits if len(digits) < 8 else f'{amount:.2e}'} {letter}{short}"
    return f"{value:.3g} {short}".strip()


def fraction(value: Fraction) -> str:
    """Three digits of a fraction, however large its parts are."""
    amount = Decimal(value.numerator) / value.denominator
    return f"{float(amount):.3g}" if abs(amount) < 10**300 else f"{amount:.2e}"


def seconds(value: float) -> str:
    """A duration for people."""
    return _small(value, "s")


def joules(value: float) -> str:
    """An energy for people."""
    return _small(value, "J")


def _small(value: float, unit: str) -> str:
    for scale, letter in ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n")):
        if value >= 0.9995 * scale or letter == "n":
            amount = value / scale
            return f"{amount:.3g} {letter}{unit}" if amount < 999.5 else f"{amount:,.0f} {letter}{unit}"
    raise AssertionError("the last scale takes every value")
