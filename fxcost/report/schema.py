"""The JSON Schema (draft 2020-12) of everything that `--json` prints, shipped with the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from fxcost.errors import UnknownName, nearest

DOCUMENTS: Mapping[str, tuple[str, ...]] = {
    "report": ("report",),
    "query": ("query",),
    "solve": ("solution", "frontier"),
    "sweep": ("sweep",),
    "compare": ("comparison",),
    "fit": ("fit",),
    "llm": ("llm",),
    "parallel": ("devices",),
    "arena": ("arena",),
    "patch": ("patches", "patch_formulas"),
    "crossover": ("crossovers",),
    "recompute": ("recomputation", "rulings"),
    "schedule": ("schedule", "orders"),
    "check": ("check_result",),
    "cache": ("cache",),
}
"""By command, what its JSON may be."""


def schema(command: str = "report") -> dict[str, Any]:
    """The schema of a command's JSON, complete in itself; raises UnknownName for a command without any."""
    if command not in DOCUMENTS:
        raise UnknownName(f"{command!r} prints no JSON{nearest(command, DOCUMENTS)}")
    text = resources.files("fxcost.report").joinpath("schemas", "fxcost-1.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    parts = [{"$ref": f"#/$defs/{name}"} for name in DOCUMENTS[command]]
    return found | {"title": f"fxcost/1, fxcost {command} --json"} | (parts[0] if len(parts) == 1 else {"anyOf": parts})
