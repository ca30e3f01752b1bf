"""Fitting what a runtime achieves: made-up machines whose shares are known are found again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxcost.errors import SpecError
from fxcost.passes._achieved import Manner, Run, Sample, accuracy, fit, left_out
from fxcost.target import Share

Terms = tuple[float, float, float, float]
AMOUNTS = st.floats(1e-5, 1e-3)


def op(name: str, fixed: float, slowness: Terms, terms: Terms) -> Sample:
    """An op on a machine that obeys the model."""
    seconds = fixed + sum(x * t for x, t in zip(slowness, terms, strict=True))
    return Sample(name, seconds, *terms)


def run(name: str, samples: Sequence[Sample], between: float = 0.0) -> Run:
    return Run(name, tuple(samples), sum(s.seconds for s in samples) + between * len(samples), name)


@settings(max_examples=40, deadline=None)
@given(
    fixed=st.floats(0, 1e-4),
    slowness=st.tuples(*[st.floats(0.2, 20)] * 4),
    rows=st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), min_size=30, max_size=60, unique=True),
    between=st.floats(0, 1e-5),
)
def test_predicts_a_machine_that_obeys_the_model(
    fixed: float, slowness: Terms, rows: list[Terms], between: float
) -> None:
    """Terms may trade places where rows hardly differ, but every op of the fit is predicted."""
    samples = [op("conv", fixed, slowness, terms) for terms in rows]
    found = fit([run("one", samples, between)], manner=Manner(pull=1e-7))
    for sample in samples:
        assert found.seconds(sample) == pytest.approx(sample.seconds + between, rel=2e-2)


def test_recovers_every_parameter() -> None:
    """One column varies at a time, so that nothing can trade places."""
    columns: list[Terms] = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    rows = [tuple(1e-4 * step * c for c in column) for column in columns for step in (1, 2, 4, 8)]
    samples = [op("pool_max", 2e-5, (1.25, 50.0, 0.5, 2.0), row) for row in rows]  # type: ignore[arg-type]
    found = fit([run("one", samples, between=3e-6)], manner=Manner(pull=1e-8))
    assert found.slowness["pool_max"] == pytest.approx((1.25, 50.0, 0.5, 2.0), rel=1e-3)
    assert found.between_s == pytest.approx(3e-6, rel=1e-3)
    assert found.fixed_s["pool_max"] == pytest.approx(2.3e-5, rel=1e-3)
    assert found.shares() == (("pool_max", Share(compute=0.8, memory=2.0, vector=0.02, weights=0.5)),)


@settings(max_examples=20, deadline=None)
@given(slow=st.floats(0.3, 10), steps=st.lists(st.integers(1, 1000), min_size=5, max_size=20, unique=True))
def test_terms_that_the_data_do_not_exercise_keep_the_data_sheet(slow: float, steps: list[int]) -> None:
    """No op moves a weight, and other operations are next to nothing: both shares stay 1."""
    samples = [op("conv", 0, (slow, 5, 1, 1), (1e-6 * n, 1e-12 * n, 0, 0)) for n in steps]
    products, other, activations, weights = fit([run("one", samples)]).slowness["conv"]
    assert activations == pytest.approx(1, abs=1e-9)
    assert weights == pytest.approx(1, abs=1e-9)
    assert other == pytest.approx(1, abs=1e-3)
    assert products == pytest.approx(slow, rel=0.1)


def test_a_class_never_measured_goes_by_its_family_else_by_the_data_sheet() -> None:
    conv = [op("conv", 1e-5, (2, 1, 1, 1), (1e-4 * n, 0, 0, 0)) for n in (1, 2, 3)]
    view = [Sample("view", 1e-6)] * 3
    found = fit([run("one", [*conv, *view])], manner=Manner(pull=1e-6))
    grouped, gather = Sample("conv_grouped", 1.0, 1e-4), Sample("embedding", 1.0, 0, 0, 1e-4)
    assert found.seconds(grouped) == pytest.approx(2.1e-4, rel=1e-2)
    assert found.seconds(gather) == pytest.approx(1e-4 + 1e-6, rel=1e-2)  # the quickest class's fixed time


def test_one_disturbed_measurement_does_not_decide() -> None:
    good = [op("conv", 1e-5, (2, 1, 1, 1), (1e-5 * n, 0, 0, 0)) for n in range(1, 21)]
    bad = Sample("conv", 20 * good[9].seconds, *good[9].terms)
    found = fit([Run("one", (*good, bad), sum(s.seconds for s in good), "one")], manner=Manner(pull=1e-6))
    assert found.slowness["conv"][0] == pytest.approx(2, rel=0.15)


def test_one_odd_run_does_not_decide_what_lies_between_ops() -> None:
    """Five runs take 3 us more an op than their ops alone, one takes half of them: less than nothing in between."""
    runs = [
        run(f"{n}", [op("conv", 1e-5, (2, 1, 1, 1), (1e-4 * n * k, 0, 0, 0)) for k in range(1, 9)], between=3e-6)
        for n in range(1, 6)
    ]
    odd = Run("odd", runs[2].samples, runs[2].seconds / 2, "odd")
    assert fit(runs, manner=Manner(pull=1e-7)).between_s == pytest.approx(3e-6, rel=0.05)
    assert fit([*runs, odd], manner=Manner(pull=1e-7)).between_s == pytest.approx(3e-6, rel=0.05)
    assert fit([odd], manner=Manner(pull=1e-7)).between_s == 0


def test_left_out_runs_are_predicted_without_their_group() -> None:
    """Three groups run conv at one speed, the fourth at another: nobody can know that in advance."""
    alike = [
        Run(f"{name}{n}", (op("conv", 0, (2, 1, 1, 1), (1e-3 * n, 0, 0, 0)),), 2e-3 * n, name)
        for name in "abc"
        for n in (1, 2)
    ]
    other = Run("d", (op("conv", 0, (8, 1, 1, 1), (1e-3, 0, 0, 0)),), 8e-3, "d")
    predicted = left_out([*alike, other], manner=Manner(pull=1e-6))
    assert predicted[-1] == pytest.approx(2e-3, rel=0.05)


def test_accuracy_by_hand() -> None:
    """Ratios 1.1, 0.9, 1: mean error 2/30, bias the cube root of 0.99, order kept."""
    found = accuracy([1.1, 1.8, 3.0], [1.0, 2.0, 3.0])
    assert found.n == 3
    assert found.rank == pytest.approx(1.0)
    assert found.mean == pytest.approx(0.2 / 3)
    assert found.median == pytest.approx(0.1)
    assert found.worst == pytest.approx(0.1)
    assert found.bias == pytest.approx(math.pow(0.99, 1 / 3))
    assert str(found) == "6.7 % (median 10.0, worst 10), bias 1.00, Spearman 1.000, n = 3"


def test_nothing_to_fit() -> None:
    with pytest.raises(SpecError, match="nothing was measured"):
        fit([])
    with pytest.raises(SpecError, match="nothing was measured"):
        fit([Run("empty", (), 1.0)])
