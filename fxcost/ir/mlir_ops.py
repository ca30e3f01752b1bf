"""Operations in MLIR's generic form, as the scanner gives them, before anybody knows what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Never, TypeVar

from fxcost.ir.graph import Value
from fxcost.ir.mlir_reader import NAME, Scanner
from fxcost.ir.types import ValueType

MAX_RESULTS: Final = 100_000
"""Results of one operation: it takes few characters to ask for many."""

Region = TypeVar("Region")


class Fields:
    """The attributes of one op, taken out one by one with a check of their type."""

    def __init__(self, scanner: Scanner, position: int, fields: dict[str, Any]) -> None:
        """Take the attributes of the op at `position`."""
        self.scanner = scanner
        self.position = position
        self.rest = fields

    def wrong(self, name: str, expected: str) -> Never:
        """Fail at this op."""
        self.scanner.fail(f"found no attribute {name!r} that fits, expected {expected}", self.position)

    def text(self, name: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        value = self.rest.pop(name, default)
        return value if isinstance(value, str) else self.wrong(name, "a string")

    def number(self, name: str, default: int | None) -> int:
        """An integer."""
        value = self.maybe_number(name, default)
        return self.wrong(name, "a number") if value is None else value

    def maybe_number(self, name: str, default: int | None = None) -> int | None:
        """An integer, or None where it is left out."""
        value = self.rest.pop(name, default)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        self.wrong(name, "a number")

    def flag(self, name: str) -> bool:
        """A truth value, false where it is left out."""
        value = self.rest.pop(name, False)
        return value if isinstance(value, bool) else self.wrong(name, "true or false")

    def items(self, name: str) -> tuple[Any, ...]:
        """A list of anything."""
        value = self.rest.pop(name, ())
        return value if isinstance(value, tuple) else self.wrong(name, "a list")

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        items = self.items(name)
        return items if all(isinstance(i, str) for i in items) else self.wrong(name, "a list of strings")

    def numbers(self, name: str) -> tuple[int, ...]:
        """A list of integers."""
        items = self.items(name)
        return items if all(type(i) is int for i in items) else self.wrong(name, "a list of numbers")

    def pairs(self, name: str, kind: type) -> tuple[tuple[Any, Any], ...]:
        """A list of pairs, both of the class `kind`."""
        items = self.items(name)
        for item in items:
            if not (isinstance(item, tuple) and len(item) == 2 and all(type(part) is kind for part in item)):
                self.wrong(name, f"a list of pairs of {kind.__name__}")
        return items

    def done(self) -> None:
        """Refuse what nobody asked for."""
        unknown = [name for name in self.rest if not name.startswith("fact.")]
        if unknown:
            self.scanner.fail(f"found the unknown attribute {unknown[0]!r}", self.position)


@dataclass(frozen=True)
class Operation(Generic[Region]):
    """`names = "op"(operands) (regions) {fields} : (types of the operands) -> types place`."""

    position: int
    names: tuple[str, ...]  # what it defines: %x, or %split#0, %split#1
    op: str
    operands: tuple[Value, ...]
    regions: tuple[Region, ...]
    fields: Fields
    types: tuple[ValueType, ...]
    module: str
    source: str


def operation(scan: Scanner, known: Mapping[str, Value], region: Callable[[], Region]) -> Operation[Region]:
    """Step over one operation whose operands are `known` by name; `region` steps over `{ ... }`."""
    position = scan.start
    names = _names(scan)
    op = scan.string("an operation in quotes" if names else "an operation, or the one that ends the graph")
    operands = _operands(scan, known)
    regions = []
    if scan.accept("("):
        regions.append(region())
        while scan.accept(","):
            regions.append(region())
        scan.expect(")")
    fields = Fields(scan, position, scan.attributes())
    scan.expect(":")
    given = scan.types()
    scan.expect("->")
    types = scan.types() if scan.token == "(" else (scan.type(),)
    if given != tuple(value.type for value in operands):
        scan.fail(f"found other operand types than the operands of {op!r} have", position)
    if len(types) != len(names):
        scan.fail(f"found {len(names)} names for the {len(types)} results of {op!r}", position)
    return Operation(position, names, op, operands, tuple(regions), fields, types, *_place(scan))


def _names(scan: Scanner) -> tuple[str, ...]:
    if scan.kind != NAME:
        return ()
    position, name, count = scan.start, scan.advance(), 1
    if "#" in name:
        scan.fail(f"found {name}, expected a name without # on the left of '='", position)
    if scan.accept(":"):
        count = scan.integer("the number of results")
        if not 2 <= count <= MAX_RESULTS:
            scan.fail(f"found {count} results of {name}, expected 2 to {MAX_RESULTS} after ':'", position)
    scan.expect("=")
    return (name,) if count == 1 else tuple(f"{name}#{i}" for i in range(count))


def _operands(scan: Scanner, known: Mapping[str, Value]) -> tuple[Value, ...]:
    found = []
    scan.expect("(")
    while scan.token != ")":
        found.append(_known(scan, known))
        if not scan.accept(","):
            break
    scan.expect(")")
    return tuple(found)


def returned(scan: Scanner, known: Mapping[str, Value]) -> tuple[Value, ...]:
    """Step over `func.return %a, %b : type, type` of the pretty form."""
    position = scan.start
    scan.advance()
    values: list[Value] = []
    while scan.kind == NAME:
        values.append(_known(scan, known))
        if not scan.accept(","):
            break
    if values:
        scan.expect(":")
    for i, value in enumerate(values):
        if i:
            scan.expect(",")
        if scan.type() != value.type:
            scan.fail("found other types than the operands of the return have", position)
    return tuple(values)


def _known(scan: Scanner, known: Mapping[str, Value]) -> Value:
    """Step over an operand."""
    value = known.get(scan.token)
    if value is None:
        if scan.kind != NAME:
            scan.unexpected("an operand such as %x, or ')'")
        scan.fail(f"found {scan.token[:80]}, which is not defined before this in its graph")
    scan.advance()
    return value


def _place(scan: Scanner) -> tuple[str, str]:
    """Step over a location, if there is one: the module and the line of the source."""
    if not scan.accept("loc"):
        return "", ""
    module = source = ""
    scan.expect("(")
    first = scan.string("a module or a file in quotes")
    if scan.accept(":"):
        source = _line(scan, first)
    else:
        module = first
        if scan.accept("("):
            file = scan.string("a file in quotes")
            scan.expect(":")
            source = _line(scan, file)
            scan.expect(")")
    scan.expect(")")
    return module, source


def _line(scan: Scanner, file: str) -> str:
    line = scan.integer("a line number")
    scan.expect(":")
    scan.integer("a column number")
    return f"{file}:{line}"
