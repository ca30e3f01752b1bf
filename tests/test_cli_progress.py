"""Progress goes to a terminal's standard error, and nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from tests.support.commands import DATA, Ran, shell


def on_a_terminal(*arguments: str) -> Ran:
    """Run a command whose standard error is a terminal and whose standard output is a pipe."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "fxcost", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment) as process:
        os.close(follower)
        seen = b""
        while block := _read(leader):
            seen += block
        assert process.stdout is not None
        out = process.stdout.read().decode()
    os.close(leader)
    return Ran(process.returncode, out, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode()))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""


def test_a_sweep_shows_how_far_it_is(tmp_path: Path) -> None:
    line = ("sweep", str(DATA / "resnet18.mlir"), "--over", "H=1:70000", "--tie", "W=H", "--at", "N=1")
    ran = on_a_terminal(*line, "-o", str(tmp_path / "out.csv"))
    assert (ran.code, ran.out) == (0, "")
    assert re.search(r"70,000 of 70,000 points\s+━+\s+0:00:\d\d", ran.err), "text, bar and time"
    assert ran.err.rstrip().endswith("out.csv: 70,000 points")


def test_without_a_terminal_there_is_no_progress(tmp_path: Path) -> None:
    for line in (
        "sweep DATA/resnet18.mlir --over H=1:99 --tie W=H --at N=1",
        "schedule DATA/resnet18.mlir --at N=1,H=64,W=64",
        "plan DATA/minimalloc/input.12.csv --time-limit 1",
        "report DATA/resnet18.mlir",
    ):
        ran = shell(line)
        assert ran.code in {0, 4}
        assert ran.err == ""
