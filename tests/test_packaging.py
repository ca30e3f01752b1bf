"""What users install is what the tree holds, and the two linked folders are one package each."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from fxcost import hw_targets, passes
from fxcost.errors import UnknownName

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("passes", "hw_targets")


def package_files() -> set[str]:
    """Return every file that belongs into the wheel, by its path there."""
    found = set()
    for folder, _, names in os.walk(ROOT / "fxcost", followlinks=True):
        if Path(folder).name != "__pycache__":
            found |= {Path(folder, name).relative_to(ROOT).as_posix() for name in names}
    return found


def test_every_package_is_listed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {Path(path).parent.as_posix() for path in package_files() if Path(path).name == "__init__.py"}
    assert sorted(settings["packages"]) == sorted(folder.replace("/", ".") for folder in folders)


@pytest.mark.parametrize("name", LINKED)
def test_links_point_to_the_top_level_folders(name: str) -> None:
    link = ROOT / "fxcost" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", name)


@pytest.mark.parametrize("name", LINKED)
def test_short_names_are_refused(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert f"import fxcost.{name}; the folder is not a package of its own" in done.stderr


def test_passes_are_listed_by_their_files() -> None:
    files = {path.stem for path in (ROOT / "passes").glob("[!_]*.py")}
    assert passes.names() == sorted(files)


def test_targets_are_listed_and_read() -> None:
    assert hw_targets.names() == sorted(path.stem for path in (ROOT / "hw_targets").glob("*.toml"))
    for name in hw_targets.names():
        assert hw_targets.read(name) == (ROOT / "hw_targets" / f"{name}.toml").read_bytes()


def test_unknown_target_is_refused() -> None:
    with pytest.raises(UnknownName, match="'no-such-machine'"):
        hw_targets.read("no-such-machine")


def test_wheel_holds_what_the_tree_holds(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info", "tests", "benchmarks"),
    )
    # Without --wheel it builds the source distribution first and the wheel from that: both are complete, or this fails.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = tmp_path.glob("*.whl")
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == package_files()
