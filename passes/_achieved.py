"""What a runtime achieves, fitted on measured times: shares of the data-sheet rates and fixed times, by class of ops.

The model is linear. An op of class c that the data sheet gives p seconds for products, o for other operations, a for
activations' traffic and w for weights' takes

    t = fixed[c] + p * x1[c] + o * x2[c] + a * x3[c] + w * x4[c]                all unknowns >= 0

(a share of a rate is 1 / x). Each class is fitted by bounded least squares over its ops, rows weighted by a power of t
between absolute errors, which only the largest ops would decide, and relative ones, which the many small ones would. A
pull towards the data sheet (x = 1, fixed = 0) holds the terms that the data do not exercise: a term that makes less than
`pull` of the class's time hardly moves. Two passes of Huber's weights keep disturbed measurements from deciding. How
strong the pull is, which power, and what counts as disturbed is chosen by leaving runs out: quiet measurements can be
trusted further. Last, one time is added to every op for what lies between ops (the code of the modules, the allocator),
so that sums over ops meet the times of whole runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from fxcost.errors import FxcostError, SpecError
from fxcost.target import Share

FOLDS: Final = 6
SLOWEST: Final = 1e4
FASTEST: Final = 0.02
"""Bounds of a term's slowness: a share lies between 1 / SLOWEST and 1 / FASTEST."""

Slowness = tuple[float, float, float, float]
DATA_SHEET: Final[Slowness] = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Manner:
    """How a class is fitted: the pull's strength, the power of a row's time in its weight, and outliers.

    An error beyond `usual` times the median one loses weight.
    """

    pull: float = 0.003
    power: float = -0.5
    usual: float = 2.5


MANNERS: Final = tuple(
    Manner(pull, *trust) for trust in ((-0.5, 2.5), (-0.3, 10.0)) for pull in (0.0003, 0.001, 0.003, 0.01)
)


@dataclass(frozen=True)
class Sample:
    """One op of a run: its class, the seconds it took, and the seconds that the data sheet gives each of its terms."""

    op_class: str
    seconds: float
    products_s: float = 0.0
    other_s: float = 0.0
    activations_s: float = 0.0
    weights_s: float = 0.0

    @property
    def terms(self) -> tuple[float, float, float, float]:
        """The four terms in the order of the unknowns."""
        return self.products_s, self.other_s, self.activations_s, self.weights_s


@dataclass(frozen=True)
class Run:
    """One model at one size: its ops, the seconds of the whole run, and the group it is left out with."""

    name: str
    samples: tuple[Sample, ...]
    seconds: float
    group: str = ""


@dataclass(frozen=True)
class Achieved:
    """Slowness by class: the four terms' factors over the data sheet; fixed seconds by class, `default` among them.

    The fixed times contain `between_s`, the seconds between one op and the next.
    """

    slowness: Mapping[str, Slowness]
    fixed_s: Mapping[str, float]
    between_s: float = 0.0

    def seconds(self, sample: Sample) -> float:
        """Time of an op; a class that was never measured goes by its family, else by the data sheet."""
        keys = (sample.op_class, sample.op_class.partition("_")[0])
        known = next((key for key in keys if key in self.slowness), "default")
        factors = self.slowness.get(known, DATA_SHEET)
        return self.fixed_s[known] + sum(x * t for x, t in zip(factors, sample.terms, strict=True))

    def run_seconds(self, run: Run) -> float:
        """Time of a whole run: the sum over its ops."""
        return sum(self.seconds(sample) for sample in run.samples)

    def shares(self) -> tuple[tuple[str, Share], ...]:
        """Shares of the data-sheet rates by class, to four digits."""
        return tuple(
            (name, Share(*(_digits(1 / x) for x in (values[0], values[2], values[1], values[3]))))
            for name, values in sorted(self.slowness.items())
        )

    def overhead_s(self) -> tuple[tuple[str, float], ...]:
        """Fixed seconds by class, to four digits."""
        return tuple((name, _digits(seconds)) for name, seconds in sorted(self.fixed_s.items()))


@dataclass(frozen=True)
class Accuracy:
    """How predictions compare with measurements: mean and median relative error, geometric mean of the ratios."""

    n: int
    mean: float
    median: float
    worst: float
    bias: float
    rank: float

    def __str__(self) -> str:
        return (
            f"{100 * self.mean:.1f} % (median {100 * self.median:.1f}, worst {100 * self.worst:.0f}), "
            f"bias {self.bias:.2f}, Spearman {self.rank:.3f}, n = {self.n}"
        )


