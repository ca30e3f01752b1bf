"""fxcost on the way to ExecuTorch: the best order before it, the best offsets inside it.

program = torch.export.export(model, inputs)
best = fxcost.analyze(program).schedule()
edge = to_edge(best.apply(program))                    # ExecuTorch keeps the order
planning = memory_planning_pass()
result = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
planning.plans                                         # what was placed, and how good that is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fxcost.passes.memory_plan import Plan, plan


def memory_planning_pass(time_limit: float = 60.0, **options: Any) -> Any:
    """ExecuTorch's MemoryPlanningPass with this package's planner; its attribute `plans` holds every plan it made.

    `options` are those of the pass (alloc_graph_input, alignment ...); `time_limit` in seconds for each memory. Raises
    ModelError where the package `executorch` is missing.
    """
    from fxcost.integrate.executorch import planning_pass

    plans: list[Plan] = []

    def place(buffers: Sequence[tuple[str, int, int, int]], alignment: int) -> tuple[Mapping[str, int], int]:
        found = plan(buffers, alignment=alignment, time_limit=time_limit)
        plans.append(found)
        return found.offsets, found.height

    made = planning_pass(place, **options)
    made.plans = plans
    return made
