"""Running `fxcost` in this process, as a shell would: arguments in; exit code, standard output and error out."""

from __future__ import annotations

import io
import shlex
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from fxcost.cli import main

DATA = Path(__file__).resolve().parent.parent / "data"
MODELS = Path(__file__).resolve().parent / "tiny_models.py"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(*arguments: str | Path) -> Ran:
    """Run one command; whatever but SystemExit escapes from `main` fails the test. No exit code at all reads as -1."""
    out, err, code = io.StringIO(), io.StringIO(), -1
    with patch("sys.argv", ["fxcost", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else -1
    return Ran(code, out.getvalue(), err.getvalue())


def shell(line: str) -> Ran:
    """Run a line as typed; `DATA/` and `MODELS` stand for the fixtures and the file of tiny models."""
    return run(*(part.replace("DATA/", f"{DATA}/").replace("MODELS", str(MODELS)) for part in shlex.split(line)))


def answer(line: str) -> str:
    """Standard output of a line that must succeed without a word on standard error."""
    ran = shell(line)
    assert (ran.code, ran.err) == (0, ""), f"{line}: exit {ran.code}, {ran.err}"
    return ran.out
