"""Buffers as CSV, in MiniMalloc's format: columns id, lower, upper, size in any order, and a plan's `offset` beside.

`upper` is the first time at which a buffer is no longer alive. A column `end` instead of it is the last time at which it
still is; `start` and `begin` stand for `lower`, `buffer` and `buffer_id` for `id`. A column `alignment` asks for offsets
that are multiples of it. Other columns are kept.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from fxcost.errors import FileError
from fxcost.passes.memory_plan import Plan
from fxcost.passes.memory_plan_problem import Request

NAMES = {"buffer": "id", "buffer_id": "id", "start": "lower", "begin": "lower"}
NEEDED = ("id", "lower", "upper", "size")
INTEGER = re.compile(r"[+-]?[0-9]{1,30}")


@dataclass(frozen=True)
class BufferFile:
    """What a file says: buffers, the common multiple of their alignments, and the table that they came from.

    `notes` tells what the file holds beyond that, and how it was taken.
    """

    requests: tuple[Request, ...]
    alignment: int
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = field(repr=False)
    newline: str = "\n"
    notes: tuple[str, ...] = ()


def read_buffers(path: Path) -> BufferFile:
    """Read a file; raises FileError with the line where it cannot be understood."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: byte {error.start} is no UTF-8 text; expected CSV with columns {','.join(NEEDED)}"
        ) from error
    return parse_buffers(text, str(path))


def parse_buffers(text: str, where: str = "buffers") -> BufferFile:
    """Parse the text of a file; `where` names it in errors."""
    newline = "\r\n" if "\r\n" in text else "\n"
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header: tuple[str, ...] = ()
    column: dict[str, int] = {}
    rows: list[tuple[str, ...]] = []
    requests: list[Request] = []
    seen: dict[str, int] = {}
    multiples: set[int] = set()
    notes: tuple[str, ...] = ()
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            line = f"{where}, line {reader.line_num}"
            if not header:
                header, column = tuple(row), _columns(row, line)
                continue
            if len(row) != len(header):
                raise FileError(f"{line}: {len(row)} fields; expected {len(header)}, as in the header")
            name = row[column["id"]]
            if name in seen:
                raise FileError(
                    f"{line}: the id {name!r} is used on line {seen[name]} already; every buffer needs its own"
                )
            seen[name] = reader.line_num
            lower, upper, size = (_integer(row[column[key]], key, line) for key in NEEDED[1:])
            upper += header[column["upper"]].strip() == "end"
            if lower > upper:
                raise FileError(f"{line}: the lifetime of {name!r} ends at {upper}, before it begins at {lower}")
            if size < 0:
                raise FileError(f"{line}: the size of {name!r} is {size}; expected zero bytes or more")
            if "alignment" in column:
                multiple = _integer(row[column["alignment"]], "alignment", line)
                if not 1 <= multiple <= 1 << 40:
                    raise FileError(f"{line}: alignment {multiple}; expected a positive number of bytes")
                multiples.add(multiple)
            if "gaps" in column and row[column["gaps"]].strip() and not notes:
                notes = ("gaps in lifetimes are not used: such buffers keep their memory from lower to upper",)
            requests.append(Request(name, lower, upper, size))
            rows.append(tuple(row))
    except csv.Error as error:
        raise FileError(f"{where}, line {reader.line_num}: no CSV ({error}); expected {','.join(NEEDED)}") from error
    if not header:
        raise FileError(f"{where}: it is empty; expected CSV with columns {','.join(NEEDED)}")
    alignment = math.lcm(*multiples) if multiples else 1
    if len(multiples - {1}) > 1 or (alignment > 1 and 1 in multiples):
        notes += (f"alignments differ: every buffer is aligned to {alignment}, which may take more than is needed",)
    return BufferFile(tuple(requests), alignment, header, tuple(rows), newline, notes)


def _columns(header: list[str], line: str) -> dict[str, int]:
    """Position of each column by its own name and, where it stands for one, by the name in our words."""
    found: dict[str, int] = {}
    for position, cell in enumerate(header):
        name = cell.strip()
        for key in dict.fromkeys((NAMES.get(name, name), *(("upper",) if name == "end" else ()))):
            if key in found:
                raise FileError(f"{line}: two columns for {key!r}; expected one")
            found[key] = position
    missing = [name for name in NEEDED if name not in found]
    if missing:
        shown = ",".join(header)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise FileError(f"{line}: no column {', '.join(missing)} in {shown!r}; expected {','.join(NEEDED)}")
    return found


def _integer(text: str, column: str, line: str) -> int:
    if not INTEGER.fullmatch(text.strip()):
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise FileError(f"{line}: {column} is {shown!r}; expected an integer of at most 30 digits")
    return int(text)


def plan_csv(plan: Plan) -> str:
    """The buffers of a plan as a table of its own, each with its offset (and bank)."""
    rows = tuple((r.id, str(r.lower), str(r.upper), str(r.size)) for r in plan.buffers)
    return write_buffers(BufferFile(plan.buffers, plan.alignment, NEEDED, rows), plan.offsets, plan.banks)


def write_buffers(source: BufferFile, offsets: Mapping[str, int], banks: Mapping[str, int] | None = None) -> str:
    """The table with its own columns, rows and line ends, and the offset (and the bank) of every buffer."""
    added = {"offset": offsets} | ({"bank": banks} if banks else {})
    header = [cell for cell in source.header if cell.strip() not in added]
    kept = [i for i, cell in enumerate(source.header) if cell.strip() not in added]
    text = StringIO()
    writer = csv.writer(text, lineterminator=source.newline)
    writer.writerow([*header, *added])
    for request, row in zip(source.requests, source.rows, strict=True):
        writer.writerow([*(row[i] for i in kept), *(values[request.id] for values in added.values())])
    return text.getvalue()
