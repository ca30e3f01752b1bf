"""Plans of patches: published figures, the frontier against all plans by force, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

import fxcost
from fxcost.errors import Infeasible, OutsideDomain, SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.passes._patch_setting import Setting, cuts, setting_of
from fxcost.passes._patch_sweep import Candidate, Grid, Sweep
from fxcost.passes.patch import frontier, lower_bound, one_stage, smallest_square
from fxcost.passes.patch_fields import fields, stage_macs
from fxcost.passes.patch_published import published_peak, published_steps
from tests.support.commands import DATA

KIB = 1024
MOBILENET = DATA / "mobilenet_v2.mlir"
# MCUNetV2's figure for MobileNetV2, int8, 224 x 224: KiB by block.
BLOCKS = [539, 588, 1372, 514, 514, 172, 172, 172, 86, 86, 86, 92, 129, 129, 129, 54, 54, 61]


@cache
def mobilenet(accounting: str = "eager", activations: str | None = "int8") -> Setting:
    """MobileNetV2 at 224 x 224."""
    cost = fxcost.analyze(MOBILENET, accounting=accounting, activations=activations)
    return setting_of(cost.graph, cost.facts, {"N": 1, "H": 224, "W": 224})


def test_blocks_of_mobilenet_as_published() -> None:
    setting = mobilenet()
    found: dict[str, int] = {}
    for step in published_steps(setting):
        block = ".".join(setting.graph.nodes[step.position].module.split(".")[:2])
        found[block] = max(found.get(block, 0), step.bytes)
    assert [round(size / KIB) for size in found.values()][: len(BLOCKS)] == BLOCKS
    assert published_peak(setting) == 1372 * KIB


def test_patches_of_mobilenet_as_published() -> None:
    """4 x 4 patches of the first five blocks: at most 172 KiB, an eighth; published overhead: 10 to 17 %."""
    setting = mobilenet()
    stop = next(k for k, node in enumerate(setting.graph.nodes) if node.module.startswith("features.5."))
    [stage] = Sweep(setting, stop, Grid(4, 4)).candidates({0})
    assert published_peak(setting, [stage]) == 28 * 28 * (32 + 192) <= 172 * KIB
    overhead = (stage.macs + sum(setting.macs[stop:])) / setting.total_macs - 1
    assert overhead == pytest.approx(0.0928, abs=5e-5)
    assert published_peak(setting, list(Sweep(setting, stop, Grid(3, 3)).candidates({0}))) > 172 * KIB


def test_halos_by_hand() -> None:
    """MobileNetV2's first two layers for the first of four strips: 28 rows need 29, of which 59 rows of the image."""
    setting = mobilenet()
    stop = next(k for k, node in enumerate(setting.graph.nodes) if node.module.startswith("features.1.conv.1"))
    [stage] = Sweep(setting, stop, Grid(4)).candidates({0})
    first = stage.nodes[0]
    # 112 rows in four strips: 0-28, 28-56 ... The depthwise 3 x 3 adds one on each side; stride 2: 2*a - 1 to 2*b.
    assert list(zip(*(edge.tolist() for edge in first.made[0]), strict=True)) == [
        (0, 29),
        (27, 57),
        (55, 85),
        (83, 112),
    ]
    assert list(zip(*(e.tolist() for e in first.cut[0].span), strict=True)) == [
        (0, 58),
        (53, 114),
        (109, 170),
        (165, 224),
    ]
    assert (
        stage.macs == (30 * 3 + 29 - 4 + 112 - 112 + 28) * 0 + 112 * (29 + 30 + 30 + 29) * 32 * 27 + 112 * 112 * 32 * 9
    )


def plans_by_force(setting: Setting, grids: list[Grid]) -> set[tuple[int, int]]:
    """Peak and MACs of every plan, by running through all of them."""
    places = list(cuts(setting))
    stages: dict[int, list[Candidate]] = {place: [] for place in places}
    for grid in grids:
        for stop in places[1:]:
            for stage in Sweep(setting, stop, grid).candidates(set(places)):
                stages[stage.first].append(stage)
    following = dict(pairwise(places))
    found: set[tuple[int, int]] = set()

    def go(at: int, peak: int, macs: int) -> None:
        if at == places[-1]:
            found.add((peak, macs))
            return
        plain = following[at]
        go(plain, max(peak, *setting.alive[at:plain]), macs + sum(setting.macs[at:plain]))
        for stage in stages[at]:
            go(stage.stop, max(peak, stage.peak), macs + stage.macs)

    go(0, setting.start, 0)
    return found


def small(accounting: str) -> Setting:
    """The first layers of MobileNetV2 at 64 x 64, cut off by hand."""
    cost = fxcost.analyze(MOBILENET, accounting=accounting)
    nodes = cost.graph.nodes[:14]
    graph = replace(cost.graph, nodes=nodes, outputs=(nodes[-1].results[0].id,))
    return setting_of(graph, fxcost.analyze(graph, accounting=accounting).facts, {"N": 1, "H": 64, "W": 48})


@pytest.mark.parametrize("accounting", ["eager", "inplace", "fused"])
def test_the_frontier_is_that_of_all_plans(accounting: str) -> None:
    setting, grids = small(accounting), [Grid(2, 2), Grid(3), Grid(4, cached=True)]
    found = frontier(setting, grids, overhead=100.0)
    assert all(
        max(setting.alive[s.first : s.stop]) > plan.peak for plan in found for s in plan.stages
    )  # each is needed
    plans = {(plan.peak, plan.macs) for plan in found}
    everything = plans_by_force(setting, grids)
    best = {(p, m) for p, m in everything if not any(q <= p and n <= m and (q, n) != (p, m) for q, n in everything)}
    assert plans == best
    assert min(peak for peak, _ in plans) >= lower_bound(setting)


