"""This CPU, one thread: models that no fit has seen, measured and predicted in one run.

Predictors, from the cheapest: the plain roofline of the measured ceilings; the efficiency that ships for the class; a fit
on three models; that with the built-in probes, as `fxcost calibrate` does; a fit on the probes and all models of other
families, where nothing is chosen on the family predicted. Below them the limit of every method that adds ops up: the
measured times of the ops themselves, times one factor fitted on the other families.

    python benchmarks/latency_cpu.py [--seconds N] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from benchmarks._latency import COLUMNS, held_out, in_order, progress, row, scalar
from benchmarks._subjects import Candidate, fitted_on, unseen
from fxcost.calibration import fitted, machine, run_of
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from fxcost.integrate.ceilings import device_name, measure_ceilings
from fxcost.integrate.clock import Clock, CpuClock
from fxcost.integrate.probes import probes
from fxcost.integrate.profile import Profile, profile
from fxcost.integrate.subjects import Subject, subject
from fxcost.passes._achieved import Run, accuracy, left_out
from fxcost.target import Target, load_target

ROUNDS = 4
GOAL_SHIPPED, GOAL_RATIO = 35.0, 1.4


@dataclass(frozen=True)
class Measurement:
    """A model that was measured: its times, its cost, and both as the fit takes them."""

    subject: Subject
    found: Profile
    cost: Cost
    run: Run

    def at(self, target: Target) -> float:
        """Seconds that the target predicts."""
        value = self.cost.on(target, at={}).calibrated
        assert isinstance(value, float)
        return value


def measured(candidates: Sequence[Candidate], clock: Clock, target: Target, seconds: float) -> list[Measurement]:
    """Every model in every round; rounds lie apart, so that a disturbance meets a model once."""
    subjects = [subject(c.name, c.family, c.build(), c.inputs(), "cpu") for c in candidates]
    profiles: dict[str, Profile] = {}
    for turn in range(ROUNDS):
        for each in subjects:
            progress(f"round {turn + 1} of {ROUNDS}: {each.name}")
            now = profile(each.model, each.program, each.inputs, clock, seconds=seconds)
            profiles[each.name] = profiles[each.name] | now if each.name in profiles else now
    progress("")
    found = []
    for each in subjects:
        cost = fxcost.analyze(each.program, check=False, name=each.name)
        run = run_of(each.name, each.group, cost, profiles[each.name], target)
        found.append(Measurement(each, profiles[each.name], cost, run))
    return found


def by_ops(runs: Sequence[Measurement], others: Sequence[Measurement]) -> list[float]:
    """Measured times of the ops added up, times one factor from the other families."""
    every = [*runs, *others]
    groups = [m.run.group for m in every]

    def predict(known: list[int], i: int) -> float:
        factor = scalar([every[j].found.ops_s for j in known], [every[j].run.seconds for j in known])
        return factor * every[i].found.ops_s

    return held_out(groups, predict)[: len(runs)]


def main() -> None:
    """Measure, fit, compare."""
    options = arguments(__doc__, seconds=(1, "wall seconds for each model in each of the rounds"))
    prepare_torchvision()
    torch.set_num_threads(1)
    clock = CpuClock(1)
    plain = machine(measure_ceilings(clock, seconds=10, types=("fp32",)), "here", "cpu", device_name("cpu"), 1)
    # Probes go through the same hands; they are in no table.
    small = [Candidate(p.name, p.group, p.build, p.inputs) for p in probes()]
    every = measured([*fitted_on(), *small, *unseen()], clock, plain, options.seconds)
    few = len(list(fitted_on()))
    three, built_in, test = every[:few], every[few : few + len(small)], every[few + len(small) :]

    every_run = [*test, *three, *built_in]
    seconds = [m.run.seconds for m in test]
    ship = load_target("epyc-9654")
    targets = {
        "calibrated, shipped efficiency": replace(plain, efficiency=ship.efficiency, overhead_s=ship.overhead_s),
        "calibrated on three models": fitted(plain, [m.run for m in three], noise=None, what="benchmark"),
        "calibrated on three models and probes": fitted(
            plain, [m.run for m in (*three, *built_in)], noise=None, what="benchmark"
        ),
    }
    plains = [m.cost.on(plain, at={}) for m in test]
    roofline = [e.roofline for e in plains if isinstance(e.roofline, float)]
    bounds = [e.bound for e in plains if isinstance(e.bound, float)]
    predicted = {"roofline": roofline} | {name: [m.at(t) for m in test] for name, t in targets.items()}
    predicted["families left out, nested"] = left_out([m.run for m in every_run])[: len(test)]
    predicted["measured op times x a factor"] = by_ops(test, three)

    mobile = [i for i, m in enumerate(test) if m.run.group == "mobile"]
    limit = accuracy(predicted["measured op times x a factor"], seconds).mean
    rows = []
    for name, values in predicted.items():
        order = in_order([values[i] for i in mobile], [seconds[i] for i in mobile])
        rows.append((*row(name, values, seconds), 100 * order, accuracy(values, seconds).mean / limit))
    above = [m.run.name for m, low in zip(test, bounds, strict=True) if low > m.run.seconds]
    noise = sum(m.found.whole.noise for m in test) / len(test)
    errors = {line[0]: line[2] for line in rows}
    ratio = errors["families left out, nested"] / (100 * limit)
    Result(
        f"{len(test)} models on {plain.vendor}, one thread, fp32, eager; seen by no fit",
        ("predictor", *COLUMNS, "mobile order %", "of limit"),
        rows,
        [
            f"repeat noise (rounds apart): {100 * noise:.1f} % on average; the best of all rounds is used",
            f"ceilings: {plain.peak('fp32') or 0:.3g} op/s in products, "
            f"{plain.home('weights').read_bytes_per_s or 0:.3g} bytes/s in main memory",
            f"bound above a measurement: {', '.join(above) or 'never'} (the peak is a measured one, see the notes)",
        ],
        {"noise": noise, "bound_above": above, "models": {m.run.name: m.run.seconds for m in test}}
        | {"predicted": {name: dict(zip([m.run.name for m in test], v, strict=True)) for name, v in predicted.items()}},
    ).show(options.json)
    sys.exit(errors["calibrated, shipped efficiency"] > GOAL_SHIPPED or ratio > GOAL_RATIO)


if __name__ == "__main__":
    main()
