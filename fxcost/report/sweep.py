"""Sweeps as files and as text: comma-separated values, parquet and JSON, slice by slice and never half-written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fxcost.errors import SpecError
from fxcost.query.sweep import Metric, Plan, Slice, empty
from fxcost.query.table import needed
from fxcost.report.files import whole

if TYPE_CHECKING:
    import numpy as np

FORMATS = (".csv", ".parquet")
"""Endings of files that a sweep can be written to."""

MODEL = "model"
"""The first column, where there is more than one model."""

_INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Sweeps:
    """Sweeps of one or several models over the same grid with the same columns, by model name.

    With `named`, the first column says which model a row is about.
    """

    plans: Mapping[str, Plan]
    named: bool = False

    @property
    def first(self) -> Plan:
        """Any of the plans: grids and columns are alike."""
        return next(iter(self.plans.values()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns."""
        return ((MODEL,) if self.named else ()) + self.first.columns

    @property
    def points(self) -> int:
        """Rows in all."""
        return sum(plan.grid.size for plan in self.plans.values())

    def slices(self, outside: dict[str, int], progress: Callable[[str], None]) -> Iterator[tuple[str, Slice]]:
        """Every slice of every model with the model's name; empty cells are counted in `outside` as they pass."""
        for name, plan in self.plans.items():
            before = f"{name}: " if self.named else ""
            for part in plan.slices(progress=lambda text, before=before: progress(before + text)):  # type: ignore[misc]
                for metric in plan.metrics:
                    key = before + metric.name
                    outside[key] = outside.get(key, 0) + empty(part.columns[metric.name])
                yield name, part

    def notes(self, outside: Mapping[str, int]) -> list[str]:
        """What a reader of the numbers must know: cells that are empty, and totals that are no more than bounds."""
        found = []
        for name, plan in self.plans.items():
            before = f"{name}: " if self.named else ""
            for metric in plan.metrics:
                count = outside.get(before + metric.name, 0)
                if count:
                    guards = "; ".join(map(str, metric.guards)) or "the ranges of the symbols"
                    found.append(
                        f"{before}{metric.name}: {count:,} of {plan.grid.size:,} cells are empty, they lie outside {guards}"
                    )
                if metric.standing != "exact":
                    why = f" ({'; '.join(metric.notes)})" if metric.notes else ""
                    found.append(f"{before}{metric.name} is {_STANDINGS[metric.standing]}{why}")
        return found


_STANDINGS = {
    "fitted": "fitted: verified by captures at other sizes, not proven",
    "lower": "a lower bound",
    "numeric": "recorded at one size, no formula",
}


def check_file(path: Path) -> None:
    """Refuse an ending that nothing can be written as, or whose package is missing, before anything is computed."""
    if path.suffix not in FORMATS:
        raise SpecError(f"cannot write {path}: its name must end in {' or '.join(FORMATS)}")
    if path.suffix == ".parquet":
        needed("pyarrow", f"{path.name}", "parquet")


def write_sweep(sweeps: Sweeps, path: Path, progress: Callable[[str], None] = lambda _: None) -> list[str]:
    """Write a file whole, one slice in memory at a time, and return the notes on it."""
    check_file(path)
    outside: dict[str, int] = {}
    slices = sweeps.slices(outside, progress)
    with whole(path) as beside:
        if path.suffix == ".csv":
            with beside.open("w", encoding="utf-8", newline="") as out:
                write_csv(sweeps, slices, out)
        else:
            _write_parquet(sweeps, slices, beside)
    return sweeps.notes(outside)


def write_csv(sweeps: Sweeps, slices: Iterable[tuple[str, Slice]], out: IO[str]) -> None:
    """Header and one line a point; a cell outside the domain is empty."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sweeps.columns)
    for name, part in slices:
        columns = [part.cells(column) for column in part.columns]
        writer.writerows(zip(*(([[name] * len(part)] if sweeps.named else []) + columns), strict=True))


def rows(sweeps: Sweeps, slices: Iterable[tuple[str, Slice]]) -> Iterator[dict[str, Any]]:
    """One mapping a point, the model first where there are several."""
    for name, part in slices:
        for row in part.rows():
            yield {MODEL: name, **row} if sweeps.named else row


def document(sweeps: Sweeps, slices: Iterable[tuple[str, Slice]]) -> dict[str, Any]:
    """The JSON document: metrics with unit and standing, then the rows; null where a formula does not hold."""
    return {
        "metrics": {
            name: {m.name: {"unit": m.unit, "standing": str(m.standing), "notes": list(m.notes)} for m in plan.metrics}
            for name, plan in sweeps.plans.items()
        },
        "rows": list(rows(sweeps, slices)),
    }


# -- parquet -------------------------------------------------------------------------------------------------------
def _write_parquet(sweeps: Sweeps, slices: Iterable[tuple[str, Slice]], path: Path) -> None:
    arrow = needed("pyarrow", path.name, "parquet")
    parquet = needed("pyarrow.parquet", path.name, "parquet")
    schema = _schema(arrow, sweeps)
    with parquet.ParquetWriter(path, schema) as writer:
        for name, part in slices:
            columns = {
                column: _arrow(arrow, values, schema.field(column).type) for column, values in part.columns.items()
            }
            if sweeps.named:
                columns = {MODEL: arrow.array([name] * len(part)), **columns}
            writer.write_table(arrow.table(columns, schema=schema))


def _schema(arrow: Any, sweeps: Sweeps) -> Any:
    """Types of the columns, wide enough for every slice that is to come."""
    fields = [arrow.field(MODEL, arrow.string())] if sweeps.named else []
    grid = sweeps.first.grid
    swept = {axis.name for axis in grid.axes}
    for name in grid.names:
        ends = next((axis.ends for axis in grid.axes if axis.name == name), (None, None))
        fields.append(arrow.field(name, _integer(arrow, [ends if name in swept else (None, None)])))
    for metrics in zip(*(plan.metrics for plan in sweeps.plans.values()), strict=True):
        kind = arrow.float64() if metrics[0].is_float else _integer(arrow, [m.limits for m in metrics])
        fields.append(arrow.field(metrics[0].name, kind, metadata=_said(metrics)))
    return arrow.schema(fields)


def _said(metrics: Iterable[Metric]) -> dict[str, str]:
    found = list(metrics)
    return {"unit": found[0].unit, "standing": ", ".join(dict.fromkeys(str(m.standing) for m in found))}


def _integer(arrow: Any, limits: Iterable[tuple[int | None, int | None]]) -> Any:
    """int64 where all values are known to fit, else a decimal of as many digits as parquet has."""
    for low, high in limits:
        if low is None or high is None or low < _INT64[0] or high > _INT64[1]:
            return arrow.decimal256(76, 0)
    return arrow.int64()


def _arrow(arrow: Any, column: np.ndarray[Any, Any], kind: Any) -> Any:
    import numpy as np

    mask = np.ma.getmaskarray(column)
    if arrow.types.is_decimal(kind):
        cells = [None if hidden else int(cell) for cell, hidden in zip(np.ma.getdata(column), mask, strict=True)]
        try:
            return arrow.array(cells, type=kind)
        except arrow.ArrowInvalid as error:
            raise SpecError("a number has more than the 76 digits that parquet holds; write a .csv file") from error
    return arrow.array(np.ma.getdata(column).astype(kind.to_pandas_dtype()), mask=mask, type=kind)
