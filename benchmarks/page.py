"""Pages: how large they are, and how long a redraw takes in a browser when a size moves, beside Python's own totals.

A redraw evaluates every formula of the page in exact integers (all totals, every operator, every block of memory), and
draws tables, timeline, treemap, roofline and tree. It is timed inside headless Chromium. Beside it stands what Python
takes for the totals alone, from compiled formulas.

python benchmarks/page.py [--moves 20] [--json]
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.cost import Cost
from tests.support.pages import drive, find_browser

MODELS = {
    "torchvision:resnet50": "N,3,H,W",
    "torchvision:efficientnet_v2_l": "N,3,H,W",
    "timm:nasnetalarge": "N,3,331,331",
}
TARGETS = ("t4", "stm32h743")


def redraws(page: Path, moves: int) -> float | None:
    """Median milliseconds of a redraw as N moves; None without a browser."""
    if find_browser()[2]:
        return None
    steps = [step for size in range(1, moves + 4) for step in ({"do": "type", "symbol": "N", "text": str(size)}, READ)]
    found = drive(page, steps)
    assert not found["messages"], found["messages"]
    times: list[float] = [result["milliseconds"] for result in found["results"][1::2]]
    return median(times[3:])  # the first ones compile


READ = {"do": "read"}


def totals(cost: Cost, moves: int) -> float:
    """Median milliseconds for all totals at a point in Python."""
    times = []
    for size in range(1, moves + 1):
        at = {s.name: size if s.name == "N" else 224 for s in cost.graph.symbols}
        start = time.perf_counter()
        for quantity in cost.quantities.values():
            quantity.at(at)
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def main() -> None:
    """Make every page and move its batch size."""
    torch.set_num_threads(1)
    options = arguments(__doc__, moves=(20, "redraws that are timed"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in MODELS.items():
            cost = fxcost.analyze(name, spec, check=False)
            at = {s.name: 1 if s.name == "N" else 224 for s in cost.graph.symbols}
            path = Path(folder) / "page.html"
            seconds, page = cpu_seconds(partial(cost.to_html, path, at=at, targets=TARGETS))
            drawn = redraws(path, options.moves)
            rows.append(
                [
                    name.partition(":")[2],
                    len(cost.graph.nodes),
                    len(page.text.encode()) // 1000,
                    round(seconds, 1),
                    "no browser" if drawn is None else round(drawn, 1),
                    round(totals(cost, options.moves), 1),
                ]
            )
    Result(
        "Pages with three accountings and two machines",
        ("model", "operators", "page, kB", "made in CPU s", "redraw, ms", "totals in Python, ms"),
        rows,
        ("a redraw recomputes every operator and draws everything; Python's column is the totals alone",),
    ).show(options.json)


if __name__ == "__main__":
    main()
