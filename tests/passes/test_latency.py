"""Latency: four predictions from a hand-made workload, with every number derived beside it; no graph, no torch."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.errors import ModelError, SpecError
from fxcost.ir.expr import ZERO, Expr, symbol
from fxcost.passes._rates import LatencyFormula
from fxcost.passes.latency import Latency, latency_on
from fxcost.passes.workload import Workload
from fxcost.target import Efficiency, Memory, Share, Target, load_target
from tests.support.workloads import machine, work, workload

N = symbol("N")


def seconds(formula: LatencyFormula | None, **env: int) -> float:
    assert formula is not None
    return formula.at(env)


# -- the four predictions --------------------------------------------------------------------------------------------
# Two ops. First: 1000 MACs = 2000 ops -> 20 s, 30 + 20 bytes and 50 of weights -> 10 s: compute binds.
# Second: 100 MACs = 200 ops -> 2 s, 20 + 10 bytes and 200 of weights -> 23 s: memory binds.
TWO_OPS = workload(
    work(macs=1000, read=30, write=20, weights=50),
    work(macs=100, read=20, write=10, weights=200),
    inputs=30,
    outputs=10,
)


def test_roofline_adds_the_larger_time_of_every_op() -> None:
    assert seconds(latency_on(machine(), TWO_OPS).roofline) == pytest.approx(20 + 23)


def test_lecture_takes_the_larger_sum() -> None:
    # T_compute = 2200 / 100 = 22; T_weights = 250 / 10 = 25, T_activations = (50 + 30) / 10 = 8: max(22, 33)
    assert seconds(latency_on(machine(), TWO_OPS).lecture) == pytest.approx(33)


def test_bound_moves_inputs_weights_and_outputs_once() -> None:
    # (30 + 250 + 10) / 10 = 29 against 22 of compute: the 20 + 20 bytes between the ops need not move
    assert seconds(latency_on(machine(), TWO_OPS).bound) == pytest.approx(29)


def test_lecture_counts_the_model_and_roofline_what_ops_fetch() -> None:
    """A table of 1000 bytes of which an embedding takes 40: the lecture divides the model size."""
    looked_up = workload(work(read=8, write=40, weights=40), model=1000, used=40, inputs=8, outputs=40)
    found = latency_on(machine(), looked_up)
    assert seconds(found.lecture) == pytest.approx((1000 + 48) / 10)
    assert seconds(found.roofline) == pytest.approx(88 / 10)
    assert seconds(found.bound) == pytest.approx((40 + 8 + 40) / 10)


def test_a_tied_weight_is_compulsory_once_though_two_ops_fetch_it() -> None:
    tied = workload(work(weights=100), work(weights=100), model=100, used=100)
    found = latency_on(machine(), tied)
    assert seconds(found.bound) == pytest.approx(10)
    assert seconds(found.roofline) == pytest.approx(20)


def test_an_input_that_nobody_reads_is_not_compulsory() -> None:
    unread = workload(work(macs=10, read=5, write=5), inputs=1000, outputs=5)
    assert seconds(latency_on(machine(), unread).bound) == pytest.approx((5 + 5) / 10)


def test_other_operations_take_vector_time_in_the_roofline_only() -> None:
    # 300 comparisons at 100 a second: 3 s; they read and write 10 bytes: 1 s
    relu = workload(work(other=300, read=5, write=5), inputs=5, outputs=5)
    found = latency_on(machine(), relu)
    assert seconds(found.roofline) == pytest.approx(3)
    assert seconds(found.lecture) == pytest.approx(1)
    assert seconds(found.bound) == pytest.approx(1)


def test_reads_and_writes_at_their_own_bandwidth() -> None:
    dram = Memory("dram", "both", read_bandwidth_bytes_per_s=10.0, write_bandwidth_bytes_per_s=2.0)
    target = replace(machine(), memory=(dram,))
    assert seconds(latency_on(target, TWO_OPS).lecture) == pytest.approx((30 + 20 + 250) / 10 + (20 + 10) / 2)


def test_each_type_at_its_own_peak() -> None:
    mixed = workload(work(macs=100), work(macs=100, dtype="int8"))
    # 200 / 100 + 200 / 400
    assert seconds(latency_on(machine(int8=400.0), mixed).lecture) == pytest.approx(2.5)


def test_the_type_asked_for_replaces_floating_types_only() -> None:
    counted = replace(work(macs=100, dtype="int8"), is_floating=False)
    target = machine(int8=400.0).computing_in("fp32")
    found = latency_on(target, workload(work(macs=100, dtype="bf16"), counted))
    assert [row.dtype for row in found.rows] == ["fp32", "int8"]
    assert seconds(found.lecture) == pytest.approx(200 / 100 + 200 / 400)


# -- weights on chip -------------------------------------------------------------------------------------------------
def test_weights_are_free_only_where_all_of_them_and_the_arena_fit() -> None:
    # need = 250 of weights + N of arena against 300: resident up to N = 50
    model = replace(TWO_OPS, arena_bytes=N)
    found = latency_on(machine(cache=300), model)
    for n, expected in ((50, max(22, 8)), (51, max(22, 25 + 8))):
        assert seconds(found.lecture, N=n) == pytest.approx(expected)
    # roofline, resident: max(20, 5) + max(2, 3)
    assert seconds(found.roofline, N=50) == pytest.approx(23)
    assert seconds(found.roofline, N=51) == pytest.approx(43)
    # bound, resident: max(22, (30 + 10) / 10)
    assert seconds(found.bound, N=50) == pytest.approx(22)


def test_a_condition_that_is_certain_disappears() -> None:
    large = latency_on(machine(cache=249), TWO_OPS)
    small = latency_on(machine(cache=250), TWO_OPS)
    assert large.lecture is not None
    assert large.lecture.conditions == ()
    assert seconds(large.lecture) == pytest.approx(33)
    assert small.lecture is not None
    assert small.lecture.conditions == ()
    assert seconds(small.lecture) == pytest.approx(22)


def test_a_cache_of_unknown_size_frees_nothing() -> None:
    target = machine(cache=10**9)
    unknown = replace(target, memory=(Memory("l2", "both"), target.memory[1]))
    assert seconds(latency_on(unknown, TWO_OPS).lecture) == pytest.approx(33)


# -- what is missing -------------------------------------------------------------------------------------------------
def test_a_missing_bandwidth_drops_the_memory_term_by_name() -> None:
    found = latency_on(machine(bandwidth=None), TWO_OPS)
    assert seconds(found.lecture) == pytest.approx(22)
    assert seconds(found.roofline) == pytest.approx(22)
    assert [row.is_whole("memory") for row in found.rows] == [False, False]
    for what in ("activations read", "activations written", "weights"):
        assert f"memory time of {what}: box states no bandwidth for dram" in found.dropped


def test_a_missing_peak_drops_the_compute_term_by_name() -> None:
    found = latency_on(machine(fp32=None, int8=400.0), workload(work(macs=100, other=5, read=20)))
    assert seconds(found.roofline) == pytest.approx(2)
    assert "compute time of fp32 products: box states no fp32 peak" in found.dropped
    assert "compute time of other operations (roofline): box states no fp32 peak" in found.dropped
    assert not found.rows[0].is_whole("compute")


def test_tf32_never_stands_in_for_fp32() -> None:
    target = replace(machine(fp32=None, bandwidth=None), peaks=(("tf32", 100.0),))
    found = latency_on(target, TWO_OPS)
    assert (found.lecture, found.bound, found.roofline, found.calibrated) == (None, None, None, None)


def test_nothing_to_do_takes_no_time_though_nothing_is_known() -> None:
    found = latency_on(machine(fp32=None, bandwidth=None), workload(work()))
    assert seconds(found.roofline) == 0
    assert found.dropped == ("calibrated latency: box has no efficiency block",)


def test_unknown_operators_are_named_and_alone_give_no_estimate() -> None:
    found = latency_on(machine(), workload(work(), unknown=(("my.op", 2),)))
    assert found.roofline is None
    assert "time and energy of my.op (2x): it has no cost rule" in found.dropped
    beside = latency_on(machine(), replace(TWO_OPS, unknown=(("my.op", 2),)))
    assert seconds(beside.roofline) == pytest.approx(43)


def test_every_missing_figure_is_named_once() -> None:
    found = latency_on(machine(bandwidth=None), TWO_OPS)
    assert len(found.dropped) == len(set(found.dropped)) == 4  # three of traffic, and no efficiency


# -- calibrated ------------------------------------------------------------------------------------------------------
def calibrated(target: Target, **shares: Share) -> Target:
    return replace(target, efficiency=Efficiency("made up", 3, 0.1, tuple(shares.items())))


def test_calibrated_scales_rates_by_family_and_adds_fixed_times() -> None:
    target = calibrated(machine(), default=Share(compute=0.5), conv=Share(compute=0.25, memory=0.5))
    target = replace(target, overhead_s=(("default", 1.0), ("pool", 7.0)))
    model = workload(
        work(macs=1000, read=30, write=20, weights=50, op_class="conv"),  # max(20 / 0.25, 10 / 0.5) + 1 = 81
        work(other=100, read=5, write=5, op_class="pool"),  # max(1 / 0.5, 1) + 7 = 9
        work(op_class="view"),  # does nothing: no fixed time either
    )
    found = latency_on(target, model)
    assert seconds(found.calibrated) == pytest.approx(81 + 9)
    assert seconds(found.roofline) == pytest.approx(20 + 1)
    assert found.dropped == ()


def test_a_class_falls_back_to_its_family_and_every_rate_has_a_share_of_its_own() -> None:
    shares = Share(compute=0.5, vector=0.1, memory=2.0, weights=0.25)
    target = calibrated(machine(), conv=shares)
    row = work(macs=100, other=10, read=30, write=10, weights=5, op_class="conv_depthwise")
    # max(200/100/0.5 + 10/100/0.1, 40/10/2 + 5/10/0.25) = max(4 + 1, 2 + 2)
    assert seconds(latency_on(target, workload(row)).calibrated) == pytest.approx(5)
    assert target.efficiency is not None
    added = replace(target, efficiency=replace(target.efficiency, combine="sum"))
    assert seconds(latency_on(added, workload(row)).calibrated) == pytest.approx(4 + 1 + 2 + 2)


def test_ops_that_do_nothing_take_time_where_an_overhead_names_them() -> None:
    target = replace(calibrated(machine(), default=Share()), overhead_s=(("default", 1.0), ("view", 0.25)))
    model = workload(work(op_class="view"), work(op_class="view"), work(macs=100, op_class="matmul_linear"))
    assert seconds(latency_on(target, model).calibrated) == pytest.approx(2 + 1 + 2 * 0.25)


def test_a_machine_without_fixed_times_says_so() -> None:
    target = calibrated(machine(), default=Share())
    assert latency_on(target, TWO_OPS).dropped == (
        "fixed time of each op, its launch, in calibrated latency: box states no overhead",
    )
    assert latency_on(replace(target, overhead_s=(("default", 1e-6),)), TWO_OPS).dropped == ()
    assert latency_on(machine(), TWO_OPS).dropped == ("calibrated latency: box has no efficiency block",)


def test_shares_of_one_core_on_many_are_said() -> None:
    target = replace(calibrated(machine(), default=Share()), overhead_s=(("default", 0.0),))
    assert target.efficiency is not None
    one = replace(target, efficiency=replace(target.efficiency, cores=1))
    assert latency_on(replace(one, cores=1), TWO_OPS).dropped == ()
    (said,) = latency_on(replace(one, cores=4), TWO_OPS).dropped
    assert "measured on 1 of them, box has 4" in said


def test_shares_of_one_type_on_another_are_said() -> None:
    target = replace(calibrated(machine(int8=200.0), default=Share()), overhead_s=(("default", 0.0),))
    assert target.efficiency is not None
    one = replace(target, efficiency=replace(target.efficiency, dtype="fp32"))
    rows = workload(work(macs=100, dtype="fp32"), work(other=10, dtype="int8"))
    assert latency_on(one, rows).dropped == ()
    (said,) = latency_on(one, workload(work(macs=100, dtype="int8"))).dropped
    assert "what int8 products achieve" in said
    assert "measured in fp32" in said


def test_a_fit_over_macs_alone_carries_everything_else() -> None:
    shares = (("default", Share(compute=0.5)),)
    fit = Efficiency("made up", 3, 0.1, shares, counts_other_ops=False)
    found = latency_on(replace(machine(bandwidth=None), efficiency=fit), workload(work(macs=100, other=10**6)))
    assert seconds(found.calibrated) == pytest.approx(200 / 100 / 0.5)


def test_no_efficiency_no_calibrated_latency() -> None:
    found = latency_on(machine(), TWO_OPS)
    assert found.calibrated is None
    assert "calibrated latency: box has no efficiency block" in found.dropped


def test_a_family_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SpecError, match=r"efficiency\.covn is no class of ops; did you mean 'conv'"):
        latency_on(calibrated(machine(), covn=Share()), TWO_OPS)


# -- formulas --------------------------------------------------------------------------------------------------------
def test_equal_ops_are_counted_and_one_sided_ones_added() -> None:
    block = [work(macs=N * 1000, read=N * 30, write=N * 20) for _ in range(5)]
    copies = [work(read=N * 7, write=N * 7, op_class="movement"), work(read=N, write=N, op_class="movement")]
    found = latency_on(machine(), workload(*block, *copies)).roofline
    assert found is not None
    assert len(found.terms) == 2
    assert str(found) == "5*(max((2000*N)/100.0, (50*N)/10.0)) + (16*N)/10.0"
    assert found(N=2) == pytest.approx(5 * 40 + 3.2)


def test_a_formula_in_what_is_left_open() -> None:
    model = workload(work(macs=N * symbol("H"), read=N))
    found = latency_on(machine(), model).roofline
    assert found is not None
    partly = found(H=500)
    assert isinstance(partly, LatencyFormula)
    assert partly.symbols == {"N"}
    assert str(partly) == "max((1000*N)/100.0, (N)/10.0)"
    assert partly(N=3) == found(H=500, N=3) == pytest.approx(30)
    with pytest.raises(ModelError, match="no value given for H"):
        found.at({"N": 1})


def test_the_sympy_expression_has_the_same_values() -> None:
    model = replace(TWO_OPS, rows=(*TWO_OPS.rows, work(macs=N, read=N * 3)), arena_bytes=N)
    found = latency_on(machine(cache=300), model).roofline
    assert found is not None
    (free,) = found.expr.free_symbols
    for n in (1, 50, 51, 4096):
        assert float(found.expr.subs(free, n)) == pytest.approx(found.at({"N": n}))


def test_sizes_beyond_floats_are_an_error_of_the_request() -> None:
    found = latency_on(machine(), workload(work(macs=N))).roofline
    assert found is not None
    with pytest.raises(ModelError, match="too large"):
        found.at({"N": 10**400})


# -- AlexNet by hand -------------------------------------------------------------------------------------------------
# Lecture 2's two-tower AlexNet, batch 1, no bias, int8: layer by layer (MACs, elements in, elements out, parameters);
# pools have 9 comparisons per output and no MACs.
ALEXNET = (
    (105_415_200, 150_528, 290_400, 34_848),
    (0, 290_400, 69_984, 0),
    (223_948_800, 69_984, 186_624, 307_200),
    (0, 186_624, 43_264, 0),
    (149_520_384, 43_264, 64_896, 884_736),
    (112_140_288, 64_896, 64_896, 663_552),
    (74_760_192, 64_896, 43_264, 442_368),
    (0, 43_264, 9_216, 0),
    (37_748_736, 9_216, 4_096, 37_748_736),
    (16_777_216, 4_096, 4_096, 16_777_216),
    (4_096_000, 4_096, 1_000, 4_096_000),
)


def alexnet(width: int, dtype: str) -> Workload:
    rows = [
        work(macs, width * given, width * made, width * params, dtype=dtype) for macs, given, made, params in ALEXNET
    ]
    return workload(*rows, inputs=width * 150_528, outputs=width * 1_000, arena=width * 440_928)


def test_alexnet_of_the_lecture_on_a_t4() -> None:
    assert sum(layer[0] for layer in ALEXNET) == 724_406_816
    assert sum(layer[3] for layer in ALEXNET) == 60_954_656
    found = latency_on(load_target("t4"), alexnet(4, "fp32"))
    # T_compute = 1,448,813,632 FLOP / 8.1e12 = 178.87 us
    # T_weights = 243,818,624 B / 320e9 = 761.93 us; the 4 MiB of cache do not take them
    # T_activations = 4 * (931,264 in + 781,736 out) / 320e9 = 6,852,000 B / 320e9 = 21.41 us
    assert sum(layer[1] for layer in ALEXNET) == 931_264
    assert sum(layer[2] for layer in ALEXNET) == 781_736
    assert seconds(found.lecture) == pytest.approx(761.93e-6 + 21.41e-6, rel=1e-4)
    # Compulsory: 4 * (150,528 + 1,000) / 320e9 = 1.89 us besides the weights
    assert seconds(found.bound) == pytest.approx(761.93e-6 + 1.89e-6, rel=1e-4)


def test_alexnet_roofline_by_layer() -> None:
    found = latency_on(load_target("t4"), alexnet(4, "fp32"))
    # us: conv1 26.03 of compute (memory: 4 * (150,528 + 290,400 + 34,848) / 320e9 = 5.95), conv2 55.30, conv3 36.92,
    # conv4 27.69, conv5 18.46; pools move 4 * (360,384 + 229,888 + 52,480) B = 8.03; the linear layers move
    # 4 * (13,312 + 8,192 + 5,096 + 58,621,952) B = 733.11
    assert seconds(found.roofline) == pytest.approx(
        (26.03 + 55.30 + 36.92 + 27.69 + 18.46 + 8.03 + 733.11) * 1e-6, rel=1e-4
    )


def test_alexnet_int8_on_the_microcontroller() -> None:
    found = latency_on(load_target("stm32h743"), alexnet(1, "int8"))
    # 1,448,813,632 operations / 1.92e9 = 0.75459 s; no bandwidth is stated, so that is all there is
    for formula in (found.lecture, found.bound, found.roofline):
        assert seconds(formula) == pytest.approx(0.75459, rel=1e-4)
    # TinyEngine reaches 0.2506 of the data-sheet rate
    assert seconds(found.calibrated) == pytest.approx(0.75459 / 0.2506, rel=1e-4)
    assert "memory time of weights: stm32h743 states no bandwidth for flash" in found.dropped
    assert "memory time of activations read: stm32h743 states no bandwidth for sram" in found.dropped


# -- any table of ops ------------------------------------------------------------------------------------------------
AMOUNT = st.integers(0, 10**9) | st.just(0)
ROWS = st.lists(
    st.builds(
        work, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, dtype=st.sampled_from(["fp32", "int8"]), op_class=st.just("conv")
    ),
    min_size=1,
    max_size=6,
)
RATE = st.none() | st.floats(1.0, 1e12)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    model = draw(AMOUNT)
    used = model * draw(st.integers(0, 100)) // 100
    rows = draw(ROWS)
    return workload(*rows, model=model, used=used, inputs=draw(AMOUNT), outputs=draw(AMOUNT), arena=draw(AMOUNT))


MACHINES = st.builds(machine, fp32=RATE, int8=RATE, bandwidth=RATE, cache=st.none() | st.integers(1, 10**9))


def value(formula: LatencyFormula | None) -> float:
    return 0.0 if formula is None else formula.at({})


@given(workloads(), MACHINES)
def test_the_bound_is_below_every_estimate(model: Workload, target: Target) -> None:
    found = latency_on(target, model)
    slack = 1 + 1e-12
    assert value(found.bound) <= value(found.lecture) * slack
    assert value(found.bound) <= value(found.roofline) * slack


@given(workloads(), MACHINES)
def test_the_roofline_is_the_sum_by_op(model: Workload, target: Target) -> None:
    """Against the definition, written out a second time in plain numbers."""
    resident = target.cache is not None and number(model.model_bytes) + number(model.arena_bytes) <= (
        target.cache.capacity_bytes or 0
    )
    bandwidth = target.memory[-1].bandwidth_bytes_per_s
    expected = 0.0
    for row in model.rows:
        compute = memory = 0.0
        if (peak := target.peak(row.dtype)) is not None:
            compute += 2 * number(row.macs) / peak
        if (peak := target.peak("fp32")) is not None:
            compute += number(row.other_ops) / peak
        if bandwidth is not None:
            memory += (number(row.read_bytes) + number(row.write_bytes)) / bandwidth
            memory += 0.0 if resident else number(row.weight_bytes) / bandwidth
        expected += max(compute, memory)
    assert value(latency_on(target, model).roofline) == pytest.approx(expected, rel=1e-9)


@given(workloads(), MACHINES, st.integers(1, 50))
def test_text_and_value_agree(model: Workload, target: Target, n: int) -> None:
    grown = replace(model, rows=tuple(replace(row, macs=row.macs * N) for row in model.rows), arena_bytes=N * 1000)
    found: Latency = latency_on(target, grown)
    for formula in (found.lecture, found.bound, found.roofline):
        if formula is not None:
            text = eval(str(formula), {"__builtins__": {}, "max": max, "min": min, "N": n})
            assert text == pytest.approx(formula.at({"N": n}), rel=1e-9)
            assert formula.bind({"N": n}).at({}) == pytest.approx(text, rel=1e-9)


def number(amount: Expr) -> int:
    assert amount.constant is not None
    return amount.constant


def test_idle_rows_have_no_amounts() -> None:
    assert work().is_idle
    assert work().macs is ZERO
    assert not work(read=1).is_idle
