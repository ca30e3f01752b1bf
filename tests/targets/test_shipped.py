"""Every shipped target: it reads, its figures have sources, and the figures are those of the sources' table."""

from dataclasses import replace
from datetime import date

import pytest

from fxcost import hw_targets
from fxcost.errors import UnknownName
from fxcost.ops.classes import known_classes
from fxcost.target import CHECKED, Efficiency, load_target, parse_target, targets, under_runtime
from fxcost.target.write import to_toml

TERA, GIGA, MIB, KIB = 10**12, 10**9, 2**20, 2**10

# Typed in a second time from a table of data-sheet figures (tensor peaks dense, that is half of the sparse ones): peaks in
# 10^12 operations per second, bandwidth of main memory in 10^9 bytes per second and its size in GB (two are in GiB), the
# farthest memory on chip in MiB, TDP in watts. None: no source states it.
EXPECTED: dict[str, tuple[dict[str, float], float | None, float | None, float | None, float | None]] = {
    "a100-40gb-sxm": ({"fp32": 19.5, "tf32": 156, "bf16": 312, "fp16": 312, "int8": 624}, 1555, 40, 40, 400),
    "a100-80gb-pcie": ({"fp32": 19.5, "tf32": 156, "bf16": 312, "fp16": 312, "int8": 624}, 1935, 80, 40, 300),
    "a100-80gb-sxm": ({"fp32": 19.5, "tf32": 156, "bf16": 312, "fp16": 312, "int8": 624}, 2039, 80, 40, 400),
    "apple-m1": ({"fp32": 2.6, "int8": 11}, 68.25, 16, None, None),
    "apple-m2": ({"fp32": 3.6, "int8": 15.8}, 100, 24, None, None),
    "apple-m4": ({"int8": 38}, 120, 32, None, None),
    "coral-edge-tpu": ({"int8": 4}, None, None, 8, 2),
    "epyc-9654": ({"fp32": 7.37, "bf16": 14.7}, 460.8, None, 384, 360),
    "epyc-genoa-1core-vm": ({"fp32": 0.103}, 23.4, None, 32, None),
    "esp32-s3": ({"int8": 0.01536}, None, None, 0.5, None),
    "ethos-u55-256": ({"int8": 0.256}, 0.5, None, None, None),
    "h100-pcie": ({"fp32": 51, "tf32": 378, "bf16": 756, "fp16": 756, "fp8": 1513, "int8": 1513}, 2000, 80, 50, 350),
    "h100-sxm": (
        {"fp32": 67, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4, "fp8": 1978.9, "int8": 1978.9},
        3350,
        80,
        50,
        700,
    ),
    "h200-sxm": (
        {"fp32": 67, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4, "fp8": 1978.9, "int8": 1978.9},
        4800,
        141,
        50,
        700,
    ),
    "jetson-agx-orin-64gb": ({"fp32": 5.3, "int8": 137.5}, 204.8, 64, 4, 60),
    "jetson-nano": ({"fp32": 0.236, "fp16": 0.472}, 25.6, 4, None, 10),
    "jetson-orin-nano-8gb": ({"fp32": 1.28, "int8": 20}, 68, 8, None, 15),
    "jetson-orin-nx-16gb": ({"fp32": 1.88, "int8": 50}, 102.4, 16, None, 25),
    "l4": ({"fp32": 30.3, "tf32": 60, "bf16": 121, "fp16": 121, "fp8": 242.5, "int8": 242.5}, 300, 24, 48, 72),
    "mi210": ({"fp32": 45.3, "bf16": 181, "fp16": 181, "int8": 181}, 1638, 64, 8, 300),
    "mi300x": (
        {"fp32": 163.4, "tf32": 653.7, "bf16": 1307.4, "fp16": 1307.4, "fp8": 2614.9, "int8": 2614.9},
        5300,
        192,
        256,
        750,
    ),
    "raspberry-pi-4": ({"fp32": 0.048}, 12.8, 8, 1, 7),
    "raspberry-pi-5": ({"fp32": 0.1536, "fp16": 0.3072, "int8": 0.6144}, 17.1, 8, 2, 12),
    "rtx-4090": (
        {"fp32": 82.6, "tf32": 82.6, "bf16": 165.2, "fp16": 165.2, "fp8": 330.3, "int8": 660.6},
        1008,
        24,
        72,
        450,
    ),
    "snapdragon-888": ({"int8": 26}, 51.2, 16, None, None),
    "snapdragon-x-elite": ({"fp32": 4.6, "int8": 45}, 135, 64, None, None),
    "stm32f412": ({"int8": 0.0004}, None, None, 0.25, None),
    "stm32f746": ({"fp32": 0.000432, "int8": 0.000864}, None, None, 0.3125, None),
    "stm32h743": ({"fp32": 0.00096, "int8": 0.00192}, None, None, 1, None),
    "t4": ({"fp32": 8.1, "fp16": 65, "int8": 130}, 320, 16, 4, 70),
    "tpu-v4": ({"bf16": 275, "int8": 275}, 1200, 32, 128, None),
    "tpu-v5e": ({"bf16": 197, "int8": 393}, 819, 16, None, None),
    "tpu-v5p": ({"bf16": 459, "fp8": 459, "int8": 918}, 2765, 95, None, None),
    "v100-sxm2-32gb": ({"fp32": 15.7, "fp16": 125}, 900, 32, 6, 300),
    "xeon-8480plus": ({"fp32": 7.17, "bf16": 114.7, "int8": 229.4}, 307.2, None, 105, 350),
}
IN_GIB = {"tpu-v4", "tpu-v5p"}


