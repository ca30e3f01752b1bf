"""Inside torch.fx: costs in node.meta, and our passes in torch's PassManager.

python examples/11_torch_fx.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.passes.infra.pass_manager import PassManager

import fxcost
from fxcost.compiler import torch_pass


class Branches(nn.Module):
    """Two branches 8 -> 64 -> 8, both widened before either is narrowed."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Linear(8, 64) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Linear(64, 8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Widen, widen, narrow, narrow, add."""
        a, b = (torch.relu(wide(x)) for wide in self.wide)
        result: Tensor = self.narrow[0](a) + self.narrow[1](b)
        return result


def main() -> None:
    """Annotate a program, then reorder it in place."""
    x = torch.randn(4, 8)
    program = torch.export.export(Branches().eval(), (x,), dynamic_shapes=({0: Dim("N", min=1, max=64)},))
    fxcost.annotate(program, "N,8")
    for node in program.graph.nodes:
        if "fxcost" in node.meta:
            print(f"{node.name:10} macs = {node.meta['fxcost']['macs']}")

    before, y = fxcost.measure_peak(program, (x,)).values, program.module()(x)
    names = ("schedule", "liveness", "cost")
    PassManager([torch_pass(name, program=program) for name in names])(program.graph_module)
    known = program.graph_module.meta["fxcost"]
    after = fxcost.measure_peak(program, (x,)).values
    print(f"predicted: {known['schedule.traced_peak']:,} -> {known['schedule.peak']:,}")
    print(f"measured:  {before:,} -> {after:,}")
    print(f"same result: {torch.equal(program.module()(x), y)}")


if __name__ == "__main__":
    main()
