"""How long a question takes once the graph is there, beside trying every size, and beside a counter run at each probe.

python benchmarks/questions.py [--repeats 9] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds

DATA = Path(__file__).parents[1] / "tests" / "data"
TRIED = 4096
SQUARE = {"W": "H"}


def main() -> None:
    """Ask every question several times; the answers of the exact and of the exhaustive way must agree."""
    options = arguments(__doc__, repeats=(9, "times that each question is asked"))
    mobile, resnet, llama = (
        fxcost.analyze(DATA / f"{name}.mlir") for name in ("mobilenet_v2", "resnet18", "tiny_llama")
    )
    one = {"N": 1}
    roofline = llama.rate("roofline", "t4")

    def largest(fits: Callable[[int], bool]) -> int:
        return max((size for size in range(1, TRIED + 1) if fits(size)), default=0)

    questions: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
        (
            "peak_memory <= 10 MB, for H",
            lambda: mobile.solve(mobile.peak_memory <= 10**7, wrt="H", at=one, tie=SQUARE).max,
            lambda: largest(lambda h: mobile.peak_memory(N=1, H=h, W=h) <= 10**7),
        ),
        (
            "macs <= 1 G, for H",
            lambda: resnet.solve(resnet.macs <= 10**9, wrt="H", at=one, tie=SQUARE).max,
            lambda: largest(lambda h: resnet.macs(N=1, H=h, W=h) <= 10**9),
        ),
        (
            "roofline on t4 <= 1 ms, for S",
            lambda: llama.solve(roofline <= 1e-3, wrt="S", at=one).max,
            lambda: largest(lambda s: roofline.at({"N": 1, "S": s}) <= 1e-3),
        ),
        (
            "which needs less peak memory",
            lambda: resnet.compare(mobile, "peak_memory", at=one, tie=SQUARE).less[0][0],
            lambda: next(
                h for h in range(1, TRIED) if resnet.peak_memory(N=1, H=h, W=h) < mobile.peak_memory(N=1, H=h, W=h)
            ),
        ),
        (
            "largest N and S within 1 MB",
            lambda: len(llama.frontier(llama.peak_memory <= 10**6, ("N", "S")).points),
            lambda: _corners(lambda n, s: llama.peak_memory(N=n, S=s) <= 10**6),
        ),
    ]
    rows = []
    for name, ask, try_all in questions:
        first, answer = cpu_seconds(ask)
        later = median(cpu_seconds(ask)[0] for _ in range(options.repeats))
        exhaustive, expected = cpu_seconds(try_all)
        assert answer == expected, (name, answer, expected)
        rows.append([name, 1e3 * first, 1e3 * later, 1e3 * exhaustive, exhaustive / later])
    rows.append(["macs <= 1 G, for H, by bisection with a counter", None, None, 1e3 * _counter_bisection(), None])
    Result(
        "Questions to a captured graph, CPU milliseconds",
        ("question", "first", "median", f"every size to {TRIED}", "ratio"),
        rows,
        ["goal: 10 ms for a solve; answers agree with trying every size, and come with a proof for all larger ones"],
    ).show(options.json)


def _corners(fits: Callable[[int, int], bool]) -> int:
    found, size = 0, 300
    for n in range(1, 300):
        reach = 0
        while reach < size and fits(n, reach + 1):
            reach += 1
        if not reach:
            break
        found += not fits(n + 1, reach)
    return found


def _counter_bisection() -> float:
    """CPU seconds of a bisection that runs the model on meta tensors under torch's counter at each probe."""
    from fxcost.capture.loaders import load_model

    model = load_model("torchvision:resnet18").eval()
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.set_num_threads(1)

    def macs(size: int) -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, size, size, device="meta"))
        return int(counter.get_total_flops()) // 2

    def bisect() -> int:
        good, bad = 32, TRIED
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if macs(middle) <= 10**9 else (good, middle)
        return good

    macs(64)
    return cpu_seconds(bisect)[0]


if __name__ == "__main__":
    main()
