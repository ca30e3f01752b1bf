"""Which memory level serves what: the rule of residency, against its definition written out a second time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.expr import symbol
from fxcost.passes._rates import RateFormula
from fxcost.passes.energy import energy_on
from fxcost.passes.latency import latency_on
from fxcost.passes.workload import Work, Workload
from fxcost.target import Energy, MacEnergy, Memory, Target
from tests.support.workloads import work, workload

N = symbol("N")


def box(*near: Memory, dram: float | None = 10.0) -> Target:
    """100 operations and 10 bytes a second from main memory, with other levels in front of it."""
    table = Energy("own", (("fp32", MacEnergy(3.0, 1.0)),), (*((m.name, 1.0) for m in near), ("dram", 100.0)))
    far = Memory("dram", "both", bandwidth_bytes_per_s=dram)
    return Target("box", "somebody", "cpu", "its own", (("fp32", 100.0),), (*near, far), energy=table)


def cache(name: str, capacity: int, bandwidth: float | None = None, **more: float) -> Memory:
    return Memory(name, "both", capacity, bandwidth_bytes_per_s=bandwidth, **more)  # type: ignore[arg-type]


def seconds(formula: RateFormula | None, **env: int) -> float:
    """Seconds, or joules; nothing to time takes none."""
    return 0.0 if formula is None else formula.at(env)


# One op: 1000 MACs = 20 s; 300 bytes read, 200 written, 500 of weights. The arena has N bytes.
ONE = workload(work(macs=1000, read=300, write=200, weights=500), arena=N, inputs=300, outputs=200)


def test_activations_stay_where_the_arena_fits_and_weights_where_both_do() -> None:
    found = latency_on(box(cache("l2", 600, 50.0)), ONE)
    # N = 100: 500 + 100 fit: everything at 50 bytes/s: 1000 / 50 = 20 s, as long as the products
    assert seconds(found.roofline, N=100) == pytest.approx(20)
    # N = 101: the arena alone fits: 500 / 50 + 500 / 10 = 60
    assert seconds(found.roofline, N=101) == seconds(found.roofline, N=600) == pytest.approx(60)
    # N = 601: nothing does: 1000 / 10
    assert seconds(found.roofline, N=601) == pytest.approx(100)
    # The lecture counts main memory: (300 + 200 [+ 500]) / 10
    assert [seconds(found.lecture, N=n) for n in (100, 101, 601)] == [50, 100, 100]
    # The bound: inputs and outputs where they are, weights once unless they stay: max(20, 500 / 50 [+ 500 / 10])
    assert [seconds(found.bound, N=n) for n in (100, 101, 601)] == [20, 60, 100]


def test_the_nearest_level_that_is_large_enough_serves() -> None:
    target = box(cache("l2", 600, 100.0), cache("l3", 1000, 50.0))
    found = latency_on(target, ONE).roofline
    moved = {n: seconds(found, N=n) for n in (100, 101, 500, 501, 600, 601, 1000, 1001)}
    assert moved[100] == pytest.approx(20)  # compute; memory: 1000 / 100
    assert moved[101] == moved[500] == pytest.approx(20)  # activations in l2, weights in l3: 5 + 10
    assert moved[501] == moved[600] == pytest.approx(5 + 50)  # activations in l2, weights in main memory
    assert moved[601] == moved[1000] == pytest.approx(10 + 50)
    assert moved[1001] == pytest.approx(100)


def test_a_pinned_share_of_the_weights_is_served_from_its_level() -> None:
    target = box(cache("l2", 600, 50.0, cached_weights=0.4))
    found = latency_on(target, ONE)
    # N = 101: the arena fits, all weights do not: 500 / 50 + 0.4 * 500 / 50 + 0.6 * 500 / 10 = 44
    assert seconds(found.roofline, N=101) == pytest.approx(44)
    # N = 601: 500 / 10 + 4 + 30 = 84; N = 100: everything stays, 20 as without a pinned share
    assert seconds(found.roofline, N=601) == pytest.approx(84)
    assert seconds(found.roofline, N=100) == pytest.approx(20)
    # In main memory the lecture counts (300 + 200 + 0.6 * 500) / 10, the bound max(20, 500 / 10 + 30) at N = 601
    assert seconds(found.lecture, N=601) == pytest.approx(80)
    assert seconds(found.bound, N=601) == pytest.approx(80)
    # 4000 pJ of products; bytes at 1 pJ in l2 and 100 pJ in dram: 500 * 100 + 200 * 1 + 300 * 100
    used = energy_on(target, ONE, found).total
    assert seconds(used, N=601) == pytest.approx((4000 + 50_000 + 200 + 30_000) * 1e-12)


def test_a_level_private_to_a_core_holds_no_model() -> None:
    found = latency_on(box(cache("l1", 10**6, 1000.0, instances=4)), ONE).roofline
    assert found is not None
    assert found.conditions == ()
    assert seconds(found) == pytest.approx(100)


def test_reads_alone_are_enough_for_weights_only() -> None:
    reads = Memory("l2", "both", 600, read_bandwidth_bytes_per_s=50.0)
    found = latency_on(box(reads), ONE).roofline
    assert seconds(found, N=100) == pytest.approx(500 / 10 + 500 / 50)
    assert seconds(found, N=101) == pytest.approx(100)


def test_a_level_without_bandwidth_keeps_weights_and_the_time_is_named() -> None:
    found = latency_on(box(cache("l2", 600)), ONE)
    assert [seconds(found.roofline, N=n) for n in (100, 101)] == [50, 100]
    reason = "memory time of weights kept on chip: box states no bandwidth for l2"
    assert reason in found.dropped_at({"N": 100})
    assert reason not in found.dropped_at({"N": 101})
    assert [found.rows[0].is_whole("memory", {"N": n}) for n in (100, 101)] == [False, True]
    farther = latency_on(box(cache("l2", 600), cache("l3", 1000, 50.0)), ONE)
    assert seconds(farther.roofline, N=100) == pytest.approx(20)  # charged where a bandwidth is stated: 1000 / 50
    assert not [m for m in farther.missing if m.side == "memory"]


def test_a_larger_level_that_is_nearer_hides_the_smaller_one() -> None:
    odd = latency_on(box(cache("l2", 1000, 100.0), cache("l3", 600, 50.0)), ONE)
    assert seconds(odd.roofline, N=500) == pytest.approx(20)
    assert seconds(odd.roofline, N=1001) == pytest.approx(100)


def test_inputs_that_are_not_counted_in_the_arena_must_fit_all_the_same() -> None:
    apart = replace(ONE, inputs_apart=True)  # 300 bytes besides
    found = latency_on(box(cache("l2", 900, 50.0)), apart).roofline
    assert seconds(found, N=100) == pytest.approx(20)
    assert seconds(found, N=101) == seconds(found, N=600) == pytest.approx(60)
    assert seconds(found, N=601) == pytest.approx(100)


def test_energy_is_charged_where_the_bytes_are_served() -> None:
    target = box(cache("l2", 600, 50.0))
    found = energy_on(target, ONE, latency_on(target, ONE))
    pj = {n: seconds(found.total, N=n) * 1e12 for n in (100, 101, 601)}
    # 1000 x 4 pJ, then bytes at 1 pJ on chip and 100 pJ off it
    assert pj == pytest.approx({100: 4000 + 1000, 101: 4000 + 500 + 50_000, 601: 4000 + 100_000})
    assert seconds(found.levels["l2"], N=101) == pytest.approx(500e-12)
    assert seconds(found.levels["dram"], N=101) == pytest.approx(50_000e-12)
    assert seconds(found.dtypes["fp32"]) == pytest.approx(4000e-12)


# -- any model on any hierarchy --------------------------------------------------------------------------------------
AMOUNT = st.integers(0, 10**6)
ROWS = st.lists(st.builds(work, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT), min_size=1, max_size=5)


@st.composite
def hierarchies(draw: st.DrawFn) -> Target:
    """Up to three levels, the near ones faster, some of them without a bandwidth, private or of unknown size."""
    rates = sorted(draw(st.lists(st.floats(11.0, 1e4), min_size=3, max_size=3)), reverse=True)
    near = []
    for position, rate in enumerate(rates[: draw(st.integers(0, 3))]):
        way = draw(st.sampled_from(["both", "read", "none"]))
        near.append(
            Memory(
                f"l{position}",
                draw(st.sampled_from(["both", "both", "weights", "activations"])),
                draw(st.none() | st.integers(1, 4 * 10**6)),
                bandwidth_bytes_per_s=rate if way == "both" else None,
                read_bandwidth_bytes_per_s=rate if way == "read" else None,
                instances=draw(st.sampled_from([None, 1, 8])),
            )
        )
    return box(*near)


def serving(target: Target, what: str, need: int) -> Memory | None:
    """The definition: the nearest shared level that takes everything and states its rates; None is main memory."""
    for level in target.memory[:-1]:
        if level.holds != "both" or level.instances == 8 or level.capacity_bytes is None:
            continue
        rates = [level.read_bytes_per_s] + ([level.write_bytes_per_s] if what == "activations" else [])
        if need <= level.capacity_bytes and None not in rates:
            return level
    return None


def stays(target: Target, need: int) -> bool:
    return any(
        level.holds == "both" and level.instances != 8 and need <= (level.capacity_bytes or 0)
        for level in target.memory[:-1]
    )


@given(ROWS, hierarchies(), st.integers(1, 10**6))
def test_roofline_by_level_is_its_definition(rows: list[Work], target: Target, arena: int) -> None:
    capacities = [m.capacity_bytes or 0 for m in target.memory[:-1] if m.holds == "both" and m.instances != 8]
    if capacities != sorted(set(capacities)):
        return  # a hierarchy that gets smaller with distance has a test of its own
    model: Workload = replace(workload(*rows), arena_bytes=N)
    weights_bytes = sum(row.weight_bytes.constant or 0 for row in rows)
    near = serving(target, "activations", arena)
    store = serving(target, "weights", arena + weights_bytes)
    expected = 0.0
    for row in rows:
        compute = (2 * (row.macs.constant or 0) + (row.other_ops.constant or 0)) / 100.0
        activations = (row.read_bytes.constant or 0) + (row.write_bytes.constant or 0)
        memory = activations / ((near and near.read_bytes_per_s) or 10.0)
        if store is not None:
            memory += (row.weight_bytes.constant or 0) / (store.read_bytes_per_s or 1.0)
        elif not stays(target, arena + weights_bytes):
            memory += (row.weight_bytes.constant or 0) / 10.0
        expected += max(compute, memory)
    found = latency_on(target, model)
    assert seconds(found.roofline, N=arena) == pytest.approx(expected, rel=1e-9)
    for formula in filter(None, (found.roofline, found.bound, found.lecture)):
        text = eval(str(formula), {"__builtins__": {}, "max": max, "min": min, "N": arena})
        assert text == pytest.approx(formula.at({"N": arena}), rel=1e-9)
        assert formula.bind({"N": arena}).at({}) == pytest.approx(text, rel=1e-9)


@given(ROWS, hierarchies(), st.integers(1, 10**6), AMOUNT, AMOUNT)
def test_the_bound_is_below_the_others_on_any_hierarchy(
    rows: list[Work], target: Target, arena: int, inputs: int, outputs: int
) -> None:
    found = latency_on(target, replace(workload(*rows, inputs=inputs, outputs=outputs), arena_bytes=N))
    bound = seconds(found.bound, N=arena)
    assert bound <= seconds(found.roofline, N=arena) * (1 + 1e-12)
    assert bound <= seconds(found.lecture, N=arena) * (1 + 1e-12)
