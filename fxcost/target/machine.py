"""What a target is: frozen facts about one machine and the library it runs. All figures are data-sheet maxima."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Final

from fxcost.errors import SpecError, nearest

DTYPES: Final = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")
CLASSES: Final = ("cpu", "gpu", "mcu", "npu", "sbc", "soc", "tpu")
HOLDS: Final = ("weights", "activations", "both")
CHECKED: Final = ("yes", "partly", "no")
_UNITS = (
    ("_ops_per_s", "op/s"),
    ("_bytes_per_s", "byte/s"),
    ("_bytes", "byte"),
    ("_hz", "Hz"),
    ("_nm", "nm"),
    ("_w", "W"),
    ("_s", "s"),
    (".mult", "pJ"),
    (".add", "pJ"),
)


@dataclass(frozen=True)
class Source:
    """Where figures come from: `figures` are key paths; `checked` says whether somebody read them there again."""

    figures: tuple[str, ...]
    document: str
    date: date
    checked: str
    note: str = ""


@dataclass(frozen=True)
class Memory:
    """One level. A buffer cannot cross `banks_bytes` (those known); with `instances` > 1 it is private to a core."""

    name: str
    holds: str
    capacity_bytes: int | None = None
    banks_bytes: tuple[int, ...] = ()
    bandwidth_bytes_per_s: float | None = None
    read_bandwidth_bytes_per_s: float | None = None
    write_bandwidth_bytes_per_s: float | None = None
    persistent: bool = False
    instances: int | None = None

    @property
    def read_bytes_per_s(self) -> float | None:
        """Bandwidth of reads, None when no source states one."""
        return self.read_bandwidth_bytes_per_s or self.bandwidth_bytes_per_s

    @property
    def write_bytes_per_s(self) -> float | None:
        """Bandwidth of writes, None when no source states one."""
        return self.write_bandwidth_bytes_per_s or self.bandwidth_bytes_per_s

    def can_hold(self, what: str) -> bool:
        """True when the level holds `what`: weights or activations."""
        return self.holds in ("both", what)


@dataclass(frozen=True)
class Share:
    """Achieved share of the peak rates of one family of ops; 1 where not fitted."""

    compute: float = 1.0
    memory: float = 1.0


@dataclass(frozen=True)
class Efficiency:
    """What a runtime achieves: shares by family, from `origin`, fitted on `n` runs with a mean relative `error`.

    `counts_other_ops` is False for fits of time over MACs alone, where the share carries everything else as well.
    """

    origin: str
    n: int
    error: float
    shares: tuple[tuple[str, Share], ...]
    counts_other_ops: bool = True

    def share(self, family: str) -> Share:
        """The share of a family, or the default one."""
        found = dict(self.shares)
        return found.get(family) or found.get("default", Share())


@dataclass(frozen=True)
class MacEnergy:
    """Energy of one multiply and of one add, in picojoules."""

    mult: float
    add: float


@dataclass(frozen=True)
class Energy:
    """Energy table: pJ per MAC by dtype, pJ per byte by memory level, and the power drawn at rest."""

    table: str
    pj_per_mac: tuple[tuple[str, MacEnergy], ...] = ()
    pj_per_byte: tuple[tuple[str, float], ...] = ()
    node_nm: float | None = None
    static_w: float | None = None


@dataclass(frozen=True)
class Limits:
    """Limits of power and of the memory that an application may use."""

    tdp_w: float | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None


@dataclass(frozen=True)
class FigureRow:
    """One figure for people: key path, value, unit, and its source (None in a target that Python code made)."""

    key: str
    value: float
    unit: str
    source: Source | None


@dataclass(frozen=True)
class Target:
    """A machine with the library it runs; `dtype` is the type asked for, None computes in the tensors' own."""

    name: str
    vendor: str
    kind: str
    runtime: str
    peaks: tuple[tuple[str, float], ...]
    memory: tuple[Memory, ...]
    sources: tuple[Source, ...] = ()
    cores: int | None = None
    clock_hz: float | None = None
    overhead_s: tuple[tuple[str, float], ...] = ()
    efficiency: Efficiency | None = None
    energy: Energy | None = None
    limits: Limits = Limits()
    notes: str = ""
    dtype: str | None = None

    def __post_init__(self) -> None:
        """Refuse a machine on which a model has no place to live."""
        for what in ("weights", "activations"):
            if not any(level.can_hold(what) for level in self.memory):
                raise SpecError(f"memory: no level holds {what}; expected one with holds = 'both' or '{what}'")

    def peak(self, dtype: str) -> float | None:
        """Dense operations per second in `dtype` (a MAC is 2), None when no source states them."""
        return dict(self.peaks).get(dtype)

    def home(self, what: str) -> Memory:
        """The farthest level that holds `what` (weights or activations): main memory, or flash."""
        return next(level for level in reversed(self.memory) if level.can_hold(what))

    @property
    def cache(self) -> Memory | None:
        """The last shared level in front of main memory that keeps weights and activations, None without one."""
        first = min(self.memory.index(self.home(what)) for what in ("weights", "activations"))
        near = (m for m in reversed(self.memory[:first]) if m.holds == "both" and m.instances in (None, 1))
        return next(near, None)

    def overhead(self, family: str) -> float:
        """Fixed seconds of one op of a family."""
        found = dict(self.overhead_s)
        return found.get(family, found.get("default", 0.0))

    def computing_in(self, dtype: str | None) -> Target:
        """The same machine computing in `dtype`; raises SpecError for a name that no target can have."""
        if dtype is not None and dtype not in DTYPES:
            raise SpecError(f"dtype={dtype!r} is no compute type{nearest(dtype, DTYPES)}")
        return replace(self, dtype=dtype)

    def figures(self) -> Iterator[tuple[str, float]]:
        """Every number that the target states, by key path."""
        for dtype, rate in self.peaks:
            yield f"compute.{dtype}_ops_per_s", rate
        yield from _numbers("compute", self, "cores", "clock_hz")
        for level in self.memory:
            yield from _numbers(f"memory.{level.name}", level)
        for family, seconds in self.overhead_s:
            yield f"overhead.{family}_s", seconds
        if self.efficiency:
            yield from _numbers("efficiency", self.efficiency, "n", "error")
            for family, share in self.efficiency.shares:
                yield from _numbers(f"efficiency.{family}", share)
        if self.energy:
            yield from _numbers("energy", self.energy, "node_nm", "static_w")
            for dtype, mac in self.energy.pj_per_mac:
                yield from _numbers(f"energy.pj_per_mac.{dtype}", mac)
            for name, per_byte in self.energy.pj_per_byte:
                yield f"energy.pj_per_byte.{name}", per_byte
        yield from _numbers("limits", self.limits)

    def source_of(self, figure: str) -> Source | None:
        """The source of one figure, by key path without an index (`memory.sram.banks_bytes`)."""
        return next((s for s in self.sources if any(fnmatchcase(figure, pattern) for pattern in s.figures)), None)

    def rows(self) -> tuple[FigureRow, ...]:
        """Every figure with unit and source, in the order of the file format."""
        return tuple(FigureRow(key, value, _unit(key), self.source_of(key)) for key, value in self.figures())


def _unit(key: str) -> str:
    if key.startswith("energy.pj_per_byte."):
        return "pJ/byte"
    return next((unit for end, unit in _UNITS if key.endswith(end)), "")


def _numbers(path: str, thing: Any, *names: str) -> Iterator[tuple[str, float]]:
    """Numeric fields of a dataclass (or those named), by key path; lists give one entry an item."""
    for name in names or [f.name for f in fields(thing)]:
        value = getattr(thing, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, int | float) and not isinstance(item, bool):
                yield f"{path}.{name}", item
