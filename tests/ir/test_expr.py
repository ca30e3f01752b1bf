"""Expressions: equal to plain integer arithmetic everywhere, and canonical where models rely on it."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxcost.errors import ModelError
from fxcost.ir.evaluate import compiled, evaluate, over_arrays
from fxcost.ir.expr import (
    ONE,
    ZERO,
    Expr,
    bounds,
    ceildiv,
    common_factor,
    const,
    exact_quotient,
    floordiv,
    is_nonnegative,
    maximum,
    minimum,
    mod,
    product,
    substitute,
    symbol,
    total,
)
from tests.strategies import Shadowed, expressions, points, shadowed

ROOT = Path(__file__).parents[2]
H, W, N, S = symbol("H"), symbol("W"), symbol("N"), symbol("S")


# -- values --------------------------------------------------------------------------------------------------------
@settings(max_examples=120)
@given(shadowed(), st.lists(points(), min_size=3, max_size=3))
def test_values_are_those_of_integer_arithmetic(drawn: Shadowed, at: list[dict[str, int]]) -> None:
    for point in at:
        assert evaluate(drawn.value, point) == drawn.shadow(point)


@given(shadowed(size=6), shadowed(size=6), points())
def test_a_difference_of_zero_means_equal_values(left: Shadowed, right: Shadowed, point: dict[str, int]) -> None:
    assert ((left.value - right.value) is ZERO) == (left.value is right.value)
    if left.value is right.value:
        assert left.shadow(point) == right.shadow(point)


@settings(max_examples=120)
@given(shadowed(), st.lists(points(high=5000), min_size=1, max_size=6))
def test_arrays_agree_with_single_points(drawn: Shadowed, at: list[dict[str, int]]) -> None:
    columns = [np.array([point[name] for point in at]) for name in ("N", "H", "W")]
    got = over_arrays(drawn.value, ("N", "H", "W"))(*columns)
    assert got.shape == (len(at),)
    assert [int(x) for x in got] == [drawn.shadow(point) for point in at]


@settings(max_examples=100)
@given(shadowed(), st.lists(st.integers(2**20, 2**70), min_size=3, max_size=3))
def test_arrays_are_exact_beyond_64_bits(drawn: Shadowed, sizes: list[int]) -> None:
    point = dict(zip(("N", "H", "W"), sizes, strict=True))
    got = over_arrays(drawn.value, ("N", "H", "W"))(*(np.array([s], dtype=object) for s in sizes))
    assert int(got[0]) == drawn.shadow(point)


def test_arrays_that_would_wrap_around_do_not() -> None:
    sizes = np.array([2**31, 2**33], dtype=np.int64)
    got = over_arrays(H * W, ("H", "W"))(sizes, sizes)
    assert [int(x) for x in got] == [2**62, 2**66]
    cancelling = over_arrays(H * H - W * W + 1, ("H", "W"))(sizes, sizes)  # the parts overflow, the value does not
    assert [int(x) for x in cancelling] == [1, 1]
    assert int(over_arrays(H, ("H",))(np.array([2**63 + 5], dtype=np.uint64))[0]) == 2**63 + 5


def test_arrays_broadcast_and_refuse_fractions() -> None:
    both = over_arrays(H * 100 + W, ("H", "W"))
    assert both(np.arange(1, 4)[:, None], np.arange(1, 3)).tolist() == [[101, 102], [201, 202], [301, 302]]
    assert over_arrays(const(7), ("H",))(np.arange(1, 4)).tolist() == [7, 7, 7]
    assert over_arrays(H, ("H",))(np.array([], dtype=np.int64)).shape == (0,)
    with pytest.raises(ModelError, match="must be integers"):
        over_arrays(H, ("H",))(np.array([1.5]))


def test_missing_symbols_are_named() -> None:
    with pytest.raises(ModelError, match="W"):
        evaluate(H * W, {"H": 2})
    with pytest.raises(ModelError, match="W"):
        compiled((H * W,), ("H",))
    assert compiled((H * W, H + W), ("W", "H"))(3, 5) == (15, 8)


# -- canonical forms -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("d", [2, 3, 7, 32])
def test_idioms_of_rounding_up_meet(d: int) -> None:
    up = ceildiv(H, d)
    assert floordiv(H - 1, d) + 1 is up  # convolutions: (H + 2p - k)//s + 1
    assert -floordiv(-H, d) is up
    assert floordiv(H + d - 1, d) is up
    assert floordiv(-1 * (H + d - 1), -d) is up
    assert floordiv(5 * H - 5 * 1, 5 * d) + 1 is up
    assert str(up) == f"(H + {d - 1})//{d}"


@given(st.integers(1, 40), st.integers(1, 40), st.integers(-50, 50), st.integers(-50, 50))
def test_nested_divisions_fold_into_one(a: int, b: int, inner: int, outer: int) -> None:
    folded = floordiv(floordiv(H + inner, a) + outer, b)
    assert folded is floordiv(H + inner + a * outer, a * b)


@given(expressions(size=5), expressions(size=5), st.integers(1, 60))
def test_whole_multiples_leave_a_division(x: Expr, y: Expr, d: int) -> None:
    assert mod(d * x + y, d) is mod(y, d)
    if all(c > 0 for z in (x, y) for m, c in z.terms.items() if m):  # -y//d is rounded up instead: -((y + d - 1)//d)
        assert floordiv(d * x + y, d) is x + floordiv(y, d)


@settings(max_examples=60)
@given(expressions(), expressions(), expressions())
def test_a_commutative_ring(x: Expr, y: Expr, z: Expr) -> None:
    assert x + y is y + x
    assert x * y is y * x
    assert (x + y) + z is x + (y + z)
    assert (x + y) * z is x * z + y * z
    assert x - x is ZERO
    assert x * 1 is x
    assert x * 0 is ZERO
    assert x**3 is x * x * x
    assert total([x, y, 3, z]) is x + y + z + 3
    assert product([x, y]) is x * y


@settings(max_examples=60)
@given(expressions(size=4), expressions(size=4), expressions(size=4))
def test_extremes_do_not_depend_on_order(x: Expr, y: Expr, z: Expr) -> None:
    assert maximum(x, x) is x
    assert minimum(x) is x
    for point in ({"N": 1, "H": 2, "W": 3}, {"N": 50, "H": 7, "W": 1}):
        values = {evaluate(maximum(*order), point) for order in ((x, y, z), (z, y, x), (y, x, z))}
        assert values == {max(evaluate(v, point) for v in (x, y, z))}


@given(st.integers(1, 5), st.integers(2, 9), st.integers(-12, 12), st.integers(1, 300))
def test_whole_windows_are_compared_with_what_they_are_cut_from(times: int, window: int, more: int, size: int) -> None:
    """`window*(size//window)` is at most `size`: no minimum of the two is needed; where one is, it stays one."""
    whole = floordiv(N + more, const(window)) * window * times
    for extreme, builtin in ((minimum, min), (maximum, max)):
        found = evaluate(extreme(whole, N * times), {"N": size})
        assert found == builtin(times * window * ((size + more) // window), times * size)
    assert minimum(floordiv(N, const(window)) * window, N) is floordiv(N, const(window)) * window
    assert (
        maximum(floordiv(N + window - 1, const(window)) * window, N) is floordiv(N + window - 1, const(window)) * window
    )


def test_dominated_arguments_disappear() -> None:
    assert maximum(H, H + W, 0) is H + W
    assert maximum(H, 1) is H  # sizes are positive
    assert maximum(symbol("data_0"), 1) is not symbol("data_0")  # a count that the data decides may be 0
    assert maximum(2 * N * H, 2 * N * W) is 2 * N * maximum(H, W)
    assert maximum(maximum(H, W), N) is maximum(H, maximum(W, N))
    assert minimum(H, H * W) is H


@given(expressions(size=5), expressions(size=5))
def test_exact_quotients_multiply_back(x: Expr, y: Expr) -> None:
    if y is not ZERO:
        assert exact_quotient(x * y, y) is x
        quotient = exact_quotient(x, y)
        assert quotient is None or quotient * y is x


def test_division_by_a_symbol_keeps_what_divides() -> None:
    assert floordiv(N * S + 3, S) is N + floordiv(3, S)
    assert floordiv(N * S, S) is N
    assert mod(N * S, S) is ZERO
    assert floordiv(H * W * N, H * N) is W


@given(st.lists(expressions(size=4), min_size=1, max_size=3))
def test_a_common_factor_divides(values: list[Expr]) -> None:
    factor = common_factor(values)
    assert is_nonnegative(factor)
    for value in values:
        assert value is ZERO or exact_quotient(value, factor) is not None


def test_powers_and_zero_divisors_are_refused() -> None:
    with pytest.raises(ModelError, match="negative exponent"):
        _ = H**-1
    for operation in (floordiv, mod):
        with pytest.raises(ModelError, match="by zero"):
            operation(H, 0)
    with pytest.raises(ModelError, match="not a symbol name"):
        symbol("a-b")
    with pytest.raises(ModelError, match="terms"):
        _ = product(symbol(f"a{i}") + 1 for i in range(16))


# -- bounds --------------------------------------------------------------------------------------------------------
def inside(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


@settings(max_examples=150)
@given(shadowed(), st.tuples(st.integers(1, 20), st.integers(0, 20)), points(high=10**6))
def test_bounds_contain_every_value(drawn: Shadowed, limits: tuple[int, int], far: dict[str, int]) -> None:
    low, high = bounds(drawn.value)
    value = drawn.shadow(far)
    assert inside(value, low, high)
    first, span = limits
    low, high = bounds(drawn.value, {"N": (first, first + span), "H": (first, None)})
    for n in {first, first + span // 2, first + span}:
        value = drawn.shadow({**far, "N": n, "H": first + far["H"] - 1})
        assert inside(value, low, high)


def test_bounds_of_huge_numbers() -> None:
    huge = maximum(10**299, N) * maximum(10**299, W) * H  # 10**598 has no float
    assert bounds(huge) == (10**598, None)
    assert bounds(-huge) == (None, -(10**598))


# -- substitution --------------------------------------------------------------------------------------------------
@settings(max_examples=120)
@given(shadowed(), shadowed(size=4), points())
def test_substitution_is_evaluation_at_the_image(outer: Shadowed, inner: Shadowed, point: dict[str, int]) -> None:
    image = maximum(1, inner.value)  # symbols stand for positive sizes, and so must what replaces them
    replaced = substitute(outer.value, {"H": image})
    assert evaluate(replaced, point) == outer.shadow({**point, "H": max(1, inner.shadow(point))})


@given(shadowed(), points())
def test_a_full_substitution_is_a_number(drawn: Shadowed, point: dict[str, int]) -> None:
    assert substitute(drawn.value, point).constant == drawn.shadow(point)
    assert substitute(drawn.value, {"absent": 3}) is drawn.value


# -- identity ------------------------------------------------------------------------------------------------------
@given(expressions())
def test_copies_are_the_same_object(value: Expr) -> None:
    assert pickle.loads(pickle.dumps(value)) is value
    assert copy.deepcopy(value) is value
    assert copy.copy(value) is value


def test_identity_in_another_process(tmp_path: Path) -> None:
    """Serial numbers of atoms differ between processes; identity must not depend on them."""
    made = [ceildiv(H, 2) * W * N + maximum(H, 7 * W), mod(N * W, H + 1) ** 2, floordiv(W * H, N) * H * N, ONE, ZERO]
    (tmp_path / "made.pickle").write_bytes(pickle.dumps(made))
    script = f"""
