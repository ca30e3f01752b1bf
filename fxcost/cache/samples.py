"""Captures at several sizes as plain data and back: graphs as IR text, the rest as numbers and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.text import print_graph
from fxcost.ir.text_reader import parse_graph
from fxcost.query.fitted import Axis, Sampled


def samples_data(samples: Sampled) -> dict[str, Any]:
    """What JSON can hold."""
    return {
        "axes": [[axis.name, axis.step, list(axis.multiples)] for axis in samples.axes],
        "grid": [print_graph(graph) for graph in samples.grid],
        "held_out": [[dict(point), print_graph(graph)] for point, graph in samples.held_out],
        "info": [asdict(info) for info in samples.info],
        "most": dict(samples.most),
    }


def samples_of(data: Mapping[str, Any], where: str) -> Sampled:
    """The samples again; raises KeyError, TypeError or ValueError (FileError) for data that are none."""
    return Sampled(
        axes=tuple(Axis(str(name), int(step), tuple(map(int, multiples))) for name, step, multiples in data["axes"]),
        grid=tuple(parse_graph(text, where) for text in data["grid"]),
        held_out=tuple(
            ({str(n): int(v) for n, v in point.items()}, parse_graph(text, where)) for point, text in data["held_out"]
        ),
        info=tuple(SymbolInfo(**info) for info in data["info"]),
        most={str(name): int(size) for name, size in data["most"].items()},
    )
