"""Solving equals trying every value, and each proof names neighbours of which one holds and one fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxcost
from fxcost.errors import SpecError, UnknownName
from fxcost.ir.expr import Expr, const, floordiv, maximum, minimum, mod, symbol
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import AnyOf, Compare, Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.constraint_text import parse_constraint
from fxcost.query.quantity import Constraint, Quantity
from fxcost.query.solve import SCAN_LIMIT, Solution, solve
from tests.strategies import Shadowed, expressions, shadowed
from tests.support.commands import DATA

H, W, N = symbol("H"), symbol("W"), symbol("N")
COMPARE: dict[str, Callable[[int, Fraction | int], bool]] = {
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
}


def quantity(value: Expr, domain: tuple[Predicate, ...] = (), *symbols: SymbolInfo, name: str = "cost") -> Quantity:
    return Quantity(name, "bytes", value, domain=domain, symbols=symbols or (SymbolInfo("H"),))


def constrained(left: Quantity, op: str, right: object) -> Constraint:
    made = {"<=": left.__le__, "<": left.__lt__, ">=": left.__ge__, ">": left.__gt__}[op](right)
    assert isinstance(made, Constraint)
    return made


def members(solution: Solution, low: int, high: int, step: int) -> list[int]:
    """Every admissible value in the range."""
    return [
        value
        for first, last in solution.set
        for value in range(first, (high if last is None else min(last, high)) + 1, step)
        if low <= value
    ]


def check_shape(solution: Solution) -> None:
    """Intervals ascend and do not touch; `min` and `max` are their ends."""
    assert solution.feasible == bool(solution.set)
    assert solution.min == (solution.set[0][0] if solution.set else None)
    assert solution.max == (solution.set[-1][1] if solution.set else None)
    for (_, end), (start, _) in zip(solution.set, solution.set[1:], strict=False):
        assert end is not None
        assert end < start


# -- against trying every value ------------------------------------------------------------------------------------
@given(
    form=shadowed(("H",), 8),
    op=st.sampled_from(list(COMPARE)),
    bound=st.integers(-2000, 2000) | st.fractions(-500, 500, max_denominator=7),
    low=st.integers(1, 30),
    count=st.integers(1, 60),
    step=st.integers(1, 5),
)
def test_any_expression(form: Shadowed, op: str, bound: Fraction | int, low: int, count: int, step: int) -> None:
    high = low + count
    info = SymbolInfo("H", low, high, step)
    solution = solve([constrained(quantity(form.value), op, bound)], "H", [info])
    candidates = [h for h in range(low, high + 1) if h % step == 0]
    expected = [h for h in candidates if COMPARE[op](form.shadow({"H": h}), bound)]
    assert members(solution, low, high, step) == expected
    check_shape(solution)


GROWING = st.recursive(
    st.one_of(
        st.integers(0, 40).map(const),
        st.integers(1, 9).map(lambda k: H * k),
        st.builds(lambda k, d: floordiv(H + k, d), st.integers(0, 40), st.integers(1, 33)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: maximum(a, b), inner, inner),
        st.builds(lambda a, b: minimum(a, b), inner, inner),
    ),
    max_leaves=8,
)


@given(form=GROWING, bound=st.integers(0, 10**5), step=st.integers(1, 7))
def test_growing_forms_are_bisected_and_unbounded_ranges_solved(form: Expr, bound: int, step: int) -> None:
    """Sums, products and maxima of growing parts, as convolutions and peaks are made of."""
    solution = solve([quantity(form) <= bound], "H", [SymbolInfo("H", multiple_of=step)])
    assert solution.method == "bisection on a proved monotone form"
    at = quantity(form)
    expected = [h for h in range(step, 3000, step) if at(H=h) <= bound]
    assert members(solution, 1, 2999, step) == expected
    if solution.max is not None:
        assert at(H=solution.max) <= bound < at(H=solution.max + step), "the neighbour fails"
        _check_witnesses(solution, at)


def _check_witnesses(solution: Solution, at: Quantity) -> None:
    """Every `at H = 158 cost = 3,195,392 <= 3,200,000` in the proof is true, and one of each kind is there."""
    found = re.findall(r"at H = ([\d,]+) cost = (-?[\d,]+) (<=|<|>=|>) (-?[\d,]+) bytes", solution.proof)
    holds = set()
    for size, value, op, limit in ([part.replace(",", "") for part in row] for row in found):
        assert at(H=int(size)) == int(value)
        assert COMPARE[op](int(value), int(limit))
        holds.add(op)
    assert holds == {"<=", ">"}


@given(
    first=shadowed(("H",), 5),
    second=shadowed(("H",), 5),
    bounds=st.tuples(st.integers(-500, 500), st.integers(-500, 500)),
    ops=st.tuples(st.sampled_from(list(COMPARE)), st.sampled_from(list(COMPARE))),
)
def test_several_constraints_must_all_hold(
    first: Shadowed, second: Shadowed, bounds: tuple[int, int], ops: tuple[str, str]
) -> None:
    given_ = [constrained(quantity(f.value), o, b) for f, o, b in zip((first, second), ops, bounds, strict=True)]
    solution = solve(given_, "H", [SymbolInfo("H", 1, 50)])
    expected = [
        h
        for h in range(1, 51)
        if all(COMPARE[o](f.shadow({"H": h}), b) for f, o, b in zip((first, second), ops, bounds, strict=True))
    ]
    assert members(solution, 1, 50, 1) == expected
    check_shape(solution)


@given(left=shadowed(("H",), 5), right=shadowed(("H",), 5), op=st.sampled_from(list(COMPARE)))
def test_a_quantity_against_another(left: Shadowed, right: Shadowed, op: str) -> None:
    solution = solve([constrained(quantity(left.value), op, quantity(right.value))], "H", [SymbolInfo("H", 1, 50)])
    expected = [h for h in range(1, 51) if COMPARE[op](left.shadow({"H": h}), right.shadow({"H": h}))]
    assert members(solution, 1, 50, 1) == expected


@given(
    form=shadowed(("N", "H", "W"), 6),
    tie=st.sampled_from(["H", "2*H", "H + 3", "H//2 + 1", "max(H, 7)", "H*N"]),
    batch=st.integers(1, 9),
    bound=st.integers(-2000, 2000),
)
def test_given_and_tied_symbols(form: Shadowed, tie: str, batch: int, bound: int) -> None:
    symbols = [SymbolInfo("N"), SymbolInfo("H", 1, 40), SymbolInfo("W")]
    solution = solve([quantity(form.value, (), *symbols) <= bound], "H", symbols, at={"N": batch}, tie={"W": tie})
    expected = []
    for h in range(1, 41):
        width = eval(tie, {"max": max}, {"H": h, "N": batch})
        if form.shadow({"N": batch, "H": h, "W": width}) <= bound:
            expected.append(h)
    assert members(solution, 1, 40, 1) == expected


@given(
    form=expressions(("H",), 4),
    guard=st.sampled_from(
        [
            (Compare(">=", H, const(7)), lambda h: h >= 7),
            (Compare("<", H, const(23)), lambda h: h < 23),
            (Compare("!=", H, const(10)), lambda h: h != 10),
            (Compare("==", mod(H, 4), const(0)), lambda h: h % 4 == 0),
            (AnyOf((Compare("<", H, const(5)), Compare(">", H, const(30)))), lambda h: h < 5 or h > 30),
        ]
    ),
    bound=st.integers(-300, 300),
)
def test_the_domain_is_a_constraint(form: Expr, guard: tuple[Predicate, Callable[[int], bool]], bound: int) -> None:
    predicate, inside = guard
    solution = solve([quantity(form, (predicate,)) <= bound], "H", [SymbolInfo("H", 1, 50)])
    bare = quantity(form)
    assert members(solution, 1, 50, 1) == [h for h in range(1, 51) if inside(h) and bare(H=h) <= bound]


# -- single cases --------------------------------------------------------------------------------------------------
def test_every_value_may_satisfy() -> None:
    solution = solve([quantity(minimum(H, 100)) <= 320], "H", [SymbolInfo("H")])
    assert (solution.set, solution.max) == (((1, None),), None)
    assert "no H is too large" in solution.proof
    assert solve([quantity(H) >= 5], "H", [SymbolInfo("H")]).set == ((5, None),)
    assert solve([quantity(const(3)) <= 5], "H", [SymbolInfo("H", 4)]).set == ((4, None),)


def test_no_value_may_satisfy() -> None:
    for constraint in (quantity(H + 9) <= 9, quantity(minimum(H, 100)) > 100, quantity(const(3)) > 5):
        solution = solve([constraint], "H", [SymbolInfo("H")])
        assert not solution.feasible
        assert (solution.set, solution.min, solution.max) == ((), None, None)
        assert "no H satisfies this" in str(solution)


def test_numbers_beyond_64_bits() -> None:
    """The boundary of H**3 <= 10**90 is 10**30, found exactly."""
    solution = solve([quantity(H**3) <= 10**90], "H", [SymbolInfo("H")])
    assert solution.max == 10**30
    assert solve([quantity(H**3) <= 10**90 - 1], "H", [SymbolInfo("H")]).max == 10**30 - 1
    assert solve([quantity(H) >= 10**40], "H", [SymbolInfo("H")]).min == 10**40


def test_multiples() -> None:
    solution = solve([quantity(H * H) <= 10_000], "H", [SymbolInfo("H", 10, None, 32)])
    assert solution.set == ((32, 96),), "96 is the last multiple of 32 up to 100"
    assert not solve([quantity(H * H) <= 10_000], "H", [SymbolInfo("H", 97, 127, 32)]).feasible
    for form in (H, mod(H, 10)):
        nothing = solve([quantity(form) <= 9], "H", [SymbolInfo("H", 33, 63, 32)])
        assert "no H lies in its range: 33 <= H <= 63, a multiple of 32" in nothing.proof


def test_a_form_that_is_not_monotone_is_scanned() -> None:
    solution = solve([quantity(mod(H, 10)) <= 2], "H", [SymbolInfo("H", 1, 25)])
    assert solution.set == ((1, 2), (10, 12), (20, 22))
    assert solution.method == "scan of the range"
    assert "every H from 1 to 25 was tried" in solution.proof
    assert "at H = 23 cost = 3 > 2 bytes" in solution.proof


def test_a_scan_without_an_end_says_where_it_stopped() -> None:
    solution = solve([quantity(mod(H, 10)) <= 2], "H", [SymbolInfo("H")])
    assert f"beyond {SCAN_LIMIT:,} nothing is said" in solution.proof


def test_the_range_of_a_tied_symbol_holds_too() -> None:
    symbols = [SymbolInfo("H"), SymbolInfo("W", 32, 64)]
    solution = solve([quantity(H + W, (), *symbols) <= 10**6], "H", symbols, tie={"W": "H"})
    assert solution.set == ((32, 64),)
    halves = [SymbolInfo("H", 1, 20), SymbolInfo("W", multiple_of=4)]
    solution = solve([quantity(H + W, (), *halves) <= 10**6], "H", halves, tie={"W": "H"})
    assert members(solution, 1, 20, 1) == [4, 8, 12, 16, 20]


def test_standing_is_the_weakest() -> None:
    weak = Quantity("macs", "MAC", H, Standing.LOWER, (), (SymbolInfo("H"),))
    assert solve([weak <= 5, quantity(H) <= 9], "H", [SymbolInfo("H")]).standing is Standing.LOWER


@pytest.mark.parametrize(
    ("wrt", "at", "tie", "part"),
    [
        ("Q", {"N": 1}, {"W": "H"}, "cannot solve for 'Q'"),
        ("H", {}, {}, "also say what N, W is"),
        ("H", {"N": 1, "H": 3}, {"W": "H"}, "cannot be given as well"),
        ("H", {"N": 1, "W": 3}, {"W": "H"}, "both given and tied"),
        ("H", {"N": 1, "X": 3}, {"W": "H"}, "no symbol 'X'"),
        ("H", {"N": 1}, {"W": "Q"}, "neither H nor given"),
        ("H", {"N": 0}, {"W": "H"}, "outside its range"),
        ("H", {"N": 99}, {"W": "H"}, "outside its range"),
    ],
)
def test_wrong_requests(wrt: str, at: dict[str, int], tie: dict[str, str], part: str) -> None:
    symbols = [SymbolInfo("N", 1, 9), SymbolInfo("H"), SymbolInfo("W")]
    with pytest.raises(SpecError, match=part):
        solve([quantity(N * H * W, (), *symbols) <= 5], wrt, symbols, at, tie)


# -- a real model --------------------------------------------------------------------------------------------------
def test_a_network_is_solved_as_by_trying() -> None:
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir", activations="int8")
    for text in ("peak_memory <= 320KB", "macs < 50M", "total_activations >= 1M"):
        constraint = parse_constraint(text, cost.quantities)
        solution = cost.solve(constraint, wrt="H", at={"N": 1}, tie={"W": "H"})
        name, limit = constraint.quantity.name, constraint.bound.value.constant
        assert limit is not None
        holds = [h for h in range(1, 700) if COMPARE[constraint.op](cost.total(name)(N=1, H=h, W=h), limit)]
        assert members(solution, 1, 699, 1) == holds, text


# -- constraints as text -------------------------------------------------------------------------------------------
def test_constraints_as_text() -> None:
    known = {"macs": quantity(H, name="macs"), "peak_memory": quantity(H * 2, name="peak_memory")}
    assert str(parse_constraint("macs <= 320KB", known)) == "macs <= 320,000 bytes"
    assert str(parse_constraint(" macs<300M ", known)) == "macs < 300,000,000 bytes"
    assert str(parse_constraint("macs >= 1.5KiB", known)) == "macs >= 1,536 bytes"
    assert str(parse_constraint("macs > peak_memory", known)) == "macs > peak_memory"
    with pytest.raises(UnknownName, match="did you mean 'macs'"):
        parse_constraint("mac <= 3", known)
    for text in ("macs", "macs == 3", "<= 3", "macs <= 3 <= 4", "macs <= -3", "macs <= peak", ""):
        with pytest.raises((SpecError, UnknownName)):
            parse_constraint(text, known)
