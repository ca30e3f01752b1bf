"""ResNet-50 at a million shapes: MACs and peak memory, against torch's counter a shape at a time and sympy's lambdify.

python benchmarks/sweep.py [--points 1000000] [--sampled 2000] [--counted 5] [--json]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sympy
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.capture.loaders import load_model
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, floordiv, symbol
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.grid import Grid
from fxcost.query.quantity import Quantity
from fxcost.query.sweep import Sweep, plan_sweep

METRICS = ("macs", "peak_memory")
STRIDES = (3, 6, 7, 9, 11, 14)
GOAL_S = 1.0


def counted_by_torch(model: Any, height: int, width: int) -> int:
    """MACs of a run on the meta device, where nothing is computed."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops()) // 2


def lambdified(quantity: Quantity) -> Any:
    """The formula as sympy makes it a numpy function, with sympy's own floor."""
    sizes = {name: sympy.Symbol(name, integer=True, positive=True) for name in quantity.value.symbols}
    exact = quantity.expr
    floors = exact.replace(
        lambda part: type(part).__name__ == "FloorDiv", lambda part: sympy.floor(part.args[0] / part.args[1])
    )
    ours = {found: sizes[found.name] for found in floors.free_symbols}
    return sympy.lambdify([sizes[name] for name in sorted(sizes)], floors.subs(ours), "numpy"), sorted(sizes)


def wrong_strides(points: int) -> list[list[Any]]:
    """A map after a convolution of each stride, squared: how many values each method gets wrong."""
    rows = []
    size = symbol("H")
    for stride in STRIDES:
        value: Expr = (floordiv(size - 1, stride) + 1) ** 2 * size * 64
        quantity = Quantity("macs", "MAC", value, symbols=(SymbolInfo("H"),))
        grid = Grid.of(quantity.symbols, {"H": range(1, points + 1)})
        exact = [((h - 1) // stride + 1) ** 2 * h * 64 for h in range(1, points + 1)]
        ours = plan_sweep([quantity], grid).table().arrays["macs"].tolist()
        function, _ = lambdified(quantity)
        with np.errstate(all="ignore"):
            theirs = np.asarray(function(np.arange(1, points + 1))).astype(float).tolist()
        off = [sum(a != b for a, b in zip(exact, found, strict=True)) for found in (ours, theirs)]
        rows.append([f"wrong of {points:,} at stride {stride}", *off])
    return rows


def timed(cost: fxcost.Cost, metric: str, over: dict[str, range]) -> tuple[float, float, Sweep]:
    """CPU and wall seconds of a sweep, with its table."""
    wall = time.perf_counter()
    seconds, table = cpu_seconds(lambda: cost.sweep(over, {"N": 1}, metrics=[metric]))
    return seconds, time.perf_counter() - wall, table


def by_sympy(quantity: Quantity, table: Sweep, metric: str) -> tuple[float, int]:
    """CPU seconds of lambdify's function over the same shapes, and how many of its values differ."""
    function, names = lambdified(quantity.at({"N": 1}))
    seconds, found = cpu_seconds(lambda: function(*(table.arrays[name] for name in names)))
    return seconds, int((np.asarray(found) != table.arrays[metric]).sum())


def different(quantity: Quantity, table: Sweep, places: Any) -> int:
    """Cells that are not what Python's integers give."""
    rows = (table[int(at)] for at in places)
    return sum(row[quantity.name] != evaluate(quantity.value, {"N": 1, "H": row["H"], "W": row["W"]}) for row in rows)


def main() -> None:
    """Sweep, compare with Python integers and with torch, and time the peers."""
    options = arguments(
        __doc__,
        points=(1_000_000, "shapes"),
        sampled=(2000, "shapes compared with Python integers"),
        counted=(5, "shapes that torch counts; its time is scaled to all"),
    )
    torch.set_num_threads(1)
    model = load_model("torchvision:resnet50")
    capture, cost = cpu_seconds(lambda: fxcost.analyze(model, "N,3,H,W", check=False))
    side = max(1, round(options.points**0.5))
    over = {"H": range(33, 33 + side), "W": range(33, 33 + -(-options.points // side))}
    source = np.random.default_rng(0)
    places = source.integers(0, side, (options.counted, 2))
    counted_by_torch(model, 224, 224)  # once, to warm up
    counted_s, counts = cpu_seconds(lambda: [counted_by_torch(model, 33 + int(h), 33 + int(w)) for h, w in places])
    rows: list[list[Any]] = []
    wrong = 0
    for metric in METRICS:
        seconds, wall, table = timed(cost, metric, over)
        sympy_s, off = by_sympy(cost.total(metric), table, metric)
        each = counted_s / options.counted if metric == "macs" else None  # torch counts no memory without a run
        slower = None if each is None else each * len(table) / seconds
        rows.append([metric, seconds, wall, 1e9 * seconds / len(table), slower, sympy_s / seconds, off])
        wrong += different(cost.total(metric), table, source.integers(0, len(table), options.sampled))
    slowest, points = max(row[1] for row in rows), len(table)
    wrong += sum(
        cost.macs(N=1, H=33 + int(h), W=33 + int(w)) != count for (h, w), count in zip(places, counts, strict=True)
    )
    large = cost.sweep({"H": range(10**8, 10**8 + 1000)}, {"N": 10**6}, {"W": "H"}, ["macs"])
    beyond = [row["macs"] == evaluate(cost.macs.value, {"N": 10**6, "H": row["H"], "W": row["W"]}) for row in large]
    wrong += beyond.count(False)
    strides = wrong_strides(20_000)
    wrong += sum(row[1] for row in strides)
    Result(
        f"ResNet-50 at {points:,} shapes, after a capture of {capture:.1f} s (CPU)",
        (
            "metric",
            "CPU s",
            "wall s",
            "ns a shape",
            "FlopCounterMode is x slower",
            "lambdify takes x",
            "lambdify wrong",
        ),
        rows,
        [
            f"compared: {options.sampled:,} shapes a metric with Python integers, {options.counted} with torch's count, "
            f"{len(beyond):,} totals above 2**63 (up to {max(row['macs'] for row in large):.1e}); wrong: {wrong}",
            *(f"{text}: fxcost {ours}, lambdify {theirs}" for text, ours, theirs in strides),
            f"goal: under {GOAL_S:g} s a metric and none wrong; "
            + ("reached" if slowest < GOAL_S and not wrong else "MISSED"),
        ],
        {"goal_s": GOAL_S, "reached": slowest < GOAL_S and not wrong, "wrong": wrong, "strides": strides},
    ).show(options.json)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
