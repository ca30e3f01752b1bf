"""Programs on disk: a .pt2 of torch.export with what fxcost knows beside it (names of sizes, costs, the order)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fxcost.capture.loaders import EXTRA_FILE, EXTRA_SCHEMA, load_program
from fxcost.capture.quiet import muffled
from fxcost.errors import FileError, ModelError
from fxcost.integrate.divisions import with_integer_division
from fxcost.integrate.provenance import named


def save_program(program: Any, path: Path, data: Mapping[str, Any]) -> None:
    """Write an ExportedProgram with `data`, plain values, in the extra file; torch.export.load reads it as any other.

    Every operator carries its name, so that costs find it after decompositions. Raises ModelError where torch cannot
    write the program.
    """
    if not isinstance(program, torch.export.ExportedProgram):
        raise ModelError(
            "only an exported program can be written as .pt2; this model was recorded at one size, or read from text"
        )
    with_integer_division(program)
    text = json.dumps({"schema": EXTRA_SCHEMA, **data}, ensure_ascii=False)
    try:
        with muffled(), named(program):
            torch.export.save(program, path, extra_files={EXTRA_FILE: text})
    except OSError:
        raise
    except Exception as error:  # custom operators and exotic constants fail in many ways
        raise ModelError(f"torch.export.save cannot write the program: {error}") from error


def read_data(path: Path) -> dict[str, Any]:
    """What `save_program` left beside a program; raises FileError where there is nothing, or it is damaged."""
    found = load_program(path).graph_module.meta.get(EXTRA_FILE)
    if found is None:
        raise FileError(
            f"{path}: holds no {EXTRA_FILE}; expected a .pt2 that fxcost wrote (Cost.save, export --to pt2)"
        )
    return dict(found)
