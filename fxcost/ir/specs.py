"""Input specs: `"N,3,H,W"`, `"i64[N,S]"`, `"H=32..4096"` and nested structures, read without evaluating anything.

spec   ::= dims | tensor | group
tensor ::= dtype '[' dims ']' [values]             f32 by default
values ::= '{' INT, ... '}'                        of an integer tensor, row by row: what it says about sizes is then known
group  ::= '[' item, ... ']' | '(' item, ... ')'   a list or a tuple of inputs
item   ::= (tensor | group) ['*' INT]              repeated
dims   ::= dim, ...
dim    ::= size ['=' range | '=' INT '*' NAME] ['@' INT]
size   ::= INT | NAME | sums and products of them  `S+1`, `2*S`
range  ::= [INT] '..' [INT]                        bounds of the symbol
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

from fxcost.errors import SpecError
from fxcost.ir.expr import DATA_PREFIX, Expr, symbol
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType

MAX_ITEMS = 10_000
MAX_DIMS = 64
MAX_BRACKETS = 50
MAX_DIGITS = 18
MAX_NAME = 40

_TENSOR = re.compile(r"\s*([a-z]+[0-9a-z]*)\s*\[")
_RANGE = re.compile(r"([0-9]*)\s*\.\.\s*([0-9]*)")
_MULTIPLE = re.compile(r"([0-9]+)\s*\*\s*([A-Za-z_][A-Za-z0-9_]*)")
_REPEAT = re.compile(r"\s*\*\s*([0-9]+)")
_VALUE = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DECLARATION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(=([0-9]*\.\.[0-9]*|[0-9]+\*[A-Za-z_][A-Za-z0-9_]*))?(@[0-9]+)?")
_NAMED = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?=[a-z]+[0-9a-z]*\s*\[|[\[(])")
_RESERVED = frozenset({"max", "min", "ceildiv", "all", "any"})


@dataclass(frozen=True)
class TensorSpec:
    """One input tensor: element type and sizes; for integers that are known, every element row by row."""

    dtype: DType
    shape: tuple[Expr, ...]
    values: tuple[int, ...] = ()


@dataclass
class SpecReader:
    """Reads specs that share one set of symbols.

    `symbols` holds the free ones in order of appearance, `multiples` those that stand for a multiple of another, `ranges`
    the bounds as written.
    """

    symbols: dict[str, SymbolInfo] = field(default_factory=dict)
    multiples: dict[str, Expr] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def read(self, text: str) -> object:
        """Read one spec; raises SpecError with the place and what was expected."""
        if not isinstance(text, str):
            raise SpecError(f"an input spec is text such as 'N,3,H,W' or 'i64[N,S]', found {type(text).__name__}")
        stripped = text.strip()
        if not stripped:
            raise SpecError("an input spec is empty; write sizes such as 'N,3,H,W' or 'i64[N,S]'")
        if stripped[0] not in "[(" and not _TENSOR.match(stripped):
            return TensorSpec(DType.F32, self._dims(stripped, text))
        value, end = self._item(stripped, 0, 0)
        if stripped[end:].strip():
            _wrong(text, f"found {_quoted(stripped[end:])} after a complete spec", end)
        return value

    def declare(self, text: str) -> bool:
        """Read a declaration that stands alone, `H=32..4096`, `H=32*h`, `H@224`; False when `text` is not one."""
        bare = "".join(text.split())
        if not _DECLARATION.fullmatch(bare) or _NAME.fullmatch(bare):
            return False
        self._dim(text, text)
        return True

    # -- structures ----------------------------------------------------------------------------------------------------
    def _item(self, text: str, at: int, depth: int) -> tuple[object, int]:
        if depth > MAX_BRACKETS:
            _wrong(text, f"more than {MAX_BRACKETS} nested brackets", at)
        found = _TENSOR.match(text, at)
        if found:
            end = text.find("]", found.end())
            if end < 0:
                _wrong(text, "a '[' is never closed; expected ']'", at)
            tensor = TensorSpec(_dtype(found[1], text), self._dims(text[found.end() : end], text))
            return _with_values(tensor, text, end + 1)
        at = _blanks(text, at)
        if at >= len(text) or text[at] not in "[(":
            _wrong(text, "expected a tensor such as f32[N,S], or a bracket", at)
        closing = "]" if text[at] == "[" else ")"
        items, at = self._items(text, at + 1, closing, depth)
        return (items if closing == "]" else tuple(items)), at

    def _items(self, text: str, at: int, closing: str, depth: int) -> tuple[list[object], int]:
        items: list[object] = []
        while True:
            at = _blanks(text, at)
            if at < len(text) and text[at] == closing:
                return items, at + 1
            if at >= len(text):
                _wrong(text, f"a bracket is never closed; expected {closing!r}", at)
            item, at = self._item(text, at, depth + 1)
            count = 1
            repeated = _REPEAT.match(text, at)
            if repeated:
                count, at = _number(repeated[1], text), repeated.end()
            if len(items) + count > MAX_ITEMS:
                _wrong(text, f"more than {MAX_ITEMS:,} inputs in one list", at)
            items.extend([item] * count)
            at = _blanks(text, at)
            if at < len(text) and text[at] == ",":
                at += 1
            elif at < len(text) and text[at] != closing:
                _wrong(text, f"found {_quoted(text[at:])}, expected ',' or {closing!r}", at)

    # -- sizes ---------------------------------------------------------------------------------------------------------
    def _dims(self, text: str, whole: str) -> tuple[Expr, ...]:
        parts = text.split(",") if text.strip() else []
        if len(parts) > MAX_DIMS:
            _wrong(whole, f"found {len(parts):,} sizes, expected at most {MAX_DIMS}")
        return tuple(self._dim(part, whole) for part in parts)

    def _dim(self, text: str, whole: str) -> Expr:
        body, at, hint = (part.strip() for part in text.partition("@"))
        name, equals, restriction = (part.strip() for part in body.partition("="))
        if not name:
            _wrong(whole, "a size is missing; expected a number or a name between the commas")
        size = parse_expr(name, where=f"input spec {_quoted(whole)}")
        self._check_size(size, whole)
        if (equals or at) and not _NAME.fullmatch(name):
            _wrong(whole, f"only a single name takes a range, a multiple or a hint: {_quoted(text.strip())}")
        if equals:
            self._restrict(name, restriction, whole)
        if at:
            self._hint(name, hint, whole)
        return size

    def _check_size(self, size: Expr, whole: str) -> None:
        if any(atom.kind != "symbol" for atom in size.atoms()):
            _wrong(whole, f"the size {size} is neither a number, a name nor a sum or product of them")
        for name in sorted(size.symbols):
            _check_name(name, whole)
            self.symbols.setdefault(name, SymbolInfo(name))
        if size.constant is not None and size.constant < 1:
            _wrong(whole, f"the size {size} is not positive")
        if all(factor > 0 for factor in size.terms.values()):
            return
        # `S - 1` is a size where S is at least 2; anything with more names in it has no such simple bound.
        (name, *others) = size.symbols
        least = 1 - size.terms.get((), 0)
        if others or size is not symbol(name) + (1 - least):
            _wrong(whole, f"the size {size} may be negative; subtract a number from one name only")
        self.symbols[name] = replace(self.symbols[name], min=max(self.symbols[name].min, least))

    def _restrict(self, name: str, text: str, whole: str) -> None:
        multiple, bounds = _MULTIPLE.fullmatch(text), _RANGE.fullmatch(text)
        if multiple:
            self._multiple(name, _number(multiple[1], whole), multiple[2], whole)
        elif bounds:
            low = _number(bounds[1], whole) if bounds[1] else 1
            high = _number(bounds[2], whole) if bounds[2] else None
            if low < 1 or (high is not None and high < low):
                _wrong(whole, f"the range {text} of {name} is empty or below 1")
            if name in self.multiples:
                _wrong(whole, f"{name} is {self.multiples[name]}; bound {', '.join(self.multiples[name].symbols)}")
            if self.ranges.setdefault(name, (low, high)) != (low, high):
                _wrong(whole, f"the range {text} of {name}, which has another one: {self.symbols[name]}")
            info = self.symbols[name]
            self.symbols[name] = replace(info, min=max(low, info.min), max=high)
        else:
            _wrong(
                whole,
                f"{_quoted(text)} after {name}= is neither a range (32..4096) nor a multiple (32*h); an input by name "
                f"has a type, {name}=f32[...]",
            )

    def _multiple(self, name: str, factor: int, base: str, whole: str) -> None:
        _check_name(base, whole)
        value = symbol(base) * factor
        if factor < 1 or base == name or base in self.multiples:
            _wrong(whole, f"{name}={factor}*{base} must be a positive number times another, free name")
        if self.multiples.get(name, value) is not value or name in self.ranges or self.symbols[name].hint:
            _wrong(whole, f"{name} is already given as {self.multiples.get(name, self.symbols[name])}")
        if any(name in other.symbols for other in self.multiples.values()):
            _wrong(whole, f"{name} already stands in a multiple itself")
        self.multiples[name] = value
        self.symbols.setdefault(base, SymbolInfo(base))

    def _hint(self, name: str, text: str, whole: str) -> None:
        if not text.isascii() or not text.isdecimal() or _number(text, whole) < 1:
            _wrong(whole, f"the size to trace with, {_quoted(text)} after {name}@, is not a positive number")
        if name in self.multiples:  # `H=32*h@7`: the hint is of the free name
            (name,) = self.multiples[name].symbols
        info, hint = self.symbols[name], int(text)
        if info.hint not in {None, hint}:
            _wrong(whole, f"two sizes to trace with: {name}@{info.hint} and {name}@{hint}")
        self.symbols[name] = replace(info, hint=hint)


def _with_values(tensor: TensorSpec, text: str, at: int) -> tuple[TensorSpec, int]:
    """The tensor with the values that follow it in braces, if any, and where it ends."""
    start = _blanks(text, at)
    if start >= len(text) or text[start] != "{":
        return tensor, at
    end = text.find("}", start)
    if end < 0:
        _wrong(text, "a '{' is never closed; expected '}'", start)
    if not tensor.dtype.is_whole:
        _wrong(text, f"values in braces are for integers and truth values, not for {tensor.dtype.short}", start)
    count = 1
    for size in tensor.shape:
        if size.constant is None:
            _wrong(text, f"a tensor with values has numbers for sizes, found {size}", start)
        count *= size.constant
    parts = [part.strip() for part in text[start + 1 : end].split(",")]
    if count > MAX_ITEMS:
        _wrong(text, f"more than {MAX_ITEMS:,} values", start)
    if len(parts) != count:
        _wrong(text, f"found {len(parts):,} values, expected {count:,}", start)
    wrong = next((part for part in parts if not _VALUE.fullmatch(part)), None)
    if wrong is not None:
        _wrong(text, f"found {_quoted(wrong)}, expected an integer of up to {MAX_DIGITS} digits", start)
    values = tuple(int(part) for part in parts)
    if tensor.dtype is DType.BOOL and not set(values) <= {0, 1}:
        _wrong(text, "truth values are 0 or 1", start)
    return replace(tensor, values=values), end + 1


def _wrong(text: str, message: str, at: int | None = None) -> NoReturn:
    column = "" if at is None else f", column {at + 1}"
    raise SpecError(f"input spec {_quoted(text)}{column}: {message}")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _dtype(name: str, whole: str) -> DType:
    try:
        return DType.of(name)
    except SpecError as error:
        _wrong(whole, str(error))


def _number(digits: str, whole: str) -> int:
    if len(digits) > MAX_DIGITS:
        _wrong(whole, f"found a number of {len(digits):,} digits, expected at most {MAX_DIGITS}")
    return int(digits)


def _check_name(name: str, whole: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        _wrong(
            whole, f"{_quoted(name)} is no name for a size; expected up to {MAX_NAME} letters, digits and underscores"
        )
    if name in _RESERVED or keyword.iskeyword(name):
        _wrong(whole, f"{name!r} has a meaning in formulas and cannot name a size")
    if name.startswith("data_"):
        _wrong(whole, "names that begin with data_ are kept for sizes the data decides")


# -- options of the command line -----------------------------------------------------------------------------------
def split_named(texts: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split command-line specs into positional ones and `name=spec` ones.

    `mask=i64[N,S+1]` is a keyword input; `H=32..4096` and `N,3,H=32..4096,W` are not.
    """
    positional: list[str] = []
    named: dict[str, str] = {}
    for text in texts:
        found = _NAMED.match(text)
        if not found:
            positional.append(text)
        elif found[1] in named:
            raise SpecError(f"the input {found[1]!r} is given twice")
        else:
            named[found[1]] = text[found.end() :]
    return positional, named


