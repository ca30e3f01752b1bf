"""Node data for Model Explorer: an overlay of one cost over the graph of a .pt2 file.

Model Explorer calls the graph of an exported program `graph` and its nodes as torch does, and reads
`{graph: {"name": ..., "results": {node: {"value": number}}, "gradient": [...]}}`:

    model-explorer model.pt2 --node_data_paths overlay.json
"""

from __future__ import annotations

import json
from typing import Any

from fxcost.report.nodes import UNITS, node_values
from fxcost.report.summary import Summary

GRAPH = "graph"
"""What Model Explorer's reader of .pt2 files calls the graph."""

GRADIENT = ((0.0, "#ffffff"), (0.25, "#cfe3f1"), (0.5, "#88b9dd"), (0.75, "#3f86bd"), (1.0, "#0b4f86"))
"""One hue from light to dark: it reads the same without colour vision."""


def overlay_text(summary: Summary, metric: str) -> str:
    """The overlay of a metric as JSON."""
    return json.dumps(overlay(summary, metric), indent=1, ensure_ascii=False)


def overlay(summary: Summary, metric: str) -> dict[str, Any]:
    """Every node's number, also where it is zero; nodes without a rule have none, and no colour."""
    return {
        GRAPH: {
            "name": f"{metric} ({UNITS[metric]})",
            "results": {name: {"value": value} for name, value in node_values(summary, metric).items()},
            "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in GRADIENT],
        }
    }
