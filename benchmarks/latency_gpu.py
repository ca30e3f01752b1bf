"""Transformers on eight GPUs, captured from their configurations: our predictions beside NeuSight's on the same runs.

Every model is built from its configuration without weights, captured once in N and S, and asked at each run's sizes.
No run is predicted by a fit that has seen it: one factor per device comes from the other models on that device, two
shares (compute, memory) from all other devices.

    python benchmarks/latency_gpu.py [--json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from benchmarks._latency import COLUMNS, DATA, held_out, measured, row, scalar
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from fxcost.passes._achieved import accuracy
from fxcost.target import Memory, Share, Target, load_target


def sheet(name: str, vendor: str, fp32_tflops: float, gb_per_s: float) -> Target:
    """A GPU that is no shipped target, by the two figures of its data sheet that count here."""
    memory = (Memory("hbm", "both", bandwidth_bytes_per_s=gb_per_s * 1e9),)
    return Target(name, vendor, "gpu", "torch-eager", (("fp32", fp32_tflops * 1e12),), memory)


DEVICES = {
    "NVIDIA_H100_80GB_HBM3": load_target("h100-sxm"),
    "NVIDIA_A100-PCIE-40GB": load_target("a100-40gb-sxm"),  # the same peaks and memory
    "Tesla_V100-PCIE-32GB": sheet("v100-pcie", "NVIDIA", 14.0, 900),
    "Tesla_P100-PCIE-16GB": sheet("p100-pcie", "NVIDIA", 9.3, 732),
    "Tesla_T4": load_target("t4"),
    "Tesla_P4": sheet("p4", "NVIDIA", 5.5, 192),
    "AMD_Instinct_MI100": sheet("mi100", "AMD", 46.1, 1228.8),  # matrix units
    "AMD_Instinct_MI210": load_target("mi210"),
}


@dataclass(frozen=True)
class Run:
    """A measured run, the two data-sheet times of every op, and the estimates of the whole."""

    model: str
    device: str
    seconds: float
    neusight_s: float
    their_roofline_s: float | None
    compute_s: np.ndarray[Any, Any]
    memory_s: np.ndarray[Any, Any]
    bound_s: float
    roofline_s: float
    shipped_s: float

    def at(self, compute: float, memory: float) -> float:
        """The roofline with every op at these shares of the two rates."""
        return float(np.maximum(self.compute_s / compute, self.memory_s / memory).sum())


class Logits(torch.nn.Module):
    """What a run computes: numbers in, logits out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> Any:
        """Logits of every place."""
        return self.model(tokens).logits


def captured(name: str) -> Cost:
    """The model of a configuration, without weights, with attention as the runs had it: products and a softmax."""
    import transformers

    settings = json.loads((DATA / "gpu_models" / f"{name}.json").read_text(encoding="utf-8"))
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation, config.use_cache = "eager", False
    with torch.device("meta"):
        model = getattr(transformers, settings["architectures"][0])(config)
    return fxcost.analyze(Logits(model.eval()), "i64[N,S]", check=False, name=name)


def asked(costs: dict[str, Cost], line: dict[str, str], accounting: str) -> Run:
    """A line of the measurements with our estimate at its sizes."""
    cost, target = costs[line["model"]], DEVICES[line["device"]]
    cost = replace(cost, options=replace(cost.options, accounting=accounting))
    shipped = load_target("t4")
    fitted = replace(target, efficiency=shipped.efficiency, overhead_s=shipped.overhead_s)
    found = cost.on(fitted, at={"N": int(line["batch"]), "S": int(line["seqlen"])})
    nodes = found.by_node()
    theirs = float(line["roofline_ms"]) * 1e-3 if line["roofline_ms"] else None
    return Run(
        line["model"],
        line["device"],
        float(line["e2e_ms"]) * 1e-3,
        float(line["neusight_ms"]) * 1e-3,
        theirs,
        np.array([node.t_compute_s or 0.0 for node in nodes], dtype=np.float64),
        np.array([node.t_memory_s or 0.0 for node in nodes], dtype=np.float64),
        _number(found.bound),
        _number(found.roofline),
        _number(found.calibrated),
    )


def _number(value: object) -> float:
    assert isinstance(value, float)
    return value


