"""Energy by default: the lecture's 45 nm table, a convention shared by all targets that state nothing of their own.

A table knows technologies, not chips: a byte of DRAM costs the same on a phone and in a data centre, and flash is in
none. A target file says the technology of each memory level; `energy.table` chooses another table, and an `[energy]`
block with figures takes the table's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Final

from fxcost.target.machine import Energy, MacEnergy, Memory, Source


@dataclass(frozen=True)
class EnergyTable:
    """Picojoules of one multiply and one add by type, and of one byte, each with its source.

    A byte goes by the kind of memory that a level is named after (hbm, gddr), else by its technology.
    """

    name: str
    node_nm: float
    pj_per_mac: Mapping[str, MacEnergy]
    pj_per_byte: Mapping[str, float]
    mac_sources: tuple[Source, ...]
    byte_source: Source

    def energy(self, memory: Iterable[Memory], static_w: float | None = None) -> Energy:
        """The table for a hierarchy; levels private to a core are never charged, and left out."""
        per_byte = ((level.name, self._per_byte(level)) for level in memory if level.is_shared)
        return Energy(
            table=self.name,
            pj_per_mac=tuple(self.pj_per_mac.items()),
            pj_per_byte=tuple((name, picojoules) for name, picojoules in per_byte if picojoules is not None),
            node_nm=self.node_nm,
            static_w=static_w,
        )

    def _per_byte(self, level: Memory) -> float | None:
        kind = level.name.rstrip("0123456789xe_")
        return self.pj_per_byte.get(kind, self.pj_per_byte.get(level.technology or ""))

    def sources(self, energy: Energy) -> tuple[Source, ...]:
        """Sources of the figures that the table puts into `energy`."""
        return self.mac_sources + (self.byte_source,) * bool(energy.pj_per_byte)


_READ: Final = date(2026, 11, 22)
_CONVENTION: Final = "the lecture's table by convention, not measured on this chip"

LECTURE_TABLE: Final = EnergyTable(
    name="45 nm, 0.9 V: Horowitz, as in the lecture",
    node_nm=45,
    pj_per_mac=MappingProxyType(  # no bf16, tf32 or fp8 in the table: left out
        {"fp32": MacEnergy(3.7, 0.9), "fp16": MacEnergy(1.1, 0.4), "int8": MacEnergy(0.2, 0.03)}
    ),
    # 5 pJ (8 KB SRAM) and 640 pJ (DRAM) per access of 32 bits, that is 4 bytes
    pj_per_byte=MappingProxyType({"sram": 5 / 4, "dram": 640 / 4}),
    mac_sources=(
        Source(
            ("energy.node_nm", "energy.pj_per_mac.fp32.*"),
            "Horowitz, ISSCC 2014, 45 nm 0.9 V",
            _READ,
            "yes",
            _CONVENTION,
        ),
        Source(
            ("energy.pj_per_mac.fp16.*", "energy.pj_per_mac.int8.*"),
            "Horowitz, ISSCC 2014, 45 nm 0.9 V",
            _READ,
            "no",
            f"{_CONVENTION}; the int8 add is the 8-bit one",
        ),
    ),
    byte_source=Source(
        ("energy.pj_per_byte.*",),
        "Han et al. / lecture slide (after Horowitz), 45 nm 0.9 V",
        _READ,
        "yes",
        "640 pJ (DRAM) and 5 pJ (8 KB SRAM) per 32-bit access; by convention, not this chip's memory",
    ),
)

_TEN_LESSONS: Final = "Jouppi et al., Ten Lessons, ISCA 2021, table 2, 7 nm"

SEVEN_NM_TABLE: Final = EnergyTable(
    name="7 nm: Jouppi et al.",
    node_nm=7,
    pj_per_mac=MappingProxyType(
        {
            "fp32": MacEnergy(1.31, 0.38),
            "bf16": MacEnergy(0.21, 0.11),
            "fp16": MacEnergy(0.34, 0.16),
            "int8": MacEnergy(0.07, 0.007),
        }
    ),
    # per access of 64 bits, that is 8 bytes: SRAM of 1 MB 14, DDR4 1300, the middle of 250 to 450 and of 350 to 480
    pj_per_byte=MappingProxyType({"sram": 14 / 8, "dram": 1300 / 8, "hbm": 350 / 8, "gddr": 415 / 8}),
    mac_sources=(
        Source(
            ("energy.node_nm", "energy.pj_per_mac.*"),
            _TEN_LESSONS,
            _READ,
            "no",
            "a table of the technology, not measured on this chip",
        ),
    ),
    byte_source=Source(
        ("energy.pj_per_byte.*",),
        _TEN_LESSONS,
        _READ,
        "no",
        "64-bit accesses: 1 MB SRAM 14, DDR4 1300 (for any DRAM not named), HBM2 250 to 450, GDDR6 350 to 480 pJ, the "
        "middle taken; not this chip's memory",
    ),
)

DEFAULT_TABLE: Final = "45 nm"
TABLES: Final = MappingProxyType({DEFAULT_TABLE: LECTURE_TABLE, "7 nm": SEVEN_NM_TABLE})
"""What `energy.table` may choose."""
