"""Single operators on eight GPUs, fp32: formulas of one capture each, asked at 38,594 measured shapes.

The plain roofline of the data sheet, and three numbers by class of operators (shares of compute and memory rates, a fixed
time), fitted on all devices but the one that is predicted. All products here have many rows, as in prefill: no public row
is a matrix with a single vector, so what decoding does stays unmeasured.

    python benchmarks/latency_gpu_ops.py [--json]
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

import fxcost
from benchmarks._common import Result, arguments
from benchmarks._latency import COLUMNS, DATA, row
from benchmarks.latency_gpu import sheet
from fxcost.target import Target, load_target

DEVICES: Mapping[str, Target] = {
    "NVIDIA H100 80GB HBM3": load_target("h100-sxm"),
    "NVIDIA A100 80GB PCIe": load_target("a100-80gb-pcie"),
    "NVIDIA A100-PCIE-40GB": load_target("a100-40gb-sxm"),  # the same peaks and memory
    "NVIDIA L4": load_target("l4"),
    "Tesla V100-PCIE-32GB": sheet("v100-pcie", "NVIDIA", 14.0, 900),
    "Tesla P100-PCIE-16GB": sheet("p100-pcie", "NVIDIA", 9.3, 732),
    "Tesla T4": load_target("t4"),
    "Tesla P4": sheet("p4", "NVIDIA", 5.5, 192),
}
PAIR, ONE = ("B,M", "B,M"), ("B,M",)
OPERATORS: Mapping[str, tuple[str, Callable[..., Tensor], tuple[str, ...]]] = {
    "linear": ("product with a matrix", F.linear, ("B,M,K", "N,K")),
    "bmm": ("batched product", torch.bmm, ("B,M,K", "B,K,N")),
    "softmax": ("softmax", lambda x: x.softmax(-1), ONE),
    "ln": ("layer norm", lambda x: F.layer_norm(x, (x.shape[-1],)), ONE),
    "add": ("elementwise", torch.add, PAIR),
    "mul": ("elementwise", torch.mul, PAIR),
    "div": ("elementwise", torch.div, PAIR),
    "pow": ("elementwise", torch.pow, PAIR),
    "addu": ("elementwise", lambda x: x + 2.0, ONE),
    "mulu": ("elementwise", lambda x: x * 2.0, ONE),
    "divu": ("elementwise", lambda x: x / 3.0, ONE),
    "powu": ("elementwise", lambda x: x**2.0, ONE),
    "relu": ("elementwise", torch.relu, ONE),
    "gelu": ("elementwise", F.gelu, ONE),
    "tanh": ("elementwise", torch.tanh, ONE),
}
Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Operator(nn.Module):
    """One call as a model."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        """The call."""
        return self.function(*inputs)


@dataclass(frozen=True)
class Measured:
    """Rows of one class of operators: device by number, measured seconds, and the two times of the data sheet."""

    device: np.ndarray[Any, np.dtype[np.int64]]
    seconds: Numbers
    compute_s: Numbers
    memory_s: Numbers

    def where(self, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> Measured:
        """Some of the rows."""
        return Measured(self.device[chosen], self.seconds[chosen], self.compute_s[chosen], self.memory_s[chosen])

    def at(self, compute: float, memory: float, fixed_s: float) -> Numbers:
        """Seconds at these shares of the two rates, after a fixed time."""
        found: Numbers = np.maximum(self.compute_s / compute, self.memory_s / memory) + fixed_s
        return found


def asked() -> dict[str, Measured]:
    """Every class with its rows, in the operators' formulas."""
    with gzip.open(DATA / "gpu_op_latency.csv.gz", "rt", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    numbers = {device: number for number, device in enumerate(DEVICES)}
    found: dict[str, list[tuple[float, ...]]] = {}
    for name, (kind, function, specs) in OPERATORS.items():
        cost = fxcost.analyze(Operator(function).eval(), specs, check=False, name=name)
        work = cost.flops if kind.endswith(("matrix", "product")) else cost.other_ops
        moved = cost.read_bytes + cost.write_bytes
        for line in (line for line in lines if line["op"] == name):
            given = {"B": line["b"], "M": line["m_or_h"], "N": line["n"], "K": line["k"]}
            at = {symbol: int(float(given[symbol])) for symbol in cost.symbols}
            target = DEVICES[line["device"]]
            peak, memory = target.peak("fp32"), target.memory[-1].bandwidth_bytes_per_s
            assert peak is not None
            assert memory is not None
            times = (
                numbers[line["device"]],
                float(line["latency_ms"]) * 1e-3,
                work.at(at) / peak,
                moved.at(at) / memory,
            )
            found.setdefault(kind, []).append(times)
    columns = {kind: np.array(rows, dtype=np.float64).T for kind, rows in found.items()}
    return {kind: Measured(c[0].astype(np.int64), c[1], c[2], c[3]) for kind, c in columns.items()}


def fitted(known: Measured) -> tuple[float, float, float]:
    """Shares of compute and memory and a fixed time with the least absolute relative error, in logarithms."""

    def off(logs: Numbers) -> float:
        return float(np.abs(np.log(known.at(*np.exp(logs)) / known.seconds)).mean())

    start = np.log([0.7, 0.7, 5e-6])
    return tuple(float(each) for each in np.exp(minimize(off, start, method="Nelder-Mead").x))  # type: ignore[return-value]


def device_unseen(rows: Measured) -> Numbers:
    """A prediction of each device's rows by a fit on the other devices'."""
    found = np.zeros_like(rows.seconds)
    for device in range(len(DEVICES)):
        here = rows.device == device
        if here.any():
            found[here] = rows.where(here).at(*fitted(rows.where(~here)))
    return found


def main() -> None:
    """Capture, predict, compare."""
    options = arguments(__doc__)
    torch.set_num_threads(1)
    table, above = [], 0
    for kind, rows in asked().items():
        plain = rows.at(1.0, 1.0, 0.0)
        above += int((plain > rows.seconds).sum())
        table.append(row(f"{kind}: roofline of the data sheet", list(plain), list(rows.seconds)))
        table.append(row(f"{kind}: three numbers, device unseen", list(device_unseen(rows)), list(rows.seconds)))
    notes = [
        f"faster than the roofline, whose traffic goes all to main memory: {above} rows",
        "no row is a matrix with one vector: decoding is not measured here",
    ]
    Result(
        f"Operators in fp32 on {len(DEVICES)} GPUs: error against measured latency",
        ("predictor", *COLUMNS),
        table,
        notes,
        {"above": above},
    ).show(options.json)


if __name__ == "__main__":
    main()
