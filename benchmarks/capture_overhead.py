"""What fxcost adds to torch.export: CPU time of lowering and counting, beside a plain static export of the same model.

The capture itself is torch's own, with symbols for the sizes; what fxcost adds is lowering the exported program and
computing every total as a formula. Goal: at most 25 % of a plain export. What comes before and after (running the model
on meta tensors to learn which sizes it takes, comparing the result with an eager run) is listed apart.

    python benchmarks/capture_overhead.py [--repeats 5] [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.capture.loaders import load_model

GOAL = 0.25
COLUMNS = (
    "model",
    "plain export",
    "lower",
    "totals",
    "added",
    "in first run",
    "symbolic export",
    "probe",
    "self-check",
)


def resnet50() -> tuple[Any, tuple[Any, ...], str, dict[str, str]]:
    """The model, static inputs, and specs."""
    return load_model("torchvision:resnet50"), (torch.empty(1, 3, 224, 224, device="meta"),), "N,3,H,W", {}


def gpt2() -> tuple[Any, tuple[Any, ...], str, dict[str, str]]:
    """GPT-2 in its default configuration; the mask keeps transformers from asking whether the batch is one."""
    model = load_model("hf:GPT2LMHeadModel")
    model.config.use_cache = False
    tokens = torch.zeros(1, 128, dtype=torch.int64, device="meta")
    return model, (tokens, None, tokens), "i64[N,S]", {"attention_mask": "i64[N,S]"}


def seconds_of(model: Any, inputs: tuple[Any, ...], spec: str, kwargs: dict[str, str]) -> list[float]:
    """CPU seconds of a plain export, and of our lowering, totals, symbolic export and probe, side by side."""
    with torch.no_grad():
        plain, _ = cpu_seconds(lambda: torch.export.export(model, inputs, strict=False))
    cost = fxcost.analyze(model, spec, kwargs=kwargs, check=False)
    totals, _ = cpu_seconds(lambda: cost.quantities)
    stages = cost.origin.seconds
    return [plain, stages["lower"], totals, stages["export"], stages["probe"]]


def added(plain: float, lower: float, totals: float, *_: float) -> float:
    """Lowering and totals as a share of a plain export."""
    return (lower + totals) / plain


def main() -> None:
    """Measure both models."""
    options = arguments(__doc__, repeats=(5, "times that everything is measured"))
    rows: list[list[Any]] = []
    shares: dict[str, float] = {}
    for name, case in (("ResNet-50", resnet50()), ("GPT-2", gpt2())):
        runs = [seconds_of(*case) for _ in range(options.repeats)]
        plain, lower, totals, symbolic, probe = times = [median(column) for column in zip(*runs, strict=True)]
        model, _, spec, kwargs = case
        check = fxcost.analyze(model, spec, kwargs=kwargs).origin.seconds.get("check")
        shares[name] = added(*times)
        share, first = f"{shares[name]:.0%}", f"{added(*runs[0]):.0%}"
        rows.append([name, plain, lower, totals, share, first, symbolic, probe, check])
    worst = max(shares.values())
    Result(
        f"CPU seconds, medians of {options.repeats}",
        COLUMNS,
        rows,
        [
            "added: (lower + totals) / plain export. A first run loads modules, in torch as in fxcost.",
            "A symbolic export is what a formula costs in place of numbers for one size.",
            f"goal: at most {GOAL:.0%}; {'reached' if worst <= GOAL else 'MISSED'}",
        ],
        {"goal": GOAL, "reached": worst <= GOAL, "added_share": shares},
    ).show(options.json)


if __name__ == "__main__":
    main()
