"""Imports go one way, and torch stays on its side: the architecture of CONTRIBUTING.md, checked with `ast`."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"fxcost": "fxcost", "fxcost.passes": "passes", "fxcost.hw_targets": "hw_targets"}

# A module imports from the rows above its own. `hw_targets` only reads files; `__init__` is the public names.
LAYERS = (
    {"errors"},
    {"parallel"},
    {"ir", "hw_targets"},
    {"ops", "target"},
    {"dialects"},
    {"pipeline"},
    {"passes"},
    {"query"},
    {"serving"},
    {"report"},
    {"schedule", "patching", "recomputing"},
    {"formulas"},
    {"on_machines", "in_orders", "in_patches", "in_training"},
    {"page"},
    {"cost"},
    {"steps", "sampling", "cache"},
    {"api"},
    {"models", "language", "devices"},
    {"service"},
    {"space"},
    {"calibration"},
    {"compiler", "edge"},
    {"__init__"},
    {"cli", "pytest_plugin"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

TORCH_SIDE = ("capture", "lower", "integrate")  # each may import from its left ...
TORCH_SIDE_MAY_IMPORT = {"errors", "ir", "ops"}  # ... and these
USES_TORCH_SIDE = {"schedule", "patching", "recomputing", "cost", "api", "models", "space", "calibration"}
USES_TORCH_SIDE |= {"compiler", "edge", "cli", "__init__", "language", "devices"}
TORCH_PACKAGES = {"torch", "torchvision", "timm", "transformers"}
SYMPY_BRIDGE = "fxcost.ir.sympy_bridge"


class Import(NamedTuple):
    """One imported name: `lazy` inside a function, `typing` where only type checkers look."""

    line: int
    name: str
    lazy: bool
    typing: bool


def imports(source: str, module: str) -> Iterator[Import]:
    """Yield every import of a module; a package's own module is called `package.__init__`."""

    def visit(node: ast.AST, lazy: bool, typing: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(node.lineno, alias.name, lazy, typing)
            case ast.ImportFrom(module=origin, names=names, level=level):
                base = [*module.split(".")[:-level], *filter(None, [origin])] if level else [origin or ""]
                for alias in names:
                    yield Import(node.lineno, ".".join([*base, alias.name]), lazy, typing)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=orelse):
                for statement in body:
                    yield from visit(statement, lazy, typing=True)
                for statement in orelse:
                    yield from visit(statement, lazy, typing)
            case _:
                lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                for child in ast.iter_child_nodes(node):
                    yield from visit(child, lazy, typing)

    yield from visit(ast.parse(source), lazy=False, typing=False)


def layer(name: str) -> str:
    """Return the layer of a dotted name inside fxcost; what is no module is one of the public names."""
    parts = name.split(".")
    first = parts[1] if len(parts) > 1 else "__init__"
    side = next((side for side in TORCH_SIDE if first == side or first.startswith(side + "_")), None)
    return side or (first if first in RANK else "__init__")


def objection(here: str, module: str, found: Import) -> str | None:
    """Return what is wrong with this import in a module of layer `here`, or None."""
    package = found.name.partition(".")[0]
    deferred = found.lazy or found.typing

    if package in TORCH_PACKAGES:
        type_only_in_api = here == "api" and found.typing
        allowed = here in TORCH_SIDE or type_only_in_api
        return None if allowed else "only capture, lower and integrate import torch and model libraries"

    if package == "sympy":
        return None if deferred or module == SYMPY_BRIDGE else "import sympy inside the function that needs it"

    if package != "fxcost":
        return None

    there = layer(found.name)
    if there == here:
        return None
    if there in TORCH_SIDE:
        if here in TORCH_SIDE:
            earlier = TORCH_SIDE.index(there) < TORCH_SIDE.index(here)
            return None if earlier else f"{here} comes before {there}"
        if here not in USES_TORCH_SIDE:
            return f"only schedule, cost, api, models, space, calibration, compiler, edge and cli import {there}"
        return None if deferred else f"import {there} inside the function that needs it"
    if here in TORCH_SIDE:
        return None if there in TORCH_SIDE_MAY_IMPORT else f"{here} imports errors, ir and ops only, not {there}"
    return None if RANK[there] < RANK[here] else f"{here} may not import {there}: imports go one way"


def violations(source: str, module: str) -> list[tuple[int, str]]:
    """Return (line, complaint) for every import that breaks the architecture."""
    here = layer(module)
    if here == "__init__" and module != "fxcost.__init__":
        return [(1, f"{module} has no layer: give it one in LAYERS, and in the picture in CONTRIBUTING.md")]
    found = ((each, objection(here, module, each)) for each in imports(source, module))
    return [(each.line, f"{complaint} ({each.name})") for each, complaint in found if complaint]


