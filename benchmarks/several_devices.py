"""Several devices: what plans send, by hand and by formula; times by algorithm; real processes beside; the best degree.

Five tables. Plans: bytes that a device sends in one layer against the derivation below, latency and memory on the target,
and the best number of devices for latency and for memory. Collectives: microseconds by algorithm and topology for messages
from a kilobyte on, by the model's formula and by a simulator that sends the pieces. NCCL: the model's times beside those
measured on H100. Processes: bytes that two local processes really send over torch's gloo backend, counted by the kernel,
beside the prediction. Capture: few blocks put together against a trace of all.

By hand, for N*S tokens of D channels at b bytes on P devices, a layer sends

    tensor   2 all-reduces, after attention and after the feed-forward: 2 * 2*(P-1)/P * N*S*D*b
             (Shoeybi et al. 2019, section 3); with experts shared out by feature the same
    expert   2 all-to-alls of k copies of each of its own tokens: 2 * (P-1)/P * N*S*k*D*b, and nothing for attention

    python benchmarks/several_devices.py [--json] [--quick]
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import ceil, log2
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

from benchmarks._common import Result, arguments, cpu_seconds
from benchmarks.language_models import llama_3_8b, llama_3_70b, mixtral_8x7b
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from fxcost.devices import Degree, Degrees, degrees, on_devices, table_of
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import as_expr
from fxcost.ir.types import DType, TensorType
from fxcost.ops.exchanges import Exchange
from fxcost.passes._interconnect import picoseconds
from fxcost.target import Interconnect, load_target
from tests.support import network
from tests.support.shared_models import make

prepare_torchvision()
ROOT = Path(__file__).parents[1]
TARGET = "h100-sxm"
POINT = {"N": 1, "S": 2048}
STEPS = (1, 2, 4, 8)
PLANS: tuple[tuple[Callable[[], Any], str], ...] = (
    (llama_3_8b, "tensor"),
    (llama_3_70b, "tensor"),
    (mixtral_8x7b, "tensor"),
    (mixtral_8x7b, "expert"),
)
SIZES = (1 << 10, 1 << 16, 1 << 20, 1 << 26)
TOPOLOGIES = ("switch", "ring")


# -- plans -------------------------------------------------------------------------------------------------------------
def built(config: Any, **changes: Any) -> Any:
    """The model of a configuration without weights, in bf16, its cache off."""
    import transformers

    config.use_cache = False
    for name, value in changes.items():
        setattr(config, name, value)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return getattr(transformers, config.architectures[0])(config).eval()
    finally:
        torch.set_default_dtype(before)


def by_hand(config: Any, plan: str, devices: int) -> int:
    """Bytes that a device sends in one layer, see above."""
    message = POINT["N"] * POINT["S"] * config.hidden_size * 2
    if plan == "expert":
        return 2 * (devices - 1) * int(message * config.num_experts_per_tok) // devices
    return 2 * 2 * (devices - 1) * int(message) // devices


def of_a_layer(cost: Cost) -> int:
    """Bytes that a device sends in the second block, by formula."""
    here = {name: size for name, size in POINT.items() if name in cost.symbols}
    (row,) = (row for row in cost.by_module(3).rows if row["module"] == "model.layers.1")
    return int(row["wire_bytes"].at(here)) if "wire_bytes" in row else 0


def shared(make_config: Callable[[], Any], plan: str) -> tuple[Degrees, float]:
    """A model on every number of devices, with the CPU seconds that took."""
    model = built(make_config())
    seconds, found = cpu_seconds(
        lambda: degrees(model, "i64[N,S]", POINT, devices=STEPS, target=TARGET, plan=plan, name=make_config.__name__)
    )
    return found, seconds


def plan_rows(make_config: Callable[[], Any], plan: str, found: Degrees) -> Iterator[list[Any]]:
    """Lines of the first table."""
    config = make_config()
    for row, shown in zip(found.rows, table_of(found).rows, strict=True):
        name = f"{make_config.__name__} {plan} {row.devices}"
        if row.cost is None:
            yield [name, "refused", None, None, None, None, None, None]
            continue
        sent, hand, values = of_a_layer(row.cost), by_hand(config, plan, row.devices), shown.values
        yield [
            name,
            sent,
            "equal" if sent == hand else f"{hand:,}",
            values.get("wire_bytes") or 0,
            *(None if s is None else f"{s * 1e3:.2f}" for s in (shown.roofline_s, shown.wire_s)),
            f"{((values['model_bytes'] or 0) + (values['peak_memory'] or 0)) / 1e9:.2f}",
            row.fits,
        ]


def best(found: Degrees) -> str:
    """The degree for each goal."""
    picks: list[str] = []
    for goal in ("latency", "memory"):
        row: Degree | None = found.fastest if goal == "latency" else found.smallest
        picks.append(f"{goal} {row.devices if row else 'none'}")
    return ", ".join(picks)


# -- collectives -------------------------------------------------------------------------------------------------------
def collective_rows(link: Interconnect) -> Iterator[list[Any]]:
    """Microseconds by formula, and by sending the pieces one step after the other."""
    for topology in TOPOLOGIES:
        here = replace(link, topology=topology)
        for kind in ("all_reduce", "all_gather", "all_to_all"):
            for nbytes in SIZES:
                exchange = Exchange(kind, (TensorType((as_expr(1),), DType.U8),), as_expr(8))
                times = {
                    n: evaluate(t, {}) / 1e6 for n, t in picoseconds(exchange, as_expr(nbytes), None, here).items()
                }
                simulated = {name: sent_in_steps(kind, name, 8, nbytes, here) for name in times}
                least = min(times, key=lambda name: times[name])
                shown = [f"{times[n]:.1f}" if n in times else "-" for n in ("ring", "tree", "pairwise", "direct")]
                close = all(abs(times[n] - s) <= 1e-5 * s for n, s in simulated.items() if s is not None)
                checked = [n for n, s in simulated.items() if s is not None]
                yield [f"{kind} {topology}", nbytes, *shown, least, f"{len(checked)} {'equal' if close else 'DIFFER'}"]


def sent_in_steps(kind: str, algorithm: str, devices: int, nbytes: int, link: Interconnect) -> float | None:
    """Microseconds of an algorithm that is run piece by piece; None for one that the simulator does not have."""
    runs: dict[tuple[str, str], Callable[[], Iterator[list[network.Send]]]] = {
        ("all_reduce", "ring"): lambda: network.ring_all_reduce(devices),
        ("all_reduce", "tree"): lambda: network.tree_all_reduce(devices),
        ("all_reduce", "direct"): lambda: network.direct_all_reduce(devices),
        ("all_gather", "ring"): lambda: network.ring_all_gather(devices),
        ("all_to_all", "pairwise"): lambda: network.pairwise_all_to_all(devices),
        ("all_to_all", "ring"): lambda: network.ring_all_to_all(devices),
    }
    if (kind, algorithm) not in runs:
        return None
    everybody = range(devices)
    size, pieces = nbytes // devices, {d: list[Any](everybody) for d in everybody}
    if algorithm == "tree":
        size, pieces = nbytes, {d: [0] for d in everybody}
    elif algorithm == "direct":
        size, pieces = nbytes, {d: [d] for d in everybody}
    elif kind == "all_gather":
        pieces = {d: [d] for d in everybody}
    elif kind == "all_to_all":  # of each other device's part there is a piece
        size, pieces = nbytes // devices, {d: [(d, other) for other in everybody] for d in everybody}
    held = [{piece: frozenset([d]) for piece in pieces[d]} for d in everybody]
    ran = network.Network(devices, lambda _: size, held).run(runs[kind, algorithm]())
    return 1e6 * (ran.steps * (link.latency_s or 0.0) + ran.longest / (link.bandwidth_bytes_per_s or 1.0))


# -- measured ----------------------------------------------------------------------------------------------------------
BANDS = (("below 64 KB", 0, 1 << 16), ("to 4 MB", 1 << 16, 1 << 22), ("above", 1 << 22, 1 << 40))


def nccl_rows(link: Interconnect) -> Iterator[list[Any]]:
    """Model over measured: the median, least and most by kind, devices and size of the message."""
    with (ROOT / "benchmarks" / "data" / "h100_nccl.csv").open(encoding="utf-8", newline="") as stream:
        measured = [
            (row["kind"], int(row["devices"]), int(row["bytes"]), float(row["microseconds"]))
            for row in csv.DictReader(stream)
        ]
    for kind in dict.fromkeys(row[0] for row in measured):
        for label, least, most in BANDS:
            here = [row for row in measured if row[0] == kind and least <= row[2] < most]
            times = [by_algorithm(kind, devices, nbytes, link) for _, devices, nbytes, _ in here]
            fastest = [min(t.values()) / row[3] for t, row in zip(times, here, strict=True)]
            usual = [
                t["pairwise" if kind == "all_to_all" else "ring"] / row[3] for t, row in zip(times, here, strict=True)
            ]
            spread = f"{min(fastest):.2f} to {max(fastest):.2f}"
            yield [f"{kind} {label}", len(here), median(fastest), spread, median(usual)]


def by_algorithm(kind: str, devices: int, nbytes: int, link: Interconnect) -> dict[str, float]:
    """Microseconds by the model."""
    exchange = Exchange(kind, (TensorType((as_expr(1),), DType.U8),), as_expr(devices))
    return {n: evaluate(t, {}) / 1e6 for n, t in picoseconds(exchange, as_expr(nbytes), None, link).items()}


# -- real processes ----------------------------------------------------------------------------------------------------
def gloo_rows(sizes: tuple[tuple[int, int], ...]) -> Iterator[list[Any]]:
    """Bytes that two processes send, by the kernel's count, less what gloo puts around messages; and the prediction."""
    cost = on_devices(make("llama"), "i64[N,S]", 2)
    for batch, length in sizes:
        with tempfile.TemporaryDirectory() as folder:
            counted = two_processes(folder, batch, length)
        predicted = cost.wire_bytes(N=batch, S=length)
        for rank, each in enumerate(counted):
            around = sum(each["framing"][kind] * n for kind, n in each["collectives"].items())
            sent = each["sent"] - around
            yield [f"process {rank}, N={batch}, S={length}", predicted, sent, around, f"{sent / predicted:.6f}"]