@pytest.mark.parametrize("name", targets())
def test_every_figure_has_one_source_with_a_date(name: str) -> None:
    target = load_target(name)
    rows = target.rows()
    assert len(rows) >= 10
    for row in rows:
        assert row.source is not None, row.key
        assert row.source.document
        assert date(2026, 11, 22) <= row.source.date
        assert row.source.checked in CHECKED
        claims = [s for s in target.sources if s is row.source]
        assert len(claims) == 1


@pytest.mark.parametrize("name", targets())
def test_a_target_goes_by_its_file_name_and_names_its_runtime(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.runtime
    assert hash(target) == hash(load_target(name))
    assert target == load_target(name)


@pytest.mark.parametrize("name", targets())
def test_order_of_energies_is_that_of_the_lecture(name: str) -> None:
    """DRAM costs more than SRAM a byte; a 32-bit word of either costs more than an int8 MAC."""
    energy = load_target(name).energy
    assert energy is not None
    macs = dict(energy.pj_per_mac)
    per_byte = [each for _, each in energy.pj_per_byte]
    assert per_byte == sorted(per_byte)  # levels near to far
    assert 4 * per_byte[0] > macs["int8"].mult + macs["int8"].add
    # The table: 3.7 + 0.9, 1.1 + 0.4, 0.2 + 0.03 pJ; 640 and 5 pJ per 32-bit access are 160 and 1.25 pJ per byte.
    assert (macs["fp32"].mult, macs["fp32"].add) == (3.7, 0.9)
    assert (macs["fp16"].mult, macs["fp16"].add) == (1.1, 0.4)
    assert (macs["int8"].mult, macs["int8"].add) == (0.2, 0.03)
    assert set(per_byte) <= {160, 1.25}
    assert energy.node_nm == 45


@pytest.mark.parametrize("name", targets())
def test_figures(name: str) -> None:
    peaks, bandwidth, gigabytes, on_chip, tdp = EXPECTED[name]
    target = load_target(name)
    assert {dtype: rate / TERA for dtype, rate in target.peaks} == pytest.approx(peaks)
    main = target.home("weights")
    if main.technology == "dram" and main.holds == "both":
        assert main.capacity_bytes == (None if gigabytes is None else gigabytes * (2**30 if name in IN_GIB else GIGA))
        assert main.write_bytes_per_s == main.read_bytes_per_s
        assert main.read_bytes_per_s == (None if bandwidth is None else pytest.approx(bandwidth * GIGA))
    else:  # weights in flash, or on the other side of a cable
        assert gigabytes is None
        assert bandwidth is None or main.read_bytes_per_s == bandwidth * GIGA
    near = target.cache or (target.home("activations") if target.home("activations") != main else None)
    assert (near and near.capacity_bytes) == (None if on_chip is None else on_chip * MIB)
    assert target.limits.tdp_w == tdp


@pytest.mark.parametrize("name", targets())
def test_peaks_are_dense_and_levels_get_slower(name: str) -> None:
    """Narrower types are never slower; where a level in front of main memory states a rate, it is the faster one."""
    target = load_target(name)
    peak = dict(target.peaks)
    for wide, narrow in (("fp32", "tf32"), ("tf32", "bf16"), ("fp32", "fp16"), ("fp16", "fp8"), ("bf16", "int8")):
        if wide in peak and narrow in peak:
            assert peak[wide] <= peak[narrow]
    for what in ("weights", "activations"):
        rates = [m.read_bytes_per_s for m in (*target.caches(what), target.home(what)) if m.read_bytes_per_s]
        assert rates == sorted(rates, reverse=True)
    assert all(level.technology for level in target.memory)


def test_the_microcontroller_has_flash_banks_and_no_guessed_bandwidth() -> None:
    target = load_target("stm32h743")
    sram, flash = target.memory
    assert (sram.capacity_bytes, sram.banks_bytes) == (MIB, (512 * KIB, 288 * KIB, 128 * KIB, 64 * KIB))
    assert (flash.capacity_bytes, flash.persistent) == (2_097_152, True)
    assert (target.home("weights"), target.home("activations")) == (flash, sram)
    assert sram.read_bytes_per_s is None
    assert flash.read_bytes_per_s is None
    assert target.clock_hz is not None
    # The data-sheet bound is 2 int8 MAC, that is 4 operations, a cycle.
    assert target.peak("int8") == 4 * target.clock_hz


def test_tinyengine_share_follows_from_the_published_latencies() -> None:
    # (million MACs, milliseconds under TinyEngine) of the eight MCUNet models, restated from the projects' pages.
    published = [(6.4, 25), (12.8, 56), (67.3, 280), (81.8, 336), (125.9, 463), (6.0, 27), (11.6, 51), (55.8, 234)]
    target = load_target("stm32h743")
    assert target.efficiency is not None
    assert target.efficiency.n == len(published)
    peak_macs_per_s = (target.peak("int8") or 0) / 2

    def geometric_mean_share(runs: list[tuple[float, int]]) -> float:
        product = 1.0
        for megamacs, ms in runs:
            product *= megamacs * 1e6 / (ms / 1e3) / peak_macs_per_s
        return float(product ** (1 / len(runs)))

    assert target.efficiency.share("conv").compute == pytest.approx(geometric_mean_share(published), abs=1e-4)
    errors = []
    for left_out in published:
        share = geometric_mean_share([run for run in published if run is not left_out])
        megamacs, ms = left_out
        errors.append(abs(megamacs * 1e6 / (share * peak_macs_per_s) - ms / 1e3) / (ms / 1e3))
    assert target.efficiency.error == pytest.approx(sum(errors) / len(errors), abs=5e-4)


def test_shipped_names_are_those_of_the_folder() -> None:
    assert targets() == hw_targets.names()
    assert sorted(EXPECTED) == targets()
    assert len(EXPECTED) == 35


@pytest.mark.parametrize(("kind", "runtime"), hw_targets.runtimes())
def test_every_shipped_efficiency_says_what_was_measured(kind: str, runtime: str) -> None:
    """Whatever machine of the class takes it, every figure has its source, and classes exist."""
    machines = [t for t in (load_target(name) for name in targets()) if t.kind == kind]
    assert machines
    for plain in machines:
        target = under_runtime(plain, runtime)
        fit = target.efficiency
        assert fit is not None
        assert fit.machine
        assert 0 < fit.error < 0.2
        assert {name for name, _ in fit.shares} <= known_classes() | {"default"}
        assert all(row.source is not None for row in target.rows())
        assert (target.name, target.runtime) == (f"{plain.name}:{runtime}", runtime)
        assert parse_target(to_toml(replace(target, name=plain.name)).encode(), "again").efficiency == fit


def test_a_target_without_a_fit_takes_that_of_its_class() -> None:
    cpu, gpu, chip = load_target("epyc-9654"), load_target("t4"), load_target("stm32f746")
    assert [t.efficiency and t.efficiency.n for t in (cpu, gpu, chip)] == [36, 47, 8]
    assert load_target("tpu-v4").efficiency is None
    assert load_target("stm32h743:tinyengine").efficiency == load_target("stm32h743").efficiency


def test_four_libraries_on_one_chip_lie_far_apart() -> None:
    """10.4, 116, 202 and 240 MMAC/s at 480 MHz, as published: 23x."""
    names = ("tflite-micro", "cmsis-nn", "x-cube-ai", "tinyengine")
    found = [load_target(f"stm32h743:{name}") for name in names]
    rates = [
        (t.peak("int8") or 0) / 2 * (t.efficiency or Efficiency("", 1, 0, ())).share("conv").compute for t in found
    ]
    assert rates == pytest.approx([10.4e6, 116e6, 202e6, 240e6], rel=0.01)


def test_a_runtime_that_is_not_known() -> None:
    with pytest.raises(UnknownName, match="no efficiency is known of runtime 'cmsis' on class mcu; did you mean"):
        load_target("stm32h743:cmsis")
    with pytest.raises(UnknownName, match="no hardware target is called 'stm32h74'"):
        load_target("stm32h74:cmsis-nn")
