"""What fxcost adds to torch.export: CPU time of lowering and counting, beside a plain static export of the same model.

The capture itself is torch's own, with symbols for the sizes; what fxcost adds is lowering the exported program and
computing every total as a formula. Goal: at most 25 % of a plain export.

    python benchmarks/capture_overhead.py [--repeats 5] [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds, medians
from fxcost.capture.loaders import load_model

GOAL = 0.25
STAGES = ("plain export", "lower", "all totals", "symbolic export", "trying sizes", "self-check")


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
    """CPU seconds of every stage, side by side."""
    with torch.no_grad():
        plain, _ = cpu_seconds(lambda: torch.export.export(model, inputs, strict=False))
    cost = fxcost.analyze(model, spec, kwargs=kwargs, check=False)
    totals, _ = cpu_seconds(lambda: cost.quantities)
    checked = fxcost.analyze(model, spec, kwargs=kwargs).origin.seconds
    stages = cost.origin.seconds
    return [plain, stages["lower"], totals, stages["export"], stages["probe"], checked.get("check", 0.0)]


def main() -> None:
    """Measure both models."""
    options = arguments(__doc__, repeats=(5, "times that everything is measured"))
    rows: list[list[Any]] = []
    shares: dict[str, float] = {}
    for name, case in (("ResNet-50", resnet50()), ("GPT-2", gpt2())):
        runs = [seconds_of(*case) for _ in range(options.repeats)]
        times = medians(list(zip(*runs, strict=True)))
        shares[name] = (times[1] + times[2]) / times[0]
        rows.append([name, *times, f"{shares[name]:.1%}"])
    worst = max(shares.values())
    Result(
        "CPU seconds, medians",
        ("model", *STAGES, "added"),
        rows,
        [
            "added = (lower + all totals) / plain export; a symbolic export is what formulas cost instead of numbers",
            f"goal: at most {GOAL:.0%}; {'reached' if worst <= GOAL else 'MISSED'}",
        ],
        {"goal": GOAL, "reached": worst <= GOAL, "added": shares},
    ).show(options.json)


if __name__ == "__main__":
    main()
