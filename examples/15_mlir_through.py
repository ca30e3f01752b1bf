"""MLIR through: passes over a graph in a file, without torch.

On the command line: fxcost opt FILE.mlir --passes schedule,liveness,plan

python examples/15_mlir_through.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fxcost
from fxcost.steps import Setting, run_steps


class Cell(nn.Module):
    """A wide branch is made first, and needed last."""

    def forward(self, x: Tensor) -> Tensor:
        """Repeat, then pool: the repeated map waits for the pooled one."""
        wide = torch.cat([x] * 8, 1)
        small = torch.relu(x).mean(1, keepdim=True)
        return small + wide.mean(1, keepdim=True)


def main() -> None:
    """Write a model as text, read it, and move, measure and place its ops."""
    text = fxcost.analyze(Cell(), "N,4,H,W").to_mlir(costs="none")
    cost = fxcost.analyze(text)  # from here on torch is not needed
    at = {"N": 1, "H": 32, "W": 32}
    done = run_steps(cost, ["schedule", "liveness", "plan"], Setting(at))
    for node in done.cost.graph.nodes:
        known = done.found[node.name]
        offset = known["plan.offset"]
        print(f"{node.name:8} at {offset:7,}  alive {known['liveness.bytes']}")
    whole = done.found[""]
    print(f"peak: {whole['schedule.traced_peak']:,} -> {whole['schedule.peak']:,}")
    print(f"arena: {whole['plan.height']:,} bytes")


if __name__ == "__main__":
    main()
