"""Reading a file of MLIR that is not ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fxcost.dialects.arithmetic import arithmetic, tensors
from fxcost.dialects.custom_form import generic, without_resources
from fxcost.dialects.hlo import hlo
from fxcost.dialects.operations import Operation, Shaped, parse_operations
from fxcost.dialects.structured import structured
from fxcost.dialects.translate import Translator, body_of
from fxcost.errors import FileError
from fxcost.ir.graph import Graph
from fxcost.ir.verify import verify

MAX_BYTES: Final = 2**30
"""Size of the largest file that is read; weights that are printed make files large."""
FOREIGN_NOTE: Final = (
    "read from MLIR: costs are those of every op by itself, before anything is fused; constants with floating data count as "
    "parameters"
)
HANDLERS: Final = (arithmetic, tensors, structured, hlo)
_OURS = re.compile(r"\bfxcost\.version\b")
_FOREIGN = re.compile(r"\b(?:linalg|stablehlo|tensor|func|tosa|mhlo|torch|builtin)\.[a-z_]+|\bmodule\b")


def is_foreign(text: str) -> bool:
    """True for MLIR that fxcost did not write."""
    return _OURS.search(text) is None and _FOREIGN.search(text) is not None


def read_foreign(path: str | Path) -> Graph:
    """The graph of a file; every problem is a FileError that names the file."""
    where = Path(path)
    try:
        if where.stat().st_size > MAX_BYTES:
            raise FileError(f"{where}: found {where.stat().st_size:,} bytes, expected at most {MAX_BYTES:,}")
        text = where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise FileError(f"{where}: cannot be read: {problem}") from None
    return parse_foreign(text, str(where), where.stem)


def parse_foreign(text: str, where: str = "<text>", name: str = "module") -> Graph:
    """The graph of a text in `linalg` or `stablehlo`: its function `main` or `forward`, else the first public one.

    Raises FileError where the text is malformed or has no such function, SpecError where xDSL is not installed.
    """
    module = parse_operations(generic(without_resources(text), where), where)
    functions = {str(op.attrs.get("sym_name", "")): op for op in module.walk() if op.name == "func.func"}
    entry = _entry(functions, where)
    translator = Translator(name, where, functions, HANDLERS)
    _check_types(body_of(translator, entry).operations, where)
    graph = translator.graph(entry, (FOREIGN_NOTE,))
    verify(graph, where, FileError)
    return graph


def _entry(functions: Mapping[str, Operation], where: str) -> Operation:
    public = {n: op for n, op in functions.items() if op.attrs.get("sym_visibility") != "private" and op.blocks}
    for wanted in ("main", "forward"):
        if wanted in public:
            return public[wanted]
    if not public:
        raise FileError(f"{where}: found no public function with a body, expected func.func @main")
    return next(iter(public.values()))


def _check_types(operations: tuple[Operation, ...], where: str) -> None:
    """Refuse programs that are not on tensors any more, or not yet."""
    for op in operations:
        for type in (*op.types, *(result.type for result in op.results)):
            if not isinstance(type, Shaped) and type.text.startswith(("memref", "!torch")):
                raise FileError(
                    f"{where}: {op.name} works on {type.text}, expected linalg or stablehlo on tensors: "
                    + (
                        "stop before bufferization"
                        if type.text.startswith("memref")
                        else "lower it by torch-mlir first"
                    )
                )
