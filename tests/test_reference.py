"""The reference: every public name has a docstring, what docstrings name exists, and the pages are written."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import fxcost
from tests.support.reference import dead_names, modules, write


def test_public_names_have_docstrings() -> None:
    constants = {"KB", "MB", "GB", "KiB", "MiB", "GiB"}
    for name in fxcost.__all__:
        if name not in constants:
            assert inspect.getdoc(getattr(fxcost, name)), name


def test_what_docstrings_name_exists() -> None:
    assert list(dead_names([name for name in modules() if "integrate" not in name])) == []


def test_dead_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stray_module.py").write_text('"""See `fxcost.query.no_such_thing` and `fxcost.query.solve`."""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert list(dead_names(["stray_module"])) == ["stray_module: `fxcost.query.no_such_thing`"]


@pytest.mark.slow
def test_the_pages_are_written(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="pip install -e '.[docs]'")
    names = write(tmp_path)
    pages = {
        path.relative_to(tmp_path).with_suffix("").as_posix().replace("/", ".") for path in tmp_path.rglob("*.html")
    }
    assert set(names) <= pages
    text = (tmp_path / "fxcost.html").read_text()
    for name in ("analyze", "Cost", "map_models"):
        assert f'id="{name}"' in text, name
