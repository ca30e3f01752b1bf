"""Guards that hold everywhere are dropped, and none that does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxcost.ir.domain import simplify_domain
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, as_expr, floordiv, mod, symbol
from fxcost.ir.predicate import AnyOf, Compare, Predicate, holds
from fxcost.ir.reader import parse_expr

RANGES = {"N": (1, None), "S": (1, None), "H": (1, None), "W": (1, None)}


def guard(left: str, right: str, op: str = "==") -> Predicate:
    return Compare(op, parse_expr(left, where="left"), parse_expr(right, where="right"))


PADDED = "((255*(S%256))%256 + S)"
"""S, padded to chunks of 256."""

ROWS, COLUMNS = "((6*(((H + 15)//16)%7))%7 + (H + 15)//16)", "((6*(((W + 15)//16)%7))%7 + (W + 15)//16)"
"""A feature map, padded to windows of 7."""


@pytest.mark.parametrize(
    "always",
    [
        guard(f"(8192*N*{PADDED})%(2097152*N)", "0"),
        guard(f"8192*N*{PADDED}", f"2097152*({PADDED}//256)*N"),
        guard(f"64*N*{ROWS}*{COLUMNS}", f"3136*({ROWS}//7)*({COLUMNS}//7)*N"),
        AnyOf((guard(f"8192*N*{PADDED}", "2097152*N"), guard(f"(8192*N*{PADDED})%(2097152*N)", "0"))),
        guard("(12*N*H)//(4*N)", "3*H"),
        guard("(5*N*H)%(3*N)", "N*((5*H)%3)"),
    ],
    ids=str,
)
def test_padding_to_windows_needs_no_guard(always: Predicate) -> None:
    assert simplify_domain([always], RANGES) == ()


@pytest.mark.parametrize(
    "sometimes",
    [guard("(H + 7)//8", "44"), guard("3*H*N*W", "192*(H//8)*(W//8)*N"), guard("N", "1", "!="), guard("H", "W")],
    ids=str,
)
def test_what_fails_somewhere_stays(sometimes: Predicate) -> None:
    assert len(simplify_domain([sometimes], RANGES)) == 1


sizes = st.sampled_from([symbol("S"), symbol("H"), symbol("S") + 3, symbol("H") * 2, symbol("S") * symbol("N")])


@st.composite
def guards(draw: st.DrawFn) -> Predicate:
    """Comparisons of sizes, quotients and remainders, of which some always hold."""
    step = draw(st.integers(2, 5))

    def side() -> Expr:
        size = draw(sizes)
        padded = size + mod((step - 1) * mod(size, step), step)
        made = [size, padded, floordiv(padded, step) * step, mod(padded, step), mod(size, step)]
        return draw(st.sampled_from(made)) * draw(st.sampled_from([as_expr(1), symbol("N")]))

    return Compare(draw(st.sampled_from(["==", "!=", "<=", ">="])), side(), side())


@settings(max_examples=150)
@given(st.lists(guards(), min_size=1, max_size=3), st.lists(st.integers(1, 40), min_size=3, max_size=3))
def test_simplified_guards_hold_at_the_same_points(given_guards: list[Predicate], at: list[int]) -> None:
    point = dict(zip(("N", "S", "H"), at, strict=True)) | {"W": 1}
    before = all(holds(each, point) for each in given_guards)
    assert all(holds(each, point) for each in simplify_domain(given_guards, RANGES)) == before


@settings(max_examples=150)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_sizes_shared_by_both_sides_of_a_division_cancel(n: int, h: int, w: int, a: int, b: int) -> None:
    top, bottom = a * symbol("N") * symbol("H"), b * symbol("N") * symbol("W")
    point = {"N": n, "H": h, "W": w}
    assert evaluate(floordiv(top, bottom), point) == (a * n * h) // (b * n * w)
    assert evaluate(mod(top, bottom), point) == (a * n * h) % (b * n * w)
