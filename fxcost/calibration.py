"""Calibrate: measure this machine, and describe it as a target with a fit of its own.

What is measured: matrix products by type, bandwidth by working set, and models with random weights, whole and op by op.
What is fitted: shares of those rates and fixed times by class of ops (`passes._achieved` has the formula).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxcost.api import analyze
from fxcost.cost import Cost
from fxcost.errors import FxcostError, ModelError, SpecError, nearest
from fxcost.ir.evaluate import evaluate
from fxcost.passes._achieved import Run, Sample, accuracy, fit, left_out
from fxcost.passes.fuse import Groups
from fxcost.passes.latency import Served, roofline_term
from fxcost.passes.workload import Work, Workload
from fxcost.target import Efficiency, Memory, Source, Target, parse_target
from fxcost.target.write import to_toml

if TYPE_CHECKING:
    from fxcost.integrate.ceilings import Ceilings
    from fxcost.integrate.clock import Clock
    from fxcost.integrate.profile import Profile
    from fxcost.integrate.subjects import Subject

Progress = Callable[[str], None]
Write = Callable[[Path, str], None]
DEVICES = ("cpu", "cuda")
ROUNDS = 3
"""Every model is measured so often, as far apart as the time allows: the difference of the last two is the noise."""


def calibrate(
    models: Mapping[str, tuple[Any, Sequence[Any]]] | Iterable[str] | None = None,
    *,
    name: str = "this-machine",
    device: str = "cpu",
    threads: int = 1,
    seconds: float = 120,
    quick: bool = False,
    progress: Progress = lambda _: None,
) -> Target:
    """Measure this machine with the installed torch, and return it as a target with a fit of its own.

    Args:
        models: what to run: modules with their inputs by name, or loader names of image models
            (`torchvision:resnet18`); by default built-in models that contain every class of ops, and three of
            torchvision where it is installed.
        name: what the target is called.
        device: cpu or cuda.
        threads: threads that torch uses on the CPU. With one, CPU time is measured, which other programs disturb
            little; with more, wall time.
        seconds: wall time to spend on measuring, roughly; building and exporting come on top.
        quick: seconds instead of minutes, with small models: for trying things out.
        progress: called with a line at each stage.

    Raises SpecError for arguments that cannot be, ModelError for a model that torch.export cannot take, FxcostError
    without scipy.
    """
    _check(name, device, threads, seconds)
    from fxcost.integrate.ceilings import device_name, measure_ceilings
    from fxcost.integrate.clock import measuring
    from fxcost.integrate.profile import cold_share

    seconds = min(seconds, 3.0) if quick else seconds
    with measuring(device, threads) as clock:
        progress("matrix products and bandwidth")
        ceilings = measure_ceilings(clock, seconds=seconds / 6, types=("fp32",) if quick else ("fp32", "bf16", "fp16"))
        plain = machine(ceilings, name, device, device_name(device), threads)
        subjects = list(_subjects(models, device, quick, progress))
        profiles = _profiles(subjects, clock, seconds * 5 / 6, progress)
        cold = [cold_share(s.model, s.inputs, clock, p.whole) for s, p in zip(subjects, profiles, strict=True)]
    progress("fitting")
    runs = [
        run_of(subject.name, subject.group, analyze(subject.program, check=False), found, plain)
        for subject, found in zip(subjects, profiles, strict=True)
    ]
    noise = sum(found.whole.noise for found in profiles) / len(profiles)
    colder = [share for share in cold if share is not None]
    note = f"; with cold caches whole runs take {100 * sum(colder) / len(colder):.0f} % longer" if colder else ""
    return fitted(plain, runs, noise=noise, note=note, what=f"torch {version('torch')}, {_threads(threads, device)}")


def run_of(name: str, group: str, cost: Cost, found: Profile, target: Target) -> Run:
    """A measured model as the fit takes it; `cost` is that of the program, at the sizes it ran at."""
    groups, rows = cost.facts[Groups].rows, cost.facts[Workload].rows
    samples = []
    for group_, row in zip(groups, rows, strict=True):
        seconds = found.ops.get(cost.graph.nodes[group_.anchor].name)
        if seconds is not None:
            samples.append(sample_of(target, row, seconds))
    return Run(name, tuple(samples), found.whole.best, group)


def sample_of(target: Target, row: Work, seconds: float) -> Sample:
    """One op: its seconds beside those that the target's figures give, all traffic in main memory."""
    if row.is_idle:
        return Sample("view", seconds)
    seconds_of = dict.fromkeys(("products", "other", "activations", "weights"), 0.0)
    for load in roofline_term(Served.from_main_memory(target), row).loads:
        seconds_of[load.what] += evaluate(load.amount, {}) / load.rate
    return Sample(
        row.op_class,
        seconds,
        products_s=seconds_of["products"],
        other_s=seconds_of["other"],
        activations_s=seconds_of["activations"],
        weights_s=seconds_of["weights"],
    )


