"""ExecuTorch: our order before it, our offsets inside it, one result.

Three wide branches are traced side by side; one after the other they need half
the arena. ExecuTorch keeps the order that it is handed, and asks our planner
for the offsets of its buffers. Needs the extra `executorch`.

python examples/19_executorch.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fxcost
from fxcost.edge import memory_planning_pass


class Branches(nn.Module):
    """Three branches 8 -> 64 -> 4, all widened before the first is narrowed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 8, 3, padding=1)
        self.wide = nn.ModuleList(nn.Conv2d(8, 64, 1) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Conv2d(64, 4, 3, stride=4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Widen all, then narrow all."""
        x = self.stem(x)
        maps = [torch.relu(wide(x)) for wide in self.wide]
        pairs = zip(self.narrow, maps, strict=True)
        return torch.cat([narrow(m) for narrow, m in pairs], 1)


def main() -> None:
    """Three arenas of one model, and what the last of them computes."""
    try:
        from executorch.exir import ExecutorchBackendConfig, to_edge
        from executorch.exir.passes import MemoryPlanningPass
        from executorch.runtime import Runtime
    except ImportError:
        print("this example needs ExecuTorch: pip install 'fxcost[executorch]'")
        return
    torch.set_num_threads(1)
    model, x = Branches().eval(), torch.randn(1, 8, 32, 32)
    program = torch.export.export(model, (x,))
    best = fxcost.analyze(program).schedule()
    planning = memory_planning_pass()

    for what, ordered, planner in (
        ("traced order, its planner", program, MemoryPlanningPass()),
        ("our order, its planner", best.apply(program), MemoryPlanningPass()),
        ("our order, our planner", best.apply(program), planning),
    ):
        config = ExecutorchBackendConfig(memory_planning_pass=planner)
        result = to_edge(ordered).to_executorch(config)
        plan = result.executorch_program.execution_plan[0]
        print(f"{what + ':':<26} {sum(plan.non_const_buffer_sizes):>9,} bytes")
    print(f"no placement is below:     {planning.plans[0].load_bound:>9,} bytes")

    method = Runtime.get().load_program(result.buffer).load_method("forward")
    same = torch.allclose(method.execute([x])[0], model(x), atol=1e-5)
    print(f"same result: {same}")


if __name__ == "__main__":
    main()
