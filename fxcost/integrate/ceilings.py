"""What a machine reaches at best: matrix products by type, and bandwidth by working set."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from fxcost.integrate.clock import Clock, timed

TYPES: Mapping[str, torch.dtype] = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
KIB = 1024
STREAMS = 3
"""c = a + b: two streams are read, one is written."""


@dataclass(frozen=True)
class Cache:
    """One level of cache: bytes, and how many cores share it."""

    name: str
    nbytes: int
    shared_by: int


@dataclass(frozen=True)
class Ceilings:
    """Best rates seen: operations per second by type (a MAC is 2), bytes per second by bytes of working set."""

    ops_per_s: Mapping[str, float]
    bytes_per_s: Mapping[int, float]
    caches: tuple[Cache, ...]
    memory_bytes: int | None

    def bandwidth(self, above: int, up_to: int | None) -> float | None:
        """Best bandwidth of working sets in a range of bytes, None where none was measured there."""
        found = [rate for size, rate in self.bytes_per_s.items() if above < size and (up_to is None or size <= up_to)]
        return max(found, default=None)


def measure_ceilings(clock: Clock, *, seconds: float, types: Sequence[str] = tuple(TYPES)) -> Ceilings:
    """Measure for about `seconds` of wall time on the clock's device."""
    caches = cuda_caches() if clock.device == "cuda" else cpu_caches()
    far = max((cache.nbytes for cache in caches), default=32 * 1024 * KIB)
    sizes = [64 * KIB * 2**step for step in range(30) if 64 * KIB * 2**step <= max(4 * far, 128 * 1024 * KIB)]
    return Ceilings(
        ops_per_s=dict(_products(clock, types, seconds / 2)),
        bytes_per_s={size: _bandwidth(clock, size, seconds / 2 / len(sizes)) for size in sizes},
        caches=caches,
        memory_bytes=memory_bytes(clock.device),
    )


def _products(clock: Clock, types: Sequence[str], seconds: float) -> Iterator[tuple[str, float]]:
    """Rates of square products; a type without a kernel on the device is left out."""
    largest = 4096 if clock.device == "cuda" else 1024
    for name in types:
        best = 0.0
        for size in (largest // 8, largest // 2, largest):
            try:
                left = torch.randn(size, size, device=clock.device).to(TYPES[name])
                right, result = left.t().contiguous(), torch.empty_like(left)
                product = partial(torch.mm, left, right, out=result)
                once = timed(product, clock, seconds=0, repeats=1)
                if once.best * 8 > seconds:  # no fast kernel (fp16 on many CPUs): larger ones would take for ever
                    best = max(best, 2 * size**3 / once.best)
                    break
                again = timed(product, clock, seconds=seconds / (3 * len(types)))
            except RuntimeError:
                break
            best = max(best, 2 * size**3 / min(once.best, again.best))
        if best:
            yield name, best


def _bandwidth(clock: Clock, nbytes: int, seconds: float) -> float:
    count = nbytes // (4 * STREAMS)
    a, b, c = (torch.ones(count, device=clock.device) for _ in range(STREAMS))
    rounds = max(1, 2**20 // nbytes)  # short runs are repeated between two marks

    def stream() -> None:
        for _ in range(rounds):
            torch.add(a, b, out=c)

    return STREAMS * 4 * count * rounds / timed(stream, clock, seconds=seconds, repeats=1000).best


def cpu_caches(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> tuple[Cache, ...]:
    """Data caches near to far, as Linux lists them; nothing on other systems."""
    found = []
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
            shared = len(_cores((index / "shared_cpu_list").read_text().strip()))
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and size.endswith("K") and size[:-1].isdecimal():
            found.append(Cache(f"l{level}", int(size[:-1]) * KIB, shared))
    return tuple(found)


def _cores(listed: str) -> set[int]:
    """Cores of a list such as `0-3,8`."""
    cores: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def cuda_caches() -> tuple[Cache, ...]:
    """The L2 cache of the current device."""
    found = torch.cuda.get_device_properties(torch.cuda.current_device())
    return (Cache("l2", int(found.L2_cache_size), int(found.multi_processor_count)),)


def memory_bytes(device: str) -> int | None:
    """Main memory of the device, where the system tells."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def device_name(device: str, info: Path = Path("/proc/cpuinfo")) -> str:
    """What the system calls the processor."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = info.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware")))
    import platform

    return next((name for name in named if name), platform.processor() or platform.machine() or "unknown")