def fitted(plain: Target, runs: Sequence[Run], *, noise: float | None, what: str, note: str = "") -> Target:
    """A target with the efficiency that fits the runs; its error is that of runs left out, where groups allow it."""
    found = fit(runs)
    measured = [run.seconds for run in runs]
    several = len({run.group for run in runs}) >= 3
    error = accuracy(left_out(runs) if several else [found.run_seconds(run) for run in runs], measured)
    how = "every model predicted by a fit without its like" if several else "on the runs of the fit itself"
    names = ", ".join(dict.fromkeys(run.group or run.name for run in runs))
    efficiency = Efficiency(
        origin=f"fitted on times of ops, {what}: {names}; error of whole runs, {how}",
        n=len(runs),
        error=round(error.mean, 4),
        shares=found.shares(),
        combine="sum",
        noise=None if noise is None else round(noise, 4),
        cores=plain.cores,
        dtype="fp32",
    )
    source = Source(
        ("efficiency.*", "overhead.*"), f"measured on the machine, {what}", date.today(), "yes", f"error: {error}{note}"
    )
    sources = (*plain.sources, source)
    made = replace(plain, efficiency=efficiency, overhead_s=found.overhead_s(), sources=sources)
    return parse_target(to_toml(made).encode(), made.name)  # as it will be read


def machine(ceilings: Ceilings, name: str, device: str, model: str, threads: int) -> Target:
    """The measured rates as a target without a fit."""
    nearest_first: list[Memory] = []
    below = 0
    for cache in ceilings.caches:
        private = device == "cpu" and threads > 1 and cache.shared_by < threads
        rate = ceilings.bandwidth(below, cache.nbytes * 3 // 4)
        below = cache.nbytes
        nearest_first.append(
            Memory(
                cache.name,
                "both",
                capacity_bytes=cache.nbytes,
                bandwidth_bytes_per_s=None if rate is None else _digits(rate),
                instances=math.ceil(threads / cache.shared_by) if private else None,
                technology="sram",
            )
        )
    far = ceilings.bandwidth(2 * below, None) or max(ceilings.bytes_per_s.values())
    main = Memory(
        "dram", "both", capacity_bytes=ceilings.memory_bytes, bandwidth_bytes_per_s=_digits(far), technology="dram"
    )
    memory = (*(level for level in nearest_first if (level.bandwidth_bytes_per_s or far) >= far), main)
    peaks = tuple((dtype, _digits(ceilings.ops_per_s[dtype])) for dtype in ceilings.ops_per_s)
    if not peaks:
        raise ModelError(f"no matrix product ran on {device}: nothing to calibrate")
    source = Source(
        ("compute.*", "memory.*"),
        "measured on the machine: best matrix products, three streams by working set",
        date.today(),
        "yes",
        "what was reached, not what a data sheet allows; capacities as the system states them",
    )
    made = Target(
        name=name,
        vendor=_line(model),
        kind="gpu" if device == "cuda" else "cpu",
        runtime="torch-eager",
        peaks=peaks,
        memory=memory,
        sources=(source,),
        cores=None if device == "cuda" else threads,
        notes=f"Measured on {date.today()}: {_line(model)}, {_threads(threads, device)}. The rates are those reached.",
    )
    return parse_target(to_toml(made).encode(), name)  # with the energies by default, and checked


def _subjects(
    models: Mapping[str, tuple[Any, Sequence[Any]]] | Iterable[str] | None,
    device: str,
    quick: bool,
    progress: Progress,
) -> Iterator[Subject]:
    from fxcost.integrate.subjects import default_subjects, loaded, subject

    if isinstance(models, Mapping):
        for name, (model, inputs) in models.items():
            progress(f"exporting {name}")
            yield subject(name, name, model, inputs, device)
        if not models:
            raise SpecError("no models were given to calibrate on")
        return
    makers = default_subjects(device, quick) if models is None else [loaded(name, device) for name in models]
    if not makers:
        raise SpecError("no models were given to calibrate on")
    for name, make in makers:
        progress(f"exporting {name}")
        yield make()


def _profiles(subjects: Sequence[Subject], clock: Clock, seconds: float, progress: Progress) -> list[Profile]:
    from fxcost.integrate.profile import profile

    share = seconds / (ROUNDS * len(subjects))
    found: dict[str, Profile] = {}
    for turn in range(ROUNDS):
        for subject in subjects:
            progress(f"measuring {subject.name}, round {turn + 1} of {ROUNDS}")
            now = profile(subject.model, subject.program, subject.inputs, clock, seconds=share)
            found[subject.name] = found[subject.name] | now if subject.name in found else now
    return [found[subject.name] for subject in subjects]


def _check(name: str, device: str, threads: int, seconds: float) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SpecError(f"name={name!r}: expected letters, digits, '.', '-' and '_'")
    if device not in DEVICES:
        raise SpecError(f"device={device!r} is not one of {', '.join(DEVICES)}{nearest(device, DEVICES)}")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise SpecError(f"threads={threads!r}: expected a positive integer")
    if not 0 < seconds < 86400:
        raise SpecError(f"seconds={seconds!r}: expected a positive number, less than a day")
    try:
        import scipy.optimize  # noqa: F401
    except ImportError as error:
        raise FxcostError("calibrate needs scipy: pip install 'fxcost[calibrate]'") from error


def _threads(threads: int, device: str) -> str:
    return "CUDA events" if device == "cuda" else f"{threads} thread{'s' * (threads > 1)}"


def _line(text: str) -> str:
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:80] or "unknown"


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
