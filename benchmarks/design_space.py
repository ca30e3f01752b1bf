"""Ten thousand networks in the manner of MCUNet: composed from captured blocks, here and through dask; and peers.

python benchmarks/design_space.py [--candidates 10000] [--checked 10] [--workers 2] [--json]

Budget: 320 KB of activations and 1 MB of weights in int8, as many MACs as fit. The capture of the blocks is part of the
time. Peers cost a network at a time: fxcost on the whole model, and torch's counter (MACs alone) on meta tensors.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments, cpu_seconds
from benchmarks._inverted import Family, whole
from fxcost.query.chain import COMPOSED
from fxcost.space import Candidate, Space, capture_blocks

OPTIONS: dict[str, Any] = {"accounting": "fused", "weights": "int8", "activations": "int8"}
BUDGET = {"peak_memory": 320 * fxcost.KB, "model_bytes": 1 * fxcost.MB}


def counted_by_torch(candidate: Candidate) -> int:
    """MACs of a run on the meta device, building the network included."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        whole(candidate)(torch.empty(1, 3, candidate.at["H"], candidate.at["W"], device="meta"))
    return int(counter.get_total_flops()) // 2


def differing(space: Space, candidate: Candidate) -> int:
    """Quantities of a network that are not those of its capture as a whole."""
    cost = fxcost.analyze(whole(candidate), "N,3,H,W", check=False, **OPTIONS)
    totals = space.totals(candidate.blocks, candidate.at)
    return sum(totals[name] != cost.total(name).at(candidate.at) for name in COMPOSED)


def through_dask(space: Space, candidates: list[Candidate], workers: int) -> tuple[float, Any] | None:
    """Wall seconds and totals through a local cluster, whose start is not counted; None where dask is not installed."""
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        return None
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor()
        space.evaluate(candidates[:1], executor=executor)  # workers import fxcost
        start = time.perf_counter()
        found = space.evaluate(candidates, executor=executor)
        return time.perf_counter() - start, found


def main() -> None:
    """Capture, cost, rank, and compare a sample with captures of whole networks."""
    options = arguments(
        __doc__,
        candidates=(10_000, "networks"),
        checked=(10, "networks captured as a whole, whose time is scaled to all"),
        workers=(2, "dask workers"),
    )
    torch.set_num_threads(1)
    family = Family()
    candidates = family.draw(options.candidates)
    capture_s, space = cpu_seconds(lambda: capture_blocks(family.blocks(), **OPTIONS))
    cost_s, rows = cpu_seconds(lambda: space.evaluate(candidates))
    rank_s, ranking = cpu_seconds(lambda: space.rank(candidates, BUDGET, "macs", largest=True, best=3))
    sample = family.draw(options.checked, seed=1)
    whole_s, wrong = cpu_seconds(lambda: sum(differing(space, candidate) for candidate in sample))
    torch_s, counts = cpu_seconds(lambda: [counted_by_torch(candidate) for candidate in sample])
    for candidate, count in zip(sample, counts, strict=True):
        wrong += space.totals(candidate.blocks, candidate.at, ["macs"])["macs"] != count
    dask = through_dask(space, candidates, options.workers)
    identical = dask is not None and dask[1] == rows

    count, total = len(candidates), capture_s + cost_s
    scale = count / max(len(sample), 1)
    found = [
        ["fxcost: blocks, then composed", capture_s, cost_s, total, 1.0],
        ["fxcost: every network captured", 0.0, whole_s * scale, whole_s * scale, whole_s * scale / total],
        ["FlopCounterMode (MACs alone)", 0.0, torch_s * scale, torch_s * scale, torch_s * scale / total],
    ]
    best = ranking.table()
    Result(
        f"{count:,} networks of {len(space.blocks)} different blocks, CPU seconds (peers scaled from {len(sample)})",
        ("method", "capture", "networks", "total", "x"),
        found,
        [
            f"compared: {len(sample)} networks, {len(COMPOSED)} quantities each, MACs with torch's count; wrong: {wrong}",
            f"{ranking.feasible:,} within 320 KB and 1 MB; ranked in {rank_s:.2f} s, costing included",
            *str(best).splitlines(),
            "dask is not installed"
            if dask is None
            else f"dask, {options.workers} workers: {dask[0]:.2f} s wall, results "
            + ("identical" if identical else "DIFFER"),
        ],
        {"wrong": wrong, "feasible": ranking.feasible, "identical": identical, "best": [dict(row) for row in best]},
    ).show(options.json)
    sys.exit(bool(wrong or (dask is not None and not identical)))


if __name__ == "__main__":
    main()
