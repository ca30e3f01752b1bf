"""A backend for torch.compile: every graph runs in the order of least memory.

Inductor orders for memory by itself, and as well: with it, the backend reports,
and hands over its order as a starting point. What runs op by op gains.

python examples/12_torch_compile.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fxcost
from fxcost.compiler import CompiledGraph
from fxcost.integrate.allocator import allocated_peak


class Branches(nn.Module):
    """Six branches 8 -> 64 -> 4, all widened before the first is narrowed."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Conv2d(8, 64, 1) for _ in range(6))
        self.narrow = nn.ModuleList(nn.Conv2d(64, 4, 1) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        """Widen all, then narrow all."""
        maps = [torch.relu(wide(x)) for wide in self.wide]
        pairs = zip(self.narrow, maps, strict=True)
        return torch.cat([narrow(m) for narrow, m in pairs], 1)


@torch.no_grad()
def main() -> None:
    """Compile with our backend; measure with torch's profiler."""
    torch.set_num_threads(1)
    model, x = Branches().eval(), torch.randn(4, 8, 64, 64)

    plain = torch.compile(model, backend="aot_eager")
    plain(x)
    print(f"traced order, measured: {allocated_peak(lambda: plain(x)):,} bytes")

    torch._dynamo.reset()
    seen: list[CompiledGraph] = []
    backend = fxcost.backend(inner="aot_eager", report=seen.append)
    ours = torch.compile(model, backend=backend, dynamic=True)
    print(f"same result: {torch.equal(ours(x), model(x))}")
    assert seen[0].order is not None
    print(f"our order, predicted:   {seen[0].order.peak:,} bytes")
    print(f"our order, measured:    {allocated_peak(lambda: ours(x)):,} bytes")
    print(f"no order is below:      {seen[0].order.lower_bound:,} bytes")


if __name__ == "__main__":
    main()
