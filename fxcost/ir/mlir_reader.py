"""Tokens, attributes and types of the text form; `text_reader` puts graphs together from them.

Every mistake ends in one FileError: file, line, column, what was found, what was expected, what to do.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final, Never

from fxcost.errors import FileError
from fxcost.ir.expr import const
from fxcost.ir.limits import MAX_DIGITS, MAX_LISTS
from fxcost.ir.reader import Malformed, Reader
from fxcost.ir.types import DType, ScalarType, TensorType, ValueType

SPACE: Final = r"(?:[ \t\r\n]++|//[^\n]*+)*+"
_TEXT = r'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
_TOKEN = re.compile(
    rf"{SPACE}(?:"
    rf"({_TEXT})"
    r"|(%[A-Za-z0-9_$.-]++(?:\#[0-9]++)?)"
    r"|(tensor\s*<\s*(?P<dims>(?:(?:\?|[0-9]++)\s*x\s*)*+)(?P<element>[a-zA-Z][a-zA-Z0-9]*+(?:<\s*[a-z0-9]++\s*>)?)\s*"
    rf"(?:,\s*\#fxcost\.shape\s*<\s*(?P<shape>{_TEXT})\s*>\s*)?>)"
    rf"|(\#fxcost\.(?P<what>[a-z]++)\s*<\s*(?P<held>{_TEXT})\s*>)"
    r"|(affine_map\s*<[^<>\"]*+>[^<>\"]*+>|\#[A-Za-z_][A-Za-z0-9_]*+)"  # the first > is that of ->
    rf"|(@(?:[A-Za-z_][A-Za-z0-9_$.]*+|{_TEXT}))"
    r"|(-?(?:0x[0-9A-Fa-f]++|[0-9]++(?:\.[0-9]*+(?:[eE][-+]?[0-9]++)?)?))"
    r"|(\^?[A-Za-z_][A-Za-z0-9_$.]*+)"
    r"|(->|[(){}\[\]=:,])"
    r"|(\Z)|(.))",
    re.DOTALL,
)
STRING, NAME, TENSOR, OPAQUE, MAP, SYMBOL, NUMBER, WORD, PUNCTUATION, END, OTHER = 1, 2, 3, 7, *range(10, 17)
_ESCAPE = re.compile(rb'\\([0-9A-Fa-f]{2}|[nt"\\]|.)', re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b'"': b'"', b"\\": b"\\"}
_INTEGER = re.compile(r"-?[0-9]+")
_SCALARS = {"index": ScalarType("int"), "f64": ScalarType("float"), "i1": ScalarType("bool")}
HINT: Final = "write the file again with 'fxcost export --to mlir', or undo the edit"


@dataclass(frozen=True)
class FunctionType:
    """`(type*) -> (type*)` as an attribute."""

    inputs: tuple[ValueType, ...]
    outputs: tuple[ValueType, ...]


class Scanner:
    """Walks over the tokens of a text; `kind`, `token` and `start` describe the one at hand."""

    def __init__(self, text: str, where: str) -> None:
        """Begin at the first token of `text`; `where` names the file in messages."""
        self.text = text
        self.where = where
        self.expressions = Reader(len(text))
        self._types: dict[str, TensorType] = {}
        self._next = 0
        self.advance()

    # -- tokens ------------------------------------------------------------------------------------------------------
    def advance(self) -> str:
        """Go to the next token; returns the one that was at hand."""
        previous = self.token if self._next else ""
        match = _TOKEN.match(self.text, self._next)
        assert match is not None, "the pattern matches any character"
        self._match = match
        self.kind = match.lastindex or OTHER
        self.token: str = match[self.kind]
        self.start, self._next = match.span(self.kind)
        return previous

    def fail(self, message: str, position: int | None = None, hint: str = HINT) -> Never:
        """Raise the FileError for `position`, by default for the token at hand."""
        at = self.start if position is None else position
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        raise FileError(f"{self.where}:{line}:{column}: {message}; {hint}")

    def unexpected(self, expected: str) -> Never:
        """Fail at the token at hand, saying what it is."""
        if self.kind == END:
            self.fail(f"found the end of the text, expected {expected}", hint="the file is cut off: " + HINT)
        if self.token == '"':
            self.fail(f"found a string that does not end in its line, expected {expected}")
        rest = self.token if len(self.token) <= 40 else self.token[:40] + "..."
        self.fail(f"found {rest!r}, expected {expected}")

    def accept(self, token: str) -> bool:
        """Step over `token` when it is at hand."""
        if self.token == token and self.kind != END:
            self.advance()
            return True
        return False

    def expect(self, token: str) -> None:
        """Step over `token`, or fail."""
        if self.token != token or self.kind == END:
            self.unexpected(repr(token))
        self.advance()

    def string(self, what: str) -> str:
        """Step over a string and return what it says."""
        if self.kind != STRING:
            self.unexpected(what)
        position = self.start
        return self._unquoted(self.advance(), position)

    def integer(self, what: str) -> int:
        """Step over a plain integer."""
        if self.kind != NUMBER or not _INTEGER.fullmatch(self.token):
            self.unexpected(what)
        value = self._number(self.token)
        self.advance()
        return value

    # -- attributes --------------------------------------------------------------------------------------------------
    def attributes(self) -> dict[str, Any]:
        """Step over `{name = value, ...}`; nothing at all is an empty dictionary."""
        return self._dictionary(0) if self.token == "{" else {}

    def _dictionary(self, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.expect("{")
        while self.token != "}":
            position = self.start
            name = self.string("an attribute's name") if self.kind == STRING else self._word()
            if name in found:
                self.fail(f"the attribute {name!r} stands twice", position)
            found[name] = self._named_value(name, level) if self.accept("=") else None
            if not self.accept(","):
                break
        self.expect("}")
        return found

    def _named_value(self, name: str, level: int) -> Any:
        if self.kind == MAP and name.startswith("fact."):  # what passes found out is not read again
            self.advance()
            return None
        return self.value(level + 1)

    def _word(self) -> str:
        if self.kind != WORD or self.token.startswith("^"):
            self.unexpected("an attribute's name or '}'")
        return self.advance()

    def value(self, level: int = 0) -> Any:
        """Step over an attribute's value: an Attribute, a dictionary, or the type of a function."""
        if level > MAX_LISTS:
            self.fail(f"found lists nested deeper than {MAX_LISTS}, expected a flatter attribute")
        kind, token = self.kind, self.token
        if kind == STRING:
            return self.string("a string")
        if kind == NUMBER:
            return self._numeric()
        if kind == OPAQUE:
            return self._opaque()
        if kind == WORD and token in {"true", "false", "unit"}:
            self.advance()
            return None if token == "unit" else token == "true"
        if token == "[":
            return self._list(level)
        if token == "{":
            return self._dictionary(level)
        if token == "(":
            inputs = self.types()
            self.expect("->")
            return FunctionType(inputs, self.types())
        self.unexpected("an attribute's value")

    def _list(self, level: int) -> tuple[Any, ...]:
        items = []
        self.expect("[")
        while self.token != "]":
            items.append(self.value(level + 1))
            if not self.accept(","):
                break
        self.expect("]")
        return tuple(items)

    def _numeric(self) -> int | float:
        position, token = self.start, self.advance()
        suffix = ""
        if self.accept(":"):
            if self.kind != WORD:
                self.unexpected("i64 or f64")
            suffix = self.advance()
        if token.startswith("0x") and suffix == "f64" and len(token) == 18:
            value: float = struct.unpack(">d", bytes.fromhex(token[2:]))[0]
            return math.nan if struct.pack(">d", math.nan).hex() == token[2:].lower() else value
        if _INTEGER.fullmatch(token) and suffix in {"", "i64"}:
            return self._number(token, position)
        if "." in token and suffix in {"", "f64"} and len(token) < 1000 and math.isfinite(float(token)):
            return float(token)
        self.fail(f"found the number {(token + ' : ' + suffix)[:60]}, expected one of type i64 or f64", position)

    def _number(self, digits: str, position: int | None = None) -> int:
        if len(digits) > MAX_DIGITS:
            self.fail(f"found a number of {len(digits):,} digits, expected at most {MAX_DIGITS}", position)
        return int(digits)

    def _opaque(self) -> Any:
        what, position = self._match["what"], self._match.start("held")
        held = self._unquoted(self._match["held"], position)
        if what == "expr":
            value: Any = self.formula(self.expressions.expression, held, position)
        elif what == "int" and _INTEGER.fullmatch(held):
            value = self._number(held)
        else:
            self.fail(f'found #fxcost.{what}, expected #fxcost.expr<"..."> or #fxcost.int<"a number">')
        self.advance()
        return value

    def formula(self, read: Any, text: str, position: int) -> Any:
        """Read a formula that stands in quotes at `position`."""
        try:
            return read(text)
        except Malformed as problem:
            self.fail(str(problem), position + 1 + problem.position, "correct the formula, or " + HINT)

    def _unquoted(self, quoted: str, position: int) -> str:
        inner = quoted[1:-1]
        if "\\" not in inner:
            return inner
        try:
            return _ESCAPE.sub(_unescaped, inner.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
        except ValueError:
            self.fail(r"found an escape in a string that is none of \n \t \" \\ and \HH (bytes of UTF-8)", position)

    # -- types -------------------------------------------------------------------------------------------------------
    def types(self) -> tuple[ValueType, ...]:
        """Step over `(type, ...)`."""
        items = []
        self.expect("(")
        while self.token != ")":
            items.append(self.type())
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(items)

    def type(self) -> ValueType:
        """Step over one type."""
        if self.kind == TENSOR:
            found = self._types.get(self.token)
            if found is None:
                found = self._types[self.token] = self._tensor()
            self.advance()
            return found
        if self.kind == WORD and self.token in _SCALARS:
            return _SCALARS[self.advance()]
        expected = 'tensor<..., #fxcost.shape<"[...]">>, index, f64 or i1'
        if self.token == "tensor":
            self.fail(f"found a tensor type that does not read, expected {expected}")
        self.unexpected(f"a type: {expected}")

    def _tensor(self) -> TensorType:
        element = "".join(self._match["element"].split())
        dtype = DType.of_mlir(element)
        if dtype is None:
            self.fail(f"found the element type {element!r}, expected one of {', '.join(d.mlir for d in DType)}")
        sizes = ["".join(size.split()) for size in self._match["dims"].split("x")[:-1]]
        fixed = [None if size == "?" else const(self._number(size)) for size in sizes]
        if self._match["shape"] is None:
            known = tuple(size for size in fixed if size is not None)
            if len(known) < len(fixed):
                self.fail('found ? in a tensor type without #fxcost.shape<"[...]">, expected the sizes behind it')
            return TensorType(known, dtype)
        position = self._match.start("shape")
        text = self._unquoted(self._match["shape"], position)
        shape = self.formula(self.expressions.expressions, text, position)
        if len(shape) != len(fixed) or any(f not in (None, s) for f, s in zip(fixed, shape, strict=True)):
            self.fail(f"found the shape {text} beside the sizes {'x'.join(sizes)}, expected the same sizes twice")
        return TensorType(shape, dtype)


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code in _LETTERS:
        return _LETTERS[code]
    if len(code) != 2:
        raise ValueError(code)
    return bytes.fromhex(code.decode())
