"""Patches: the frontier of peak memory against MACs, beside MCUNetV2's rule of one stage in p x p patches.

int8 activations, everything counted (inputs, residuals, no depthwise in place). Within the same share of MACs on top: the
best peak of one stage, of several stages, and of several stages whose patches may keep their halos (line buffers).

python benchmarks/patches.py [--quick] [--overhead 20] [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

from torch import nn

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from benchmarks._inverted import Inverted, head, stem
from fxcost.capture.loaders import load_model
from fxcost.passes._patch_setting import Setting, setting_of
from fxcost.passes.patch import CACHED, SQUARES, STRIPS, Plan, frontier, lower_bound, one_stage

KB = 1000


def mcunet_like() -> nn.Module:
    """Inverted residuals of half width with kernels of 3, 5 and 7, as MCUNet's search finds them."""
    blocks = [(8, 12, 7, 3, 2), (12, 12, 3, 4, 1), (12, 20, 5, 6, 2), (20, 20, 7, 4, 1), (20, 40, 7, 6, 2)]
    blocks += [(40, 48, 5, 4, 1), (48, 96, 5, 6, 2)]
    return nn.Sequential(stem(8), *(Inverted(*block) for block in blocks), head(96, 320, 1000)).eval()


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "MobileNetV2": ("torchvision:mobilenet_v2", (96, 160, 224)),
    "MCUNet-like": (mcunet_like, (96, 160, 224)),
    "ResNet-18": ("torchvision:resnet18", (96, 160, 224)),
    "EfficientNet-B0": ("torchvision:efficientnet_b0", (96, 160, 224)),
}


def least(plans: list[Plan], most: float) -> int:
    """The least peak within so many MACs."""
    return min(plan.peak for plan in plans if plan.macs <= most)


def row(name: str, size: int, setting: Setting, overhead: float) -> list[Any]:
    """One network at one resolution; fails where a rule of one stage beats the frontier."""
    most = setting.total_macs * (1 + overhead)
    plain = Plan(setting.peak, setting.total_macs, ())
    rule = [plain, *(plan for grid in SQUARES for plan in one_stage(setting, grid))]
    recomputed = list(frontier(setting, (*SQUARES, *STRIPS), overhead))
    seconds, cached = cpu_seconds(lambda: list(frontier(setting, (*SQUARES, *STRIPS, *CACHED), overhead)))
    for one in rule:
        if one.macs <= most and not any(plan.peak <= one.peak and plan.macs <= one.macs for plan in recomputed):
            raise SystemExit(f"{name} at {size}: one stage of {one.peak} bytes beats every plan")
    peaks = [least(plans, most) for plans in (rule, recomputed, cached)]
    free = least(cached, setting.total_macs)
    cells = [f"{peak / KB:,.1f}" for peak in (setting.peak, *peaks, free, lower_bound(setting))]
    return [f"{name} {size}", *cells, f"{peaks[0] / peaks[2]:.2f}", f"{seconds:.1f}"]


def main() -> None:
    """Print the table."""
    asked = arguments(__doc__, ("quick", "one resolution"), overhead=(20, "MACs allowed on top, in percent"))
    rows = []
    for name, (model, sizes) in NETWORKS.items():
        module = load_model(model) if isinstance(model, str) else model()
        cost = fxcost.analyze(module, "N,3,H,W", activations="int8", check=False)
        for size in sizes[:1] if asked.quick else sizes:
            point = {"N": 1, "H": size, "W": size}
            rows.append(row(name, size, setting_of(cost.graph, cost.facts, point), asked.overhead / 100))
    Result(
        f"peak in kB, int8, at most {asked.overhead} % more MACs",
        ("", "no patches", "one stage", "several", "kept", "0 % more", "bound", "ratio", "CPU s"),
        rows,
        (
            "one stage: MCUNetV2's rule, p x p patches, p from 2 to 8, any end; several: any stages, any grid;",
            "kept: patches may keep their halos; 0 % more: no MAC computed twice; ratio: one stage / kept;",
            "bound: no order and no patches stay under. Where the rule beats the several stages, this fails.",
        ),
    ).show(asked.json)


if __name__ == "__main__":
    main()