def two_processes(folder: str, batch: int, length: int) -> list[dict[str, Any]]:
    """What each of them counted."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.support.gloo_worker"]
    started = [
        subprocess.Popen(
            [*command, str(rank), "2", folder, "llama", str(batch), str(length)],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    outcomes = [each.communicate(timeout=600) for each in started]
    for each, (_, error) in zip(started, outcomes, strict=True):
        if each.returncode:
            raise SystemExit(error.strip().splitlines()[-1])
    return [json.loads(out.splitlines()[-1]) for out, _ in outcomes]


# -- how long a capture takes ------------------------------------------------------------------------------------------
def capture_rows(layers: tuple[int, ...]) -> Iterator[list[Any]]:
    """CPU seconds of a trace of all blocks and of few that are put together, and whether every total is the same."""
    for depth in layers:
        model = built(llama_3_8b(), num_hidden_layers=depth)
        times, costs = [], []
        for whole in (True, False):
            spent, cost = cpu_seconds(partial(on_devices, model, "i64[N,S]", 2, pins={"N": 1}, whole=whole))
            times.append(spent)
            costs.append(cost)
        names = costs[0].quantities.keys()
        same = all(costs[0].total(n).value is costs[1].total(n).value for n in names)
        yield [
            f"llama_3_8b, {depth} layers",
            f"{times[0]:.1f}",
            f"{times[1]:.1f}",
            times[0] / times[1],
            len(names),
            same,
        ]


def main() -> None:
    """Print the five tables, or one JSON document each."""
    given = arguments(__doc__, ("quick", "few configurations, sizes and layers"))
    torch.set_num_threads(1)
    plans = PLANS[:1] if given.quick else PLANS
    lines: list[list[Any]] = []
    remarks: list[str] = []
    for make_config, plan in plans:
        found, seconds = shared(make_config, plan)
        lines += plan_rows(make_config, plan, found)
        remarks.append(
            f"{make_config.__name__} {plan}: best for {best(found)}; {seconds:.0f} CPU s for {len(STEPS)} degrees"
        )
    where = ", ".join(f"{n}={s}" for n, s in POINT.items())
    columns: tuple[str, ...] = (
        "plan, devices",
        "sent a layer",
        "by hand",
        "sent in all",
        "roofline ms",
        "sending ms",
        "GB",
        "fits",
    )
    Result(f"Plans on {TARGET} at {where}, one device", columns, lines, remarks).show(given.json)

    link = load_target(TARGET).interconnect
    assert link is not None, f"{TARGET} states an interconnect"
    columns = ("collective", "bytes", "ring us", "tree us", "pairwise us", "direct us", "fastest", "simulated")
    note = f"8 devices, {link.name}; ring: what a link between neighbours alone can run. Tree: {ceil(log2(8))} levels"
    Result("Collectives by algorithm", columns, list(collective_rows(link)), [note]).show(given.json)

    columns = ("NCCL 2.27 on H100", "n", "fastest / measured", "spread", "usual / measured")
    usual = (
        "usual: ring, pairwise for an all-to-all; 2, 4 and 8 devices; data of aiconfigurator 0.12, see data/README.md"
    )
    Result("The model beside measured collectives", columns, list(nccl_rows(link)), [usual]).show(given.json)

    columns = ("gloo", "predicted", "sent", "framing", "ratio")
    sizes = ((4, 16),) if given.quick else ((4, 16), (7, 33), (16, 64))
    Result("Two local processes, a small Llama in tensor parallel", columns, list(gloo_rows(sizes))).show(given.json)

    columns = ("capture on 2 devices", "all blocks s", "few blocks s", "ratio", "totals", "equal")
    Result("CPU seconds of a capture", columns, list(capture_rows((4,) if given.quick else (4, 32)))).show(given.json)


if __name__ == "__main__":
    main()
