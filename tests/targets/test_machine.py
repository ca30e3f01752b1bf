"""Questions to a target: homes of data, caches, rates, figures."""

from dataclasses import replace

import pytest

from fxcost.errors import SpecError
from fxcost.target import Limits, Memory, Target, load_target

REGISTERS = Memory("l1", "both", 32, instances=4)
CACHE = Memory("l2", "both", 1024, bandwidth_bytes_per_s=50.0)
DRAM = Memory("dram", "both", 10**6, bandwidth_bytes_per_s=10.0)


def machine(*memory: Memory) -> Target:
    return Target("box", "somebody", "cpu", "its own", peaks=(("fp32", 100.0),), memory=memory)


def test_home_is_the_farthest_level_that_holds_the_data() -> None:
    target = machine(REGISTERS, CACHE, DRAM)
    assert target.home("weights") == DRAM
    assert target.home("activations") == DRAM


def test_cache_is_the_last_shared_level_in_front_of_main_memory() -> None:
    assert machine(REGISTERS, CACHE, DRAM).cache == CACHE
    assert machine(REGISTERS, DRAM).cache is None  # private to a core
    assert machine(DRAM).cache is None
    weights_only = Memory("buffer", "weights", 1024)
    assert machine(weights_only, DRAM).cache is None  # the arena does not fit where only weights go


def test_sram_beside_flash_is_no_cache_of_it() -> None:
    sram, flash = Memory("sram", "activations", 1024), Memory("flash", "weights", 4096, persistent=True)
    target = machine(sram, flash)
    assert (target.home("activations"), target.home("weights"), target.cache) == (sram, flash, None)


def test_a_target_needs_a_place_for_everything() -> None:
    with pytest.raises(SpecError, match="no level holds weights"):
        machine(Memory("sram", "activations"))
    with pytest.raises(SpecError, match="no level holds weights"):
        machine()


def test_bandwidth_one_way_or_both() -> None:
    apart = Memory("dram", "both", read_bandwidth_bytes_per_s=3.0, write_bandwidth_bytes_per_s=1.0)
    assert (apart.read_bytes_per_s, apart.write_bytes_per_s) == (3.0, 1.0)
    assert (DRAM.read_bytes_per_s, DRAM.write_bytes_per_s) == (10.0, 10.0)
    reads_only = Memory("flash", "weights", read_bandwidth_bytes_per_s=3.0)
    assert reads_only.write_bytes_per_s is None


def test_figures_have_key_paths_units_and_no_sources_in_python() -> None:
    target = replace(machine(CACHE, DRAM), cores=2, limits=Limits(tdp_w=5.0))
    found = {row.key: (row.value, row.unit) for row in target.rows()}
    assert found == {
        "compute.fp32_ops_per_s": (100.0, "op/s"),
        "compute.cores": (2, ""),
        "memory.l2.capacity_bytes": (1024, "byte"),
        "memory.l2.bandwidth_bytes_per_s": (50.0, "byte/s"),
        "memory.dram.capacity_bytes": (10**6, "byte"),
        "memory.dram.bandwidth_bytes_per_s": (10.0, "byte/s"),
        "limits.tdp_w": (5.0, "W"),
    }
    assert all(row.source is None for row in target.rows())


def test_units_of_energies() -> None:
    units = {row.key: row.unit for row in load_target("stm32h743").rows()}
    assert units["energy.pj_per_mac.int8.mult"] == "pJ"
    assert units["energy.pj_per_byte.sram"] == "pJ/byte"
    assert units["energy.node_nm"] == "nm"
    assert units["compute.clock_hz"] == "Hz"


def test_computing_in_another_type() -> None:
    target = machine(DRAM)
    assert target.computing_in("bf16").dtype == "bf16"
    assert target.computing_in(None) == target
    with pytest.raises(SpecError, match=r"dtype='bf61' is no compute type; did you mean 'bf16'"):
        target.computing_in("bf61")
