"""What a target file may say: its keys, which of them are required, and what must agree between them."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from fxcost.errors import nearest
from fxcost.target import machine, toml
from fxcost.target.energy_tables import DEFAULT_TABLE, TABLES
from fxcost.target.machine import Efficiency, Energy, Interconnect, Limits, MacEnergy, Memory, Share, Source, Target
from fxcost.target.toml import Malformed, bad, number, number_or_zero, text, whole, word

_COMPUTE = toml.table({f"{d}_ops_per_s": number for d in machine.DTYPES} | {"cores": whole, "clock_hz": number})
_MEMORY = toml.record(
    Memory,
    {
        "name": word,
        "holds": toml.choice(machine.HOLDS),
        "capacity_bytes": whole,
        "banks_bytes": toml.items(whole),
        "bandwidth_bytes_per_s": number,
        "read_bandwidth_bytes_per_s": number,
        "write_bandwidth_bytes_per_s": number,
        "persistent": toml.flag,
        "instances": whole,
        "technology": toml.choice(machine.TECHNOLOGIES),
        "cached_weights": number,
    },
    required="name holds",
)
_SHARE = toml.record(Share, {"compute": number, "memory": number, "vector": number, "weights": number})
_FIT = toml.table(
    {
        "origin": text,
        "n": whole,
        "error": number_or_zero,
        "noise": number_or_zero,
        "cores": whole,
        "dtype": toml.choice(machine.DTYPES),
        "machine": text,
        "combine": toml.choice(machine.COMBINED),
        "counts_other_ops": toml.flag,
    },
    required="origin n error",
)
_MAC = toml.record(MacEnergy, {"mult": number, "add": number}, required="mult add")
_ENERGY = toml.record(
    Energy,
    {
        "table": text,
        "node_nm": number,
        "pj_per_mac": toml.by_name(toml.choice(machine.DTYPES), _MAC),
        "pj_per_byte": toml.by_name(word, number),
        "static_w": number_or_zero,
    },
)
_LIMITS = toml.record(Limits, {"tdp_w": number, "sram_bytes": whole, "flash_bytes": whole})
_INTERCONNECT = toml.record(
    Interconnect,
    {
        "name": word,
        "topology": toml.choice(machine.TOPOLOGIES),
        "bandwidth_bytes_per_s": number,
        "latency_s": number,
        "devices": whole,
    },
    required="name topology",
)
_SOURCE = toml.record(
    Source,
    {
        "figures": toml.items(text),
        "document": text,
        "date": toml.day,
        "checked": toml.choice(machine.CHECKED),
        "note": text,
    },
    required="figures document date checked",
)


def _efficiency(path: str, value: Any) -> Efficiency:
    """The fit's own keys, and one table for each class of ops."""
    if not isinstance(value, dict):
        raise bad(path, value, "a table")
    shares = {key: item for key, item in value.items() if isinstance(item, dict)}
    fit = _FIT(path, {key: item for key, item in value.items() if key not in shares})
    if not shares:
        raise Malformed(f"{path}: states no share; expected {path}.default or {path}.CLASS with compute or memory")
    return Efficiency(shares=toml.by_name(word, _SHARE)(path, shares), **fit)


def _energy(path: str, value: Any) -> Energy:
    """A table of its own, or which of the tables here to take, or the static power alone beside the lecture's table."""
    energy: Energy = _ENERGY(path, value)
    if energy.pj_per_mac or energy.pj_per_byte:
        if not energy.table:
            raise Malformed(f"{path}.table: missing; expected where the picojoules come from")
        return energy
    if energy.node_nm is not None:
        raise Malformed(f"{path}.node_nm: found without picojoules, expected pj_per_mac or pj_per_byte beside it")
    return replace(energy, table=toml.choice(tuple(TABLES))(f"{path}.table", energy.table or DEFAULT_TABLE))


_TARGET = toml.table(
    {
        "name": toml.title,
        "vendor": text,
        "class": toml.choice(machine.CLASSES),
        "runtime": text,
        "notes": text,
        "compute": _COMPUTE,
        "memory": toml.items(_MEMORY),
        "overhead": toml.by_name(word, number_or_zero, suffix="_s"),
        "efficiency": _efficiency,
        "energy": _energy,
        "interconnect": _INTERCONNECT,
        "limits": _LIMITS,
        "sources": toml.items(_SOURCE),
    },
    required="name vendor class runtime compute memory sources",
)


def target_of(table: dict[str, Any]) -> Target:
    """The target that a parsed file describes; raises Malformed naming the key."""
    read = _TARGET("", table)
    compute, energy = read.pop("compute"), read.pop("energy", Energy(DEFAULT_TABLE))
    if not (energy.pj_per_mac or energy.pj_per_byte):
        chosen = TABLES[energy.table]
        energy = chosen.energy(read["memory"], static_w=energy.static_w)
        read["sources"] += chosen.sources(energy)
    target = Target(
        energy=energy,
        kind=read.pop("class"),
        peaks=tuple((d, compute[key]) for d in machine.DTYPES if (key := f"{d}_ops_per_s") in compute),
        cores=compute.get("cores"),
        clock_hz=compute.get("clock_hz"),
        overhead_s=read.pop("overhead", ()),
        **read,
    )
    _check_memory(target)
    _check_references(target)
    _check_sources(target)
    return target


