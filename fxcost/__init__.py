"""fxcost: what a PyTorch model costs, as exact formulas in its sizes.

    cost = fxcost.analyze(model, "N,3,H,W")
    cost.macs(N=1, H=224, W=224)

Everything is loaded on first use, so that importing fxcost is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fxcost.api import analyze
    from fxcost.calibration import calibrate
    from fxcost.compiler import annotate, backend
    from fxcost.cost import Cost
    from fxcost.integrate.measure import measure_peak
    from fxcost.models import map_models
    from fxcost.ops.registry import OpCost, rule
    from fxcost.passes.memory_plan import plan
    from fxcost.query.quantity import Quantity
    from fxcost.query.units import GB, KB, MB, GiB, KiB, MiB
    from fxcost.target import load_target, targets

__version__ = "0.1.0"

_HOMES = {
    "analyze": "fxcost.api",
    "annotate": "fxcost.compiler",
    "backend": "fxcost.compiler",
    "calibrate": "fxcost.calibration",
    "Cost": "fxcost.cost",
    "Quantity": "fxcost.query.quantity",
    "rule": "fxcost.ops.registry",
    "OpCost": "fxcost.ops.registry",
    "map_models": "fxcost.models",
    "measure_peak": "fxcost.integrate.measure",
    "plan": "fxcost.passes.memory_plan",
    "load_target": "fxcost.target",
    "targets": "fxcost.target",
    **dict.fromkeys(("KB", "MB", "GB", "KiB", "MiB", "GiB"), "fxcost.query.units"),
}

__all__ = [
    "GB",
    "KB",
    "MB",
    "Cost",
    "GiB",
    "KiB",
    "MiB",
    "OpCost",
    "Quantity",
    "analyze",
    "annotate",
    "backend",
    "calibrate",
    "load_target",
    "map_models",
    "measure_peak",
    "plan",
    "rule",
    "targets",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'fxcost' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