@pytest.mark.slow
def test_the_frontier_is_never_above_one_square_stage() -> None:
    setting, grids = mobilenet(), [Grid(2, 2), Grid(4, 4), Grid(8, cached=True)]
    plans = frontier(setting, grids)
    below = 0
    for grid in grids[:2]:
        for rule in one_stage(setting, grid):
            if rule.macs <= 2 * setting.total_macs:
                assert any(plan.peak <= rule.peak and plan.macs <= rule.macs for plan in plans)
                below += any(plan.peak < rule.peak and plan.macs < rule.macs for plan in plans)
    assert below > 0
    assert [plan.peak for plan in plans] == sorted((plan.peak for plan in plans), reverse=True)


def test_smallest_square() -> None:
    setting = small("fused")
    budgets = sorted({plan.peak for p in range(2, 6) for plan in one_stage(setting, Grid(p, p))})
    for memory in budgets[:: len(budgets) // 3 or 1]:
        found = smallest_square(setting, memory)
        assert found is not None
        p = found.stages[0].grid.rows
        assert found.peak <= memory
        assert all(plan.peak > memory for q in range(2, p) for plan in one_stage(setting, Grid(q, q)))
    assert smallest_square(setting, lower_bound(setting) - 1) is None


def test_answers_of_a_cost() -> None:
    cost = fxcost.analyze(MOBILENET, activations="int8")
    at = {"N": 1, "H": 96, "W": 96}
    found = cost.patch(at, memory=100_000, grids=[(4, 4)], cached=False)
    assert found.peak <= 100_000 < found.plain_peak == cost.peak_memory(**at)
    assert found.plain_macs == cost.macs(**at) < found.macs
    assert found.stages[0].first == "conv2d"
    assert found.traffic.weights > cost.weight_bytes(**at)
    assert found.traffic.copied > 0
    assert "patches" in str(found)
    with pytest.raises(Infeasible, match="the least peak found is"):
        cost.patch(at, memory=1000, grids=[(4, 4)])
    with pytest.raises(SpecError, match="give a size for"):
        cost.patch({"N": 1})
    with pytest.raises(SpecError, match="counted in 64 bits"):
        cost.patch({"N": 10**12, "H": 2240, "W": 2240})
    with pytest.raises(SpecError, match="at least two patches"):
        cost.patch(at, grids=[(1, 1)])
    with pytest.raises(Infeasible, match="p up to 16"):
        cost.smallest_patches(1000, at)
    assert cost.smallest_patches(found.plain_peak, at).stages == ()


def test_why_no_patches_help() -> None:
    """The peak stands at a call that needs its whole maps: one sentence says so, and no needless stage is run."""
    graph = fxcost.analyze(MOBILENET).graph
    stop = next(k for k, node in enumerate(graph.nodes) if node.module == "classifier.1") + 1
    tail = next(k for k, node in enumerate(graph.nodes) if node.module.startswith("features.18"))
    entering = graph.nodes[tail].operands[0]
    value = next(v for v in graph.values() if v.id == entering)
    cut = replace(graph, nodes=graph.nodes[tail:stop], inputs=(value,), outputs=(graph.nodes[stop - 1].results[0].id,))
    found = fxcost.analyze(cut).patch({"N": 1, "H": 32, "W": 32})
    assert found.stages == ()
    assert found.certificate.startswith("no patches need less: the peak stands at ")
    assert found.traffic.copied == 0


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 1), (4, 3)])
def test_halos_and_macs_as_formulas(rows: int, columns: int) -> None:
    """The formulas in H and W are the sweep's numbers at every size, odd ones included."""
    cost = fxcost.analyze(MOBILENET)
    stop = next(k for k, node in enumerate(cost.graph.nodes) if node.module.startswith("features.3."))
    macs = stage_macs(cost.graph, cost.facts, 0, stop, rows, columns)
    seen = fields(cost.graph, cost.facts, 0, stop)
    assert (seen["x"][0].stride, seen["x"][0].reach) == (
        4,
        11,
    )  # 1, by 3 x 3 at stride 2: 3, by 3 x 3: 5, by 3 x 3 at stride 2: 2*4 + 3
    for height, width in ((64, 48), (65, 51), (97, 130), (33, 66), (224, 224)):
        point = {"N": 1, "H": height, "W": width}
        setting = setting_of(cost.graph, cost.facts, point)
        [stage] = Sweep(setting, stop, Grid(rows, columns)).candidates({0})
        assert evaluate(macs, point) == stage.macs
        result = cost.graph.nodes[stop - 1].results[0].id
        size = setting.shapes[result].rows
        for tile in stage.nodes:
            field = seen[cost.graph.nodes[tile.position].results[0].id][0]
            for i, (low, high) in enumerate(zip(*tile.need[0], strict=True)):
                wanted = field.range(i * size // rows, (i + 1) * size // rows)
                assert tuple(evaluate(edge, point) for edge in wanted) == (low, high)


def test_macs_of_a_patched_run_as_a_formula() -> None:
    cost = fxcost.analyze(MOBILENET)
    formula = cost.patched_macs("features.4", 4, 4)
    assert {symbol.name for symbol in formula.symbols} == {"N", "H", "W"}
    at = {"N": 1, "H": 224, "W": 224}
    assert formula(**at) / cost.macs(**at) - 1 == pytest.approx(0.0928, abs=5e-5)
    assert cost.patched_macs("features.4", 1, 1)(**at) == cost.macs(**at)
    with pytest.raises(OutsideDomain):
        formula(N=1, H=16, W=16)
    with pytest.raises(SpecError, match="cannot be cut"):
        cost.patched_macs("classifier.1", 2, 2)
