"""Sweeps: quantities at every point of a grid, exact, slice by slice.

Every formula is substituted and compiled once, then evaluated over arrays of sizes. A point at which a call would be
refused (a size outside its range, a guard that is false) is masked, for the quantities that the guard belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fxcost.errors import SpecError
from fxcost.ir.evaluate import over_arrays
from fxcost.ir.expr import bounds, substitute
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate, decide, replace_symbols, symbols_of
from fxcost.query.grid import Grid
from fxcost.query.quantity import Quantity, mask_of
from fxcost.query.table import Table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CHUNK = 1 << 16
"""Points that are evaluated at a time: columns of this length stay in the processor's cache."""

MAX_CELLS = 1 << 27
"""Cells of a table in memory, 1 GiB of 64-bit integers; more are written to a file, slice by slice."""

Columns = Mapping[str, "Array"]


@dataclass(frozen=True)
class Metric:
    """A column of a sweep: values from the sizes at some points, wherever all `guards` hold.

    `names` are the symbols that values and guards need. `limits` bounds the values over the whole grid, None where that
    is unknown; `is_float` says that values are no integers.
    """

    name: str
    unit: str
    names: tuple[str, ...]
    values: Callable[[Columns], Array]
    guards: tuple[Predicate, ...] = ()
    standing: Standing = Standing.EXACT
    limits: tuple[int | None, int | None] = (None, None)
    is_float: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Neighbouring points: a column for every symbol that varies, then one a metric; masked arrays have empty cells."""

    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def cells(self, name: str) -> list[Any]:
        """A column as Python numbers, None where it is masked."""
        return list(self.columns[name].tolist())  # masked arrays give None

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping a point."""
        names = tuple(self.columns)
        for cells in zip(*(self.cells(name) for name in names), strict=True):
            yield dict(zip(names, cells, strict=True))


