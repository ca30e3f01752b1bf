"""Quantities: calls, partial calls, domains, constraints, arithmetic; and the units people write."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.errors import FxcostError, ModelError, OutsideDomain, SpecError
from fxcost.ir.expr import Expr, const, floordiv, maximum, mod, symbol
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import AnyOf, Compare, Predicate, holds
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.constraint_text import parse_budget
from fxcost.query.quantity import Quantity
from fxcost.query.units import fraction, human, joules, parse_amount, seconds
from tests.strategies import Shadowed, points, predicates, shadowed

N, H, W = (symbol(name) for name in "NHW")
SYMBOLS = (SymbolInfo("N"), SymbolInfo("H"), SymbolInfo("W"))


def quantity(value: Expr, *domain: Predicate, unit: str = "MAC", symbols: tuple[SymbolInfo, ...] = SYMBOLS) -> Quantity:
    return Quantity("macs", unit, value, domain=domain, symbols=symbols)


# -- calls ---------------------------------------------------------------------------------------------------------
@given(form=shadowed(), point=points())
def test_a_call_gives_the_exact_integer(form: Shadowed, point: dict[str, int]) -> None:
    assert quantity(form.value)(**point) == form.shadow(point)
    assert quantity(form.value).at(point) == form.shadow(point)


@given(form=shadowed(), point=points(), given_=st.sets(st.sampled_from(["N", "H", "W"])))
def test_a_partial_call_gives_the_rest(form: Shadowed, point: dict[str, int], given_: set[str]) -> None:
    first = quantity(form.value)(**{n: v for n, v in point.items() if n in given_})
    rest = {n: v for n, v in point.items() if n not in given_}
    assert (first(**rest) if isinstance(first, Quantity) else first) == form.shadow(point)


def test_sizes_may_be_any_integers() -> None:
    assert quantity(N * H)(N=np.int64(3), H=np.uint8(4)) == 12  # type: ignore[arg-type]
    assert quantity(N * H)(N=10**30, H=3) == 3 * 10**30
    assert int(quantity(const(7))) == 7
    with pytest.raises(ModelError, match="formula in H, N"):
        int(quantity(N * H))


@pytest.mark.parametrize(
    ("sizes", "part"),
    [
        ({"Q": 1}, "no symbol 'Q'"),
        ({"N": 0}, "outside its range: N >= 1"),
        ({"N": -1}, "outside its range"),
        ({"N": 1.0}, "must be an integer"),
        ({"N": True}, "must be an integer"),
        ({"N": "1"}, "must be an integer"),
        ({"N": None}, "must be an integer"),
        ({"H": 65}, "32 <= H <= 64"),
        ({"H": 33}, "a multiple of 2"),
    ],
)
def test_wrong_sizes(sizes: dict[str, object], part: str) -> None:
    made = quantity(N * H, symbols=(SymbolInfo("N"), SymbolInfo("H", 32, 64, 2)))
    with pytest.raises(SpecError, match=part):
        made(**sizes)  # type: ignore[arg-type]


# -- domains -------------------------------------------------------------------------------------------------------
def test_outside_the_domain_a_call_names_the_guard() -> None:
    made = quantity(N * H, Compare(">=", H, const(3)))
    assert made(N=2, H=3) == 6
    with pytest.raises(OutsideDomain, match=r"macs at N=2, H=2: the formula holds where H >= 3"):
        made(N=2, H=2)
    with pytest.raises(OutsideDomain, match="H >= 3"):
        made(H=2)
    rest = made(H=3)
    assert isinstance(rest, Quantity)
    assert rest.domain == (), "a guard that is settled is gone"


def test_outside_the_domain_the_model_may_be_captured_anew() -> None:
    asked = []

    def again(name: str, point: object) -> int:
        asked.append((name, point))
        return 99

    made = Quantity("macs", "MAC", N * H, domain=(Compare(">=", H, const(3)),), symbols=SYMBOLS, recapture=again)
    assert made(N=2, H=2, recapture=True) == 99
    assert made(N=2, H=3, recapture=True) == 6
    with pytest.raises(OutsideDomain, match="H >= 3, which is false there; call with recapture=True"):
        made(N=2, H=2)
    with pytest.raises(OutsideDomain, match="H >= 3, which is false there; choose other sizes"):
        replace(made, recapture=None)(N=2, H=2)
    assert asked == [("macs", {"N": 2, "H": 2})]


@settings(max_examples=50)
@given(form=shadowed(size=5), guard=predicates(), rows=st.lists(points(), min_size=1, max_size=9))
def test_arrays_are_exact_and_masked_outside_the_domain(
    form: Shadowed, guard: Predicate, rows: list[dict[str, int]]
) -> None:
    columns = {n: np.array([row[n] for row in rows]) for n in ("N", "H", "W")}
    found = quantity(form.value, guard).compile()(**columns)
    for row, value, masked in zip(rows, found.data, np.ma.getmaskarray(found), strict=True):
        assert bool(masked) != holds(guard, row)
        assert masked or int(value) == form.shadow(row)


def test_arrays_may_be_broadcast() -> None:
    compiled = quantity(const(7), Compare(">", H, N)).compile()
    found = compiled(N=np.array([[1], [3]]), H=np.array([2, 3, 4]))
    assert np.ma.filled(found, 0).tolist() == [[7, 7, 7], [0, 0, 7]]
    assert quantity(N).compile()(N=5, H=np.arange(3)).tolist() == [5, 5, 5]
    with pytest.raises(SpecError, match="missing: H"):
        compiled(N=3)


def test_arrays_never_overflow() -> None:
    compiled = quantity(N * H**3).compile()
    sizes = np.array([1, 10**9, 3 * 10**9])
    assert [int(v) for v in compiled(N=10**9, H=sizes)] == [10**9 * int(s) ** 3 for s in sizes]


def test_compile_refuses_wrong_columns() -> None:
    compiled = quantity(N * H).compile()
    with pytest.raises(SpecError, match="missing: H"):
        compiled(N=np.array([1]))
    with pytest.raises(SpecError, match="unknown: Q"):
        compiled(N=np.array([1]), H=np.array([1]), Q=np.array([1]))
    with pytest.raises(FxcostError, match="integers"):
        compiled(N=np.array([1.5]), H=np.array([1]))


# -- what it looks like --------------------------------------------------------------------------------------------
def test_text_latex_and_sympy() -> None:
    made = quantity(N * floordiv(H + 1, 2))
    assert eval(str(made), {"N": 3, "H": 4}) == 6
    assert r"\left\lfloor \frac{H + 1}{2} \right\rfloor" in made.latex()
    assert made._repr_latex_().startswith("$")
    assert {str(s) for s in made.expr.free_symbols} == {"N", "H"}
    assert made.expr.subs({s: {"N": 3, "H": 4}[str(s)] for s in made.expr.free_symbols}) == 6


# -- constraints ---------------------------------------------------------------------------------------------------
@given(
    value=st.integers(-50, 50),
    bound=st.integers(-50, 50) | st.fractions(-50, 50, max_denominator=9) | st.floats(-50, 50),
)
def test_bounds_that_are_no_integers_mean_what_they_say(value: int, bound: Fraction | float) -> None:
    """An integer against a fraction is the integer against the integer beside it: x <= 2.5 is x <= 2, x < 2.5 is x < 3."""
    made = quantity(const(value))
    for op, expected in {"<=": value <= bound, "<": value < bound, ">=": value >= bound, ">": value > bound}.items():
        constraint = {"<=": made <= bound, "<": made < bound, ">=": made >= bound, ">": made > bound}[op]
        limit = constraint.bound.value.constant
        assert limit is not None
        assert {"<=": value <= limit, "<": value < limit, ">=": value >= limit, ">": value > limit}[op] == expected


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), -float("inf"), "3", None, True, 3j, Decimal(3)])
def test_bounds_that_are_no_numbers(bound: object) -> None:
    with pytest.raises(SpecError, match="expected a"):
        _ = quantity(N) <= bound


def test_constraints_are_no_truth_values() -> None:
    with pytest.raises(ModelError, match="no truth value"):
        assert quantity(N) <= 3
    with pytest.raises(ModelError, match="no truth value"):
        _ = 1 < quantity(N) < 3
    assert str(quantity(N) <= 320_000) == "macs <= 320,000 MAC"
    reflected = 3 >= quantity(N)  # noqa: SIM300 (the order is what is tested)
    assert str(reflected) == "macs <= 3 MAC"


def test_units_must_agree() -> None:
    with pytest.raises(SpecError, match="cannot be compared"):
        _ = quantity(N) <= quantity(N, unit="bytes")
    with pytest.raises(SpecError, match="no sum of the two"):
        _ = quantity(N) + quantity(N, unit="bytes")


# -- arithmetic ----------------------------------------------------------------------------------------------------
@given(a=shadowed(size=4), b=shadowed(size=4), factor=st.integers(-9, 9), point=points())
def test_arithmetic(a: Shadowed, b: Shadowed, factor: int, point: dict[str, int]) -> None:
    left, right = quantity(a.value), quantity(b.value)
    assert (left + right)(**point) == a.shadow(point) + b.shadow(point)
    assert (left - right)(**point) == a.shadow(point) - b.shadow(point)
    assert (left * factor)(**point) == (factor * left)(**point) == factor * a.shadow(point)
    assert (left + factor)(**point) == (factor + left)(**point) == a.shadow(point) + factor


def test_the_weaker_standing_and_both_domains_remain() -> None:
    left = Quantity("a", "MAC", N, Standing.LOWER, (Compare(">=", N, const(2)),), SYMBOLS)
    right = Quantity("b", "MAC", H, Standing.EXACT, (Compare(">=", H, const(3)),), SYMBOLS)
    both = left + right
    assert both.standing is Standing.LOWER
    assert len(both.domain) == 2
    with pytest.raises(OutsideDomain):
        both(N=2, H=2)


def test_a_domain_of_alternatives() -> None:
    made = quantity(maximum(N, H), AnyOf((Compare("==", mod(H, 2), const(0)), Compare(">", N, const(4)))))
    assert made(N=5, H=3) == 5
    assert made(N=1, H=4) == 4
    with pytest.raises(OutsideDomain, match=r"\(H%2 == 0\) or \(N > 4\)"):
        made(N=1, H=3)


# -- units ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4096", 4096),
        ("0", 0),
        ("320KB", 320_000),
        ("320kB", 320_000),
        ("320 KB", 320_000),
        ("320KiB", 320 * 1024),
        ("1.5MiB", 1_572_864),
        ("1.5MB", 1_500_000),
        ("300M", 300_000_000),
        ("2G", 2_000_000_000),
        ("4k", 4_000),
        ("1TB", 10**12),
        ("1TiB", 2**40),
        ("16B", 16),
        ("1,000,000", 1_000_000),
        ("1_000", 1_000),
        ("1e6", 10**6),
        ("1.5e3KB", 1_500_000),
        ("0.1KB", 100),
        ("0.1", Fraction(1, 10)),
    ],
)
def test_amounts_are_read_exactly(text: str, value: int | Fraction) -> None:
    assert parse_amount(text) == value
    assert parse_amount(f"  {text} ") == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "KB",
        "-3",
        "+3",
        "3 K B",
        "320XB",
        "320Kb",
        "320kib",
        "0x10",
        "1e400",
        "1e",
        ".5",
        "3.",
        "inf",
        "nan",
        "1__0KB!",
        "9" * 50,
        "٣KB",
        "1,5,KB ",
    ],
)
def test_amounts_that_are_none(text: str) -> None:
    if text in {"1,5,KB "}:
        assert parse_amount(text) == 15_000, "commas group digits, wherever they stand"
        return
    with pytest.raises(SpecError):
        parse_amount(text)


def test_units_never_mix() -> None:
    assert (fxcost.KB, fxcost.MB, fxcost.GB) == (10**3, 10**6, 10**9)
    assert (fxcost.KiB, fxcost.MiB, fxcost.GiB) == (2**10, 2**20, 2**30)


def test_budgets() -> None:
    known = {"macs": quantity(N)}
    assert parse_budget("macs=1.5K", known) == ("macs", 1500)
    assert parse_budget(" macs = 2.9 ", known) == ("macs", 2), "an integer within 2.9 is at most 2"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "bytes", "0 B"),
        (9_999, "bytes", "9,999 B"),
        (10_000, "bytes", "10 KB"),
        (999_499, "bytes", "999 KB"),
        (999_500, "bytes", "1 MB"),
        (4_089_184_256, "MAC", "4.09 GMAC"),
        (25_557_032, "elements", "25.6 M"),
        (10**18, "op", "1 Eop"),
        (9_990 * 10**18, "op", "9,990 Eop"),
        (10**25, "op", "1.00e+7 Eop"),
        (10**400, "op", "1.00e+382 Eop"),
        (-5_000_000, "bytes", "-5 MB"),
        (0.5, "bytes", "0.5 B"),
    ],
)
def test_numbers_for_people(value: float, unit: str, text: str) -> None:
    assert human(value, unit) == text


def test_times_energies_and_ratios_for_people() -> None:
    assert [seconds(t) for t in (0.0, 2e-10, 1e-6, 9.996e-4, 0.25, 3.0, 86_400.0)] == [
        "0 ns",
        "0.2 ns",
        "1 us",
        "1 ms",
        "250 ms",
        "3 s",
        "86,400 s",
    ]
    assert joules(0.0269) == "26.9 mJ"
    assert fraction(Fraction(1, 3)) == "0.333"
    assert fraction(Fraction(10**400, 3 * 10**399)) == "3.33"
    assert fraction(Fraction(10**400)) == "1.00e+400"
