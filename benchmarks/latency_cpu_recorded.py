"""The recorded CPU measurements: 18 models at two sizes, ops measured alone; the origin of the shipped efficiency.

Ops of the recording are found again in graphs captured here (the recording has no views), so that counts are ours.
With `--write 1` the fit on all runs is written as the efficiency that ships for CPUs.

    python benchmarks/latency_cpu_recorded.py [--write 1] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from benchmarks._latency import COLUMNS, held_out, in_order, progress, row, scalar
from benchmarks._latency import measured as rows_of
from benchmarks._subjects import FAMILIES, THREE, fitted_on
from fxcost.calibration import fitted, run_of
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from fxcost.integrate.clock import Timing
from fxcost.integrate.profile import Profile
from fxcost.integrate.subjects import subject
from fxcost.passes._achieved import Run, accuracy, fit, left_out
from fxcost.target import Target, load_target
from fxcost.target.write import to_toml

SHIPPED = Path(__file__).parents[1] / "hw_targets" / "runtimes" / "cpu.torch-eager.toml"
MACHINE = "epyc-genoa-1core-vm"
ESTIMATOR = ("RuntimeEstimator of torch 2.13, as recorded", 36, 55.4, 54.8, 74.7, 0.43, 0.971, None)
GOAL_RATIO = 1.4


def bare() -> Target:
    """The machine of the recording without any efficiency: the rates that shares refer to."""
    target = load_target(MACHINE)
    kept = tuple(s for s in target.sources if not any(f.startswith(("efficiency", "overhead")) for f in s.figures))
    return replace(target, efficiency=None, overhead_s=(), sources=kept)


def recorded(target: Target) -> Iterator[tuple[Run, Cost, float]]:
    """Every recorded run with the graph of its model, and the sum of its ops' times."""
    whole = {
        f"{line['model']}@{line['resolution']}": float(line["e2e_ms"]) * 1e-3 for line in rows_of("cpu_e2e_latency.csv")
    }
    ops: dict[str, list[tuple[str, float]]] = {}
    for line in rows_of("cpu_op_latency.csv"):
        ops.setdefault(f"{line['model']}@{line['resolution']}", []).append((line["op"], float(line["best_us"]) * 1e-6))
    for candidate in fitted_on(names=tuple(FAMILIES)):
        progress(candidate.name)
        made = subject(candidate.name, candidate.family, candidate.build(), candidate.inputs(), "cpu")
        cost = fxcost.analyze(made.program, check=False, name=candidate.name)
        waiting = list(ops[candidate.name])
        times: dict[str, float] = {}
        for node in made.program.graph.nodes:
            if waiting and node.op == "call_function" and str(node.target) == waiting[0][0]:
                times[node.name] = waiting.pop(0)[1]
        assert not waiting, f"{candidate.name}: {waiting[0][0]} of the recording is not in the graph"
        seconds = whole[candidate.name]
        found = Profile(Timing(seconds, (seconds, seconds), 1), times)
        yield run_of(candidate.name, candidate.family, cost, found, target), cost, found.ops_s
    progress("")


def main() -> None:
    """Predict every recorded run, and compare the shipped efficiency with the fit on all of them."""
    options = arguments(__doc__, write=(0, "1: write the fit on all runs as the shipped efficiency"))
    prepare_torchvision()
    target = bare()
    found = list(recorded(target))
    runs, seconds = [run for run, _, _ in found], [run.seconds for run, _, _ in found]
    roofline = [cost.on(target, at={}).roofline for _, cost, _ in found]
    few = [run for run in runs if run.name.partition("@")[0] in THREE]
    small = fit(few)
    ops = [total for _, _, total in found]

    def by_ops(known: list[int], i: int) -> float:
        return ops[i] * scalar([ops[j] for j in known], [seconds[j] for j in known])

    nested = left_out(runs)
    predicted = {
        "roofline": [value for value in roofline if isinstance(value, float)],
        "families left out, nested": nested,
        "measured op times x a factor": held_out([run.group for run in runs], by_ops),
    }
    limit = accuracy(predicted["measured op times x a factor"], seconds).mean
    mobile = [i for i, run in enumerate(runs) if run.group == "mobile"]
    rows = []
    for name, values in predicted.items():
        order = in_order([values[i] for i in mobile], [seconds[i] for i in mobile])
        rows.append((*row(name, values, seconds), 100 * order))
    rest = [run for run in runs if run not in few]
    rows.append((*row("fit on three models", [small.run_seconds(r) for r in rest], [r.seconds for r in rest]), None))
    rows.append(ESTIMATOR)
    bounds = [cost.on(target, at={}).bound for _, cost, _ in found]
    above = [r.name for r, low in zip(runs, bounds, strict=True) if isinstance(low, float) and low > r.seconds]
    made = fitted(target, runs, noise=0.13, what="torch 2.13, 1 thread of an EPYC Genoa VM")
    if options.write:
        SHIPPED.write_text(shipped_text(made), encoding="utf-8")
    now, held = made.efficiency, load_target("epyc-9654").efficiency
    assert now is not None
    stale = held is None or held.shares != now.shares
    ratio = accuracy(nested, seconds).mean / limit
    Result(
        "36 recorded runs on one thread of an EPYC Genoa VM, fp32, eager",
        ("predictor", *COLUMNS, "mobile order %"),
        rows,
        [
            f"families left out: {ratio:.2f} times the error of measured op times",
            f"bound above a measurement: {', '.join(above) or 'never'}",
            f"shipped efficiency: {'differs from this fit' if stale else 'is this fit'}",
        ],
        {"ratio": ratio, "bound_above": above, "stale": stale},
    ).show(options.json)
    sys.exit(stale or ratio > GOAL_RATIO)


def shipped_text(made: Target) -> str:
    """The efficiency as a file of hw_targets/runtimes."""
    efficiency = made.efficiency
    assert efficiency is not None
    origin = "fitted on times of ops of 18 torchvision models at two sizes; error of whole runs, families left out"
    vm = "one thread of a shared AMD EPYC Genoa VM, torch 2.13, fp32, batch 1"
    source = replace(
        made.sources[-1],
        document="benchmarks/data/cpu_op_latency.csv and cpu_e2e_latency.csv, measured for this project",
        note=f"written by benchmarks/latency_cpu_recorded.py; {made.sources[-1].note}",
    )
    whole = replace(made, efficiency=replace(efficiency, origin=origin, machine=vm), sources=(source,))
    text = to_toml(whole)
    start, energy, sources = text.index("[overhead]"), text.index("[energy]"), text.index("[[sources]]")
    return 'class = "cpu"\nruntime = "torch-eager"\n\n' + text[start:energy] + text[sources:]


if __name__ == "__main__":
    main()
