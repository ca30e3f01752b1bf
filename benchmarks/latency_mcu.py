"""Four libraries on one microcontroller (STM32H743): one constant each, the predicted model left out.

python benchmarks/latency_mcu.py [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

from benchmarks._common import Result, arguments
from benchmarks._latency import COLUMNS, held_out, measured, row, scalar
from fxcost.target import Target, load_target

LIBRARIES = {"tinyengine": "tinyengine", "x_cube_ai": "x-cube-ai", "cmsis_nn": "cmsis-nn", "tflm": "tflite-micro"}
"""Column of the measurements -> runtime of a target."""
GOAL = 7.0


def shipped_macs_per_s(target: Target) -> float:
    """What the target's own efficiency makes of its int8 peak; a MAC is two operations."""
    assert target.efficiency is not None
    return (target.peak("int8") or 0) / 2 * target.efficiency.share("conv").compute


def main() -> None:
    """Predict every model by the others, under each library."""
    options = arguments(__doc__)
    rows, rates, stale, above = [], {}, [], []
    for column, runtime in LIBRARIES.items():
        runs = [line for line in measured("mcu_latency.csv") if line[f"{column}_ms"]]
        seconds = [float(line[f"{column}_ms"]) * 1e-3 for line in runs]
        macs = [float(line["mmacs"]) * 1e6 for line in runs]
        by_others = held_out(
            [line["model"] for line in runs],
            lambda others, i, macs=macs, seconds=seconds: (  # type: ignore[misc]
                macs[i] * scalar([macs[j] for j in others], [seconds[j] for j in others])
            ),
        )
        target = load_target(f"stm32h743:{runtime}")
        rates[runtime] = 1e-6 / scalar(macs, seconds)
        if abs(shipped_macs_per_s(target) * 1e-6 / rates[runtime] - 1) > 1e-3:
            stale.append(runtime)
        bound = [2 * amount / (target.peak("int8") or 1) for amount in macs]
        above += [line["model"] for line, low, t in zip(runs, bound, seconds, strict=True) if low > t]
        rows.append((*row(runtime, by_others, seconds), rates[runtime]))
    error = rows[0][2]
    Result(
        "Latency on an STM32H743 at 480 MHz, int8, every model predicted by a constant fitted on the others",
        ("runtime", *COLUMNS, "MMAC/s"),
        rows,
        [
            f"spread between libraries: {max(rates.values()) / min(rates.values()):.0f}x; a target must name its runtime",
            f"bound (2 int8 MAC a cycle) above a measurement: {', '.join(above) or 'never'}",
            f"shipped efficiencies that are not this fit: {', '.join(stale) or 'none'}",
        ],
        {"goal_percent": GOAL, "stale": stale, "bound_above": above},
    ).show(options.json)
    sys.exit(bool(stale or above or error > GOAL))


if __name__ == "__main__":
    main()
