"""Which counters see everything? Fifteen spellings of one operator, and thirty-eight models.

A cell is `=` where a counter gives the right number of multiply-accumulates, else its error in percent, with `p` where
its number of parameters is wrong. Counters that are not installed are left out; fxcost, which counts formulas, has to be
exact everywhere. `--models` takes an hour of one processor with all counters; `--save` writes `data/peers.csv` as it goes.

    python benchmarks/peers.py [--models] [--save] [--json]
"""

from __future__ import annotations

import csv
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks import _peer_models
from benchmarks._common import Result, arguments
from benchmarks._peer_models import Subject
from benchmarks._spellings import POINTS, SPELLINGS, Spelling
from fxcost.capture.shim import prepare_torchvision

FILE = Path(__file__).parent / "data" / "peers.csv"
COLUMNS = ("model", "counter", "version", "macs", "true_macs", "params", "true_params", "verdict")
Counted = tuple[int, int | None]
Counter = Callable[[Subject], Counted]


def by_fxcost(subject: Subject) -> Counted:
    """The formula at the point; where it does not hold there, that of a capture at the point."""
    cost = fxcost.analyze(subject.build("meta"), subject.specs, check=False)
    point = {name: size for name, size in subject.point.items() if name in cost.symbols or name in cost.graph.pinned}
    return int(cost.macs(**point, recapture=True)), int(cost.params.at({}))


def by_torch(device: str) -> Counter:
    """The counter that torch has, on one run; a MAC is two FLOP."""

    def count(subject: Subject) -> Counted:
        model = subject.build(device).eval()
        with FlopCounterMode(display=False) as counter:
            model(*subject.inputs(device))
        return int(counter.get_total_flops()) // 2, None

    return count


def by_fvcore(subject: Subject) -> Counted:
    """Its flop is a MAC."""
    fvcore = import_module("fvcore.nn")
    model = subject.build("cpu").eval()
    analysis = fvcore.FlopCountAnalysis(model, subject.inputs("cpu"))
    macs = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
    return int(macs), int(fvcore.parameter_count(model)[""])


def by_ptflops(subject: Subject) -> Counted:
    """Through its default backend."""
    model, inputs = subject.build("cpu").eval(), subject.inputs("cpu")
    names = inspect.signature(model.forward).parameters
    given: Any = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=False))
    options: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
    macs, params = import_module("ptflops").get_model_complexity_info(
        model, (1,), input_constructor=lambda _: given, **options
    )
    return int(macs), int(params)


def by_thop(subject: Subject) -> Counted:
    """By hooks on modules."""
    model = subject.build("cpu").eval()
    macs, params = import_module("thop").profile(model, inputs=subject.inputs("cpu"), verbose=False)
    return int(macs), int(params)


def by_torchprofile(subject: Subject) -> Counted:
    """By a trace of torch.jit."""
    return int(import_module("torchprofile").profile_macs(subject.build("cpu").eval(), subject.inputs("cpu"))), None


def by_torchinfo(subject: Subject) -> Counted:
    """By hooks on modules."""
    model = subject.build("cpu").eval()
    found = import_module("torchinfo").summary(model, input_data=list(subject.inputs("cpu")), verbose=0)
    return int(found.total_mult_adds), int(found.total_params)


def by_calflops(subject: Subject) -> Counted:
    """By patched functions."""
    options: dict[str, Any] = {"print_results": False, "print_detailed": False, "output_as_string": False}
    count = import_module("calflops").calculate_flops
    _, macs, params = count(subject.build("cpu").eval(), args=list(subject.inputs("cpu")), **options)
    return int(macs), int(params)


PEERS: dict[str, Counter] = {
    "calflops": by_calflops,
    "fvcore": by_fvcore,
    "ptflops": by_ptflops,
    "thop": by_thop,
    "torchinfo": by_torchinfo,
    "torchprofile": by_torchprofile,
}


def spelled(spelling: Spelling) -> Subject:
    """A spelling as a subject."""
    sizes = spelling.sizes(POINTS[0])

    def build(device: str) -> Any:
        return spelling.build().eval().to(device)

    params = sum(parameter.numel() for parameter in spelling.build().parameters())
    return Subject(spelling.name, build, spelling.macs(**sizes), params, spelling.specs, sizes)


def asked(name: str, counter: Counter, subject: Subject) -> dict[str, Any]:
    """One row of the file."""
    quiet = StringIO()
    macs: int | None = None
    params: int | None = None
    try:
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            macs, params = counter(subject)
        verdict = "=" if macs == subject.macs else f"{100 * (macs / subject.macs - 1):+.3g} %"
    except Exception as error:  # another tool's code may raise anything
        verdict = type(error).__name__
    if None not in (params, subject.params) and params != subject.params:
        verdict += " p"
    package = "torch" if name.startswith("torch ") else name
    counted = (subject.name, name, version(package), macs, subject.macs, params, subject.params, verdict)
    return dict(zip(COLUMNS, counted, strict=True))


def save(rows: Iterable[dict[str, Any]]) -> None:
    """Write the file whole."""
    beside = FILE.with_suffix(".part")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    beside.replace(FILE)


def main() -> None:
    """Ask every counter about everything."""
    switches = ("models", "the models, too"), ("save", "write data/peers.csv as the answers come in")
    options = arguments(__doc__, *switches)
    missing = [name for name in PEERS if find_spec(name) is None]
    prepare_torchvision()  # some peers import it, which fails beside a torch without CUDA
    counters: dict[str, Counter] = {"fxcost": by_fxcost, "torch CPU": by_torch("cpu"), "torch meta": by_torch("meta")}
    counters |= {name: counter for name, counter in PEERS.items() if name not in missing}
    subjects = [*map(spelled, SPELLINGS), *(_peer_models.SUBJECTS if options.models else ())]
    answers: dict[tuple[str, str], dict[str, Any]] = {}
    for name, counter in counters.items():
        for subject in subjects:
            answers[subject.name, name] = asked(name, counter, subject)
            if options.save:
                save(answers.values())
    cells = [[answers[subject.name, name]["verdict"] for name in counters] for subject in subjects]
    rows: list[list[Any]] = [[each.name, each.macs, *row] for each, row in zip(subjects, cells, strict=True)]
    groups = {"spellings": rows[: len(SPELLINGS)], "models": rows[len(SPELLINGS) :]}
    exact = {
        group: {name: sum(row[2 + i].startswith("=") for row in found) for i, name in enumerate(counters)}
        for group, found in groups.items()
        if found
    }
    lines = [[f"exact of {len(groups[group])} {group}", None, *counts.values()] for group, counts in exact.items()]
    Result(
        "Multiply-accumulates: = is exact, p a wrong number of parameters",
        ("model", "MACs", *counters),
        [*rows, *lines],
        [f"not installed, left out: {', '.join(missing)}"] if missing else [],
        {"exact": exact, "not_installed": missing},
    ).show(options.json)
    sys.exit(any(row[2] != "=" for row in rows))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
