"""Targets: what a machine can do at best, every figure with its source; reading and checking the TOML files.

Grammar of a file (`?` is optional, units are part of the key; what is unknown is left out, never guessed)::

    target     ::= name vendor class runtime notes? compute memory+ overhead? efficiency? energy? limits? sources+
    compute    ::= DTYPE_ops_per_s? ... cores? clock_hz?     dense peaks, a MAC is 2 operations; sparse ones are never stored
    memory     ::= name holds capacity_bytes? banks_bytes? bandwidth persistent? instances?         near to far
    bandwidth  ::= bandwidth_bytes_per_s? | read_bandwidth_bytes_per_s? write_bandwidth_bytes_per_s?
    overhead   ::= default_s? FAMILY_s? ...                  fixed time of one op, by family of cost rules
    efficiency ::= origin n error counts_other_ops? ( default | FAMILY ){ compute? memory? } ...    share of the peak
    energy     ::= table node_nm? pj_per_mac{ DTYPE{ mult add } ... } pj_per_byte{ LEVEL ... } static_w?
    limits     ::= tdp_w? sram_bytes? flash_bytes?           what an application may use, where less than the machine has
    sources    ::= figures document date checked note?       figures: key paths, `*` allowed; each figure has exactly one

A whole file is read or refused: unknown keys, wrong types, numbers out of range and figures without a source are errors.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from fnmatch import fnmatchcase
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final

from fxcost import hw_targets
from fxcost.errors import FileError, SpecError, UnknownName, nearest

DTYPES: Final = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")
CLASSES: Final = ("cpu", "gpu", "mcu", "npu", "sbc", "soc", "tpu")
HOLDS: Final = ("weights", "activations", "both")
CHECKED: Final = ("yes", "partly", "no")
MAX_FILE_BYTES: Final = 256 * 1024
LARGEST: Final = 1e30

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
    """One level. `banks_bytes` are the blocks a buffer cannot cross; a level with `instances` > 1 is private to a core."""

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
    """One figure for people: key path, value, unit, and its source."""

    key: str
    value: float
    unit: str
    document: str
    date: str
    checked: str
    note: str


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
        rows = []
        for key, value in self.figures():
            source = self.source_of(key) or Source((), "", date.min, "no")
            unit = next((unit for end, unit in _UNITS if key.endswith(end)), "")
            unit = "pJ/byte" if key.startswith("energy.pj_per_byte.") else unit
            day = source.date.isoformat() if source.document else ""
            rows.append(FigureRow(key, value, unit, source.document, day, source.checked, source.note))
        return tuple(rows)


def _numbers(path: str, thing: Any, *names: str) -> Iterator[tuple[str, float]]:
    """Numeric fields of a dataclass (or those named), by key path; lists give one entry an item."""
    for name in names or [f.name for f in fields(thing)]:
        value = getattr(thing, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, int | float) and not isinstance(item, bool):
                yield f"{path}.{name}", item


# -- reading ---------------------------------------------------------------------------------------------------------
def targets() -> list[str]:
    """Names of the shipped targets, in alphabetical order."""
    return hw_targets.names()


def load_target(name_or_path: str | PathLike[str]) -> Target:
    """Read a shipped target by name, or a file whose name ends in `.toml`.

    Raises:
        UnknownName: no shipped target has that name.
        FileError: the file cannot be read or does not say what it must say.
    """
    asked = fspath(name_or_path)
    if not asked.endswith(".toml"):
        try:
            return parse_target(hw_targets.read(asked), f"{asked}.toml")
        except UnknownName as error:
            raise UnknownName(f"{error}; a file of your own must end in .toml") from None
    path = Path(asked)
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"{asked}: found a {'directory' if path.is_dir() else 'device'}, expected a TOML file")
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(f"{asked}: cannot be read: {reason}; shipped targets go by name: {', '.join(targets())}") from error
    return parse_target(raw, asked)


def parse_target(raw: bytes, where: str) -> Target:
    """Read the text of a target file; `where` names it in errors."""
    if len(raw) > MAX_FILE_BYTES:
        raise FileError(f"{where}: larger than {MAX_FILE_BYTES:,} bytes; a target file is a few kilobytes")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FileError(f"{where}: not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}") from error
    except RecursionError as error:
        raise FileError(f"{where}: not a target: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError says line and column
        raise FileError(f"{where}: not valid TOML: {error}") from error
    try:
        return _target(table)
    except _Malformed as error:
        raise FileError(f"{where}: {error}") from None


class _Malformed(Exception):
    """What is wrong at which key; `parse_target` adds the file."""


Reader = Callable[[str, Any], Any]


def _bad(path: str, found: object, expected: str) -> _Malformed:
    kinds = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "a table"}
    kind = kinds.get(type(found), f"a {type(found).__name__}")
    try:
        text = repr(found)
    except ValueError:  # an integer of thousands of digits
        text = "a very long number"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return _Malformed(f"{path}: found {shown} ({kind}), expected {expected}")


def _join(path: str, key: str) -> str:
    shown = key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else repr(key[:60])
    return f"{path}.{shown}" if path else shown


def _table(readers: Mapping[str, Reader], required: str = "") -> Reader:
    """A table with exactly these keys, those in `required` (a list of words) present."""

    def read(path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _bad(path, value, "a table with " + ", ".join(readers))
        for key in value:
            if key not in readers:
                raise _Malformed(f"{_join(path, key)}: unknown key{nearest(key, readers)}")
        for key in required.split():
            if key not in value:
                raise _Malformed(f"{_join(path, key)}: missing; expected in every {path or 'target'}")
        return {key: readers[key](_join(path, key), item) for key, item in value.items()}

    return read


def _items(read_item: Reader) -> Reader:
    def read(path: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise _bad(path, value, "a list of at least one entry")
        return tuple(read_item(f"{path}[{position}]", item) for position, item in enumerate(value))

    return read


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _bad(path, value, "a line of text")
    return value


def _name(path: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise _bad(path, value, "a name of letters, digits, '.', '-' and '_'")
    return value


def _choice(known: tuple[str, ...]) -> Reader:
    def read(path: str, value: Any) -> str:
        if not isinstance(value, str):
            raise _bad(path, value, "one of " + ", ".join(known))
        if value not in known:
            raise _Malformed(f"{path}: found {value[:60]!r}, expected one of {', '.join(known)}{nearest(value, known)}")
        return value

    return read


def _number(path: str, value: Any, *, zero: bool = False) -> float:
    expected = f"a {'number that is not negative' if zero else 'positive number'}, at most {LARGEST:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(path, value, expected)
    smallest = 0 if zero else 1 / LARGEST
    if not smallest <= value <= LARGEST:  # false for nan, too; exact for integers of any length
        raise _bad(path, value, expected)
    return float(value)


def _number_or_zero(path: str, value: Any) -> float:
    return _number(path, value, zero=True)


def _whole(path: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise _bad(path, value, "a positive integer, written without point or exponent")
    return value


def _flag(path: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _bad(path, value, "true or false")
    return value


def _day(path: str, value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _bad(path, value, "a date such as 2026-11-22, without quotes")
    return value


def _by_key(read_key: Reader, read_item: Reader, suffix: str = "") -> Callable[[str, Mapping[str, Any]], tuple[Any, ...]]:
    """(name, value) pairs of a table whose keys are names with a suffix."""

    def read(path: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, dict):
            raise _bad(path, value, "a table")
        pairs = []
        for key, item in value.items():
            here = _join(path, key)
            if not key.endswith(suffix):
                raise _Malformed(f"{here}: unknown key; expected a name that ends in {suffix!r}")
            pairs.append((read_key(here, key.removesuffix(suffix)), read_item(here, item)))
        return tuple(pairs)

    return read


_FAMILY = _name
_MAC = _table({"mult": _number_or_zero, "add": _number_or_zero}, required="mult add")
_SHARE = _table({"compute": _number, "memory": _number})
_COMPUTE = _table({f"{dtype}_ops_per_s": _number for dtype in DTYPES} | {"cores": _whole, "clock_hz": _number})
_MEMORY = _table(
    {
        "name": _name,
        "holds": _choice(HOLDS),
        "capacity_bytes": _whole,
        "banks_bytes": _items(_whole),
        "bandwidth_bytes_per_s": _number,
        "read_bandwidth_bytes_per_s": _number,
        "write_bandwidth_bytes_per_s": _number,
        "persistent": _flag,
        "instances": _whole,
    },
    required="name holds",
)
_ENERGY = _table(
    {
        "table": _text,
        "node_nm": _number,
        "pj_per_mac": _by_key(_choice(DTYPES), lambda path, value: MacEnergy(**_MAC(path, value))),
        "pj_per_byte": _by_key(_name, _number_or_zero),
        "static_w": _number_or_zero,
    },
    required="table",
)
_SOURCE = _table(
    {"figures": _items(_text), "document": _text, "date": _day, "checked": _choice(CHECKED), "note": _text},
    required="figures document date checked",
)
_EFFICIENCY_HEAD = _table(
    {"origin": _text, "n": _whole, "error": _number_or_zero, "counts_other_ops": _flag}, required="origin n error"
)


def _efficiency(path: str, value: Any) -> Efficiency:
    if not isinstance(value, dict):
        raise _bad(path, value, "a table")
    shares = {key: item for key, item in value.items() if isinstance(item, dict)}
    head = _EFFICIENCY_HEAD(path, {key: item for key, item in value.items() if key not in shares})
    if not shares:
        raise _Malformed(f"{path}: states no share; expected {path}.default or {path}.FAMILY with compute or memory")
    read = _by_key(_FAMILY, lambda where, item: Share(**_SHARE(where, item)))
    return Efficiency(shares=read(path, shares), **head)


_TARGET = _table(
    {
        "name": _name,
        "vendor": _text,
        "class": _choice(CLASSES),
        "runtime": _text,
        "notes": _text,
        "compute": _COMPUTE,
        "memory": _items(lambda path, value: Memory(**_MEMORY(path, value))),
        "overhead": _by_key(_FAMILY, _number_or_zero, suffix="_s"),
        "efficiency": _efficiency,
        "energy": lambda path, value: Energy(**_ENERGY(path, value)),
        "limits": lambda path, value: Limits(**_LIMITS(path, value)),
        "sources": _items(lambda path, value: Source(**_SOURCE(path, value))),
    },
    required="name vendor class runtime compute memory sources",
)
_LIMITS = _table({"tdp_w": _number, "sram_bytes": _whole, "flash_bytes": _whole})


def _target(table: dict[str, Any]) -> Target:
    read = _TARGET("", table)
    compute = read.pop("compute")
    peaks = tuple((d, compute[key]) for d in DTYPES if (key := f"{d}_ops_per_s") in compute)
    target = Target(
        kind=read.pop("class"),
        peaks=peaks,
        cores=compute.get("cores"),
        clock_hz=compute.get("clock_hz"),
        overhead_s=read.pop("overhead", ()),
        **read,
    )
    _check_memory(target)
    _check_references(target)
    _check_sources(target)
    return target


def _check_memory(target: Target) -> None:
    names = [level.name for level in target.memory]
    for position, level in enumerate(target.memory):
        path = f"memory.{level.name}"
        if level.name in names[:position]:
            raise _Malformed(f"{path}: two levels have this name; expected each once, near to far")
        both, apart = level.bandwidth_bytes_per_s, level.read_bandwidth_bytes_per_s or level.write_bandwidth_bytes_per_s
        if both and apart:
            raise _Malformed(f"{path}: found bandwidth_bytes_per_s beside a read or write bandwidth, expected one way")
        if level.capacity_bytes is not None and sum(level.banks_bytes) > level.capacity_bytes:
            raise _Malformed(
                f"{path}.banks_bytes: found {sum(level.banks_bytes)} bytes in all, expected at most the level's "
                f"capacity_bytes, {level.capacity_bytes}"
            )
        if level.persistent and level.holds != "weights":
            raise _Malformed(f"{path}: a persistent level holds {level.holds!r}, expected 'weights'")
    for what in ("weights", "activations"):
        if not any(level.can_hold(what) for level in target.memory):
            raise _Malformed(f"memory: no level holds {what}; expected one with holds = 'both' or '{what}'")


def _check_references(target: Target) -> None:
    names = [level.name for level in target.memory]
    for name, _ in target.energy.pj_per_byte if target.energy else ():
        if name not in names:
            raise _Malformed(f"energy.pj_per_byte.{name}: no memory level has this name{nearest(name, names)}")
    if target.overhead_s and target.efficiency is None:
        raise _Malformed("overhead: found without an efficiency block, expected both: only `calibrated` uses overheads")


def _check_sources(target: Target) -> None:
    keys = list(dict.fromkeys(key for key, _ in target.figures()))
    for position, source in enumerate(target.sources):
        for pattern in source.figures:
            if not any(fnmatchcase(key, pattern) for key in keys):
                raise _Malformed(
                    f"sources[{position}].figures: {pattern[:80]!r} is no figure of this file{nearest(pattern, keys)}"
                )
    for key in keys:
        claims = [s.document for s in target.sources if any(fnmatchcase(key, pattern) for pattern in s.figures)]
        if not claims:
            raise _Malformed(f"{key}: has no source; name it in the `figures` of a [[sources]] entry")
        if len(claims) > 1:
            raise _Malformed(f"{key}: found {len(claims)} sources ({'; '.join(claims)}), expected one")
