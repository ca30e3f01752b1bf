"""Real graphs on every shipped machine: laws that no figure may break."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.passes._rates import LatencyFormula
from fxcost.passes.estimate import Estimate
from fxcost.target import load_target, targets
from tests.support.commands import DATA

MODELS = ("resnet18", "mobilenet_v2", "tiny_llama")


@cache
def model(name: str) -> Cost:
    return fxcost.analyze(DATA / f"{name}.mlir")


@cache
def formulas(name: str, target: str, dtype: str | None) -> Estimate:
    return model(name).on(target, dtype)


def number(value: object) -> float:
    """A known number, 0 for what is unknown."""
    assert value is None or isinstance(value, float)
    return value or 0.0


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(targets()),
    st.sampled_from([None, "fp16", "int8"]),
    st.tuples(st.integers(1, 64), st.integers(1, 700)),
)
def test_the_bound_is_the_lowest(name: str, target: str, dtype: str | None, sizes: tuple[int, int]) -> None:
    found, (n, size) = formulas(name, target, dtype), sizes
    at = {s: n if s == "N" else size for s in model(name).symbols}

    def seconds(formula: object) -> float:
        return formula.at(at) if isinstance(formula, LatencyFormula) else 0.0

    slack = 1 + 1e-12
    assert 0 <= seconds(found.bound) <= seconds(found.roofline) * slack
    assert seconds(found.bound) <= seconds(found.lecture) * slack


@pytest.mark.parametrize("target", targets())
def test_rows_add_up_and_say_what_binds(target: str) -> None:
    estimate = model("mobilenet_v2").on(target, at={"N": 1, "H": 96, "W": 96})
    rows = estimate.by_node()
    assert sum(row.t_s or 0.0 for row in rows) == pytest.approx(estimate.roofline or 0.0)
    assert sum(number(row.energy_j) for row in rows) == pytest.approx(estimate.energy or 0.0)
    for row in rows:
        assert row.binds in {"compute", "memory", "unknown"}
        levels = sum(row.t_level_s.values())  # type: ignore[arg-type]
        assert levels == pytest.approx(row.t_memory_s or 0.0)
        assert (row.binding_level is None) == (row.binds != "memory")
    parts = [*estimate.energy_dtypes.values(), *estimate.energy_levels.values()]
    assert sum(number(part) for part in parts) == pytest.approx(estimate.energy or 0.0)


# Energy by the 45 nm table over the roofline time is more than these chips can draw: their process is finer than the
# table's. An H200 reads 4.8e12 bytes a second: 160 pJ each are 768 W of its 700, without a single product.
TOO_HOT = {"a100-80gb-pcie", "h100-pcie", "h100-sxm", "h200-sxm"}


def test_average_power_is_below_the_design_power_or_there_is_a_warning() -> None:
    hot = set()
    for target in targets():
        limit = load_target(target).limits.tdp_w
        for name in ("resnet18", "tiny_llama"):
            for dtype in (None, "fp16"):
                at = {s: 8 if s == "N" else 256 for s in model(name).symbols}
                estimate = model(name).on(target, dtype, at)
                power = estimate.average_power_w
                if limit is None or power is None:
                    assert estimate.warnings == ()
                    continue
                assert bool(estimate.warnings) == (power > limit)
                if power > limit:
                    hot.add(target)
                    assert f"exceeds the {limit:g} W of {target}" in estimate.warnings[0]
    assert hot == TOO_HOT


def test_every_machine_estimates_in_a_type_that_it_has() -> None:
    for target in targets():
        dtypes = [dtype for dtype, _ in load_target(target).peaks]
        best = model("resnet18").on(target, dtypes[-1], {"N": 1, "H": 224, "W": 224})
        # 2 * 1,814,073,344 products cannot be done faster than the peak
        assert isinstance(best.bound, float)
        assert best.bound >= 2 * 1_814_073_344 / (load_target(target).peak(dtypes[-1]) or 1.0) * (1 - 1e-12)
