"""Real MLIR tools, where they are installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

VERSIONS = [name for name in ("mlir-opt", "mlir-opt-19", "mlir-opt-16", "mlir-opt-14") if shutil.which(name)]
RUNNER = next((name for name in ("mlir-cpu-runner", "mlir-cpu-runner-19") if shutil.which(name)), None)
SUFFIX = RUNNER.removeprefix("mlir-cpu-runner") if RUNNER else ""
"""Of the version that runner belongs to."""
PRETTY = [name for name in VERSIONS if not name.endswith("-14")]
"""Those that know `func.func`."""

needs_mlir_opt = pytest.mark.skipif(not VERSIONS, reason="no mlir-opt on PATH (Debian: apt-get install mlir-19-tools)")
needs_runner = pytest.mark.skipif(
    RUNNER is None, reason="no mlir-cpu-runner on PATH (Debian: apt-get install mlir-19-tools)"
)


def run(mlir_opt: str, text: str, *options: str, unregistered: bool = True) -> str:
    """What mlir-opt prints; fails where it complains."""
    command = [mlir_opt, *(["--allow-unregistered-dialect"] if unregistered else []), *options]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, f"{done.stderr.decode(errors='replace')[:2000]}\n{text[:20000]}"
    return done.stdout.decode(errors="replace")


def called(text: str, entry: str) -> int:
    """The 64-bit number that a function of no arguments returns, lowered to LLVM and run."""
    assert RUNNER is not None
    lowered = run(
        f"mlir-opt{SUFFIX}",
        text,
        "--arith-expand",
        "--convert-arith-to-llvm",
        "--convert-func-to-llvm",
        "--reconcile-unrealized-casts",
        unregistered=False,
    )
    command = [RUNNER, "-e", entry, "--entry-point-result=i64"]
    done = subprocess.run(command, input=lowered.encode(), capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:2000]
    return int(done.stdout)