_ACHIEVED = toml.table(
    {
        "class": toml.choice(machine.CLASSES),
        "runtime": text,
        "overhead": toml.by_name(word, number_or_zero, suffix="_s"),
        "efficiency": _efficiency,
        "sources": toml.items(_SOURCE),
    },
    required="class runtime efficiency sources",
)


def achieved_on(target: Target, table: dict[str, Any]) -> Target:
    """A target with the efficiency that a parsed file states for its class and runtime; raises Malformed."""
    read = _ACHIEVED("", table)
    if (read["class"], read["runtime"]) != (target.kind, target.runtime):
        raise Malformed(f"class: found {read['class']} and {read['runtime']}, expected what the file is called")
    if not read["efficiency"].machine:
        raise Malformed("efficiency.machine: missing; expected what was measured")
    made = replace(
        target,
        efficiency=read["efficiency"],
        overhead_s=read.get("overhead", ()),
        sources=target.sources + read["sources"],
    )
    _check_sources(made)
    return made


def _check_memory(target: Target) -> None:
    seen: set[str] = set()
    for level in target.memory:
        path = f"memory.{level.name}"
        if level.name in seen:
            raise Malformed(f"{path}: two levels have this name, expected each once, near to far")
        seen.add(level.name)
        apart = level.read_bandwidth_bytes_per_s or level.write_bandwidth_bytes_per_s
        if apart and level.bandwidth_bytes_per_s:
            raise Malformed(f"{path}: found bandwidth_bytes_per_s beside a read or write bandwidth, expected one way")
        if level.capacity_bytes is not None and sum(level.banks_bytes) > level.capacity_bytes:
            raise Malformed(
                f"{path}.banks_bytes: found {sum(level.banks_bytes)} bytes in all, expected at most the level's "
                f"capacity_bytes, {level.capacity_bytes}"
            )
        if level.persistent and level.holds != "weights":
            raise Malformed(f"{path}.holds: found {level.holds!r} in a persistent level, expected 'weights'")
    for what in ("weights", "activations"):
        _check_caches(target, what)
    _check_cached_weights(target)


def _check_caches(target: Target, what: str) -> None:
    """A nearer level is at least as fast as the one it caches; else keeping data there would cost time."""
    home = target.home(what)
    for level in target.caches(what):
        for way in ("read", "write"):
            near, far = getattr(level, f"{way}_bytes_per_s"), getattr(home, f"{way}_bytes_per_s")
            if near is not None and far is not None and near < far:
                raise Malformed(
                    f"memory.{level.name}: found a {way} bandwidth of {near:g} bytes/s in front of {home.name} with "
                    f"{far:g}, expected levels near to far, the near ones faster"
                )


def _check_cached_weights(target: Target) -> None:
    """Pinned shares belong to shared levels in front of the one where weights are at home, and are at most all."""
    caches = [level.name for level in target.caches("weights")]
    stated = [(level, level.cached_weights) for level in target.memory if level.cached_weights is not None]
    for level, _ in stated:
        if level.name not in caches:
            raise Malformed(
                f"memory.{level.name}.cached_weights: found in a level that caches no weights, expected one of "
                f"{', '.join(caches) or 'none: this machine has no such level'}"
            )
    if sum(share for _, share in stated) > 1:
        raise Malformed("memory.*.cached_weights: found more than all weights, expected shares of at most 1 together")


def _check_references(target: Target) -> None:
    names = [level.name for level in target.memory]
    for name, _ in target.energy.pj_per_byte if target.energy else ():
        if name not in names:
            raise Malformed(f"energy.pj_per_byte.{name}: no memory level has this name{nearest(name, names)}")
    if target.overhead_s and target.efficiency is None:
        raise Malformed("overhead: found without an efficiency block, expected both: only `calibrated` uses overheads")


def _check_sources(target: Target) -> None:
    """Every figure has exactly one source, and every source is that of some figure."""
    claims: dict[str, list[str]] = {key: [] for key, _ in target.figures()}
    for position, source in enumerate(target.sources):
        claimed: set[str] = set()
        for pattern in source.figures:
            found = {key for key in claims if fnmatchcase(key, pattern)}
            if not found:
                where = f"sources[{position}].figures"
                raise Malformed(f"{where}: {pattern[:80]!r} is no figure of this file{nearest(pattern[:80], claims)}")
            claimed |= found
        for key in claimed:
            claims[key].append(source.document)
    for key, documents in claims.items():
        if not documents:
            raise Malformed(f"{key}: has no source, expected it in the `figures` of a [[sources]] entry")
        if len(documents) > 1:
            raise Malformed(f"{key}: found {len(documents)} sources ({'; '.join(documents)}), expected one")
