"""Reports as JSON read back, to compare one revision of a model with another.

What a file says is checked field by field; formulas are parsed by our own reader and never evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fxcost.errors import FileError
from fxcost.ir.expr import Expr, total
from fxcost.ir.reader import Malformed, Reader, parse_predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.query.breakdown import METRICS
from fxcost.query.difference import Revision, modules_of
from fxcost.report.json import SCHEMA
from fxcost.report.summary import Summary

Item = TypeVar("Item")

MOST_BYTES = 1 << 28
"""Larger files are refused: the report of a model with ten thousand nodes has a twentieth of it."""


def revision_of(summary: Summary) -> Revision:
    """The revision that a summary describes."""
    options = summary.options
    return Revision(
        summary.model,
        summary.symbols,
        tuple(parse_predicate(guard) for guard in summary.domain),
        {name: quantity.value for name, quantity in summary.quantities.items()},
        {name: quantity.unit for name, quantity in summary.quantities.items()},
        str(summary.standing),
        modules_of(summary.nodes),
        _settings(summary.mode, options.accounting, options.inputs, dict(options.weights), options.activations),
        summary.fixed_dims,
        summary.versions.get("fxcost", ""),
    )


def _settings(
    mode: str, accounting: str, inputs: str, weights: Mapping[str, str], widths: str | None
) -> dict[str, str]:
    listed = ", ".join(f"{pattern}={width}" for pattern, width in weights.items())
    return {
        "mode": mode,
        "accounting": accounting,
        "inputs": inputs,
        "weights": listed or "as they are",
        "activations": widths or "as they are",
    }


def read_revision(path: Path) -> tuple[Revision, dict[str, int]]:
    """The revision that a file of `fxcost report --json` describes, and the point its numbers are taken at.

    Raises FileError saying where in the file what was found.
    """
    return _Reading(path).revision()


class _Reading:
    """One file being read; every complaint names the file and the field."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if path.stat().st_size > MOST_BYTES:
                raise FileError(f"{path}: larger than {MOST_BYTES:,} bytes, this is no report")
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise FileError(f"cannot read {path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{path}: not UTF-8 text (byte {error.start})") from error
        try:
            self._root: Any = json.loads(text, parse_constant=self._no_number)
        except json.JSONDecodeError as error:
            raise FileError(
                f"{path}: not JSON (line {error.lineno}, column {error.colno}: {error.msg}); expected what "
                "`fxcost report --json` writes"
            ) from error
        except (RecursionError, ValueError) as error:
            raise FileError(f"{path}: not readable as JSON: {error}") from error
        self._reader = Reader(len(text))

    def revision(self) -> tuple[Revision, dict[str, int]]:
        root = self._object("", self._root)
        if root.get("schema") != SCHEMA:
            found = "no schema" if "schema" not in root else f"schema {root['schema']!r}"
            raise FileError(f"{self._path}: {found}, expected {SCHEMA!r}: write it with `fxcost report MODEL --json`")
        totals = self._object("totals", root.get("totals"))
        if not totals:
            raise self._wrong("totals", "found none")
        weights = root.get("weights")
        return Revision(
            self._text("model", root.get("model")),
            self._symbols(self._object("symbols", root.get("symbols"))),
            tuple(
                self._parsed(f"domain[{i}]", self._text(f"domain[{i}]", guard), self._reader.predicate)
                for i, guard in enumerate(self._list("domain", root.get("domain")))
            ),
            {name: self._expr(f"totals.{name}", entry) for name, entry in totals.items()},
            {
                name: self._text(f"totals.{name}.unit", self._object("", entry).get("unit"))
                for name, entry in totals.items()
            },
            self._text("standing", root.get("standing")),
            self._modules(self._list("nodes", root.get("nodes"))),
            _settings(
                self._text("mode", root.get("mode")),
                self._text("accounting", root.get("accounting")),
                self._text("inputs", root.get("inputs")),
                {} if weights is None else self._texts("weights", weights),
                None if root.get("activations") is None else self._text("activations", root["activations"]),
            ),
            self._texts("fixed_dims", root.get("fixed_dims")),
            self._texts("versions", root.get("versions")).get("fxcost", ""),
        ), {n: self._whole(f"at.{n}", v) for n, v in self._object("at", root.get("at") or {}).items()}

    def _symbols(self, found: Mapping[str, Any]) -> tuple[SymbolInfo, ...]:
        symbols = []
        for name, entry in found.items():
            where = f"symbols.{name}"
            fields = self._object(where, entry)
            most = fields.get("max")
            symbols.append(
                SymbolInfo(
                    name,
                    self._whole(f"{where}.min", fields.get("min")),
                    None if most is None else self._whole(f"{where}.max", most),
                    self._whole(f"{where}.multiple_of", fields.get("multiple_of"), least=1),
                )
            )
        return tuple(symbols)

    def _modules(self, nodes: list[Any]) -> dict[str, dict[str, Expr]]:
        gathered: dict[str, list[dict[str, Expr]]] = {}
        for i, entry in enumerate(nodes):
            row = self._object(f"nodes[{i}]", entry)
            module = self._text(f"nodes[{i}].module", row.get("module"))
            gathered.setdefault(module, []).append({m: self._expr(f"nodes[{i}].{m}", row.get(m)) for m in METRICS})
        return {module: {m: total(each[m] for each in rows) for m in METRICS} for module, rows in gathered.items()}

    # -- fields ----------------------------------------------------------------------------------------------------
    def _wrong(self, where: str, problem: str) -> FileError:
        return FileError(
            f"{self._path}: {where or 'the document'}: {problem}; expected what `fxcost report --json` writes"
        )

    def _no_number(self, text: str) -> Any:
        raise ValueError(f"{text} is no number in JSON")

    def _object(self, where: str, found: Any) -> dict[str, Any]:
        if not isinstance(found, dict):
            raise self._wrong(where, f"found {_kind(found)}, expected an object")
        return found

    def _list(self, where: str, found: Any) -> list[Any]:
        if not isinstance(found, list):
            raise self._wrong(where, f"found {_kind(found)}, expected a list")
        return found

    def _text(self, where: str, found: Any) -> str:
        if not isinstance(found, str):
            raise self._wrong(where, f"found {_kind(found)}, expected text")
        return found

    def _texts(self, where: str, found: Any) -> dict[str, str]:
        return {name: self._text(f"{where}.{name}", text) for name, text in self._object(where, found).items()}

    def _whole(self, where: str, found: Any, least: int = 0) -> int:
        if isinstance(found, bool) or not isinstance(found, int) or found < least:
            raise self._wrong(where, f"found {found!r:.40}, expected an integer from {least} on")
        return found

    def _expr(self, where: str, entry: Any) -> Expr:
        text = self._text(f"{where}.expr", self._object(where, entry).get("expr"))
        return self._parsed(f"{where}.expr", text, self._reader.expression)

    def _parsed(self, where: str, text: str, read: Callable[[str], Item]) -> Item:
        try:
            return read(text)
        except Malformed as problem:
            raise self._wrong(where, f"{problem} (character {problem.position + 1})") from None


def _kind(found: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(found), "a number")