import pickle, pathlib
from fxcost.ir.reader import parse_expr
for name in "NWSH":  # other serial numbers than in the first process
    parse_expr("5*" + name)
loaded = pickle.loads(pathlib.Path({str(tmp_path / "made.pickle")!r}).read_bytes())
assert loaded == [parse_expr(text) for text in {[str(m) for m in made]!r}], loaded
pathlib.Path({str(tmp_path / "back.pickle")!r}).write_bytes(pickle.dumps(loaded))
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2], timeout=60)
    back = pickle.loads((tmp_path / "back.pickle").read_bytes())
    assert all(a is b for a, b in zip(made, back, strict=True))


HISTORY = """
import sys
from fxcost.ir.printing import name_parts, python
from fxcost.ir.reader import parse_expr

texts = [
    "(H//2)*(W//2)*N + ((H + 3)//4)*((W + 3)//4)*5 + (H//3)*(W//3) - 2*(H//3) - 2*(W//3)",
    "H*W + H*N - 2*H - 2*W - 2*N",  # H can be taken into either product
    "((N*(H//2) + 5)//7)*(W//2) + ((N*(W//2) + 5)//7)**2 + ((N*(H//2) + 5)//7) + (N//9)*((H + 3)//4) + (N//9)**2",
    "max(S*(W//2), N*N, ((W + 3)//4)*(S%7), S%7)",
]
parts = "H W N S H//2 W//2 (H+3)//4 (W+3)//4 H//3 W//3 N//9 (N*(H//2)+5)//7 (N*(W//2)+5)//7 S%7".split()
backwards = sys.argv[1] == "backwards"
kept = [parse_expr(text) for text in (parts[::-1] if backwards else parts)]
if backwards:
    kept.append(sum((kept[i] * kept[j] for i in range(len(kept)) for j in range(i)), start=kept[0]))
values = [parse_expr(text) for text in (texts[::-1] if backwards else texts)]
values = values[::-1] if backwards else values
names = name_parts(values)
print(list(names.values()), *(python(value) for value in values), *(python(value, names) for value in values), sep="\\n")
"""