@dataclass(frozen=True)
class Plan:
    """A sweep that is ready to run: the grid and what is computed at each of its points."""

    grid: Grid
    metrics: tuple[Metric, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns: the symbols that vary, then the metrics."""
        return (*self.grid.names, *(metric.name for metric in self.metrics))

    def slices(self, length: int = CHUNK, progress: Callable[[str], None] = lambda _: None) -> Iterator[Slice]:
        """Evaluate the grid from its first point to its last, `length` points at a time."""
        sizes = self.grid.columns()
        checks = {guard: mask_of(guard) for metric in self.metrics for guard in metric.guards}
        for start in range(0, self.grid.size, length):
            stop = min(start + length, self.grid.size)
            columns = sizes(start, stop)
            inside = self.grid.within_ranges(columns)
            found = {metric.name: _over(metric, columns, inside, checks) for metric in self.metrics}
            yield Slice({**columns, **found})
            progress(f"{stop:,} of {self.grid.size:,} points")

    def check_memory(self) -> None:
        """Refuse a grid whose table would not fit into memory."""
        cells = self.grid.size * len(self.columns)
        if cells > MAX_CELLS:
            raise SpecError(
                f"{self.grid.size:,} points by {len(self.columns)} columns are too many for a table in memory (at most "
                f"{MAX_CELLS:,} cells); write them to a file, which goes slice by slice, or use larger steps"
            )

    def table(self, progress: Callable[[str], None] = lambda _: None) -> Sweep:
        """The whole sweep in memory; raises SpecError where that would be too much."""
        import numpy as np

        self.check_memory()
        parts = [part.columns for part in self.slices(progress=progress)]

        def joined(name: str) -> Array:
            columns = [part[name] for part in parts]
            masked = any(np.ma.isMaskedArray(column) for column in columns)
            return np.asanyarray((np.ma if masked else np).concatenate(columns))

        return Sweep(self.columns, Rows(Slice({name: joined(name) for name in self.columns})), self.metrics)


@dataclass(frozen=True, eq=False)
class Rows(Sequence[Mapping[str, Any]]):
    """Rows of a table that are kept as columns, and made when they are looked at."""

    whole: Slice

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, position: Any) -> Any:
        part = Slice({name: column[_as_slice(position)] for name, column in self.whole.columns.items()})
        found = tuple(part.rows())
        if isinstance(position, slice):
            return found
        if not found:
            raise IndexError(f"row {position} of {len(self)}")
        return found[0]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return self.whole.rows()


def _as_slice(position: int | slice) -> slice:
    return position if isinstance(position, slice) else slice(position, position + 1 or None)


@dataclass(frozen=True)
class Sweep(Table):
    """The table of a sweep, a row a point. A cell is None where the formula does not hold; `outside` counts them."""

    metrics: tuple[Metric, ...] = field(default=())

    @property
    def arrays(self) -> Mapping[str, Array]:
        """The columns as numpy arrays, masked where cells are empty; int64, or Python integers where that is too narrow."""
        assert isinstance(self.rows, Rows), "a sweep keeps columns"
        return self.rows.whole.columns

    @property
    def standing(self) -> dict[str, Standing]:
        """Standing by metric."""
        return {metric.name: metric.standing for metric in self.metrics}

    @property
    def outside(self) -> dict[str, int]:
        """Empty cells by metric, where there are any."""
        counts = {metric.name: empty(self.arrays[metric.name]) for metric in self.metrics}
        return {name: count for name, count in counts.items() if count}

    def to_pandas(self) -> Any:
        """A pandas DataFrame; empty cells are missing values, integers stay integers."""
        from fxcost.query.table import needed

        pandas = needed("pandas", "to_pandas", "pandas")
        return pandas.DataFrame({name: _series(pandas, column) for name, column in self.arrays.items()})

    def __str__(self) -> str:
        if len(self) <= 60:
            return super().__str__()
        ends = Table(self.columns, (*self.rows[:20], dict.fromkeys(self.columns, "..."), *self.rows[-20:]))
        return f"{ends}\n{len(self):,} points"


def plan_sweep(
    metrics: Iterable[Metric | Quantity],
    grid: Grid,
) -> Plan:
    """Put the grid's fixed and tied sizes into every metric; raises SpecError where a symbol is left open."""
    found = tuple(of_quantity(metric, grid) if isinstance(metric, Quantity) else metric for metric in metrics)
    if not found:
        raise SpecError("a sweep without metrics; name some, such as macs and peak_memory")
    settled = {axis.name for axis in grid.axes}
    for metric in found:
        missing = [name for name in metric.names if name not in settled]
        if missing:
            raise SpecError(
                f"{metric.name} also needs {', '.join(missing)}: sweep over it, give it (at={{...}}, --at {missing[0]}=1) "
                f"or tie it (--tie {missing[0]}={grid.axes[0].name})"
            )
    return Plan(grid, found)


def of_quantity(quantity: Quantity, grid: Grid) -> Metric:
    """The quantity as a function of the swept symbols alone."""
    env = grid.substitution()
    value = substitute(quantity.value, env)
    guards = substituted_guards(quantity.domain, grid)
    names = tuple(sorted(value.symbols))
    needed = sorted(value.symbols.union(*(symbols_of(guard) for guard in guards)))
    swept = {axis.name for axis in grid.axes}
    function = over_arrays(value, names) if value.symbols <= swept else None

    def values(columns: Columns) -> Array:
        import numpy as np

        assert function is not None, "open symbols are refused before anything is evaluated"
        length = len(next(iter(columns.values())))
        return np.broadcast_to(function(*(columns[name] for name in names)), (length,))

    limits = bounds(value, {axis.name: axis.ends for axis in grid.axes})
    return Metric(quantity.name, quantity.unit, tuple(needed), values, guards, quantity.standing, limits)


def ratio(name: str, unit: str, above: Quantity, below: Quantity, grid: Grid) -> Metric:
    """The quotient of two quantities, rounded once; where nothing is below, as if it were one."""
    top, bottom = of_quantity(above, grid), of_quantity(below, grid)

    def values(columns: Columns) -> Array:
        import numpy as np

        pairs = zip(top.values(columns).tolist(), bottom.values(columns).tolist(), strict=True)
        return np.array([a / max(b, 1) for a, b in pairs], dtype=float)  # int / int is rounded correctly at any size

    names = tuple(sorted({*top.names, *bottom.names}))
    guards = tuple(dict.fromkeys(top.guards + bottom.guards))
    return Metric(name, unit, names, values, guards, top.standing.combine(bottom.standing), is_float=True)


def substituted_guards(domain: Iterable[Predicate], grid: Grid) -> tuple[Predicate, ...]:
    """The guards in the swept symbols, without those that hold everywhere."""
    env = grid.substitution()
    known = (replace_symbols(guard, env) for guard in domain)
    return tuple(guard for guard in known if decide(guard) is not True)


def _over(
    metric: Metric, columns: Columns, inside: Array, checks: Mapping[Predicate, Callable[[Columns], Any]]
) -> Array:
    """The metric's column, masked where a size or a guard forbids it; nothing is evaluated there."""
    import numpy as np

    if not metric.guards and inside.all():
        return metric.values(columns)
    kept = np.flatnonzero(inside)
    for guard in metric.guards:  # one after the other: a later one may divide by what an earlier one keeps from zero
        if kept.size:
            here = {name: column[kept] for name, column in columns.items()}
            kept = kept[np.broadcast_to(np.asarray(checks[guard](here), dtype=bool), kept.shape)]
    values = metric.values({name: column[kept] for name, column in columns.items()}) if kept.size else np.zeros(0, int)
    if len(kept) == len(inside):
        return values
    column = np.zeros(len(inside), dtype=values.dtype)
    column[kept] = values
    mask = np.ones(len(inside), dtype=bool)
    mask[kept] = False
    return np.ma.masked_array(column, mask=mask)


def empty(column: Array) -> int:
    """Masked cells of a column."""
    import numpy as np

    return int(np.ma.getmaskarray(column).sum())


def _series(pandas: Any, column: Array) -> Any:
    """A column as pandas keeps it: Int64 has missing values, object holds integers of any size."""
    import numpy as np

    if not np.ma.isMaskedArray(column):
        return column
    if column.dtype == object:
        return pandas.Series(column.tolist(), dtype=object)
    if column.dtype.kind == "f":
        return pandas.Series(column.filled(np.nan))
    return pandas.Series(pandas.array(column.filled(0), dtype="Int64")).mask(np.ma.getmaskarray(column))
