"""Patches: stretches of a model that run patch by patch. Made by `Cost.patch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fxcost.errors import InternalError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.types import TensorType
from fxcost.passes.patch_check import check_patches
from fxcost.passes.patch_plan import PatchPlan
from fxcost.query.shown import Shown


@dataclass(frozen=True)
class Patches(PatchPlan, Shown):
    """A plan to run a model in patches at one point, which can be applied to its program."""

    def __str__(self) -> str:
        from fxcost.report.patch import patches_text

        return patches_text(self)

    def apply(self, program: Any) -> Any:
        """The program that was analysed, running patch by patch at this point's sizes: a GraphModule.

        Takes an ExportedProgram, or a GraphModule of operators; the original stays as it is, its parameters are shared.
        Raises ModelError where it is another program; its result raises ModelError for inputs of other sizes.
        """
        from fxcost.integrate.patched import patched

        graph = self.setting.graph
        if not self.setting.direct:
            replayed = check_patches(self.setting, self.written)
            if replayed != self.peak:
                raise InternalError(f"a replay of these patches needs {replayed:,} bytes, predicted are {self.peak:,}")
        shapes = [
            tuple(evaluate(size, self.point) for size in value.type.shape)
            for value in graph.inputs
            if isinstance(value.type, TensorType)
        ]
        return patched(program, [node.name for node in graph.nodes], self.written, shapes, reorder=bool(self.order))
