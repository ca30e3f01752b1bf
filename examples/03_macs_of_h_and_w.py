"""MACs as a function of H and W: one capture of ResNet-50 answers for every resolution.

Tools that count by running the model give one number for one size. Here the model is traced once with symbols for its
sizes; the answer is a formula. The script compares it with torch's own counter, which runs the model anew at each size.

    python examples/03_macs_of_h_and_w.py
"""

from __future__ import annotations

import time
from textwrap import fill

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import fxcost

SIZES = [(1, 224, 224), (2, 97, 333), (1, 640, 480)]


def counted_by_torch(n: int, h: int, w: int) -> int:
    """MACs that torch counts in a run at one size, on the meta device: nothing is computed."""
    from torchvision.models import resnet50  # fxcost has made it importable beside a torch without CUDA, too

    with torch.device("meta"):
        model, images = resnet50().eval(), torch.empty(n, 3, h, w)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images)
    return int(counter.get_total_flops()) // 2  # a MAC is two FLOP


def main() -> None:
    """Capture once, then ask."""
    cost = fxcost.analyze("torchvision:resnet50", "N,3,H,W")

    print(f"ResNet-50: {cost.params():,} parameters, and in MACs")
    print(fill(str(cost.macs), 78, initial_indent="  ", subsequent_indent="    ", break_long_words=False))
    print("  N is the batch, // a division that rounds down: each is a stride of the model.")
    print(f"  Holds for all sizes{' where ' + ' and '.join(cost.domain) if cost.domain else ''}.")

    print(f"\n{'N':>5} {'H':>5} {'W':>5} {'formula':>18} {'counted by torch':>18}")
    for n, h, w in SIZES:
        formula, torchs = cost.macs(N=n, H=h, W=w), counted_by_torch(n, h, w)
        print(f"{n:>5} {h:>5} {w:>5} {formula:>18,} {torchs:>18,}  {'same' if formula == torchs else 'DIFFERS'}")

    print("\nSome sizes left open: a formula in the others")
    print(fill(f"N=8, W=224: {cost.macs(N=8, W=224)}", 78, initial_indent="  ", subsequent_indent="    "))

    sizes = np.arange(64, 464, 2)  # 200 resolutions
    start = time.perf_counter()
    macs = cost.macs.compile()(N=1, H=sizes, W=sizes)
    milliseconds = 1000 * (time.perf_counter() - start)
    print(f"\n{len(sizes)} resolutions from {sizes[0]} to {sizes[-1]} in {milliseconds:.1f} ms, compiling included")
    for size, count in list(zip(sizes, macs, strict=True))[::20]:
        print(f"  {size:>4} {count / 1e9:>7.2f} GMAC {'#' * round(float(count) / 3e8)}")

    # Strides round: between two steps of the staircase a larger image is free.
    steps = {size: cost.macs(N=1, H=size, W=size) for size in (223, 224, 225)}
    print("\nThe staircase: " + ", ".join(f"{size}: {count:,}" for size, count in steps.items()))

    budget = cost.solve(cost.macs <= 2 * 10**9, wrt="H", at={"N": 1}, tie={"W": "H"})
    print(f"Within 2 GMAC the largest square image is {budget.max} x {budget.max}, because")
    print(fill(budget.proof, 78, initial_indent="  ", subsequent_indent="  "))


if __name__ == "__main__":
    main()
