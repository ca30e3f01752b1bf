"""What a report says, apart from how it looks: the one object that every format reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fxcost.ir.evaluate import where_known
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Standing
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.liveness import Owner
from fxcost.passes.patch_plan import InRoom, PatchPlan
from fxcost.pipeline import Options
from fxcost.query.breakdown import ModuleRow, NodeRow
from fxcost.query.crossover import Crossover
from fxcost.query.fit import FitAnswer
from fxcost.query.quantity import Quantity
from fxcost.query.training import TrainingRow


@dataclass(frozen=True)
class Summary:
    """A model's costs, ready to be shown.

    `at` is the point the user asked for, None without one; `point` is where numbers are taken: `at`, or the traced
    sizes with a batch of one; `live` are bytes alive there before the first node (named "") and while each node runs.
    Estimates, fits and crossovers of the whole network are by target name. `patches` says what running patch by patch
    makes of the peak, `patched_fits` by target with which patches activations fit that do not otherwise. The last ones
    say how a breakdown is shown: `depth` levels `by` module, node or op, sorted, `top` rows a level, repeated blocks
    folded.
    """

    model: str
    mode: str
    options: Options
    standing: Standing
    versions: Mapping[str, str]
    symbols: tuple[SymbolInfo, ...]
    inputs: tuple[str, ...]
    fixed_dims: Mapping[str, str]
    domain: tuple[str, ...]
    unknown_ops: Mapping[str, int]
    at: Mapping[str, int] | None
    point: Mapping[str, int] | None
    quantities: Mapping[str, Quantity]
    nodes: tuple[NodeRow, ...]
    modules: ModuleRow
    owner: Owner | None
    live: tuple[tuple[str, int], ...] = ()
    estimates: Mapping[str, Any] = field(default_factory=dict)
    fits: Mapping[str, FitAnswer] = field(default_factory=dict)
    crossovers: Mapping[str, Crossover] = field(default_factory=dict)
    patches: PatchPlan | None = None
    patched_fits: Mapping[str, InRoom] = field(default_factory=dict)
    params_by_dtype: Mapping[str, int] = field(default_factory=dict)
    training: tuple[TrainingRow, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    depth: int = 2
    by: str = "module"
    sort: str | None = None
    top: int | None = None
    fold: bool = True

    def values(self, expressions: tuple[Expr, ...], point: Mapping[str, int] | None) -> tuple[int | None, ...]:
        """Exact values at a point, None for those that need a size it lacks."""
        return where_known(expressions, point or {})
