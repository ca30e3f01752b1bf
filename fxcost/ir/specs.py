"""Input specs: `"N,3,H,W"`, `"i64[N,S]"`, `"H=32..4096"` and nested structures, read without evaluating anything.

spec   ::= dims | tensor | group
tensor ::= dtype '[' dims ']'                      f32 by default
group  ::= '[' item, ... ']' | '(' item, ... ')'   a list or a tuple of inputs
item   ::= (tensor | group) ['*' INT]              repeated
dims   ::= dim, ...
dim    ::= size ['=' range | '=' INT '*' NAME] ['@' INT]
size   ::= INT | NAME | sums and products of them  `S+1`, `2*S`
range  ::= [INT] '..' [INT]                        bounds of the symbol
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fxcost.errors import SpecError
from fxcost.ir.expr import Expr, symbol
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType

_TENSOR = re.compile(r"\s*([a-z]+[0-9a-z]*)\s*\[")
_RANGE = re.compile(r"(\d*)\s*\.\.\s*(\d*)")
_MULTIPLE = re.compile(r"(\d+)\s*\*\s*([A-Za-z_]\w*)")
MAX_ITEMS = 10_000


@dataclass(frozen=True)
class TensorSpec:
    """One input tensor: element type and sizes."""

    dtype: DType
    shape: tuple[Expr, ...]


@dataclass
class SpecReader:
    """Reads specs that share one set of symbols; `symbols` holds what was declared, in order of appearance."""

    symbols: dict[str, SymbolInfo] = field(default_factory=dict)
    multiples: dict[str, Expr] = field(default_factory=dict)

    def read(self, text: str) -> object:
        """Read one spec; raises SpecError with the place and what was expected."""
        if not isinstance(text, str):
            raise SpecError(f"an input spec is text such as 'N,3,H,W' or 'i64[N,S]', found {type(text).__name__}")
        stripped = text.strip()
        if not stripped:
            raise SpecError("an input spec is empty; write sizes such as 'N,3,H,W' or 'i64[N,S]'")
        if stripped[0] in "[(" or _TENSOR.match(stripped):
            value, end = self._item(stripped, 0, 0)
            if stripped[end:].strip():
                raise _error(text, end, f"found {stripped[end:]!r} after a complete spec")
            return value
        return TensorSpec(DType.F32, self._dims(stripped, text))

    def declare(self, text: str) -> bool:
        """Read a declaration that stands alone, `H=32..4096`, `H=32*h`, `H@224`; False when `text` is not one."""
        name, *_ = re.split("[=@]", text, maxsplit=1)
        found = re.fullmatch(r"[A-Za-z_]\w*(=(\d*\.\.\d*|\d+\*[A-Za-z_]\w*))?(@\d+)?", text.replace(" ", ""))
        if found is None or text.strip() == name.strip():
            return False
        self._dim(text, text)
        return True

    def _item(self, text: str, at: int, depth: int) -> tuple[object, int]:
        if depth > 50:
            raise _error(text, at, "more than 50 nested brackets")
        found = _TENSOR.match(text, at)
        if found:
            end = text.find("]", found.end())
            if end < 0:
                raise _error(text, at, "a '[' is never closed; expected ']'")
            value: object = TensorSpec(DType.of(found[1]), self._dims(text[found.end() : end], text))
            return value, end + 1
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text) or text[at] not in "[(":
            raise _error(text, at, "expected a tensor such as f32[N,S] or a bracket")
        closing = "]" if text[at] == "[" else ")"
        items, at = self._items(text, at + 1, closing, depth)
        return (list(items) if closing == "]" else tuple(items)), at

    def _items(self, text: str, at: int, closing: str, depth: int) -> tuple[list[object], int]:
        items: list[object] = []
        while True:
            while at < len(text) and text[at] in " ,\t\n":
                at += 1
            if at >= len(text):
                raise _error(text, at, f"a bracket is never closed; expected {closing!r}")
            if text[at] == closing:
                return items, at + 1
            item, at = self._item(text, at, depth + 1)
            repeated = re.compile(r"\s*\*\s*(\d+)").match(text, at)
            count = int(repeated[1][:9]) if repeated else 1
            if repeated:
                at = repeated.end()
            if len(items) + count > MAX_ITEMS:
                raise _error(text, at, f"more than {MAX_ITEMS:,} inputs in one list")
            items.extend([item] * count)

    def _dims(self, text: str, whole: str) -> tuple[Expr, ...]:
        if not text.strip():
            return ()
        return tuple(self._dim(part, whole) for part in text.split(","))

    def _dim(self, text: str, whole: str) -> Expr:
        body, _, hint_text = text.partition("@")
        size_text, equals, range_text = body.partition("=")
        if not size_text.strip():
            raise SpecError(f"input spec {whole!r}: a size is missing; expected a number or a name between the commas")
        size = parse_expr(size_text.strip(), where=f"input spec {whole!r}")
        for name in sorted(size.symbols):
            if name.startswith("data_"):
                raise SpecError(
                    f"input spec {whole!r}: names that begin with data_ are kept for sizes the data decides"
                )
            self.symbols.setdefault(name, SymbolInfo(name))
        value = size.constant
        if value is not None and value < 1:
            raise SpecError(f"input spec {whole!r}: size {value} is not positive")
        if not equals and not hint_text:
            return size
        if not size_text.strip().isidentifier():
            raise SpecError(
                f"input spec {whole!r}: only a single name takes a range, a multiple or a hint: {text.strip()!r}"
            )
        self._restrict(size_text.strip(), range_text.strip() if equals else "", hint_text.strip(), whole)
        return size

    def _restrict(self, name: str, range_text: str, hint_text: str, whole: str) -> None:
        info = self.symbols[name]
        multiple = _MULTIPLE.fullmatch(range_text)
        bounds = _RANGE.fullmatch(range_text)
        if multiple:
            factor, base = int(multiple[1][:12]), multiple[2]
            if factor < 1 or base == name:
                raise SpecError(
                    f"input spec {whole!r}: {name}={range_text} must be a positive number times another name"
                )
            self.multiples[name] = symbol(base) * factor
            self.symbols.pop(name)
            self.symbols.setdefault(base, SymbolInfo(base))
            if hint_text:
                self._hint(base, hint_text, whole)
            return
        if bounds:
            low = int(bounds[1][:18] or 1)
            high = int(bounds[2][:18]) if bounds[2] else None
            if low < 1 or (high is not None and high < low):
                raise SpecError(f"input spec {whole!r}: the range {range_text} of {name} is empty or below 1")
            info = replace(info, min=low, max=high)
        elif range_text:
            raise SpecError(
                f"input spec {whole!r}: {range_text!r} after {name}= is neither a range (32..4096) nor a multiple (32*h)"
            )
        self.symbols[name] = info
        if hint_text:
            self._hint(name, hint_text, whole)

    def _hint(self, name: str, text: str, whole: str) -> None:
        if not text.isdecimal() or int(text[:12]) < 1:
            raise SpecError(f"input spec {whole!r}: the size to trace with, {text!r}, is not a positive number")
        self.symbols[name] = replace(self.symbols[name], hint=int(text[:12]))


def _error(text: str, at: int, message: str) -> SpecError:
    return SpecError(f"input spec {text!r}, column {at + 1}: {message}")


def split_named(texts: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split command-line specs into positional ones and `name=spec` ones.

    `mask=i64[N,S+1]` is a keyword input; `H=32..4096` and `N,3,H=32..4096,W` are not.
    """
    positional: list[str] = []
    named: dict[str, str] = {}
    for text in texts:
        found = re.match(r"\s*([A-Za-z_]\w*)\s*=\s*(?=[a-z]+[0-9a-z]*\s*\[|[\[(])", text)
        if not found:
            positional.append(text)
        elif found[1] in named:
            raise SpecError(f"the input {found[1]!r} is given twice")
        else:
            named[found[1]] = text[found.end() :]
    return positional, named


def parse_point(text: str | None) -> dict[str, int]:
    """Read `N=1,H=224,W=224`; raises SpecError saying which part is wrong."""
    point: dict[str, int] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = (p.strip() for p in part.partition("="))
        if not equals or not name.isidentifier() or not value.isdecimal() or len(value) > 18:
            raise SpecError(f"--at {text!r}: {part.strip()!r} is not NAME=NUMBER, for example N=1,H=224")
        if name in point:
            raise SpecError(f"--at {text!r}: {name} is given twice")
        point[name] = int(value)
    return point


def parse_ties(text: str | None) -> Mapping[str, str]:
    """Read `W=H,T=2*S`: the left symbol follows the expression on the right."""
    ties: dict[str, str] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        name, equals, value = (p.strip() for p in part.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise SpecError(f"--tie {text!r}: {part.strip()!r} is not NAME=EXPRESSION, for example W=H")
        ties[name] = value
    return ties
