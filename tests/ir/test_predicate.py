"""Predicates: logic against plain evaluation on a grid of points."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, ceildiv, const, symbol
from fxcost.ir.predicate import (
    FALSE,
    TRUE,
    AllOf,
    AnyOf,
    Compare,
    Predicate,
    all_of,
    any_of,
    decide,
    holds,
    indicator,
    negate,
    replace_symbols,
    symbols_of,
)
from tests.strategies import predicates

H, W = symbol("H"), symbol("W")
GRID = [dict(zip("NHW", sizes, strict=True)) for sizes in product([1, 2, 3, 8, 31], repeat=3)]


def by_python(predicate: Predicate, point: dict[str, int]) -> bool:
    """The truth of the printed text, by Python's own evaluation."""
    return bool(eval(str(predicate), {"max": max, "min": min, **point}))


@settings(max_examples=60)
@given(predicates())
def test_holds_means_what_the_text_says(predicate: Predicate) -> None:
    for point in GRID[::7]:
        assert holds(predicate, point) == by_python(predicate, point)


@settings(max_examples=60)
@given(predicates())
def test_negation_turns_every_point(predicate: Predicate) -> None:
    opposite = negate(predicate)
    assert negate(opposite) == predicate
    for point in GRID[::3]:
        assert holds(opposite, point) is not holds(predicate, point)


@settings(max_examples=60)
@given(predicates())
def test_a_decision_holds_everywhere(predicate: Predicate) -> None:
    settled = decide(predicate)
    if settled is not None:
        assert all(holds(predicate, point) is settled for point in GRID)
    narrow = decide(predicate, {"N": (2, 3), "H": (1, 2), "W": (8, None)})
    if narrow is not None:
        inside = [p for p in GRID if p["N"] in (2, 3) and p["H"] <= 2 and p["W"] >= 8]
        assert all(holds(predicate, point) is narrow for point in inside)


@settings(max_examples=60)
@given(predicates())
def test_the_indicator_is_one_exactly_where_it_holds(predicate: Predicate) -> None:
    value = indicator(predicate)
    for point in GRID[::5]:
        assert evaluate(value, point) == int(holds(predicate, point))


@settings(max_examples=50)
@given(predicates(), predicates())
def test_joining(left: Predicate, right: Predicate) -> None:
    both, either = all_of([left, right]), any_of([left, right])
    for point in GRID[::5]:
        assert holds(both, point) == (holds(left, point) and holds(right, point))
        assert holds(either, point) == (holds(left, point) or holds(right, point))


@settings(max_examples=50)
@given(predicates())
def test_substitution(predicate: Predicate) -> None:
    image: dict[str, Expr | int] = {"H": ceildiv(W, 2), "N": 4}
    replaced = replace_symbols(predicate, image)
    assert symbols_of(replaced) <= {"W"}
    for w in (1, 2, 7, 40):
        assert holds(replaced, {"W": w}) == holds(predicate, {"W": w, "H": -(-w // 2), "N": 4})


def test_small_cases() -> None:
    wide = Compare(">=", W, const(32))
    assert all_of([]) == TRUE
    assert any_of([]) == FALSE
    assert all_of([wide, Compare(">=", H, const(1))]) == wide  # the second always holds
    assert all_of([wide, Compare("<", H, const(1))]) == FALSE
    assert any_of([wide, Compare("<", H, const(1))]) == wide
    assert decide(Compare("==", H * 2 - H - H, const(0))) is True
    assert decide(Compare("!=", H, W)) is None
    assert decide(wide, {"W": (32, None)}) is True
    assert decide(wide, {"W": (1, 31)}) is False
    assert str(AllOf((wide, AnyOf((Compare("==", H, W), wide))))) == "(W >= 32) and ((H == W) or (W >= 32))"
    assert str(TRUE) == "1 == 1"
    assert str(FALSE) == "1 == 0"
