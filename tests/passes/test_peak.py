"""The closed form of a peak: always the maximum of all steps, whatever was dropped from it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, const, floordiv, maximum, symbol
from fxcost.ir.predicate import Compare, all_of
from fxcost.passes.peak import by_case, largest, undominated

H, W, N = symbol("H"), symbol("W"), symbol("N")
SIDES = [H, W, (H + 1) // 2, (W + 1) // 2, (H + 3) // 4, (W + 3) // 4, (H - 1) // 2, H // 8]


@st.composite
def step_sums(draw: st.DrawFn) -> Expr:
    """What a step of a network holds: a few tensors, each a product of sides."""
    total = const(draw(st.integers(0, 50)))
    for _ in range(draw(st.integers(1, 3))):
        sides = draw(st.lists(st.sampled_from(SIDES), min_size=0, max_size=2))
        size = const(draw(st.integers(1, 300))) * N
        for side in sides:
            size = size * side
        total = total + size
    return total


POINTS = st.fixed_dictionaries({"N": st.integers(1, 9), "H": st.integers(1, 400), "W": st.integers(1, 400)})


@given(st.lists(step_sums(), min_size=1, max_size=12), POINTS, st.integers(1, 100))
def test_nothing_that_matters_is_dropped(steps: list[Expr], point: dict[str, int], least: int) -> None:
    """Against the plain maximum, at points of the range that the proof was for."""
    point["H"] = max(point["H"], least)
    form = largest(steps, {"N": (1, None), "H": (least, None), "W": (1, None)})
    assert evaluate(form, point) == max(evaluate(step, point) for step in steps)


def test_resnet_like_steps_leave_one_term() -> None:
    """Halving the sides and doubling the channels halves the map: the first one rules for H, W >= 32."""
    steps = [64 * N * ((H + 1) // 2) * ((W + 1) // 2), 128 * N * ((H + 3) // 4) * ((W + 3) // 4), 3 * N * H * W]
    # At H = 32: 64*16*16 = 16384 > 128*8*8 = 8192 > 3*32*32 = 3072, and the order stays for larger sizes.
    assert largest(steps, {"H": (32, None), "W": (32, None)}) is steps[0]


def test_a_term_that_wins_only_at_tiny_sizes_stays() -> None:
    """At H = W = 1 all maps are one element each, and the one with most channels is the largest."""
    steps = [64 * N * ((H + 1) // 2) * ((W + 1) // 2), 128 * N * ((H + 3) // 4) * ((W + 3) // 4)]
    form = largest(steps, {})
    assert evaluate(form, {"N": 1, "H": 1, "W": 1}) == 128
    assert evaluate(form, {"N": 1, "H": 64, "W": 64}) == 64 * 32 * 32


def test_coefficients_compare_after_shifting_to_lower_bounds() -> None:
    """(a - 2)(b - 2) with a, b >= 5 dominates (a - 3)(b - 3) although its expansion has smaller linear terms."""
    a, b = floordiv(H, 2), floordiv(W, 2)
    ranges = {"H": (10, None), "W": (10, None)}
    assert undominated([(a - 3) * (b - 3), (a - 2) * (b - 2)], ranges) == [(a - 2) * (b - 2)]


@given(st.integers(1, 5), st.integers(1, 5))
def test_cases_become_one_expression(length: int, batch: int) -> None:
    """7*N*S in general, 100 at S = 1 and 5 at S = N = 1."""
    one = const(1)
    at_s = all_of([Compare("==", symbol("S"), one), Compare(">=", N, const(2))])
    at_both = all_of([Compare("==", symbol("S"), one), Compare("==", N, one)])
    form = by_case([(all_of(()), 7 * N * symbol("S")), (at_s, const(100)), (at_both, const(5))])
    expected = 5 if length == batch == 1 else 100 if length == 1 else 7 * batch * length
    assert evaluate(form, {"S": length, "N": batch}) == expected


def test_a_case_that_changes_nothing_is_not_written_down() -> None:
    """Where the generic form already has the special value there, it stays as it is."""
    form = 7 * N * symbol("S")
    assert by_case([(all_of(()), form), (Compare("==", symbol("S"), const(1)), 7 * N)]) is form
    assert maximum(form, 0) is form


def test_sizes_without_a_value_are_left_out() -> None:
    """`S//(S//4)` has none below four, which a domain excludes; neither a maximum nor a case is asked for one."""
    length = symbol("S")
    per_group = floordiv(length, floordiv(length, const(4)))
    peak = largest([per_group * 100, length * 3], {"S": (1, None)})
    for size in (4, 37, 4096):
        assert evaluate(peak, {"S": size}) == max(100 * (size // (size // 4)), 3 * size)
    assert by_case([(all_of(()), per_group), (Compare("==", length, const(1)), length)]) is per_group
