"""Tables of plain rows: what by_node, by_module and by_op return."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from fxcost.errors import SpecError

MOST_SHOWN = 60
"""Rows that a notebook shows."""


@dataclass(frozen=True)
class Table:
    """Rows of named cells; cells are text, integers, floats, quantities or None."""

    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Mapping[str, Any]:
        return self.rows[position]

    def to_csv(self) -> str:
        """Comma-separated text with a header line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_text(row.get(column)) for column in self.columns] for row in self.rows)
        return out.getvalue()

    def to_markdown(self) -> str:
        """A GitHub table; pipes in names are escaped."""
        lines = ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        for row in self.rows:
            cells = (_text(row.get(column)).replace("|", "\\|") for column in self.columns)
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def _repr_markdown_(self) -> str:
        """As notebooks show it: the first rows of a long table."""
        shown = Table(self.columns, self.rows[:MOST_SHOWN])
        more = f"\n{len(self) - MOST_SHOWN:,} more rows\n" if len(self) > MOST_SHOWN else ""
        return shown.to_markdown() + more

    def to_pandas(self) -> Any:
        """A pandas DataFrame; pandas comes with the extra `pandas`."""
        pandas = needed("pandas", "to_pandas", "pandas")
        return pandas.DataFrame([dict(row) for row in self.rows], columns=list(self.columns))

    def __str__(self) -> str:
        cells = [list(self.columns), *([_text(row.get(c)) for c in self.columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)


def needed(package: str, what: str, extra: str) -> Any:
    """An optional package; raises SpecError saying how to install it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise SpecError(f"{what} needs {package}; pip install 'fxcost[{extra}]'") from error
