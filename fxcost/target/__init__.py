"""Targets: what a machine can do at best, every figure with its source; reading and checking the TOML files.

Grammar of a file (`?` is optional, units are part of the key; what is unknown is left out, never guessed)::

    target     ::= name vendor class runtime notes? compute memory+ overhead? efficiency? energy? interconnect?
                   limits? sources+
    compute    ::= DTYPE_ops_per_s? ... cores? clock_hz?     dense peaks, a MAC is 2 operations; never sparse ones
    memory     ::= name holds technology? capacity_bytes? banks_bytes? bandwidth persistent? instances?    near to far
                   cached_weights?                           share of the weights that is pinned in this level
    bandwidth  ::= bandwidth_bytes_per_s? | read_bandwidth_bytes_per_s? write_bandwidth_bytes_per_s?
    overhead   ::= default_s? CLASS_s? ...                   fixed time of one op; view_s: of one that does nothing
    efficiency ::= origin n error noise? cores? dtype? machine? combine? counts_other_ops? ( default | CLASS ){ share } ...
    share      ::= compute? vector? memory? weights?         of the data-sheet rates; CLASS is a family of cost rules
                                                             or a finer class (fxcost/ops/classes.py)
    energy     ::= table node_nm? pj_per_mac{ DTYPE{ mult add } ... } pj_per_byte{ LEVEL ... } static_w?
                 | table? static_w?                          a table by name: "45 nm" (the lecture's, by default), "7 nm"
    interconnect ::= name topology bandwidth_bytes_per_s? latency_s? devices?
                                                             between devices of a node: topology switch, mesh, ring or
                                                             torus; bandwidth of one device in one direction, all links
                                                             together; latency of one message
    limits     ::= tdp_w? sram_bytes? flash_bytes?           what an application may use, where the machine has more
    sources    ::= figures document date checked note?       figures: key paths, `*` allowed; one source per figure

A file is read whole or refused: unknown keys, wrong types, numbers out of range, figures without a source are errors.
`machine.py` says what a target is, `energy_tables.py` what energies it has by default, `schema.py` what a file may say,
`toml.py` reads values and words the complaints.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Final

from fxcost import hw_targets
from fxcost.errors import FileError, SpecError, UnknownName, nearest
from fxcost.target.machine import (
    CHECKED,
    CLASSES,
    DTYPES,
    HOLDS,
    TECHNOLOGIES,
    TOPOLOGIES,
    Efficiency,
    Energy,
    FigureRow,
    Interconnect,
    Limits,
    MacEnergy,
    Memory,
    Share,
    Source,
    Target,
)
from fxcost.target.schema import achieved_on, target_of
from fxcost.target.toml import Malformed

__all__ = [
    "CHECKED",
    "CLASSES",
    "DTYPES",
    "HOLDS",
    "TECHNOLOGIES",
    "TOPOLOGIES",
    "Efficiency",
    "Energy",
    "FigureRow",
    "Interconnect",
    "Limits",
    "MacEnergy",
    "Memory",
    "Share",
    "Source",
    "Target",
    "load_target",
    "parse_target",
    "targets",
    "under_runtime",
]

SHORT_RUNTIMES: Final = {"tflm": "tflite-micro"}
"""Short names of runtimes."""

MAX_FILE_BYTES: Final = 64 * 1024
"""Shipped targets take about 2 KB."""


def targets() -> list[str]:
    """Names of the shipped targets, in alphabetical order."""
    return hw_targets.names()


def load_target(name_or_path: str | PathLike[str]) -> Target:
    """Read a shipped target by name, or a file whose name ends in `.toml`.

    `NAME:RUNTIME` is the machine under another runtime (`stm32h743:cmsis-nn`). A target without a fit of its own gets
    the shipped efficiency of its class and runtime, where there is one; its `efficiency.machine` then says what was
    measured.

    Raises:
        UnknownName: no shipped target has that name, or no efficiency of that runtime is known.
        FileError: the file cannot be read or does not say what it must say.
    """
    asked = fspath(name_or_path)
    if asked.endswith(".toml"):
        return _with_shipped_efficiency(parse_target(_bytes_of(asked), asked))
    name, colon, runtime = asked.partition(":")
    try:
        target = parse_target(hw_targets.read(name), f"{name}.toml")
    except UnknownName as error:
        raise UnknownName(f"{error}; a file of your own must end in .toml") from None
    return under_runtime(target, runtime) if colon else _with_shipped_efficiency(target)


def under_runtime(target: Target, runtime: str) -> Target:
    """The machine under another runtime, whose efficiency must be shipped for the class; raises UnknownName."""
    runtime = SHORT_RUNTIMES.get(runtime, runtime)
    raw = hw_targets.read_runtime(target.kind, runtime)
    kept = tuple(
        figures
        for source in target.sources
        if (figures := replace(source, figures=_without_fit(source.figures))).figures
    )
    plain = replace(
        target, name=f"{target.name}:{runtime}", runtime=runtime, efficiency=None, overhead_s=(), sources=kept
    )
    return _achieved_on(plain, raw)


def _without_fit(figures: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(figure for figure in figures if not figure.startswith(("efficiency", "overhead")))


def _with_shipped_efficiency(target: Target) -> Target:
    if target.efficiency is not None or (target.kind, target.runtime) not in hw_targets.runtimes():
        return target
    return _achieved_on(target, hw_targets.read_runtime(target.kind, target.runtime))


def _achieved_on(target: Target, raw: bytes) -> Target:
    try:
        return achieved_on(target, tomllib.loads(raw.decode("utf-8")))
    except (Malformed, SpecError) as error:
        raise FileError(f"{target.kind}.{target.runtime}.toml: {error}") from None


def parse_target(raw: bytes, where: str) -> Target:
    """Read the text of a target file; `where` names it in errors."""
    if len(raw) > MAX_FILE_BYTES:
        raise FileError(f"{where}: larger than {MAX_FILE_BYTES:,} bytes; a target file has a few thousand")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FileError(f"{where}: not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}") from error
    except RecursionError as error:
        raise FileError(f"{where}: not a target: nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError says line and column
        raise FileError(f"{where}: not valid TOML: {error}") from error
    try:
        return target_of(table)
    except (Malformed, SpecError) as error:
        raise FileError(f"{where}: {error}") from None


def _bytes_of(asked: str) -> bytes:
    path = Path(asked)
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"{asked}: found a {'directory' if path.is_dir() else 'device'}, expected a TOML file")
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    except ValueError as error:  # a NUL in the name; FileError is a ValueError, too
        if isinstance(error, FileError):
            raise
        reason = str(error)
    shown = asked if asked.isprintable() else repr(asked)
    hint = f"shipped targets go by name alone{nearest(path.stem, targets())}"
    raise FileError(f"{shown}: cannot be read: {reason}; {hint}")