def parse_point(text: str) -> dict[str, int]:
    """Read `N=1,H=224,W=224`; raises SpecError saying which part is wrong."""
    point: dict[str, int] = {}
    for name, value in _assignments(text, "--at", "NAME=NUMBER, for example N=1,H=224"):
        least = 0 if name.startswith(DATA_PREFIX) else 1  # data may find nothing
        if not value.isascii() or not value.isdecimal() or len(value) > MAX_DIGITS or int(value) < least:
            raise SpecError(
                f"--at {_quoted(text)}: {name}={_quoted(value)} is not a positive number of up to {MAX_DIGITS} digits"
            )
        point[name] = int(value)
    return point


def parse_over(texts: Iterable[str]) -> dict[str, range | list[int]]:
    """Read `H=64:512:32`, `H=64:512` (both ends included) and `H=64,128,224`: the sizes that a symbol takes."""
    found: dict[str, range | list[int]] = {}
    form = "NAME=FIRST:LAST:STEP or NAME=SIZE,SIZE,..., for example H=64:512:32"
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        parts = [part.strip() for part in value.split(":" if ":" in value else ",")]
        if not _NAME.fullmatch(name) or not value or (":" in value and len(parts) > 3):
            raise SpecError(f"--over {_quoted(text)} is not {form}")
        if name in found:
            raise SpecError(f"--over {name} is given twice; list its sizes in one")
        wrong = next((p for p in parts if not p.isascii() or not p.isdecimal() or len(p) > MAX_DIGITS), None)
        if wrong is not None:
            raise SpecError(f"--over {_quoted(text)}: {_quoted(wrong)} is not a number of up to {MAX_DIGITS} digits")
        numbers = [int(part) for part in parts]
        if ":" not in value:
            found[name] = numbers
            continue
        first, last, step = (*numbers, 1)[:3]
        if step == 0:
            raise SpecError(f"--over {_quoted(text)}: the step is 0; expected at least 1")
        if last < first:
            raise SpecError(f"--over {_quoted(text)} is empty: {last} is less than {first}")
        found[name] = range(first, last + 1, step)
    return found


def parse_ties(text: str | None) -> Mapping[str, str]:
    """Read `W=H,T=2*S`: the left symbol follows the expression on the right."""
    return {} if text is None else dict(_assignments(text, "--tie", "NAME=EXPRESSION, for example W=H"))


def _assignments(text: str, option: str, form: str) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for part in text.split(","):
        name, _, value = (p.strip() for p in part.partition("="))
        if not _NAME.fullmatch(name) or not value:
            raise SpecError(f"{option} {_quoted(text)}: {_quoted(part.strip())} is not {form}")
        if name in seen:
            raise SpecError(f"{option} {_quoted(text)}: {name} is given twice")
        seen.add(name)
        yield name, value
