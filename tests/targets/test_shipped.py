"""Every shipped target: it reads, its figures have sources, and the figures are those of the sources' table."""

from datetime import date

import pytest

from fxcost import hw_targets
from fxcost.target import CHECKED, load_target, targets

TERA, GIGA, MIB = 10**12, 10**9, 2**20

# Peaks in 10^12 operations per second, main-memory bandwidth in 10^9 bytes per second, last cache in MiB, TDP in watts:
# typed in a second time from the table of data-sheet figures (tensor peaks dense, that is half of the sparse ones).
EXPECTED: dict[str, tuple[dict[str, float], float | None, float | None, float | None]] = {
    "h100-sxm": (
        {"fp32": 67, "tf32": 494.7, "bf16": 989.4, "fp16": 989.4, "fp8": 1978.9, "int8": 1978.9},
        3350,
        50,
        700,
    ),
    "t4": ({"fp32": 8.1, "fp16": 65, "int8": 130}, 320, 4, 70),
    "epyc-9654": ({"fp32": 7.37, "bf16": 14.7}, 460.8, 384, 360),
    "raspberry-pi-4": ({"fp32": 0.048}, 12.8, 1, 7),
    # 480 MHz x 1 fp32 MAC, x 2 int8 MAC (SMLAD): 0.96e9 and 1.92e9 operations per second
    "stm32h743": ({"fp32": 0.00096, "int8": 0.00192}, None, None, None),
}


@pytest.mark.parametrize("name", targets())
def test_every_figure_has_one_source_with_a_date(name: str) -> None:
    target = load_target(name)
    rows = target.rows()
    assert len(rows) >= 15
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


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_figures(name: str) -> None:
    peaks, bandwidth, cache, tdp = EXPECTED[name]
    target = load_target(name)
    assert {dtype: rate / TERA for dtype, rate in target.peaks} == pytest.approx(peaks)
    home = target.home("activations")
    assert home.read_bytes_per_s == (None if bandwidth is None else pytest.approx(bandwidth * GIGA))
    assert home.write_bytes_per_s == home.read_bytes_per_s
    found = target.cache
    assert (found and found.capacity_bytes) == (None if cache is None else cache * MIB)
    assert target.limits.tdp_w == tdp


def test_the_microcontroller_has_flash_banks_and_no_guessed_bandwidth() -> None:
    target = load_target("stm32h743")
    sram, flash = target.memory
    assert (sram.capacity_bytes, sram.banks_bytes) == (1_048_576, (524_288,))  # 1 MB, the largest block 512 KB
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
    assert set(EXPECTED) <= set(targets())
