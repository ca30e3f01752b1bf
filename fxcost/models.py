"""map_models: analyse many models in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

from fxcost import api
from fxcost.cost import Cost
from fxcost.errors import OutsideDomain, SpecError
from fxcost.formulas import Origin
from fxcost.parallel import map_items
from fxcost.query.table import Table

_ONE_AT_A_TIME = Lock()
"""torch.export is not made for threads, and a worker of a cluster may run several tasks in threads."""


@dataclass(frozen=True)
class ModelOutcome:
    """One candidate: its cost, or the error in one line; seconds of wall time in the worker."""

    name: str
    cost: Cost | None
    error: str | None
    seconds: float | None


@dataclass(frozen=True)
class Outcomes:
    """What became of every candidate, in the order in which they were given."""

    rows: tuple[ModelOutcome, ...]

    def __iter__(self) -> Iterator[ModelOutcome]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> ModelOutcome:
        return self.rows[position]

    @property
    def costs(self) -> dict[str, Cost]:
        """Costs by name, of those candidates that have one."""
        return {row.name: row.cost for row in self.rows if row.cost is not None}

    @property
    def errors(self) -> dict[str, str]:
        """Errors by name, of those candidates that failed."""
        return {row.name: row.error for row in self.rows if row.error is not None}

    def table(
        self, metrics: Iterable[str] = ("params", "macs", "peak_memory"), at: Mapping[str, int] | None = None
    ) -> Table:
        """One row a candidate: metrics at a point, as formulas without it, and the error where there is one.

        A size that the model does not have is left out for it; a cell is empty where the formula does not hold there.
        """
        names = tuple(metrics)
        cells = ({"model": row.name, **_cells(row.cost, names, at), "error": row.error} for row in self.rows)
        return Table(("model", *names, "error"), tuple(cells))


def map_models(
    candidates: Iterable[Any],
    specs: Any = (),
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    chunk: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> Outcomes:
    """Analyse many models in worker processes; what `analyze` takes is taken here.

    Args:
        candidates: models as `analyze` takes them (those that are objects are pickled), functions without arguments that
            build one, or pairs (model, specs) where input specs differ.
        specs: input specs of all candidates that bring none.
        executor: any `concurrent.futures.Executor` of processes, such as that of a dask client (`client.get_executor()`);
            by default processes of this computer.
        jobs: processes of the default executor; one a processor core unless given.
        chunk: candidates that are sent to a worker at a time.
        progress: called with a line as results come in.
        options: further arguments of `analyze`.

    A candidate that fails has an error instead of a cost, and so has one that takes its worker process along. Raises
    SpecError for an executor of threads. A script that calls this has its own code under `if __name__ == "__main__":`.
    """
    if isinstance(candidates, str):
        raise SpecError(f"map_models takes several models, found the one text {candidates!r}; put it into a list")
    pairs = [each if isinstance(each, tuple) and len(each) == 2 else (each, specs) for each in candidates]
    found = map_items(partial(_analysed, options=options), pairs, executor, jobs=jobs, chunk=chunk, progress=progress)
    rows = []
    for (model, its_specs), outcome in zip(pairs, found, strict=True):
        cost, seconds = outcome.value or (None, None)
        if cost is not None:
            cost = replace(cost, origin=replace(cost.origin, again=partial(_again, model, its_specs, options, cost)))
        rows.append(ModelOutcome(_name_of(model, cost), cost, outcome.error, seconds))
    return Outcomes(tuple(rows))


def _analysed(pair: tuple[Any, Any], options: Mapping[str, Any]) -> tuple[Cost, float]:
    """In the worker: the cost as plain data, without anything of torch's."""
    from fxcost.capture.worker import built, one_thread

    model, specs = pair
    start = time.perf_counter()
    with _ONE_AT_A_TIME:
        one_thread()
        cost = api.analyze(built(model), specs, **options)
    plain = replace(cost, origin=Origin(seconds=dict(cost.origin.seconds), remarks=cost.origin.remarks))
    return plain, time.perf_counter() - start


def _again(model: Any, specs: Any, options: Mapping[str, Any], cost: Cost, at: Mapping[str, int]) -> Cost:
    """Capture at another point, here and not in a worker."""
    from fxcost.capture.worker import built

    step = (options.get("loss"), api.trained(options.get("train"))) if cost.mode == "training" else None
    return api.captured(built(model), specs, options.get("kwargs"), cost.options, cost.graph.name, at, step=step)


def _name_of(model: Any, cost: Cost | None) -> str:
    if isinstance(model, str):
        return model if "\n" not in model else cost.graph.name if cost is not None else "IR text"
    if cost is not None:
        return cost.graph.name
    return getattr(model, "__qualname__", type(model).__name__)


def _cells(cost: Cost | None, names: tuple[str, ...], at: Mapping[str, int] | None) -> dict[str, Any]:
    if cost is None:
        return dict.fromkeys(names)
    point = {n: v for n, v in (at or {}).items() if n in cost.symbols or n in cost.graph.pinned}
    cells: dict[str, Any] = {}
    for name in names:
        quantity = cost.total(name)
        try:
            cells[name] = quantity.at(point) if at is not None else quantity
        except (OutsideDomain, SpecError):
            cells[name] = None
    return cells
