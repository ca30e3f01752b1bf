"""The reference of every public module as HTML, from docstrings: `make docs` writes it to build/docs.

A warning is an error, and so is a name in backticks that begins with `fxcost.` and leads nowhere.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = ("fxcost.cli", "fxcost.__main__")
"""The command line has its own help."""

DIALECT = {"fxcost.op", "fxcost.state", "fxcost.shape"}
"""Names of the text form of graphs, which are no Python names."""

_NAMED = re.compile(r"`(fxcost(?:\.\w+)+)`")


def modules() -> list[str]:
    """Public modules by name, the package first."""
    import fxcost

    found = [module.name for module in walk_packages(fxcost.__path__, "fxcost.")]
    public = [name for name in found if not any(part.startswith("_") for part in name.split("."))]
    return ["fxcost", *(name for name in public if not name.startswith(HIDDEN))]


def dead_names(names: list[str]) -> Iterator[str]:
    """Names in backticks in the modules' docstrings that lead nowhere, with where they stand."""
    for name in names:
        source = Path(import_module(name).__file__ or "").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                for named in _NAMED.findall(ast.get_docstring(node) or ""):
                    if named not in DIALECT and not _exists(named):
                        yield f"{name}: `{named}`"


def _exists(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        module, _, attribute = name.rpartition(".")
        return bool(module) and _exists(module) and hasattr(import_module(module), attribute)
    return True


def write(folder: Path) -> list[str]:
    """Write the pages and return the names of the modules; raises a warning as an error, LookupError for dead names."""
    import pdoc
    import pdoc.render

    import fxcost

    for name in fxcost.__all__:  # loaded on first use otherwise, which pdoc does not try
        setattr(fxcost, name, getattr(fxcost, name))
    names = modules()
    for name in names:
        import_module(name)  # what other people's packages warn of is theirs
    dead = list(dead_names(names))
    if dead:
        raise LookupError("docstrings name what does not exist: " + ", ".join(dead))
    pdoc.render.configure(docformat="google", show_source=False, footer_text=f"fxcost {fxcost.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Constructors that dataclasses inherit name types of the module they come from, where pdoc does not look.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        pdoc.pdoc(*specifications(names), output_directory=folder)
    return names


def specifications(names: list[str]) -> list[str]:
    """What to ask pdoc for: a package brings its modules along, unless its own list of names leaves them out."""
    from pdoc.extract import walk_specs

    asked: list[str] = []
    covered: set[str] = set()
    for name in names:
        if name not in covered:
            asked.append(name)
            covered |= set(walk_specs([name]))
    hidden = [f"!{re.escape(name)}" for name in (*HIDDEN, *(n for n in covered if n not in names))]
    return [*asked, *hidden]


def main() -> None:
    """Write to build/docs."""
    try:
        import pdoc  # noqa: F401
    except ImportError:
        sys.exit("the reference needs pdoc: pip install -c constraints.txt -e '.[docs]'")
    folder = ROOT / "build" / "docs"
    print(f"{len(write(folder))} modules in {(folder / 'index.html').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
