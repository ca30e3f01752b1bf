"""What the latency scripts share: measured data, and the error of a list of predictions."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fxcost.passes._achieved import Accuracy, accuracy

DATA = Path(__file__).parent / "data"
COLUMNS = ("n", "error %", "median %", "worst %", "bias", "Spearman")


def progress(text: str) -> None:
    """Say on a terminal what is going on; nothing clears the line."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="" if text else "\r", file=sys.stderr, flush=True)


def measured(name: str) -> list[dict[str, str]]:
    """Rows of a file of measurements."""
    with (DATA / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cells(found: Accuracy) -> tuple[Any, ...]:
    """An accuracy in the columns of COLUMNS."""
    return found.n, 100 * found.mean, 100 * found.median, 100 * found.worst, found.bias, found.rank


def row(name: str, predicted: Sequence[float], seconds: Sequence[float]) -> tuple[Any, ...]:
    """A line of the table: who predicted, and how well."""
    return name, *cells(accuracy(predicted, seconds))


def scalar(predicted: Iterable[float], seconds: Iterable[float]) -> float:
    """The factor that makes predictions right on (geometric) average."""
    ratios = [math.log(t / p) for p, t in zip(predicted, seconds, strict=True)]
    return math.exp(sum(ratios) / len(ratios))


def held_out(groups: Sequence[str], predict: Callable[[list[int], int], float]) -> list[float]:
    """For every row a prediction by `predict(other rows, row)`, where the others are those of the other groups."""
    numbers = range(len(groups))
    return [predict([other for other in numbers if groups[other] != groups[row]], row) for row in numbers]


def in_order(predicted: Sequence[float], seconds: Sequence[float]) -> float:
    """Share of the pairs of rows whose order is predicted right."""
    pairs = [(i, j) for i in range(len(seconds)) for j in range(i) if seconds[i] != seconds[j]]
    right = sum((predicted[i] - predicted[j]) * (seconds[i] - seconds[j]) > 0 for i, j in pairs)
    return right / len(pairs)
