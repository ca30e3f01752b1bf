"""What a calibration found, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from fxcost.query.units import human
from fxcost.target import Target


def calibration_text(target: Target) -> str:
    """Measured rates, and the fit: error, noise, and what every class achieves."""
    return "\n".join(_lines(target))


def _lines(target: Target) -> Iterator[str]:
    yield f"{target.name}: {target.notes}"
    for dtype, rate in target.peaks:
        yield f"  {dtype:<28} {rate / 1e9:10.4g} Gop/s"
    for level in target.memory:
        bandwidth = level.read_bytes_per_s
        size = "" if level.capacity_bytes is None else f"of {human(level.capacity_bytes, 'bytes')}"
        shown = "  not measured" if bandwidth is None else f"{bandwidth / 1e9:10.4g} GB/s"
        yield f"  {level.name:<28} {shown} {size}".rstrip()
    fit = target.efficiency
    if fit is None:
        return
    noise = "" if fit.noise is None else f"; measurements repeat to {100 * fit.noise:.1f} %"
    yield f"fit: {100 * fit.error:.1f} % off over {fit.n} runs{noise}"
    yield f"  {fit.origin}"
    yield f"  {'share of the rate':<28} {'products':>9} {'other':>9} {'data':>9} {'weights':>9} {'fixed us':>9}"
    for name, share in fit.shares:
        values = (share.compute, share.of_vector, share.memory, share.of_weights, target.overhead(name) * 1e6)
        yield f"  {name:<28} " + " ".join(f"{value:9.3g}" for value in values)