def fit(runs: Sequence[Run], manner: Manner | None = None) -> Achieved:
    """Fit every class that the runs contain.

    Args:
        runs: measured runs; times must be positive.
        manner: how; None chooses one of MANNERS by leaving out one group of runs after the other (with fewer than three
            groups: the default one).

    Raises SpecError when there is nothing to fit.
    """
    if not any(run.samples for run in runs):
        raise SpecError("nothing was measured: a fit needs the times of at least one run with one op")
    manner = manner or _chosen(runs)
    by_class: dict[str, list[Sample]] = {}
    for run in runs:
        for sample in run.samples:
            by_class.setdefault(sample.op_class, []).append(sample)
    found = {name: _fit_class(samples, manner) for name, samples in by_class.items()}
    fixed = {name: x[0] for name, x in found.items()}
    fixed["default"] = min(fixed.values())  # of a class that was never measured: at least what the quickest takes
    alone = Achieved({name: x[1:] for name, x in found.items()}, fixed)
    between = _between(runs, alone)
    return Achieved(alone.slowness, {name: seconds + between for name, seconds in fixed.items()}, between)


def _between(runs: Sequence[Run], alone: Achieved) -> float:
    """Seconds per op by which whole runs exceed the sums of their ops: the least mean relative error, never negative.

    That is a weighted median, so that one odd run does not decide.
    """
    ops = [run for run in runs if run.samples]
    gaps = sorted(
        ((run.seconds - alone.run_seconds(run)) / len(run.samples), len(run.samples) / run.seconds) for run in ops
    )
    left = sum(weight for _, weight in gaps) / 2
    for gap, weight in gaps:
        left -= weight
        if left <= 0:
            return max(0.0, gap)
    return 0.0


def left_out(runs: Sequence[Run], manner: Manner | None = None) -> list[float]:
    """Seconds predicted for every run by a fit on the runs of the other groups; nothing is chosen on the run itself."""
    predicted: dict[str, Achieved] = {}
    for group in {run.group for run in runs}:
        predicted[group] = fit([run for run in runs if run.group != group], manner)
    return [predicted[run.group].run_seconds(run) for run in runs]


def accuracy(predicted: Sequence[float], measured: Sequence[float]) -> Accuracy:
    """Compare predictions with measurements, both positive and of equal number."""
    ratios = np.asarray(predicted, dtype=np.float64) / np.asarray(measured, dtype=np.float64)
    errors = np.abs(ratios - 1)
    return Accuracy(
        n=len(ratios),
        mean=float(errors.mean()),
        median=float(np.median(errors)),
        worst=float(errors.max()),
        bias=float(np.exp(np.log(ratios).mean())),
        rank=_spearman(predicted, measured),
    )


def _fit_class(samples: Sequence[Sample], manner: Manner) -> tuple[float, float, float, float, float]:
    solve = _solver()
    times = np.array([sample.seconds for sample in samples])
    terms = np.array([(1.0, *sample.terms) for sample in samples])
    weight = times**manner.power
    unit = np.array([float(times.mean()), 1, 1, 1, 1])  # a fixed time is measured in mean times of the class
    nearest = np.array([0.0, 1, 1, 1, 1])
    low, high = np.array([0, *[FASTEST] * 4]), np.array([np.inf, *[SLOWEST] * 4])
    found = nearest
    trust = np.ones(len(times))
    for _ in range(3):
        rows, goal = terms * (weight * trust)[:, None], times * weight * trust
        hold = manner.pull * float(np.sqrt((goal**2).sum())) / unit
        found = solve(np.vstack([rows, np.diag(hold)]), np.concatenate([goal, hold * nearest]), low, high)
        errors = np.abs(terms @ found - times) * weight
        usual = manner.usual * float(np.median(errors)) + 1e-30
        trust = np.sqrt(np.minimum(1, usual / np.maximum(errors, 1e-30)))
    fixed, *slowness = (float(value) for value in np.clip(found, low, high))
    return fixed, slowness[0], slowness[1], slowness[2], slowness[3]


def _chosen(runs: Sequence[Run]) -> Manner:
    """The manner that predicts groups best which a fit has not seen; groups are left out several at a time."""
    groups = sorted({run.group for run in runs})
    if len(groups) < 3:
        return Manner()
    folds = [replace(run, group=str(groups.index(run.group) % FOLDS)) for run in runs]
    measured = [run.seconds for run in runs]
    return min(MANNERS, key=lambda manner: accuracy(left_out(folds, manner), measured).mean)


def _solver() -> Callable[..., Any]:
    try:
        from scipy.optimize import lsq_linear
    except ImportError as error:
        raise FxcostError("fitting needs scipy: pip install 'fxcost[calibrate]'") from error
    return lambda rows, goal, low, high: lsq_linear(rows, goal, bounds=(low, high), method="bvls").x


def _spearman(first: Sequence[float], second: Sequence[float]) -> float:
    if len(first) < 2:
        return 1.0
    ranks = [np.argsort(np.argsort(np.asarray(values))) for values in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