def modules() -> Iterator[tuple[str, Path]]:
    """Yield (dotted name, file) for every module, under its real path."""
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.resolve() == path:  # not through the links
                yield ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts]), path


def test_imports_go_one_way() -> None:
    complaints = [
        f"{path.relative_to(ROOT)}:{line}: {complaint}"
        for module, path in modules()
        for line, complaint in violations(path.read_text(encoding="utf-8"), module)
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def test_all_folders_are_looked_at() -> None:
    seen = {module for module, _ in modules()}
    assert {"fxcost.errors", "fxcost.passes.__init__", "fxcost.hw_targets.__init__"} <= seen


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("fxcost.ir.graph", "import torch", "only capture, lower and integrate import torch"),
        ("fxcost.api", "def f():\n    import torch.nn", "only capture, lower and integrate import torch"),
        ("fxcost.query.solve", "from timm import create_model", "only capture, lower and integrate import torch"),
        ("fxcost.ir.expr", "import sympy", "import sympy inside the function"),
        ("fxcost.report.text", "class A:\n    from sympy import latex", "import sympy inside the function"),
        ("fxcost.ir.graph", "from fxcost.ops import registry", "ir may not import ops"),
        ("fxcost.ir.graph", "from ..ops.registry import rule", "ir may not import ops"),
        ("fxcost.ir.__init__", "from .. import pipeline", "ir may not import pipeline"),
        ("fxcost.ops.conv", "from fxcost import target", "ops may not import target"),
        ("fxcost.target", "import fxcost.ops", "target may not import ops"),
        ("fxcost.pipeline", "def f():\n    from fxcost.passes import peak", "pipeline may not import passes"),
        ("fxcost.passes.peak", "from fxcost.query.quantity import Quantity", "passes may not import query"),
        ("fxcost.report.text", "from fxcost import analyze", "report may not import __init__"),
        (
            "fxcost.report.text",
            "from fxcost import capture",
            "only schedule, cost, api, models, space, calibration, compiler, edge and cli import capture",
        ),
        ("fxcost.api", "from fxcost.lower import lower", "import lower inside the function"),
        ("fxcost.cli", "if True:\n    import fxcost.capture_ladder", "import capture inside the function"),
        ("fxcost.capture", "from fxcost.lower import lower", "capture comes before lower"),
        ("fxcost.capture_ladder", "from fxcost.pipeline import run", "capture imports errors, ir and ops only"),
        ("fxcost.integrate.measure", "from fxcost.passes import peak", "integrate imports errors, ir and ops only"),
        ("fxcost.misc", "", "has no layer"),
    ],
)
def test_checker_finds(module: str, source: str, complaint: str) -> None:
    [(line, found)] = violations(source, module)
    assert complaint in found
    assert line == max(1, len(source.splitlines()))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("fxcost.capture", "import torch"),
        ("fxcost.capture.ladder", "import torch\nfrom . import hints\nfrom fxcost.ir import graph"),
        ("fxcost.capture_models", "from torchvision import models\nfrom fxcost.capture import trace"),
        ("fxcost.lower", "from fxcost.capture import Captured\nfrom fxcost.ops.registry import lookup"),
        ("fxcost.integrate.__init__", "from .measure import measure_peak\nfrom fxcost import lower"),
        ("fxcost.ir.sympy_bridge", "import sympy"),
        ("fxcost.ir.expr", "def to_sympy():\n    import sympy"),
        ("fxcost.query.quantity", "if TYPE_CHECKING:\n    import sympy"),
        ("fxcost.api", "if TYPE_CHECKING:\n    from torch import nn\ndef f():\n    from fxcost.capture import capture"),
        ("fxcost.passes.peak", "from .liveness import Lifetimes\nfrom fxcost.pipeline import register_pass"),
        ("fxcost.target", "from fxcost import hw_targets"),
        ("fxcost.cli", "import fxcost\nfrom fxcost import analyze"),
        ("fxcost.__init__", "from fxcost.api import analyze"),
    ],
)
def test_checker_allows(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_start_up_imports_neither_torch_nor_sympy() -> None:
    program = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "sympy"):
            raise AssertionError(f"{name} is imported at start-up")

sys.meta_path.insert(0, Refuse())
import fxcost, fxcost.cli, fxcost.ir
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # the traceback names the importing line
