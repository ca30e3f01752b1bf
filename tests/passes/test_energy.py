"""Energy by the lecture's formula, every number derived beside it; no graph, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.ir.expr import symbol
from fxcost.passes._rates import EnergyFormula
from fxcost.passes.energy import EnergyUse, energy_on
from fxcost.passes.latency import latency_on
from fxcost.passes.workload import Work, Workload
from fxcost.target import Energy, MacEnergy, Memory, Target, load_target
from tests.support.workloads import machine, work, workload

MILLI = 1e-3


def use(target: Target, model: Workload) -> EnergyUse:
    return energy_on(target, model, latency_on(target, model))


def joules(formula: EnergyFormula | None, **env: int) -> float:
    assert formula is not None
    return formula.at(env)


def known(parts: Mapping[str, EnergyFormula | None]) -> float:
    return sum(part.at({}) for part in parts.values() if part is not None)


# -- ResNet-50, fp32, batch 1, on DRAM at 45 nm ----------------------------------------------------------------------
def resnet50_convolutions() -> list[tuple[int, int, int, int, int]]:
    """(kernel, channels in, channels out, size in, size out) of each; in a stage's first block the 3x3 one strides."""
    found, channels = [(7, 3, 64, 224, 112)], 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        size = 56 // 2**stage
        for block in range(blocks):
            before = 2 * size if stage and not block else size
            found.append((1, channels, width, before, before))
            found.append((3, width, width, before, size))
            found.append((1, width, 4 * width, size, size))
            if not block:
                found.append((1, channels, 4 * width, before, size))
            channels = 4 * width
    return found


def test_resnet50_example() -> None:
    layers = resnet50_convolutions()
    macs = sum(k * k * given * made * after**2 for k, given, made, _, after in layers) + 2048 * 1000
    moved = sum(given * before**2 + made * after**2 for _, given, made, before, after in layers)
    assert (len(layers), macs, moved) == (53, 4_089_184_256, 21_776_384)
    target = load_target("h100-sxm")
    found = use(target, workload(work(macs, read=4 * moved, weights=4 * 25_557_032)))
    # 4,089,184,256 x (3.7 + 0.9) pJ; 102,228,128 B x 160 pJ (they exceed the 50 MiB of cache); 87,105,536 B x 160 pJ
    assert joules(found.parts["macs"]) == pytest.approx(18.8 * MILLI, abs=0.05 * MILLI)
    assert joules(found.parts["weights"]) == pytest.approx(16.4 * MILLI, abs=0.05 * MILLI)
    assert joules(found.parts["activations"]) == pytest.approx(13.9 * MILLI, abs=0.05 * MILLI)
    assert joules(found.total) == pytest.approx((18.8102 + 16.3565 + 13.9369) * MILLI, rel=1e-5)
    assert joules(found.levels["hbm3"]) == pytest.approx((16.3565 + 13.9369) * MILLI, rel=1e-5)
    assert found.dropped == ("static energy: h100-sxm states no static power",)


# -- small numbers ---------------------------------------------------------------------------------------------------
TABLE = Energy(
    "own",
    pj_per_mac=(("fp32", MacEnergy(3.0, 1.0)), ("int8", MacEnergy(0.2, 0.1))),
    pj_per_byte=(("dram", 100.0), ("l2", 1.0)),
)
OPS = workload(work(1000, read=30, write=20, weights=50, other=10**6), work(100, weights=200, dtype="int8"))


def test_parts_and_levels() -> None:
    found = use(replace(machine(), energy=TABLE), OPS)
    # 1000 x 4 + 100 x 0.3 pJ; 250 B x 100 pJ; 50 B x 100 pJ; other operations are not in the lecture's formula
    assert joules(found.parts["macs"]) == pytest.approx(4030e-12)
    assert joules(found.parts["weights"]) == pytest.approx(25_000e-12)
    assert joules(found.parts["activations"]) == pytest.approx(5_000e-12)
    assert found.parts["static"] is None
    assert joules(found.total) == pytest.approx(34_030e-12)
    assert joules(found.levels["dram"]) == pytest.approx(30_000e-12)


