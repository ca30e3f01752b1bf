"""Pages taken apart, and their JavaScript run by Node and by a browser: what tests compare with Python's own answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fxcost.passes.totals import SEVERAL_DEVICES, UNITS
from fxcost.report.html.document import Page, asset

FOLDER = Path(__file__).resolve().parent.parent / "browser"
QUANTITIES = tuple(name for name in UNITS if name not in SEVERAL_DEVICES)
"""What a page lists of a model on one device."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def data_of(page: Page) -> str:
    """The JSON inside a page, as text."""
    return re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.text, re.DOTALL)[0]  # type: ignore[no-any-return]


def scripts_of(page: Page) -> list[str]:
    """The scripts of a page that run."""
    return re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)


def source_of(page: Page) -> str:
    """What a page computes with: its own script without what draws."""
    (own,) = (script for script in scripts_of(page) if script.startswith("(() => {"))
    return own.partition(asset("dom.js"))[0].removeprefix("(() => {")


class Node:
    """A running Node process that evaluates page after page."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, source: str, data: str | None, asks: Sequence[Any]) -> list[Any]:
        """Answers to `asks`, one by one; an error in the script ends the process and fails the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"source": source, "data": data, "asks": list(asks)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read() if self._process.stderr else ""
        found: list[Any] = json.loads(line)
        return found

    def at(self, page: Page, points: Sequence[Mapping[str, Any]], setting: int = 0) -> list[dict[str, Any]]:
        """What a page shows at points: sizes as numbers, or as text that a user would type."""
        asks = [{"typed": {n: str(v) for n, v in point.items()}, "setting": setting} for point in points]
        return self.ask(source_of(page), data_of(page), asks)


@contextmanager
def node() -> Iterator[Node]:
    """Node, or a skipped test where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on this machine: the JavaScript of pages is not run")
    with subprocess.Popen(
        [found, str(FOLDER / "evaluate.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Node(process)
        finally:
            process.terminate()


# -- a browser -------------------------------------------------------------------------------------------------------
@cache
def find_browser() -> tuple[str | None, str | None, list[str]]:
    """Paths of Chromium and of Node, and what is missing of them and of what drives them."""
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("node")
    there = {
        "chromium": chromium,
        "node": driver,
        "tests/browser/node_modules": (FOLDER / "node_modules" / "playwright-core").is_dir(),
    }
    return chromium, driver, [what for what, found in there.items() if not found]


def browser() -> tuple[str, str]:
    """Paths of Chromium and of Node with what drives it; skips the test where something is missing, and says what."""
    chromium, driver, missing = find_browser()
    if missing:
        pytest.skip(f"pages are not looked at in a browser: no {', no '.join(missing)} (make browser installs them)")
    assert chromium is not None
    assert driver is not None
    return chromium, driver


def drive(page: Path, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Open a page in headless Chromium and take the steps: `results` by step, `messages` and `requests`."""
    chromium, driver = browser()
    job = {"chromium": chromium, "page": page.resolve().as_uri(), "steps": list(steps)}
    done = subprocess.run(
        [driver, str(FOLDER / "drive.mjs")], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().split("\n")[-1])
    return found
