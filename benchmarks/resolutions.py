"""ResNet-50's MACs at 200 resolutions: one formula against torch's counter, which runs the model anew at each.

python benchmarks/resolutions.py [--counted 20] [--json]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.capture.loaders import load_model

SIZES = np.arange(64, 464, 2)
GOAL_S = 0.010


def counted_by_torch(model: Any, size: int) -> int:
    """MACs of a run on the meta device, where nothing is computed."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, size, size, device="meta"))
    return int(counter.get_total_flops()) // 2


def main() -> None:
    """Measure both, and compare the numbers."""
    options = arguments(__doc__, counted=(20, "resolutions that torch counts; its time is scaled to all"))
    model = load_model("torchvision:resnet50")
    capture, cost = cpu_seconds(lambda: fxcost.analyze(model, "N,3,H,W", check=False))
    first, formula = cpu_seconds(lambda: cost.macs)
    compile_s, function = cpu_seconds(formula.compile)
    evaluate_s, values = cpu_seconds(lambda: function(N=1, H=SIZES, W=SIZES))

    chosen = np.linspace(0, len(SIZES) - 1, min(options.counted, len(SIZES))).round().astype(int)
    counted_s, counted = cpu_seconds(lambda: [counted_by_torch(model, int(SIZES[i])) for i in chosen])
    wrong = [int(SIZES[i]) for i, count in zip(chosen, counted, strict=True) if int(values[i]) != count]

    each = counted_s / len(chosen)
    answer = compile_s + evaluate_s
    Result(
        f"ResNet-50 at {len(SIZES)} resolutions, CPU seconds",
        ("method", "once", f"{len(SIZES)} sizes", "a size, ms"),
        [
            ["fxcost: capture, then the formula", capture + first, answer, 1000 * answer / len(SIZES)],
            ["FlopCounterMode on meta tensors", 0.0, each * len(SIZES), 1000 * each],
        ],
        [
            f"equal at {len(chosen) - len(wrong)} of {len(chosen)} sizes compared"
            + (f"; NOT at {wrong}" * bool(wrong)),
            f"the capture is worth it from {np.ceil((capture + first) / each):.0f} sizes on",
            f"goal: {len(SIZES)} sizes in at most {GOAL_S * 1000:.0f} ms; {'reached' if answer <= GOAL_S else 'MISSED'}",
        ],
        {"goal_s": GOAL_S, "reached": answer <= GOAL_S, "compared": len(chosen), "wrong": wrong},
    ).show(options.json)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
