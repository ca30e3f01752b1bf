"""Peak memory of the best order against the orders that PyTorch's Inductor tries: traced, LPMF, BFS and DFS.

All five run on the same blocks; Inductor's own estimator gives our peak on every order, or this fails.

python benchmarks/orders.py [--quick] [--limit 60] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.capture.loaders import load_model
from fxcost.passes.schedule_problem import peak_of, problem_of
from fxcost.passes.schedule_search import Outcome, best_order
from fxcost.pipeline import Facts
from tests.support.inductor import Inductor
from tests.support.small_graphs import cell
from tests.support.wired import Darts, RandWire

Source = Callable[[], tuple[Any, Facts]]

NETWORKS: tuple[tuple[str, Any, int], ...] = (
    ("nasnetalarge 331", "timm:nasnetalarge", 331),
    ("pnasnet5large 331", "timm:pnasnet5large", 331),
    ("googlenet 224", "torchvision:googlenet", 224),
    ("inception_v3 299", "torchvision:inception_v3", 299),
    ("densenet121 224", "torchvision:densenet121", 224),
    ("hrnet_w18 224", "timm:hrnet_w18", 224),
    *((f"RandWire {seed}", partial(RandWire, seed), 224) for seed in range(4)),
    ("DARTS 224", Darts, 224),
)
CELLS: tuple[tuple[str, int, int, int, bool], ...] = (
    *((f"WS(32,4) {seed}", 32, 4, seed, False) for seed in range(7)),
    ("WS(64,4)", 64, 4, 0, False),
    ("WS(64,4) adds", 64, 4, 0, True),
    ("WS(32,8) adds", 32, 8, 0, True),
)
HARD = ("WS(64,4)", "WS(64,4) adds", "WS(32,8) adds")


class Row(NamedTuple):
    """What was found on one graph; `theirs` is Inductor's peak for each of its orders."""

    name: str
    unit: int
    ops: int
    theirs: dict[str, int]
    ours: Outcome
    seconds: float
    their_seconds: float


def network(model: Any, size: int) -> tuple[Any, Facts]:
    """A network at batch one, float32."""
    module = load_model(model) if isinstance(model, str) else model().eval()
    cost = fxcost.analyze(module, f"1,3,{size},{size}", check=False)
    return cost.graph, cost.facts


def wired(size: int, neighbours: int, seed: int, adds: bool) -> tuple[Any, Facts]:
    """A cell of equal sizes."""
    graph = cell(size, neighbours, seed, adds=adds)
    return graph, Facts(graph)


def sources(quick: bool) -> Iterator[tuple[str, int, Source]]:
    """Name, unit of the table in bytes, and how to get each graph."""
    for name, model, size in NETWORKS:
        yield name, 10**6, partial(network, model, size)
    for name, size, neighbours, seed, adds in CELLS:
        if not (quick and name in HARD):
            yield name, 1, partial(wired, size, neighbours, seed, adds)


def compare(name: str, unit: int, source: Source, limit: float) -> Row:
    """All orders of one graph; Inductor's estimate is compared with our peak on each."""
    graph, facts = source()
    problem = problem_of(graph, facts, {})
    seconds, ours = cpu_seconds(lambda: best_order(problem, limit))
    theirs = Inductor(problem)
    their_seconds, orders = cpu_seconds(theirs.orders)
    peaks = {}
    for kind, order in {"traced": list(range(problem.size)), **orders, "best": list(ours.order)}.items():
        peaks[kind] = theirs.peak(order)
        if peaks[kind] != peak_of(problem, order):
            sys.exit(
                f"{name}: Inductor estimates {peaks[kind]} for the {kind} order, we count {peak_of(problem, order)}"
            )
    if peaks.pop("best") > min(peaks.values()):
        sys.exit(f"{name}: the order found needs {ours.peak}, one of Inductor's {min(peaks.values())}")
    return Row(name, unit, problem.size, peaks, ours, seconds, their_seconds)


def cells_of(row: Row) -> list[str]:
    """A line of the table; a bound is printed where it is below the peak."""

    def size(amount: int) -> str:
        return f"{amount / row.unit:.2f}" if row.unit > 1 else str(amount)

    pick = min(row.theirs.values())
    proven = row.ours.peak == row.ours.lower_bound
    return [
        row.name,
        str(row.ops),
        *(size(amount) for amount in row.theirs.values()),
        size(row.ours.peak),
        f"{100 * (row.ours.peak / pick - 1):.1f} %" if row.ours.peak < pick else "=",
        row.ours.proof if proven else f"open, >= {size(row.ours.lower_bound)}",
        f"{row.ours.states:,}",
        f"{row.seconds:.2f}",
        f"{row.their_seconds:.2f}",
    ]


def main() -> None:
    """Compare on every graph; the table grows on standard error while that goes on."""
    options = arguments(
        __doc__, ("quick", "leave out the three hardest cells"), limit=(60, "seconds that a search may take")
    )
    rows = []
    for name, unit, source in sources(options.quick):
        rows.append(compare(name, unit, source, options.limit))
        print(f"{name} done", file=sys.stderr)
    proven = sum(row.ours.peak == row.ours.lower_bound for row in rows)
    Result(
        "Peak memory by order: networks in MB (10^6 bytes), batch 1, float32; cells in tensors of one size",
        ("graph", "ops", "traced", "LPMF", "BFS", "DFS", "best", "saved", "proof", "states", "s", "its"),
        [cells_of(row) for row in rows],
        [
            "saved: against the best of Inductor's four; its: CPU seconds of LPMF, BFS and DFS together; s: ours",
            "proof: blocks forced to be alive (forced), a minimum cut (cut), or no state left to look at (search)",
            f"{proven} of {len(rows)} proven optimal; Inductor's estimator agrees on all {5 * len(rows)} peaks",
        ],
        {"peaks": {row.name: {**row.theirs, "best": row.ours.peak, "bound": row.ours.lower_bound} for row in rows}},
    ).show(options.json)


if __name__ == "__main__":
    main()
