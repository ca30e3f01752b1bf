"""What a target is: frozen facts about one machine and the library it runs. All figures are data-sheet maxima."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from fxcost.errors import SpecError, nearest

T = TypeVar("T")

DTYPES: Final = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")
CLASSES: Final = ("cpu", "gpu", "mcu", "npu", "sbc", "soc", "tpu")
HOLDS: Final = ("weights", "activations", "both")
TECHNOLOGIES: Final = ("sram", "dram", "flash")
CHECKED: Final = ("yes", "partly", "no")
COMBINED: Final = ("max", "sum")
TOPOLOGIES: Final = ("switch", "mesh", "ring", "torus")
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
    """One level. A buffer cannot cross `banks_bytes` (those known); with `instances` > 1 it is private to a core.

    `technology` (sram, dram or flash) is what a byte costs by where no energy of the level itself is stated.
    `cached_weights` is a share of every weight fetch that this level serves although not all weights fit: somebody
    pinned them here.
    """

    name: str
    holds: str
    capacity_bytes: int | None = None
    banks_bytes: tuple[int, ...] = ()
    bandwidth_bytes_per_s: float | None = None
    read_bandwidth_bytes_per_s: float | None = None
    write_bandwidth_bytes_per_s: float | None = None
    persistent: bool = False
    instances: int | None = None
    technology: str | None = None
    cached_weights: float | None = None

    @property
    def is_shared(self) -> bool:
        """True when one level serves the whole machine; a level private to a core holds no model."""
        return self.instances in (None, 1)

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
    """Achieved share of the data-sheet rates of one class of ops; 1 where not fitted.

    `compute` is that of products, `vector` that of other operations (as `compute` where None), `memory` that of
    activations' bandwidth, `weights` that of weights' bandwidth (as `memory` where None). A share above 1 is no slip:
    caches deliver more than main memory, fast algorithms need fewer products.
    """

    compute: float = 1.0
    memory: float = 1.0
    vector: float | None = None
    weights: float | None = None

    @property
    def of_vector(self) -> float:
        """Share of the vector rate."""
        return self.compute if self.vector is None else self.vector

    @property
    def of_weights(self) -> float:
        """Share of the bandwidth of weights."""
        return self.memory if self.weights is None else self.weights


@dataclass(frozen=True)
class Efficiency:
    """What a runtime achieves: shares by class of ops, from `origin`, fitted on `n` runs with a mean relative `error`.

    combine           `max`: compute and memory overlap, the longer one counts; `sum`: they follow one another
    counts_other_ops  False for fits of time over MACs alone, where the share carries everything else as well
    noise             mean relative difference of the measurements when repeated, where it is known
    cores             how many cores the fit ran on, where that is known
    dtype             what the products of the fit were computed in, where that is known
    machine           whose fit it is: empty for this target's own, else what was measured (a shipped fit of the class)
    """

    origin: str
    n: int
    error: float
    shares: tuple[tuple[str, Share], ...]
    counts_other_ops: bool = True
    combine: str = "max"
    noise: float | None = None
    cores: int | None = None
    dtype: str | None = None
    machine: str = ""

    def share(self, op_class: str) -> Share:
        """The share of a class, else of its family, else the default one."""
        return _by_class(op_class, dict(self.shares), Share())


@dataclass(frozen=True)
class MacEnergy:
    """Energy of one multiply and of one add, in picojoules."""

    mult: float
    add: float


@dataclass(frozen=True)
class Energy:
    """Energy table: pJ per MAC by dtype, pJ per byte by memory level, and the power drawn at rest."""

    table: str = ""
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
class Interconnect:
    """How devices of this kind are connected inside a node.

    topology                  switch: every device reaches every other one at its full bandwidth; mesh: a link between
                              every two; ring and torus: links between neighbours only
    bandwidth_bytes_per_s     of one device in one direction, all its links together
    latency_s                 of one message between two devices
    devices                   how many a node holds
    """

    name: str
    topology: str
    bandwidth_bytes_per_s: float | None = None
    latency_s: float | None = None
    devices: int | None = None


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
    interconnect: Interconnect | None = None

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

    def caches(self, what: str) -> tuple[Memory, ...]:
        """Shared levels of known size in front of the home of `what` that take weights and activations, near to far."""
        nearer = self.memory[: self.memory.index(self.home(what))]
        return tuple(m for m in nearer if m.holds == "both" and m.is_shared and m.capacity_bytes is not None)

    @property
    def cache(self) -> Memory | None:
        """The farthest level that can keep all weights on chip, None without one."""
        return next(reversed(self.caches("weights")), None)

    def overhead(self, op_class: str) -> float:
        """Fixed seconds of one op of a class, else of its family, else the default."""
        return _by_class(op_class, dict(self.overhead_s), 0.0)

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
        for op_class, seconds in self.overhead_s:
            yield f"overhead.{op_class}_s", seconds
        if self.efficiency:
            yield from _numbers("efficiency", self.efficiency, "n", "error", "noise", "cores")
            for op_class, share in self.efficiency.shares:
                yield from _numbers(f"efficiency.{op_class}", share)
        if self.energy:
            yield from _numbers("energy", self.energy, "node_nm", "static_w")
            for dtype, mac in self.energy.pj_per_mac:
                yield from _numbers(f"energy.pj_per_mac.{dtype}", mac)
            for name, per_byte in self.energy.pj_per_byte:
                yield f"energy.pj_per_byte.{name}", per_byte
        if self.interconnect:
            yield from _numbers("interconnect", self.interconnect)
        yield from _numbers("limits", self.limits)

    def source_of(self, figure: str) -> Source | None:
        """The source of one figure, by key path without an index (`memory.sram.banks_bytes`)."""
        return next((s for s in self.sources if any(fnmatchcase(figure, pattern) for pattern in s.figures)), None)

    def rows(self) -> tuple[FigureRow, ...]:
        """Every figure with unit and source, in the order of the file format."""
        return tuple(FigureRow(key, value, _unit(key), self.source_of(key)) for key, value in self.figures())


def _by_class(op_class: str, table: Mapping[str, T], otherwise: T) -> T:
    """The entry of a class (`conv_depthwise`), of its family (`conv`), or the default one."""
    keys = (op_class, op_class.partition("_")[0], "default")
    return next((table[key] for key in keys if key in table), otherwise)


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
