"""The execution order that needs least memory: found, proven for every size at once, and run.

Two branches start from the same map. The wide one makes a large map and shrinks it again; whoever runs it first keeps
less alive. The traced order does not.

python examples/06_best_order.py
"""

from __future__ import annotations

from textwrap import fill

import torch
from torch import Tensor, nn

import fxcost


class Cell(nn.Module):
    """A wide and a narrow branch, joined in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.narrow = nn.Conv2d(16, 24, 3, padding=1)
        self.wide = nn.Conv2d(16, 96, 1)
        self.shrink = nn.Conv2d(96, 8, 3, stride=2, padding=1)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Run both branches in the order in which they are written."""
        x = self.stem(x)
        narrow = self.pool(torch.relu(self.narrow(x)))
        kept = torch.cat([x, x], 1)
        wide = self.shrink(self.wide(x))
        return torch.cat([narrow, wide, self.pool(kept)], 1)


def main() -> None:
    """Print the answer at one size, the answer at every size, and the bytes of a real run."""
    torch.set_num_threads(1)
    at = {"N": 1, "H": 64, "W": 64}
    cost = fxcost.analyze(Cell().eval(), "N,3,H,W")

    found = cost.schedule(at)
    print(f"traced order: {found.traced_peak:,} bytes; best order: {found.peak:,} bytes")
    print(fill(found.certificate, 80))

    orders = cost.best_orders(tie={"W": "H"})
    print("for every N and every H = W:")
    print(f"  min_peak_memory = {orders.min_peak_memory}")
    print(f"orders needed: {len(orders.pieces)}; sizes left open: {orders.open or 'none'}")

    x = torch.randn(1, 3, 64, 64)
    program = torch.export.export(Cell().eval(), (x,))
    ordered = fxcost.analyze(program).schedule({}).apply(program)
    print(f"measured, traced order: {fxcost.measure_peak(program, (x,)).values:,} bytes")
    print(f"measured, best order:   {fxcost.measure_peak(ordered, (x,)).values:,} bytes")
    print(f"same result: {torch.equal(program.module()(x), ordered.module()(x))}")


if __name__ == "__main__":
    main()