def two_shares(runs: Sequence[Run]) -> Share:
    """Shares of compute and memory rates with the least relative error; which side binds may change with them."""
    compute = memory = 1.0
    for _ in range(10):
        sides = [run.compute_s / compute >= run.memory_s / memory for run in runs]
        parts = [
            (run.compute_s[side].sum() / run.seconds, run.memory_s[~side].sum() / run.seconds)
            for run, side in zip(runs, sides, strict=True)
        ]
        slow = np.linalg.lstsq(np.array(parts), np.ones(len(runs)), rcond=None)[0]
        compute, memory = (float(1 / max(x, 0.1)) for x in slow)
    return Share(compute=compute, memory=memory)


def predictions(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Every predictor on every run."""

    def by_factor(others: list[int], i: int) -> float:
        here = [runs[j] for j in others if runs[j].device == runs[i].device]
        return runs[i].roofline_s * scalar([run.roofline_s for run in here], [run.seconds for run in here])

    def by_shares(others: list[int], i: int) -> float:
        share = two_shares([runs[j] for j in others])
        return runs[i].at(share.compute, share.memory)

    def by_one_share(others: list[int], i: int) -> float:
        known = [runs[j] for j in others]
        return runs[i].roofline_s * scalar([run.roofline_s for run in known], [run.seconds for run in known])

    models, devices = [run.model for run in runs], [run.device for run in runs]
    return {
        "roofline": [run.roofline_s for run in runs],
        "NeuSight": [run.neusight_s for run in runs],
        "a factor per device, model unseen": held_out(models, by_factor),
        "one factor, device unseen": held_out(devices, by_one_share),
        "two shares, device unseen": held_out(devices, by_shares),
        "calibrated, shipped (these runs are its fit)": [run.shipped_s for run in runs],
    }


def main() -> None:
    """Capture, predict, compare."""
    options = arguments(__doc__)
    prepare_torchvision()  # transformers imports it where it is installed
    lines = [line for line in measured("gpu_e2e_latency.csv") if line["mode"] == "inf"]
    costs = {name: captured(name) for name in sorted({line["model"] for line in lines})}
    runs = [asked(costs, line, "eager") for line in lines if not line["option"]]
    fused = [asked(costs, line, "fused") for line in lines if line["option"] == "fusion"]
    seconds, found = [run.seconds for run in runs], predictions(runs)
    rows = [row(name, values, seconds) for name, values in found.items()]
    have = [run for run in runs if run.their_roofline_s]
    theirs = [run.their_roofline_s or 0.0 for run in have]
    rows.append(row("NeuSight's roofline, where stated", theirs, [run.seconds for run in have]))
    rows.append(row("our roofline, the same runs", [run.roofline_s for run in have], [run.seconds for run in have]))
    factor = {
        device: scalar(*zip(*[(r.roofline_s, r.seconds) for r in runs if r.device == device], strict=True))
        for device in {run.device for run in fused}
    }
    kernels = [run.roofline_s * factor[run.device] for run in fused]
    rows.append(row("fused kernels: eager runs' factor", kernels, [run.seconds for run in fused]))
    rows.append(row("fused kernels: NeuSight", [run.neusight_s for run in fused], [run.seconds for run in fused]))
    above = [f"{r.model} on {r.device}" for r in (*runs, *fused) if r.bound_s > r.seconds]
    share, shipped = two_shares(runs), load_target("t4").efficiency
    own = accuracy(found["two shares, device unseen"], seconds).mean
    now = f"compute {share.compute:.4f}, memory {share.memory:.4f}, device unseen {own:.4f}"
    assert shipped is not None
    held = shipped.share("default")
    stale = max(abs(held.compute / share.compute - 1), abs(held.memory / share.memory - 1)) > 1e-3
    Result(
        f"Inference of {len(costs)} transformers in fp32 on {len(DEVICES)} GPUs: error against measured latency",
        ("predictor", *COLUMNS),
        rows,
        [
            f"bound above a measurement: {', '.join(above) or 'never'}",
            f"shares fitted on all runs: {now}; shipped ones {'differ' if stale else 'are these'}",
        ],
        {"bound_above": above, "shares": now, "stale": stale},
    ).show(options.json)
    errors = {line[0]: line[2] for line in rows}
    worse = errors["a factor per device, model unseen"] > errors["NeuSight"]
    sys.exit(bool(stale or above or worse))


if __name__ == "__main__":
    main()
