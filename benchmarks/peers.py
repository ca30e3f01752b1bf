"""Fifteen spellings of one operator: which counters see them all?

A cell is `=` where a counter gives the right number of multiply-accumulates, else its error in percent. Counters that
are not installed are left out; fxcost, which counts formulas, has to be exact everywhere.

    python benchmarks/peers.py [--json]
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from benchmarks._spellings import POINTS, SPELLINGS, Spelling
from fxcost.capture.shim import prepare_torchvision

POINT = POINTS[0]
Counter = Callable[[Spelling], int]


def by_fxcost(spelling: Spelling) -> int:
    """The formula at the point."""
    cost = fxcost.analyze(spelling.build(), spelling.specs, check=False)
    return int(cost.macs.substituted(spelling.sizes(POINT)))


def by_torch(device: str) -> Counter:
    """The counter that torch has, on one run; a MAC is two FLOP."""

    def count(spelling: Spelling) -> int:
        model = spelling.build().eval().to(device)
        with FlopCounterMode(display=False) as counter:
            model(*spelling.inputs(POINT, device))
        return int(counter.get_total_flops()) // 2

    return count


def by_fvcore(spelling: Spelling) -> int:
    """Its flop is a MAC."""
    analysis = import_module("fvcore.nn").FlopCountAnalysis(spelling.build().eval(), spelling.inputs(POINT, "cpu"))
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def by_ptflops(spelling: Spelling) -> int:
    """Through its default backend."""
    model, inputs = spelling.build().eval(), spelling.inputs(POINT, "cpu")
    names = inspect.signature(model.forward).parameters
    given: Any = inputs[0] if len(inputs) == 1 else dict(zip(names, inputs, strict=False))
    options: dict[str, Any] = {"as_strings": False, "print_per_layer_stat": False, "verbose": False}
    count = import_module("ptflops").get_model_complexity_info
    macs, _ = count(model, (1,), input_constructor=lambda _: given, **options)
    return int(macs)


def by_thop(spelling: Spelling) -> int:
    """By hooks on modules."""
    inputs = spelling.inputs(POINT, "cpu")
    macs, _ = import_module("thop").profile(spelling.build().eval(), inputs=inputs, verbose=False)
    return int(macs)


def by_torchprofile(spelling: Spelling) -> int:
    """By a trace of torch.jit."""
    count = import_module("torchprofile").profile_macs
    return int(count(spelling.build().eval(), spelling.inputs(POINT, "cpu")))


PEERS: dict[str, Counter] = {
    "fvcore": by_fvcore,
    "ptflops": by_ptflops,
    "thop": by_thop,
    "torchprofile": by_torchprofile,
}


def verdict(counter: Counter, spelling: Spelling) -> str:
    """`=`, the error in percent, or what it raised."""
    truth = spelling.macs(**spelling.sizes(POINT))
    quiet = StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(quiet), redirect_stderr(quiet):
            warnings.simplefilter("ignore")
            found = counter(spelling)
    except Exception as error:  # another tool's code may raise anything
        return type(error).__name__
    return "=" if found == truth else f"{100 * (found / truth - 1):+.3g} %"


def main() -> None:
    """Ask every counter about every spelling."""
    options = arguments(__doc__)
    missing = [name for name in PEERS if find_spec(name) is None]
    prepare_torchvision()  # some peers import it, which fails beside a torch without CUDA
    counters: dict[str, Counter] = {"fxcost": by_fxcost, "torch CPU": by_torch("cpu"), "torch meta": by_torch("meta")}
    counters |= {name: counter for name, counter in PEERS.items() if name not in missing}
    rows = []
    for spelling in SPELLINGS:
        truth = spelling.macs(**spelling.sizes(POINT))
        rows.append([spelling.name, truth, *(verdict(counter, spelling) for counter in counters.values())])
    exact = {name: sum(row[2 + i] == "=" for row in rows) for i, name in enumerate(counters)}
    Result(
        f"Multiply-accumulates of {len(rows)} one-operator models",
        ("spelling", "MACs", *counters),
        [*rows, ["exact", None, *exact.values()]],
        [f"not installed, left out: {', '.join(missing)}"] if missing else [],
        {"exact": exact, "not_installed": missing},
    ).show(options.json)
    sys.exit(exact["fxcost"] != len(rows))


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
