"""Affine maps of MLIR, read and computed by code that knows nothing of the expressions they were printed from."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MAP = re.compile(r"affine_map<\(\)\[(?P<names>[^\]]*)\] -> \((?P<results>.*)\)>")


def value_of_map(text: str, point: Mapping[str, int]) -> int:
    """The largest result of a map at a point: Python computes what MLIR spells."""
    match = _MAP.fullmatch(text)
    assert match is not None, text
    names = match["names"].split(", ") if match["names"] else []
    numbers = dict(zip(names, (point[name] for name in names), strict=True))
    results = match["results"].replace("floordiv", "//").replace("mod", "%")
    assert not set(re.findall(r"[^\W\d]\w*", results)) - set(names), text
    computed = eval(f"({results},)", {"__builtins__": {}}, numbers)  # text that a test has just made
    return max(int(value) for value in computed)
