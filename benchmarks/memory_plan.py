"""Offsets: bytes above the load bound, beside greedy orders, ExecuTorch's placement and CP-SAT, on the same buffers.

Real graphs in traced and best order, the public instances A to K, and perfect packings. ExecuTorch's placement is
written down here after its `pick_shared_obj` (1.5.1), to run without that package; CP-SAT needs `pip install ortools`.

python benchmarks/memory_plan.py [--limit 60] [--seeds 10] [--networks 0] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from fxcost.capture.loaders import load_model
from fxcost.passes.memory_plan import plan
from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_csv import read_buffers
from fxcost.passes.memory_plan_graph import lifetimes
from fxcost.passes.memory_plan_greedy import conflicts, portfolio
from fxcost.passes.memory_plan_problem import Request, load_bound, requests_of
from fxcost.passes.schedule import schedule
from fxcost.passes.schedule_problem import problem_of
from tests.support.packings import guillotine, pinwheels

NETWORKS = (
    ("torchvision:mobilenet_v2", 224),
    ("torchvision:resnet50", 224),
    ("torchvision:googlenet", 224),
    ("torchvision:inception_v3", 299),
    ("torchvision:densenet121", 224),
    ("timm:hrnet_w18", 224),
    ("timm:pnasnet5large", 331),
    ("timm:nasnetalarge", 331),
)
INSTANCES = Path(__file__).parents[1] / "tests" / "data" / "minimalloc"
Buffers = tuple[Request, ...]


def networks() -> Iterator[tuple[str, Buffers, int]]:
    """Buffers of the traced and of the best order, and the peak that the scheduler counts."""
    for name, size in NETWORKS:
        cost = fxcost.analyze(load_model(name), f"1,3,{size},{size}", check=False)
        best = schedule(cost.graph, cost.facts, {})
        problem = problem_of(cost.graph, cost.facts, {})
        number = {position: op for op, position in enumerate(problem.positions)}
        traced = list(range(problem.size))
        ordered = [number[position] for position in best.order if position in number]
        short = name.partition(":")[2]
        yield f"{short}, traced", lifetimes(problem, traced)[0], best.traced_peak
        if best.peak < best.traced_peak:
            yield f"{short}, best", lifetimes(problem, ordered)[0], best.peak


def instances() -> Iterator[tuple[str, Buffers, int]]:
    """The public stress instances; a mebibyte is what they must fit into."""
    for name in "ABCDEFGHIJK":
        yield f"{name}, 1 MiB", read_buffers(INSTANCES / f"{name}.1048576.csv").requests, 1 << 20


def packings(seeds: int) -> Iterator[tuple[str, Buffers, int]]:
    """Squares cut without waste."""
    for cut in (guillotine, pinwheels):
        for pieces in (40, 80):
            for side in (1000, 50):
                for seed in range(seeds):
                    buffers = requests_of(cut(pieces, seed, side))
                    yield f"{cut.__name__} {pieces} of {side}, {seed}", buffers, side


def by_greedy(buffers: Buffers, height: int, limit: int) -> int:
    """The best of eight greedy orders."""
    near = conflicts(buffers)
    assert near is not None
    return min(_height(buffers, offsets) for _, offsets in portfolio(buffers, near))


def by_size(buffers: Buffers, height: int, limit: int) -> int:
    """First fit, the largest first: what TensorFlow Lite for microcontrollers does."""
    near = conflicts(buffers)
    assert near is not None
    return _height(buffers, next(portfolio(buffers, near))[1])


def by_executorch(buffers: Buffers, height: int, limit: int) -> int:
    """Largest first, into buckets that are never enlarged: where nothing meets it, else above all that does, else new."""
    buckets: list[tuple[int, list[tuple[Request, int]]]] = []
    for buffer in sorted(buffers, key=lambda b: -b.size):
        tops = [
            max(
                (at + other.size for other, at in inside if buffer.lower < other.upper and other.lower < buffer.upper),
                default=0,
            )
            for _, inside in buckets
        ]
        free = next((k for k, top in enumerate(tops) if top == 0), None)
        if free is None:
            free = next((k for k, top in enumerate(tops) if top + buffer.size <= buckets[k][0]), None)
        if free is None:
            buckets.append((buffer.size, [(buffer, 0)]))
        else:
            buckets[free][1].append((buffer, tops[free]))
    return sum(size for size, _ in buckets)


def by_cp_sat(buffers: Buffers, height: int, limit: int) -> int | None:
    """No overlap in two dimensions below the height: solved to the load bound, or nothing within the limit."""
    model_of: Any = import_module("ortools.sat.python.cp_model")
    model = model_of.CpModel()
    starts, times, places = [], [], []
    for buffer in buffers:
        start = model.new_int_var(0, height - buffer.size, "")
        times.append(model.new_fixed_size_interval_var(buffer.lower, buffer.upper - buffer.lower, ""))
        places.append(model.new_fixed_size_interval_var(start, buffer.size, ""))
        starts.append(start)
    model.add_no_overlap_2d(times, places)
    solver = model_of.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status not in (model_of.OPTIMAL, model_of.FEASIBLE):
        return None
    return _height(buffers, [solver.value(start) for start in starts])


def by_fxcost(buffers: Buffers, height: int, limit: int) -> int | None:
    """The plan, replayed by the checker."""
    found = (
        plan(buffers, time_limit=limit) if load_bound(buffers) == height else plan(buffers, height, time_limit=limit)
    )
    [replayed] = check_plan(buffers, found.offsets)
    assert replayed == found.height
    return found.height


def _height(buffers: Buffers, offsets: Sequence[int]) -> int:
    [height] = check_plan(buffers, {b.id: at for b, at in zip(buffers, offsets, strict=True)})
    return height


def main() -> None:
    """Place everything with everyone."""
    options = arguments(
        __doc__,
        limit=(60, "seconds for each search"),
        seeds=(3, "perfect packings of each kind"),
        networks=(1, "0 leaves the networks out"),
        cp=(1, "0 leaves CP-SAT out"),
    )
    makers: dict[str, Callable[[Buffers, int, int], int | None]] = {
        "fxcost": by_fxcost,
        "greedy, best of 8": by_greedy,
        "greedy by size": by_size,
        "ExecuTorch": by_executorch,
    }
    if options.cp and find_spec("ortools") is not None:
        makers["CP-SAT"] = by_cp_sat
    rows: list[list[Any]] = []
    subjects = [*(networks() if options.networks else ()), *instances(), *packings(options.seeds)]
    fits = dict.fromkeys(makers, 0)
    for name, buffers, height in subjects:
        row: list[Any] = [name, len(buffers), height]
        for maker, make in makers.items():
            seconds, found = cpu_seconds(lambda make=make, b=buffers, h=height: make(b, h, options.limit))  # type: ignore[misc]
            fits[maker] += found is not None and found <= height
            row.append("-" if found is None else "fits" if found <= height else f"+{100 * (found / height - 1):.2f} %")
            if maker in ("fxcost", "CP-SAT"):
                row.append(round(seconds, 2))
        rows.append(row)
        print(name, *row[1:], sep="  ", file=sys.stderr, flush=True)
    columns = [c for maker in makers for c in ((maker, "CPU s") if maker in ("fxcost", "CP-SAT") else (maker,))]
    Result(
        f"Offsets: {len(rows)} sets of buffers to fit into the height given",
        ("buffers of", "buffers", "height", *columns),
        [*rows, ["fit", None, None, *(fits.get(c) for c in columns)]],
        [] if "CP-SAT" in makers else ["CP-SAT left out: pip install ortools"],
        {"fits": fits, "of": len(rows)},
    ).show(options.json)


if __name__ == "__main__":
    main()
