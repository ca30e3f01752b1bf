"""Proofs: never a false one, and the true ones that models need."""

from __future__ import annotations

import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxcost.ir.expr import Expr, ceildiv, floordiv, maximum, symbol
from fxcost.ir.prove import monotone_reason, nonnegative_reason, proves_monotone, proves_nonnegative
from fxcost.ir.reader import parse_expr
from tests.strategies import Shadowed, points, shadowed

H, W, N = symbol("H"), symbol("W"), symbol("N")
FROM_32 = {"H": (32, None), "W": (32, None)}
GRID = [dict(zip("NHW", sizes, strict=True)) for sizes in product([1, 2, 3, 4, 7, 15, 16, 33], repeat=3)]


@settings(max_examples=600)
@given(shadowed(), st.integers(-5, 60), points(high=100_000))
def test_a_proof_is_never_refuted(drawn: Shadowed, offset: int, far: dict[str, int]) -> None:
    # The offset makes differences of the order of roundings, where proofs are decided.
    if proves_nonnegative(drawn.value + offset):
        for point in [far, *GRID]:
            assert drawn.shadow(point) + offset >= 0, point


@settings(max_examples=200)
@given(
    shadowed(),
    shadowed(size=4),
    st.tuples(st.integers(1, 9), st.integers(0, 12)),
    st.tuples(st.integers(1, 40), st.none()),
)
def test_proofs_over_ranges_hold_at_every_point(
    left: Shadowed, right: Shadowed, bounded: tuple[int, int], open_ended: tuple[int, None]
) -> None:
    ranges = {"N": (bounded[0], bounded[0] + bounded[1]), "H": open_ended}
    if proves_nonnegative(left.value - right.value, ranges):
        for n, h, w in product(range(bounded[0], bounded[0] + bounded[1] + 1), [0, 1, 2, 5, 31, 97], [1, 2, 3, 8, 100]):
            point = {"N": n, "H": open_ended[0] + h, "W": w}
            assert left.shadow(point) >= right.shadow(point), point


@settings(max_examples=200)
@given(shadowed(size=8), points())
def test_what_is_proven_to_grow_never_falls(drawn: Shadowed, start: dict[str, int]) -> None:
    if proves_monotone(drawn.value, "H"):
        values = [drawn.shadow({**start, "H": h}) for h in [*range(1, 70), start["H"] + 70, 10**6]]
        assert values == sorted(values)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.integers(-8, 8)), min_size=1, max_size=4),
    st.integers(-20, 20),
)
def test_one_symbol_is_decided(terms: list[tuple[int, int, int]], constant: int) -> None:
    """Sums of c*((H + a)//d): periodic plus linear, so a period beyond every offset decides the truth."""
    value = sum((floordiv(H + a, d) * c for a, d, c in terms), start=H * 0) + constant
    values = [sum((h + a) // d * c for a, d, c in terms) + constant for h in range(1, 3000)]
    assert proves_nonnegative(value) == (min(values) >= 0 and values[-1] >= values[-841])  # 840 = lcm(1..8)


@pytest.mark.parametrize("first", [1, 2, 4, 8])
@pytest.mark.parametrize("step", [2, 4, 32])
def test_strided_maps_shrink(first: int, step: int) -> None:
    # Every stride rounds up, and rounding up twice is rounding up once: the next map is never larger.
    assert proves_nonnegative(ceildiv(H, first) - ceildiv(H, first * step))
    larger, smaller = ceildiv(H, first) * ceildiv(W, first), ceildiv(H, first * step) * ceildiv(W, first * step)
    assert proves_nonnegative(64 * N * larger - 64 * N * smaller)


def test_a_threshold_matters() -> None:
    # 9*c2*c2 >= 8*(2*c4)*(2*c4): at 33 it is 9*17*17 = 2601 >= 8*18*18 = 2592, at 1 it is 9 < 32.
    value = 9 * 64 * ceildiv(H, 2) * ceildiv(W, 2) - 8 * 256 * ceildiv(H, 4) * ceildiv(W, 4)
    assert proves_nonnegative(value, FROM_32)
    assert not proves_nonnegative(value)
    # Without the 9/8 it is always true: 2*c4 >= c2.
    assert proves_nonnegative(256 * ceildiv(H, 4) * ceildiv(W, 4) - 64 * ceildiv(H, 2) * ceildiv(W, 2))


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("H*W", "interval arithmetic"),
        ("H*W - H - W + 1", "coefficients"),  # (H - 1)*(W - 1)
        ("(H - 5)**2", "smallest H"),
        ("H%7 + 7*(H//7) - H", "residue classes of H modulo 7"),
        ("H - N*(H//N)", "roundings"),
        ("H//N*N + N - 1 - H", "roundings"),
        ("H - max(1, H - 5)", "every argument of max"),
        ("max(H, 100)*N - H*N", "an argument of max"),
        ("max(H, W) - min(H, W)", "an argument of m"),
        ("max(N*H, W)*((max(H, W) + 1)//2) - W*((H + 1)//2)", "an argument of max"),
        ("((H + 996)//997)*997*N - N*H", "residue classes of H modulo 997"),
        ("((H + 996)//997)*((W + 990)//991)*997*991 - H*W", "residue classes of W"),  # too many for one grid
        ("10**30*H - 3*10**29*((H + 1)//2)", "residue classes of H modulo 2"),  # beyond 64 bits
        ("H*(W//(N + 1))*(N + 1) - H*W + H*N", "roundings"),
    ],
)
def test_arguments(text: str, argument: str) -> None:
    reason = nonnegative_reason(parse_expr(text))
    assert reason is not None
    assert argument in reason


