"""A design space: thousands of networks costed from a few captured blocks, and the best one for a microcontroller.

python examples/07_design_space.py
"""

from __future__ import annotations

from itertools import pairwise, product
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

import fxcost
from fxcost.space import Block, Candidate, capture_blocks

BUDGET = {"peak_memory": 64 * fxcost.KB, "model_bytes": 256 * fxcost.KB}
AS_DEPLOYED: dict[str, Any] = {"accounting": "fused", "weights": "int8", "activations": "int8"}
CHANNELS = (8, 16, 24, 48)  # after the stem and after every stage, which halves the image


class Inverted(nn.Module):
    """Expand by 1 x 1, filter every channel by itself, project by 1 x 1."""

    def __init__(self, taken: int, given: int, kernel: int, expand: int, stride: int) -> None:
        super().__init__()
        inner = taken * expand
        self.body = nn.Sequential(
            nn.Conv2d(taken, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, given, 1, bias=False),
            nn.BatchNorm2d(given),
        )
        self.is_residual = stride == 1 and taken == given

    def forward(self, x: Tensor) -> Tensor:
        """With a residual where shapes allow one."""
        return x + self.body(x) if self.is_residual else self.body(x)  # type: ignore[no-any-return]


def stem(given: int) -> nn.Module:
    """Halve the image."""
    return nn.Sequential(nn.Conv2d(3, given, 3, 2, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU6())


def head(taken: int) -> nn.Module:
    """Average over the image and classify."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, 10))


def stages(taken: int, given: int) -> list[tuple[Block, ...]]:
    """Every form of a stage: kernel, expansion, one block or two."""
    forms = []
    for kernel, expand, depth in product((3, 5), (3, 6), (1, 2)):
        first = Block(Inverted, (taken, given, kernel, expand, 2), f"N,{taken},H,W")
        again = Block(Inverted, (given, given, kernel, expand, 1), f"N,{given},H,W")
        forms.append((first, *[again] * (depth - 1)))
    return forms


def networks() -> list[Candidate]:
    """Every combination of stages, at every resolution."""
    begin, end = Block(stem, CHANNELS[:1], "N,3,H,W"), Block(head, CHANNELS[-1:], f"N,{CHANNELS[-1]},H,W")
    found = []
    steps = [stages(taken, given) for taken, given in pairwise(CHANNELS)]
    for size in range(64, 145, 16):
        for chosen in product(*steps):
            middle = [block for stage in chosen for block in stage]
            found.append(Candidate((begin, *middle, end), {"N": 1, "H": size, "W": size}, describe(middle)))
    return found


def describe(blocks: list[Block]) -> str:
    """Kernel x expansion of every block."""
    return " ".join(f"{block.arguments[2]}x{block.arguments[3]}" for block in blocks)


def main() -> None:
    """Capture the blocks, cost all networks, check the best one against a capture of the whole."""
    candidates = networks()
    space = capture_blocks([candidate.blocks for candidate in candidates], **AS_DEPLOYED)
    print(f"{len(candidates):,} networks of {len(space.blocks)} different blocks")

    start = perf_counter()
    ranking = space.rank(candidates, within=BUDGET, by="macs", largest=True, best=5)
    seconds = perf_counter() - start
    print(f"{ranking.feasible:,} of them need at most 64 kB of memory and 256 kB of weights")
    print(f"  blocks captured in {space.seconds:.0f} s, all networks costed in {seconds:.1f} s")

    print("\nMost MACs within the budget (kernel x expansion of every block)")
    print(f"  {'network':<26}{'image':>6}{'MACs':>13}{'memory, B':>11}{'weights, B':>12}")
    for row in ranking:
        macs, memory, weights = (row.totals[name] for name in ("macs", "peak_memory", "model_bytes"))
        print(f"  {row.candidate.label:<26}{row.candidate.at['H']:>6}{macs:>13,}{memory:>11,}{weights:>12,}")

    best = ranking.best[0].candidate
    with torch.device("meta"):
        model = nn.Sequential(*(block() for block in best.blocks)).eval()
    whole = fxcost.analyze(model, "N,3,H,W", **AS_DEPLOYED)
    print("\nThe best one, captured as a whole")
    for name, total in ranking.best[0].totals.items():
        found = whole.total(name).at(best.at)
        print(f"  {name:<12}{found:>13,}  {'same' if found == total else 'DIFFERS'}")
    formula, other = space.quantities(best.blocks)["peak_memory"], {"N": 3, "H": 999, "W": 777}
    same = formula.at(other) == whole.peak_memory.at(other)
    print(f"  peak_memory at 3 x 999 x 777, by formulas: {'same' if same else 'DIFFERS'}")


if __name__ == "__main__":
    main()
