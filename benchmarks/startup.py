"""How long the command takes to say hello, to read a graph without torch, and to report a model that it captured before.

Start-up beside Python's own, a report from the cache beside the first one.

    python benchmarks/startup.py [--repeats 7] [--json]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

from benchmarks._common import Result, arguments

GOAL_S = 0.4
REPORT = ["report", "torchvision:resnet50", "-i", "N,3,H,W", "--at", "N=1,H=224,W=224"]
FIRST, SECOND = "report of ResNet-50, first", "report of ResNet-50, from the cache"
COMMAND = [sys.executable, "-m", "fxcost"]

READ_A_GRAPH = """
import sys, fxcost
cost = fxcost.analyze({path!r})
assert cost.macs(N=1, H=224, W=224) == 4_089_184_256 and cost.peak_memory(N=1, H=224, W=224)
assert "torch" not in sys.modules, "reading a graph must not load torch"
"""


def timed(command: list[str], settings: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **settings})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure every command, in turns."""
    options = arguments(__doc__, repeats=(7, "times that each command is run"))
    with tempfile.TemporaryDirectory() as folder:
        graph = str(Path(folder) / "resnet50.mlir")
        export = ["export", "torchvision:resnet50", "-i", "N,3,H,W", "--to", "mlir", "-o", graph]
        subprocess.run([*COMMAND, *export], check=True, capture_output=True)
        cache = Path(folder) / "cache"
        recalled = {"FXCOST_CACHE": str(cache)}
        subprocess.run([*COMMAND, *REPORT], check=True, capture_output=True, env={**os.environ, **recalled})
        if not list(cache.iterdir()):
            sys.exit("nothing was kept in the cache: is fxcost being edited?")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import fxcost": [sys.executable, "-c", "import fxcost"],
            "fxcost --help": [*COMMAND, "--help"],
            "ResNet-50 from text, two totals": [sys.executable, "-c", READ_A_GRAPH.format(path=graph)],
            "import torch": [sys.executable, "-c", "import torch"],
            FIRST: [*COMMAND, *REPORT, "--no-cache"],
            SECOND: [*COMMAND, *REPORT],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                runs[name].append(timed(command, recalled))
    rows = []
    for name, times in runs.items():
        walls, cpus = zip(*times, strict=True)
        rows.append([name, min(walls), median(walls), min(cpus), median(cpus)])
    hello = next(row for row in rows if row[0] == "fxcost --help")
    reached = hello[4] <= GOAL_S
    first, second = (next(row for row in rows if row[0] == name)[4] for name in (FIRST, SECOND))
    Result(
        "Seconds from start to end",
        ("command", "best wall", "median wall", "best CPU", "median CPU"),
        rows,
        [
            f"goal: fxcost --help within {GOAL_S} s of CPU time; {'reached' if reached else 'MISSED'}",
            f"a report from the cache: {second / first:.0%} of the CPU time of the first one, 1 / {first / second:.1f}",
        ],
        {"goal_s": GOAL_S, "reached": reached, "second_of_first": second / first},
    ).show(options.json)


if __name__ == "__main__":
    main()
