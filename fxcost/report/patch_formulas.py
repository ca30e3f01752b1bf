"""One stage in patches as formulas in the sizes, for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from fxcost.ir.expr import substitute
from fxcost.passes.patch_fields import Field
from fxcost.query.classes import polynomial
from fxcost.query.patch_peak import SHOWN, PatchedPeak, polynomial_text
from fxcost.query.quantity import Quantity
from fxcost.query.solve import Solution
from fxcost.report.json import compact
from fxcost.report.solve import proof, solution_data, values_text
from fxcost.report.terminal import for_output

LONGEST = 800
"""Characters of a formula that is printed."""

Halos = Mapping[str, tuple[Field, Field]]


def formulas_text(halos: Halos, macs: Quantity, peak: PatchedPeak | str, largest: Solution | None) -> str:
    """Halos of the inputs, MACs and the peak; the peak may be why there is none in this form."""
    parts: list[RenderableType] = [Text("Halos", style="bold")]
    for name, (rows, columns) in halos.items():
        parts.append(_indented(f"{name}: {_range(rows, 'rows', 'a', 'b')}; {_range(columns, 'columns', 'c', 'd')}"))
    parts.append(
        _indented("of rows a to b and columns c to d of the result, ends left out; cut off at the map's border")
    )
    text = str(macs)
    if len(text) > LONGEST:
        text = f"a formula of {len(text):,} characters (--json has all of it)"
    parts += [Text("MACs of the whole run", style="bold"), _indented(text)]
    if not isinstance(peak, str):
        parts += [_indented(line) for line in _macs_by_class(macs, peak)]
    parts.append(Text("Peak bytes of the whole run", style="bold"))
    lines = [f"no formula: {peak}"] if isinstance(peak, str) else str(peak).split("\n")
    parts += [_indented(line) for line in lines]
    if largest is not None:
        parts += [Text(values_text(largest), style="bold"), *proof(largest)]
    return for_output(Group(*parts))


def _macs_by_class(macs: Quantity, peak: PatchedPeak) -> list[str]:
    """MACs on the first classes of sizes, where they are polynomials there."""
    value = substitute(macs.value, peak.others)
    found = []
    for start in peak.starts[:SHOWN]:
        terms = polynomial(value, peak.wrt, start, peak.period)
        if terms is not None and len(terms) <= 3:
            a, b, c = (*terms, 0, 0)[:3]
            found.append(f"{peak.wrt} = {start} + {peak.period}*k: {polynomial_text((a, b, c))}")
    return found


def _indented(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 0, 2), expand=False)


def _range(found: Field, what: str, first: str, stop: str) -> str:
    """`rows 8*a - 13 to 8*b + 6`."""
    stride = "" if found.stride == 1 else f"{found.stride}*"
    behind = found.reach - found.before - found.stride
    return f"{what} {stride}{first}{_signed(-found.before)} to {stride}{stop}{_signed(behind)}"


def _signed(value: int) -> str:
    return f" {'-' if value < 0 else '+'} {abs(value)}" if value else ""


def formulas_json(halos: Halos, macs: Quantity, peak: PatchedPeak | str, largest: Solution | None) -> str:
    """The same as JSON; `peak` has every class of sizes."""
    found: dict[str, Any] = {
        "halos": {
            name: {
                axis: {"stride": field.stride, "before": field.before, "reach": field.reach, "end": str(field.end)}
                for axis, field in zip(("rows", "columns"), pair, strict=True)
            }
            for name, pair in halos.items()
        },
        "macs": {"expr": str(macs.value), "standing": str(macs.standing)},
        "peak": {"reason": peak} if isinstance(peak, str) else _peak(peak),
        "largest": largest and solution_data(largest),
    }
    return compact(found)


def _peak(peak: PatchedPeak) -> dict[str, Any]:
    return {
        "wrt": peak.wrt,
        "where": peak.where,
        "standing": str(peak.standing),
        "from": peak.stable,
        "modulo": peak.period,
        "classes": [
            {
                "start": start,
                "pieces": [
                    {"first": piece.first, "last": piece.last, "coefficients": list(piece.coefficients)}
                    for piece in peak.pieces(start)
                ],
            }
            for start in peak.starts
        ],
    }