def test_weights_on_chip_are_charged_there() -> None:
    model = replace(OPS, arena_bytes=symbol("N"))  # 250 + N bytes against 300
    found = use(replace(machine(cache=300), energy=TABLE), model)
    assert joules(found.parts["weights"], N=50) == pytest.approx(250e-12)
    assert joules(found.levels["l2"], N=50) == pytest.approx(250e-12)
    assert joules(found.levels["dram"], N=50) == pytest.approx(5_000e-12)
    assert joules(found.parts["weights"], N=51) == pytest.approx(25_000e-12)
    assert joules(found.levels["l2"], N=51) == 0
    assert joules(found.levels["dram"], N=51) == pytest.approx(30_000e-12)


def test_static_power_runs_as_long_as_the_roofline() -> None:
    target = replace(machine(int8=100.0), energy=replace(TABLE, static_w=3.0))
    # max(2000 / 100 + 1e6 / 100, (50 + 50) / 10) + max(200 / 100, 200 / 10) = 10,020 + 20 s at 3 W
    assert joules(use(target, OPS).parts["static"]) == pytest.approx(3 * 10_040)


def test_what_is_missing_is_named() -> None:
    table = Energy("own", pj_per_mac=(("fp32", MacEnergy(3.0, 1.0)),), static_w=1.0)
    found = use(replace(machine(fp32=None, bandwidth=None), energy=table), OPS)
    assert joules(found.total) == pytest.approx(4000e-12)
    assert (found.parts["weights"], found.parts["activations"], found.parts["static"]) == (None, None, None)
    assert found.dropped == (
        "energy of int8 products: box states no int8 MAC",
        "energy of activations: box states no energy per byte of dram",
        "energy of weights: box states no energy per byte of dram",
        "static energy: box states too little for a roofline latency",
    )


def test_without_a_table_there_is_no_energy() -> None:
    found = use(machine(), OPS)
    assert found.total is None
    assert set(found.parts.values()) == {None}
    assert found.dropped == ("energy: box has no energy block",)


def test_the_microcontroller_has_no_figure_for_flash() -> None:
    found = use(load_target("stm32h743"), workload(work(10**6, read=1000, write=1000, weights=5000, dtype="int8")))
    # 10^6 x 0.23 pJ, 2000 B of SRAM x 1.25 pJ
    assert joules(found.parts["macs"]) == pytest.approx(0.23e-6)
    assert joules(found.levels["sram"]) == pytest.approx(2.5e-9)
    assert (found.parts["weights"], found.levels["flash"]) == (None, None)
    assert joules(found.total) == pytest.approx(0.23e-6 + 2.5e-9)
    assert "energy of weights: stm32h743 states no energy per byte of flash" in found.dropped


AMOUNT = st.integers(0, 10**12)


@given(
    st.lists(st.builds(work, AMOUNT, AMOUNT, AMOUNT, AMOUNT, dtype=st.sampled_from(["fp32", "int8"])), min_size=1),
    st.none() | st.floats(1e-3, 1e3),
    st.none() | st.integers(1, 10**12),
)
def test_parts_add_up_and_so_do_levels(rows: list[Work], watts: float | None, cache: int | None) -> None:
    target = replace(machine(int8=50.0, cache=cache), energy=replace(TABLE, static_w=watts))
    found = use(target, workload(*rows))
    assert joules(found.total) == pytest.approx(known(found.parts), rel=1e-9)
    bytes_alone = (found.parts["weights"], found.parts["activations"])
    assert known(found.levels) == pytest.approx(known(dict(zip("wa", bytes_alone, strict=True))), rel=1e-9)


def test_memory_levels_by_name() -> None:
    """Activations and weights in different levels are charged apart."""
    levels = Memory("sram", "activations"), Memory("flash", "weights")
    table = replace(TABLE, pj_per_byte=(("sram", 2.0), ("flash", 5.0)))
    found = use(replace(machine(), memory=levels, energy=table), OPS)
    assert joules(found.levels["sram"]) == pytest.approx(50 * 2e-12)
    assert joules(found.levels["flash"]) == pytest.approx(250 * 5e-12)
