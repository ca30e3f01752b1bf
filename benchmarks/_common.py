"""What the scripts share: CPU time, and a result as a plain table or as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

T = TypeVar("T")


def cpu_seconds(action: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of this process for one call, with its result. Less noisy than wall time on a shared computer."""
    gc.collect()  # not the garbage of the call before
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def arguments(doc: str | None, *switches: tuple[str, str], **options: tuple[int, str]) -> argparse.Namespace:
    """Command line of a script: `--json`, switches given as (name, help), and integers as name=(default, help)."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    for name, text in switches:
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for name, (default, text) in options.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: {default})")
    return parser.parse_args()


@dataclass(frozen=True)
class Result:
    """A table of cells by column, and lines that say what it means."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    remarks: Sequence[str] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    def show(self, as_json: bool) -> None:
        """Print it, as JSON with the versions that were measured or as text."""
        if as_json:
            rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
            print(json.dumps({"title": self.title, "rows": rows, **self.figures, "setting": setting()}, indent=1))
            return
        cells = [list(self.columns), *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        print(self.title)
        for line in cells:
            padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
            print("  " + "  ".join([line[0].ljust(widths[0]), *padded[1:]]).rstrip())
        for remark in self.remarks:
            print(remark)


def setting() -> dict[str, Any]:
    """What a reader needs to judge the numbers."""
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "fxcost": version("fxcost"),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
    }


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.3f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