def test_the_text_does_not_depend_on_what_was_built_before() -> None:
    def printed(order: str) -> str:
        run = [sys.executable, "-c", HISTORY, order]
        return subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT, timeout=60).stdout

    assert printed("forwards") == printed("backwards")
    # small divisors first; a part after those inside it
    assert printed("forwards").splitlines()[0] == "['p1', 'p2', 'p3', 'p4', 'H4', 'W4', 'p5', 'p6', 'p7']"


def test_questions() -> None:
    value = ceildiv(H, 2) * W + 3
    assert value.symbols == {"H", "W"}
    assert value.constant is None
    assert (const(5).constant, ZERO.constant) == (5, 0)
    assert str(value) == "((H + 1)//2)*W + 3"
    assert repr(value) == "Expr(((H + 1)//2)*W + 3)"


def test_a_divisor_beyond_64_bits_does_not_wrap_around() -> None:
    """(2**16)**4 is 0 in 64 bits, and (2**17 + 1)**4 some other number."""
    for value in (floordiv(H, H**4), floordiv(const(-17), H**4), mod(H * H, maximum(2, H) ** 5)):
        sizes = [3, 1 << 16, (1 << 17) + 1, 1 << 40]
        found = over_arrays(value, ("H",))(np.array(sizes))
        assert [int(v) for v in found] == [evaluate(value, {"H": size}) for size in sizes]
