"""What the code of a model reads while it is built and captured: an answer holds as long as all of that is the same.

Python tells of every file that is opened and every folder that is listed (audit events); modules are told by
`sys.modules`. Installed packages are told by their versions, and left out here.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from fxcost.cache.question import TOLD_BY, ZOO_PACKAGES, ZOOS, changed_since_start, own_rules

_BEYOND = {
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.spawn"), "starts a program"),
    **dict.fromkeys(("socket.connect", "socket.getaddrinfo"), "opens a connection"),
}
_EVENTS = {"open", "os.listdir", "os.scandir", *_BEYOND}
_OUTSIDE = {"environ", "environb", "getenv", "argv", "stdin"}
"""Names in Python code that read what is no file."""
_DYNAMIC = {"import_module", "__import__", "exec", "eval"}
"""Names that load modules which the code does not name."""

_ABOUT_CODE = (
    *("<frozen importlib._bootstrap_external>", "pkgutil.py", "zipimport.py", f"metadata{os.sep}__init__.py"),
    *("linecache.py", "tokenize.py", "inspect.py"),
)
"""Who reads files that are modules, which `sys.modules` tells of, or their text for messages."""

_NOT_THERE = "not there"


@dataclass(eq=False)
class Reads:
    """Files opened for reading, folders listed, files written, what cannot be followed; and modules loaded before."""

    files: dict[Path, None] = field(default_factory=dict)
    folders: dict[Path, None] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    beyond: dict[str, None] = field(default_factory=dict)
    before: frozenset[Path] = frozenset()
    began_s: float = 0.0


_watching: list[Reads] = []
_hooked = False
_loaded: dict[Path, str] = {}
"""Digests of local modules, as they were when they were loaded under our eyes."""


@contextmanager
def watching() -> Iterator[Reads]:
    """Note what is read inside. Python's hook for that stays for good, and does nothing outside."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    reads = Reads(before=frozenset(_local_modules().values()), began_s=time.time())
    _watching.append(reads)
    try:
        yield reads
    finally:
        _watching.remove(reads)


def _note(event: str, args: tuple[Any, ...]) -> None:
    if not _watching or event not in _EVENTS:
        return
    if sys._getframe(1).f_code.co_filename.endswith(_ABOUT_CODE):
        return
    for reads in _watching:
        if event in _BEYOND:
            reads.beyond[_BEYOND[event]] = None
        elif args and isinstance(args[0], str | bytes | os.PathLike):
            path = Path(os.fsdecode(args[0])).absolute()
            if event != "open":
                reads.folders[path] = None
            elif isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                reads.written.add(path)
            else:
                reads.files[path] = None


def dependencies(model: str, reads: Reads) -> tuple[dict[str, str], str]:
    """Local files and folders that a capture of `model` rests on, with digests; and why they cannot all be known.

    Where the second is not empty, the answer must not be kept.
    """
    in_zoo = model.partition(":")[0] in ZOOS
    loaded = _local_modules()
    place = Path(model.rpartition(":")[0]).absolute()  # a file is run anew where it has changed
    for path in (place, *loaded.values()):
        if path == place or path not in reads.before:
            _loaded[path] = digest(path)
    if in_zoo:
        modules = [path for name, path in loaded.items() if name.partition(".")[0] in ZOO_PACKAGES]
    else:
        fresh = (path for path in loaded.values() if path not in reads.before)
        modules = list(dict.fromkeys([*_reached(model, loaded), *fresh]))
    wanted = [*modules, *(path for path in (*reads.files, *reads.folders) if _is_local(path))]
    if model.endswith(".pt2"):
        wanted.append(Path(model).absolute())
    found = {str(path): digest(path) for path in dict.fromkeys(wanted) if path not in reads.written}
    changed = [path for path in found if _changed_since(Path(path), reads.began_s)]
    stale = [path for path in modules if found.get(str(path)) != _loaded.get(path)]
    by_now = changed_since_start()
    if by_now is not None:
        return found, f"{by_now} has changed on disk since this process began"
    if changed:
        return found, f"{changed[0]} changed while the model was captured"
    if stale:
        return found, f"{stale[0]} was loaded before, and whether it has changed since is not known"
    if own_rules():
        return found, "its code registers a cost rule, which a stored graph would lack"
    if in_zoo or model.endswith(".pt2"):
        return found, ""
    for path in modules:
        name = _reads_outside(path)
        if name in _OUTSIDE:
            return found, f"{path} uses {name}, and what that gives is in no file"
        if name in _DYNAMIC and reads.before - _loaded.keys():
            return found, f"{path} uses {name}, and what was loaded before may be among what it names"
    return found, f"its code {next(iter(reads.beyond))}" if reads.beyond else ""


def digest(path: Path) -> str:
    """Of a file's content, or of a folder's names."""
    try:
        if path.is_dir():
            names = sorted(place.name for place in path.iterdir() if place.name != "__pycache__")
            return "folder " + sha256("\0".join(names).encode(errors="surrogateescape")).hexdigest()
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError:
        return _NOT_THERE


def _changed_since(path: Path, moment_s: float) -> bool:
    try:
        return not path.is_dir() and path.stat().st_mtime > moment_s
    except OSError:
        return False


def _local_modules() -> dict[str, Path]:
    """Names and files of loaded modules that belong to no installed package."""
    found: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(path, str) and name != "__main__" and _is_local(Path(path).absolute()):
            found[name] = Path(path).absolute()
    return found


def _reached(model: str, loaded: Mapping[str, Path]) -> Iterator[Path]:
    """Files that a model's module imports, itself and what those import included, as far as they are local."""
    place = model.rpartition(":")[0]
    start = Path(place).absolute() if place.endswith(".py") else loaded.get(place)
    waiting = [] if start is None else [(place if loaded.get(place) == start else start.stem, start)]
    seen = set[Path]()
    while waiting:
        name, path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        waiting += [(each, loaded[each]) for each in _imports(name, path) if each in loaded]


def _imports(name: str, path: Path) -> Iterator[str]:
    """Names of modules that a file imports somewhere, and of packages around them; attributes may be among them."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_parsed(path)):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            found = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        for each in found:
            parts = each.split(".")
            yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _parsed(path: Path) -> ast.AST:
    """The code of a file; empty for what is none, such as a compiled module."""
    try:
        return ast.parse(path.read_bytes()) if path.suffix == ".py" else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _is_local(path: Path) -> bool:
    if not TOLD_BY.isdisjoint(part.suffix for part in path.parents):
        return False
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return not f"{path}{os.sep}".startswith(_elsewhere()) and str(path) not in (*sys.path, script)


@cache
def _elsewhere() -> tuple[str, ...]:
    """Folders whose content is told by versions, our own code, and files that are no files."""
    paths = sysconfig.get_paths()
    places = {Path(paths[kind]) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    own = Path(__file__).parent.parent
    places |= {own, *(folder for folder in own.iterdir() if folder.is_symlink())}
    places |= {place.resolve() for place in places}
    return (*sorted(f"{place}{os.sep}" for place in places), "/proc/", "/sys/", "/dev/")


def _reads_outside(path: Path) -> str | None:
    """A name in a module's code that reads what no file says, such as `environ`; None where there is none."""
    for node in ast.walk(_parsed(path)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and node.attr != "eval"):
            names = [node.id if isinstance(node, ast.Name) else node.attr]
        for each in names:
            if each in _OUTSIDE | _DYNAMIC:
                return each
    return None
