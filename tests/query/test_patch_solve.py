"""Patches as an answer: every p and every size against all stages tried by force; peaks as polynomials against the sweep."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError, UnknownName
from fxcost.passes._patch_setting import Setting, setting_of
from fxcost.passes._patch_sweep import Grid, Sweep
from fxcost.passes.patch import least_stage, lower_bound, one_stage
from fxcost.query.patch_peak import PatchedPeak, Piece, envelope, within
from tests.support.commands import DATA, answer, shell

TIED: dict[str, Any] = {"at": {"N": 1}, "tie": {"W": "H"}}


@cache
def short(accounting: str = "eager", activations: str | None = None, count: int = 14) -> Cost:
    """The first layers of MobileNetV2: a stem, a block without and half of one with expansion, cut off by hand."""
    graph = fxcost.analyze(DATA / "mobilenet_v2.mlir").graph
    nodes = graph.nodes[:count]
    cut = replace(graph, nodes=nodes, outputs=(nodes[-1].results[0].id,))
    return fxcost.analyze(cut, accounting=accounting, activations=activations)


def square(cost: Cost, size: int) -> Setting:
    return setting_of(cost.graph, cost.facts, {"N": 1, "H": size, "W": size})


def least_by_force(setting: Setting, p: int) -> int | None:
    """The least peak of one stage of p x p patches, without any pruning."""
    if p == 1:
        return setting.peak
    return min((plan.peak for plan in one_stage(setting, Grid(p, p))), default=None)


@pytest.mark.parametrize("accounting", ["eager", "fused"])
def test_the_smallest_p(accounting: str) -> None:
    cost = short(accounting)
    setting = square(cost, 64)
    least = {p: least_by_force(setting, p) for p in range(1, 17)}
    for p in range(2, 17):
        plan = least_stage(setting, Grid(p, p))
        assert (plan and plan.peak) == least[p]
    budgets = sorted({peak for peak in least.values() if peak is not None})
    for memory in (budgets[0] - 1, *budgets[:: max(len(budgets) // 4, 1)], budgets[-1]):
        found = cost.solve(cost.peak_memory <= memory, wrt="p", at={"N": 1, "H": 64, "W": 64})
        fitting = {p for p, peak in least.items() if peak is not None and peak <= memory}
        assert {p for low, high in found.set for p in range(low, (high or 0) + 1)} == fitting
        assert (found.min, found.max) == (min(fitting, default=None), max(fitting, default=None))
        below = least.get((found.min or 1) - 1)
        assert below is None or f"{below:,} bytes" in found.proof  # the neighbour that does not fit, with its peak


def test_the_certificate_names_the_neighbour() -> None:
    cost, at = short(count=30), {"N": 1, "H": 64, "W": 64}
    setting = square(cost, 64)
    least = {p: least_by_force(setting, p) for p in (1, 2, 3)}
    assert least[1] is not None
    assert least[2] is not None
    assert least[3] is not None
    for p in (2, 3):
        found = cost.smallest_patches(least[p] or 0, at)
        assert found.stages[0].rows == p
        assert f"p = {p - 1} needs {least[p - 1]:,} bytes at least" in found.certificate


def test_the_smallest_p_within_an_overhead() -> None:
    cost = short(count=30)
    setting, at = square(cost, 64), {"N": 1, "H": 64, "W": 64}
    for overhead in (0.02, 0.1):
        most = int(setting.total_macs * (1 + overhead))
        plans = {p: [q for q in one_stage(setting, Grid(p, p)) if q.macs <= most] for p in range(2, 17)}
        memory = min(plan.peak for found in plans.values() for plan in found)
        fitting = {p for p, found in plans.items() if any(plan.peak <= memory for plan in found)}
        solution = cost.solve(cost.peak_memory <= memory, wrt="p", at=at, overhead=overhead)
        assert memory < setting.peak
        assert solution.min == min(fitting)


@pytest.mark.parametrize("most", [2, 3])
def test_the_largest_size_with_patches(most: int) -> None:
    cost, memory = short("fused", "int8"), 12_000
    found = cost.solve(cost.peak_memory <= memory, wrt="H", patches=most, **TIED)
    sizes = {size for low, high in found.set for size in range(low, (high or 0) + 1)}
    plain = cost.solve(cost.peak_memory <= memory, wrt="H", **TIED)
    assert (plain.max or 0) < (found.max or 0)
    last = next(size for size in range(1, 1000) if lower_bound(square(cost, size)) > memory)
    for size in range(1, last + 3):
        setting = square(cost, size)
        peaks = [peak for p in range(1, most + 1) if (peak := least_by_force(setting, p)) is not None]
        assert (size in sizes) == (min(peaks) <= memory), size
    assert f"H = {found.max}: " in found.proof
    assert f"H = {(found.max or 0) + 1}: " in found.proof


# -- formulas --------------------------------------------------------------------------------------------------------
def counted(cost: Cost, stop: int, grid: Grid, point: dict[str, int]) -> int:
    """The peak of one stage by the sweep at a point."""
    setting = setting_of(cost.graph, cost.facts, point)
    [stage] = Sweep(setting, stop, grid).candidates({0})
    return max([setting.start, stage.peak, *setting.alive[stop:]])


CASES: list[tuple[str, Grid, dict[str, Any]]] = [
    ("features.3", Grid(3, 3), TIED),
    ("features.2", Grid(4, 2), TIED),
    ("features.2", Grid(5), {"at": {"N": 2, "W": 33}, "wrt": "H"}),
    ("features.2", Grid(4, cached=True), TIED),
    ("features.1", Grid(2, 3), {"at": {"N": 1}, "tie": {"W": "2*H"}}),
]


@pytest.mark.parametrize(("up_to", "grid", "sizes"), CASES)
@pytest.mark.parametrize("accounting", ["eager", "inplace", "fused"])
def test_peaks_are_polynomials_by_residue_class(up_to: str, grid: Grid, sizes: dict[str, Any], accounting: str) -> None:
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir", accounting=accounting, activations="int8")
    found = cost.patched_peak(up_to, grid.rows, grid.columns, cached=grid.cached, **sizes)
    stop = max(k for k, node in enumerate(cost.graph.nodes) if f"{node.module}.".startswith(f"{up_to}.")) + 1
    near, step = found.stable, found.period
    for height in (near - 1, near, near + 1, near + step - 1, near + 2 * step + 5, near + 9 * step + 2, 701, 1024):
        width = {"H": height, "2*H": 2 * height}.get(sizes.get("tie", {}).get("W", ""), 33)
        point = {**sizes["at"], "H": height, "W": width}
        assert found(height) == counted(cost, stop, grid, point), (height, near, step)
    assert str(found).count("k >= ") >= 4


def test_the_largest_size_of_one_stage() -> None:
    cost = short("eager", "int8")
    found: PatchedPeak = cost.patched_peak("features.2.conv.0", 2, 2, **TIED)
    solution = found.solve(50_000)
    sizes = {size for low, high in solution.set for size in range(low, (high or 0) + 1)}
    stop = cost.graph.nodes.index(
        next(n for n in reversed(cost.graph.nodes) if n.module.startswith("features.2.conv.0"))
    )
    for size in range(12, (solution.max or 0) + found.period + 1):
        at = {"N": 1, "H": size, "W": size}
        assert (size in sizes) == (counted(cost, stop + 1, Grid(2, 2), at) <= 50_000)
    assert f"{found((solution.max or 0) + 1):,} bytes" in solution.proof


POLYNOMIALS = st.lists(st.tuples(st.integers(-40, 900), st.integers(0, 60), st.integers(0, 5)), min_size=1, max_size=6)


@settings(max_examples=150)
@given(POLYNOMIALS, st.integers(0, 3000))
def test_envelopes_are_maxima(polynomials: list[tuple[int, int, int]], memory: int) -> None:
    pieces = envelope(polynomials)
    fitting = [span for piece in pieces for span in within(piece, memory)]
    for k in range(120):
        most = max(c + b * k + a * k * k for c, b, a in polynomials)
        [piece] = [p for p in pieces if p.first <= k and (p.last is None or k <= p.last)]
        assert piece.at(k) == most
        assert any(low <= k and (high is None or k <= high) for low, high in fitting) == (most <= memory)


def test_an_envelope_takes_one_over_another() -> None:
    assert envelope([(100, 0, 0), (0, 10, 0), (0, 0, 1)]) == (
        Piece(0, 10, (100, 0, 0)),
        Piece(11, None, (0, 0, 1)),
    )


# -- what is refused, and the command --------------------------------------------------------------------------------
def test_what_is_refused() -> None:
    cost = short()
    at = {"N": 1, "H": 64, "W": 64}
    with pytest.raises(SpecError, match="peak_memory <= BYTES"):
        cost.solve(cost.macs <= 10, wrt="p", at=at)
    with pytest.raises(SpecError, match="one constraint"):
        cost.solve([cost.macs <= 10, cost.peak_memory <= 10], wrt="p", at=at)
    with pytest.raises(SpecError, match="from 2 to 16"):
        cost.solve(cost.peak_memory <= 10_000, wrt="H", patches=1, **TIED)
    with pytest.raises(SpecError, match="give a size for W"):
        cost.solve(cost.peak_memory <= 10_000, wrt="p", at={"N": 1, "H": 64})
    with pytest.raises(SpecError, match="zero or more"):
        cost.solve(cost.peak_memory <= 10_000, wrt="p", at=at, overhead=-0.1)
    with pytest.raises(UnknownName, match="features"):
        cost.patched_peak("feature.1", 2, 2)
    with pytest.raises(SpecError, match="at least two patches"):
        cost.patched_peak("features.1", 1, 1)
    with pytest.raises(SpecError, match="cannot be cut"):
        fxcost.analyze(DATA / "mobilenet_v2.mlir").patched_peak("classifier.1", 2, 2)


def test_solve_for_patches_in_the_terminal() -> None:
    asked = f"solve {DATA / 'mobilenet_v2.mlir'} --activations int8"
    text = " ".join(answer(f"{asked} 'peak_memory <= 150KB' --for p --at N=1,H=96,W=96").split())
    assert "p = 2" in text
    ran = shell(f"{asked} 'peak_memory <= 1KB' --for p --at N=1,H=96,W=96")
    assert ran.code == 4
    assert "stay under" in ran.out
    for wrong in ("'macs <= 1M' --for p", "'peak_memory <= 1KB' --for H --patches 99 --tie W=H"):
        ran = shell(f"{asked} {wrong} --at N=1")
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.count("\n") <= 3


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--up-to features.1", "give one --grid"),
        ("--up-to features.1 --grid 2x2 --grid 3x3", "give one --grid"),
        ("--up-to featur --grid 2x2", "did you mean 'features"),
        ("--up-to features.1 --grid 2x2 --for Q", "N, H, W"),
        ("--up-to classifier --grid 2x2", "cannot be cut"),
        ("--for H", "goes with --up-to"),
        ("--tie W=H", "goes with --up-to"),
        ("--grid 0x3 --at N=1,H=64,W=64", "at least two patches"),
        ("--memory much --at N=1,H=64,W=64", "not an amount"),
        ("--at N=1", "give a size for H, W"),
    ],
)
def test_bad_options_are_one_error(options: str, complaint: str) -> None:
    ran = shell(f"patch {DATA / 'mobilenet_v2.mlir'} {options}")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert complaint in ran.err


def test_where_there_is_no_formula_it_is_said() -> None:
    asked = f"patch {DATA / 'mobilenet_v2.mlir'} --up-to features.1 --grid 64x64 --for H --at N=1,W=7"
    assert "no formula: " in answer(asked)
    assert shell(f"{asked} --memory 10KB").code == 2