@pytest.mark.parametrize(
    ("text", "high", "proven"),
    [
        ("1000*N - N*H", 1000, True),
        ("1000*N - N*H", 1001, False),
        ("(900 - H)*N*((H + 1)//2)", 900, True),
        ("5 - H//3 + H%3", 20, False),  # 5 - 6 + 0 at 18
        ("6 - H//3 + H%3", 20, True),
    ],
)
def test_upper_bounds_help(text: str, high: int, proven: bool) -> None:
    assert proves_nonnegative(parse_expr(text), {"H": (1, high)}) is proven


def test_empty_ranges_and_sizes_of_zero() -> None:
    assert proves_nonnegative(-H, {"H": (5, 4)})
    count = symbol("data_0")  # only the data decides it: may be 0
    assert proves_nonnegative(count)
    assert not proves_nonnegative(count - 1)
    assert proves_nonnegative(count - 1, {"data_0": (1, None)})


@pytest.mark.parametrize(
    ("text", "name", "argument"),
    [
        ("64*((H + 1)//2)*((W + 1)//2)", "H", "growing parts"),
        ("max(H, 100 - N)", "H", "growing parts"),
        ("3 - H//N", "N", "growing parts"),
        ("(H - 7)//2", "H", "growing parts"),
        ("N*W", "H", "does not occur"),
        ("H**2 - H", "H", "each step of H"),
        ("H - H//3", "H", "residue classes of H modulo 3"),
        ("H*W - 3*H", "H", None),  # falls where W < 3
        ("H%7", "H", None),
        ("100 - H", "H", None),
        ("H//N", "N", None),
    ],
)
def test_growth(text: str, name: str, argument: str | None) -> None:
    reason = monotone_reason(parse_expr(text), name)
    assert (argument is None) == (reason is None)
    assert reason is None or (argument is not None and argument in reason)


def test_growth_inside_a_range() -> None:
    value = parse_expr("20*H - H**2")  # rises up to 10
    assert proves_monotone(value, "H", {"H": (1, 10)})
    assert not proves_monotone(value, "H", {"H": (1, 11)})
    assert proves_monotone(value, "H", {"H": (7, 7)})


def test_a_grid_of_a_thousand_classes_is_quick() -> None:
    def net(k: int) -> Expr:
        return 64 * N * ceildiv(H, 2) * ceildiv(W, 2) + k * N - 64 * N * ceildiv(H, 32) * ceildiv(W, 32)

    proves_nonnegative(net(1))  # imports and compiles
    start = time.process_time()
    assert all(proves_nonnegative(net(k)) for k in range(2, 12))
    assert time.process_time() - start < 0.5  # about 1 ms each; a busy machine may take longer


def test_hopeless_claims_end_quickly() -> None:
    parts = [maximum(H * k, W * (20 - k), ceildiv(N * H, k + 2)) for k in range(1, 9)]
    value = sum(parts, start=H) - 7 * maximum(*(H * k * N + W for k in range(9))) + H**3
    start = time.process_time()
    proves_nonnegative(value)
    proves_monotone(value, "H")
    assert time.process_time() - start < 5
