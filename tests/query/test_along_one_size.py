"""Residue classes, comparisons, pieces and latencies along one size: each equals trying every value, far ones too."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.errors import SpecError, UnknownName
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import floordiv, maximum, symbol
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.classes import period_of, polynomial, sign_beyond
from fxcost.query.compare import compare
from fxcost.query.crossover import NEAR, Question
from fxcost.query.pieces import alternatives, pieces_along
from fxcost.query.quantity import Quantity
from tests.strategies import Shadowed, shadowed
from tests.support.commands import DATA, answer

H = symbol("H")
INFO = SymbolInfo("H")
FAR = (4096, 4097, 5000, 10_007, 65_536, 1_000_003, (1 << 40) + 7)
"""Sizes beyond everything that is looked at one by one."""


def quantity(name: str, value: object) -> Quantity:
    return Quantity(name, "bytes", value, symbols=(INFO,))  # type: ignore[arg-type]


# -- residue classes -------------------------------------------------------------------------------------------------
@given(shadowed(("H",), 10), st.integers(1, 50), st.integers(1, 6))
def test_a_polynomial_of_a_class_is_the_value_there(drawn: Shadowed, first: int, step: int) -> None:
    period = period_of((drawn.value,), "H", first, step)
    assume(period)
    for start in range(first, first + min(period, 5 * step), step):
        found = polynomial(drawn.value, "H", start, period)
        assert found is not None
        for k in (0, 1, 2, 17, 1000):
            assert sum(c * k**i for i, c in enumerate(found)) == drawn.shadow({"H": start + period * k})


@given(shadowed(("H",), 10), st.integers(1, 40))
def test_a_sign_that_is_proven_holds_at_every_size(drawn: Shadowed, first: int) -> None:
    sign = sign_beyond(drawn.value, "H", first, 1)
    assume(sign is not None)
    for size in (*range(first, first + 70), *FAR):
        assert (drawn.shadow({"H": size}) >= 0) is (sign == 1)


def test_a_maximum_takes_the_term_that_grows_beyond_all_others() -> None:
    """max(100*H, H*H) is H*H from 100 on, and nothing is claimed from 50 on, where the other one still rules."""
    value = maximum(100 * H, H * H)
    assert polynomial(value, "H", 100, 1) == (10_000, 200, 1)
    assert polynomial(value, "H", 50, 1) is None


# -- comparisons -----------------------------------------------------------------------------------------------------
@settings(max_examples=200, deadline=None)
@given(shadowed(("H",), 8), shadowed(("H",), 8))
def test_a_comparison_equals_brute_force(a: Shadowed, b: Shadowed) -> None:
    found = compare(quantity("a", a.value), quantity("b", b.value), Question("H", (INFO,)), ("a", "b"), "bytes")
    for size in (*range(1, NEAR + 50, 7), *range(1, 60), *FAR):
        left, right = a.shadow({"H": size}), b.shadow({"H": size})
        answer = found.cheaper_at(size)
        if answer is not None or size <= NEAR:
            assert answer == ("a" if left < right else "b" if right < left else "equal"), size


def test_the_crossing_of_two_models_is_exact() -> None:
    """A language model in S against a CNN at one size: the crossing is where brute force finds it."""
    llama, resnet = fxcost.analyze(DATA / "tiny_llama.mlir"), fxcost.analyze(DATA / "resnet18.mlir")
    found = llama.compare(resnet, "macs", at={"N": 1, "H": 64, "W": 64})
    limit = resnet.macs(N=1, H=64, W=64)
    first = next(s for s in range(1, 10_000) if llama.macs(N=1, S=s) > limit)
    assert found.crossings == (first,)
    assert found.less == ((1, first - 1),)
    assert found.more == ((first, None),)


@pytest.mark.parametrize("metric", ["lecture", "bound", "roofline", "calibrated", "energy"])
def test_two_machines_compare_as_their_estimates_do(metric: str) -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    found = cost.compare(cost, metric, at={"N": 1}, tie={"W": "H"}, target=("t4", "epyc-9654"))
    assert found.names == ("t4", "epyc-9654")
    sides = [getattr(cost.on(name), metric) for name in found.names]
    for size in (1, 2, 7, 32, 224, 500, 1025, 3000, 100_000):
        values = [side(N=1, H=size, W=size) for side in sides]
        if abs(values[0] - values[1]) > 1e-9 * max(values):
            assert found.cheaper_at(size) == found.names[values[0] > values[1]]


def test_precisions_are_told_apart_by_name() -> None:
    plain, narrow = (fxcost.analyze(DATA / "mobilenet_v2.mlir", activations=a) for a in (None, "int8"))
    found = plain.compare(narrow, "peak_memory", at={"N": 1}, tie={"W": "H"})
    assert found.names == ("activations as they are", "activations int8")
    assert found.more == ((1, None),)
    assert found.less == found.equal == ()


def test_a_map_over_two_sizes_is_the_comparison_at_each_pair() -> None:
    llama, resnet = fxcost.analyze(DATA / "tiny_llama.mlir"), fxcost.analyze(DATA / "resnet18.mlir")
    found = llama.compare_over(resnet, {"S": range(1, 900, 60), "H": range(32, 129, 16)}, at={"N": 2, "W": 64})
    for i, length in enumerate(found.rows):
        for j, height in enumerate(found.columns):
            difference = llama.macs(N=2, S=length) - resnet.macs(N=2, H=height, W=64)
            assert found.signs[i, j] == (difference > 0) - (difference < 0)
    assert len({len(line) for line in str(found).splitlines()[2:]}) == 1


def test_wrong_comparisons_are_refused() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    with pytest.raises(SpecError, match="all but one of H, W"):
        cost.compare(cost, at={"N": 1})
    with pytest.raises(SpecError, match="say on which"):
        cost.compare(cost, "roofline", at={"N": 1}, tie={"W": "H"})
    with pytest.raises(UnknownName, match="did you mean"):
        cost.compare(cost, "mac", at={"N": 1}, tie={"W": "H"})
    with pytest.raises(SpecError, match="two symbols"):
        cost.compare_over(cost, {"H": [1]}, at={"N": 1, "W": 1})


# -- latency and energy ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("target", ["h100-sxm", "raspberry-pi-4", "epyc-9654", "stm32h743"])
@pytest.mark.parametrize("metric", ["lecture", "roofline", "energy"])
def test_the_largest_size_within_a_latency_is_the_last_one_that_keeps_it(target: str, metric: str) -> None:
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir")
    formula = cost.rate(metric, target)
    limit = formula.at({"N": 1, "H": 300, "W": 300}) * 1.0001
    found = cost.solve(formula <= limit, wrt="H", at={"N": 1}, tie={"W": "H"})
    assert found.max is not None
    inside, outside = (formula.at({"N": 1, "H": size, "W": size}) for size in (found.max, found.max + 1))
    assert inside <= limit < outside
    assert f"at H = {found.max + 1:,}" in found.proof


def test_a_latency_and_a_quantity_together() -> None:
    cost = fxcost.analyze(DATA / "tiny_llama.mlir")
    roofline = cost.rate("roofline", "t4")
    alone = [cost.solve(c, wrt="S", at={"N": 1}) for c in (roofline < 0.001, cost.peak_memory <= 5_000_000)]
    both = cost.solve([roofline < 0.001, cost.peak_memory <= 5_000_000], wrt="S", at={"N": 1})
    assert both.max == min(s.max for s in alone if s.max is not None)
    assert "states no bandwidth for l2" in both.proof, "a figure that is missing makes it a bound, and that is said"
    assert both.standing == "lower"


def test_limits_are_taken_as_written() -> None:
    """0.1 is a tenth, not the nearest binary fraction; and a constraint is no truth value."""
    formula = fxcost.analyze(DATA / "resnet18.mlir").rate("lecture", "t4")
    assert (formula <= 0.1).limit == Fraction(1, 10)
    with pytest.raises(fxcost.errors.ModelError, match="no truth value"):
        bool(formula <= 0.1)
    for wrong in (float("nan"), float("inf"), "1ms", True):
        with pytest.raises(SpecError, match="expected a"):
            formula.against("<=", wrong)


# -- pieces ----------------------------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None)
@given(st.lists(shadowed(("H",), 5), min_size=1, max_size=4))
def test_the_ruling_term_is_the_value_everywhere(drawn: list[Shadowed]) -> None:
    value = maximum(*(d.value for d in drawn))
    found = pieces_along(value, INFO, {})
    for size in (*range(1, 80), *FAR):
        term = found.at(size)
        assert term is not None or size > 4096
        if term is not None:
            assert evaluate(term, {"H": size}) == max(d.shadow({"H": size}) for d in drawn)


def test_boundaries_are_where_the_next_term_takes_over() -> None:
    cost = fxcost.analyze(DATA / "tiny_llama.mlir")
    found = cost.pieces("peak_memory", at={"N": 1})
    assert not found.open
    for size, _ in found.boundaries:
        before, after = found.at(size - 1), found.at(size)
        assert before is not None
        assert after is not None
        assert evaluate(after, {"S": size}) >= evaluate(before, {"S": size})
        assert evaluate(after, {"S": size - 1}) <= evaluate(before, {"S": size - 1})
    for size in (1, 100, 1330, 1331, 5000, 100_000):
        term = found.at(size)
        assert term is not None
        assert evaluate(term, {"S": size}) == cost.peak_memory(N=1, S=size)


def test_maxima_inside_floors_are_left_alone() -> None:
    value = floordiv(maximum(3 * H, H * H), 2) + maximum(H, 7)
    assert all(
        evaluate(value, {"H": h}) == max(evaluate(t, {"H": h}) for t in alternatives(value)) for h in range(1, 30)
    )


@pytest.mark.parametrize(("name", "target"), [("mobilenet_v2", "t4"), ("tiny_llama", "h100-sxm"), ("resnet18", "l4")])
def test_the_latency_of_a_piece_is_the_roofline(name: str, target: str) -> None:
    """At both ends of every piece, and far out in the last one, its plain sum is the sum of maxima."""
    cost = fxcost.analyze(DATA / f"{name}.mlir")
    tie = {"W": "H"} if "H" in cost.symbols else {}
    roofline = cost.rate("roofline", target)
    pieces = cost.latency_pieces(target, at={"N": 1}, tie=tie)
    assert pieces
    assert pieces[-1].where[1] is None
    for piece in pieces:
        low, high = piece.where
        for size in (low, high or low + 10**6):
            point = dict.fromkeys(cost.symbols, size) | {"N": 1}
            assert piece.formula.at(dict.fromkeys(piece.formula.symbols, size)) == pytest.approx(
                roofline.at(point), rel=1e-9
            )
    for before, after in pairwise(pieces):
        assert before.where[1] is not None
        assert before.where[1] < after.where[0]
        assert (before.memory, before.compute) != (after.memory, after.compute)


def test_pieces_of_a_latency_on_the_command_line() -> None:
    """Attention turns compute-bound on an H100 from 64 tokens on; nothing else does."""
    line = "crossover DATA/tiny_llama.mlir --target h100-sxm --at N=1 --pieces"
    text = answer(line)
    assert "S <= 63: 101 ops memory-bound, 7 compute-bound" in text
    assert "turned: scaled_dot_product_attention, scaled_dot_product_attention_1" in text
    found = json.loads(answer(f"{line} --json"))["targets"]["h100-sxm"]
    assert [piece["where"] for piece in found] == [[1, 63], [64, None]]
