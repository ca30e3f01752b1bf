"""Energy by default: the lecture's 45 nm table, a convention shared by all targets that state nothing of their own.

The table knows technologies, not chips: a byte of DRAM costs the same on a phone and in a data centre, and flash is not
in it. A target file says the technology of each memory level; an `[energy]` block of its own takes the table's place.
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
    """Picojoules of one multiply and one add by type, and of one byte by technology, each with its source."""

    name: str
    node_nm: float
    pj_per_mac: Mapping[str, MacEnergy]
    pj_per_byte: Mapping[str, float]
    mac_sources: tuple[Source, ...]
    byte_source: Source

    def energy(self, memory: Iterable[Memory], static_w: float | None = None) -> Energy:
        """The table for a hierarchy; levels private to a core are never charged, and left out."""
        shared = (level for level in memory if level.is_shared and level.technology in self.pj_per_byte)
        return Energy(
            table=self.name,
            pj_per_mac=tuple(self.pj_per_mac.items()),
            pj_per_byte=tuple((level.name, self.pj_per_byte[level.technology or ""]) for level in shared),
            node_nm=self.node_nm,
            static_w=static_w,
        )

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
