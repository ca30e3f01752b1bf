"""Order and offsets through ExecuTorch: its arena is our plan, and its runtime computes what the model computes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxcost
from fxcost.edge import memory_planning_pass
from fxcost.errors import ModelError
from fxcost.passes.memory_plan_graph import plan_of


class Branches(nn.Module):
    """Three wide branches that are traced side by side and shrink one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(8, 8, 3, padding=1)
        self.wide = nn.ModuleList(nn.Conv2d(8, 64, 1) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Conv2d(64, 4, 3, stride=4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        branches = [torch.relu(layer(x)) for layer in self.wide]
        return torch.cat([layer(branch) for layer, branch in zip(self.narrow, branches, strict=True)], 1)


class Scaled(nn.Module):
    """Sizes that are no multiples of sixteen bytes, views, and a buffer that changes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Buffer(torch.zeros(3))
        self.layer = nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(1)
        y = self.layer(x).reshape(-1, 5) * self.seen[0]
        return torch.cat([y, y.flip(0)], 1)


def arena(program: Any, planning: Any) -> tuple[list[int], Any]:
    """Bytes of each memory, and the program for the runtime."""
    exir = import_module("executorch.exir")
    config = exir.ExecutorchBackendConfig(memory_planning_pass=planning)
    result = exir.to_edge(program).to_executorch(config)
    return list(result.executorch_program.execution_plan[0].non_const_buffer_sizes), result


def ran(result: Any, inputs: list[Tensor]) -> Tensor:
    """What ExecuTorch's runtime computes."""
    runtime = import_module("executorch.runtime").Runtime.get()
    output: Tensor = runtime.load_program(result.buffer).load_method("forward").execute(inputs)[0]
    return output


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fxcost.integrate.executorch.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install executorch"):
        memory_planning_pass()


def test_order_and_offsets_arrive() -> None:
    """Three 256 KiB branches: all alive as traced, one at a time in the best order; its arena is our plan's height."""
    pytest.importorskip("executorch.exir", reason="needs the package executorch")
    passes = import_module("executorch.exir.passes")
    torch.manual_seed(0)
    model, x = Branches().eval(), torch.randn(1, 8, 32, 32)
    program = torch.export.export(model, (x,))
    cost = fxcost.analyze(program)
    best = cost.schedule()
    before = plan_of(cost.graph, cost.facts, {}, None, alignment=16).height
    after = best.plan(alignment=16).height
    assert (before, after) == (1_048_576, 558_080)  # 4 x 64 x 32^2 floats; 2 x that, stem and shrunk branches

    planning = memory_planning_pass()
    theirs, _ = arena(program, passes.MemoryPlanningPass())
    as_traced, result = arena(program, memory_planning_pass())
    assert as_traced == [0, before]
    assert sum(theirs) >= before
    torch.testing.assert_close(ran(result, [x]), model(x))

    as_best, result = arena(best.apply(program), planning)
    reordered_only, _ = arena(best.apply(program), passes.MemoryPlanningPass())
    assert as_best == [0, after]
    assert sum(reordered_only) >= after
    assert [found.height for found in planning.plans] == [after]
    torch.testing.assert_close(ran(result, [x]), model(x))


def test_odd_sizes_views_and_buffers() -> None:
    pytest.importorskip("executorch.exir", reason="needs the package executorch")
    passes = import_module("executorch.exir.passes")
    torch.manual_seed(0)
    model, x = Scaled().eval(), torch.randn(3, 7)
    program = torch.export.export(model, (x,))
    theirs, _ = arena(program, passes.MemoryPlanningPass())
    ours, result = arena(program, memory_planning_pass())
    assert sum(ours) <= sum(theirs)
    torch.testing.assert_close(ran(result, [x]), expected(model, x))


def expected(model: nn.Module, x: Tensor) -> Tensor:
    """The first call of the model, whose buffer counts the calls."""
    with torch.no_grad():
        model.get_buffer("seen").zero_()
        found: Tensor = model(x)
    return found
