"""Sample and fit: exact interpolation on a grid, and what captures that took no part have to say about it."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, const, maximum, substitute, symbol, total
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.fitted import Axis, interpolated, plans

N, S = symbol("N"), symbol("S")
coefficients = st.lists(st.integers(-1000, 1000), min_size=6, max_size=6)


@given(coefficients, st.integers(1, 64), st.integers(1, 9))
def test_a_polynomial_on_the_grid_is_found_at_all_sizes(c: list[int], step: int, first: int) -> None:
    """Degree 1 in N and 2 in S, where S is any size; M stays a symbol throughout."""
    m = symbol("M")
    value = m * (c[0] + c[1] * S + c[2] * S * S) + N * (c[3] + c[4] * S) + c[5] * m * m * N
    axes = (Axis("N", 1, (1, 2)), Axis("S", step, (first, first + 1, first + 2)))
    points = [{"N": n, "S": s} for n, s in product(axes[0].sizes, axes[1].sizes)]
    found = interpolated(axes, [substitute(value, point) for point in points])
    for n, multiple in ((1, 1), (3, first + 7), (5, 40)):
        at = {"N": n, "S": multiple * step, "M": 3}
        assert evaluate(found, at) == evaluate(value, at)


def test_halves_that_add_up_to_integers_stay_exact() -> None:
    """Pairs below the diagonal: S*(S - 1)/2, whose coefficients are no integers."""
    axis = Axis("S", 1, (4, 5, 6))
    found = interpolated((axis,), [const(s * (s - 1) // 2) for s in axis.sizes])
    assert [evaluate(found, {"S": s}) for s in (1, 7, 100, 101)] == [0, 21, 4950, 5050]


def test_what_is_no_polynomial_differs_at_sizes_held_out() -> None:
    def value(s: int) -> Expr:
        return total([maximum(const(3 * s), const(40)), N])

    axis = Axis("S", 1, (5, 6, 7))
    found = interpolated((axis,), [value(s) for s in axis.sizes])
    assert substitute(found, {"S": 20}) is not value(20)


def test_plans_keep_ranges_and_hold_out_sizes_beside_the_grid() -> None:
    info = {"N": SymbolInfo("N"), "S": SymbolInfo("S", max=2000)}
    found = list(plans({"N": 5, "S": 37}, info, {"N": "batch", "S": "sequence"}))
    first = found[0]
    assert [axis.sizes for axis in first.axes] == [(2, 3), (5, 6, 7)]
    assert len(first.grid) == 6
    assert {"N": 5, "S": 37} in first.held_out, "the capture that is there already"
    assert any(point["N"] == 1 for point in first.held_out), "a batch of one copies less"
    for plan in found:
        assert len(plan.held_out) >= 2
        assert not any(point in plan.grid for point in plan.held_out)
        assert all(point["S"] <= 2000 for point in plan.held_out)
