"""MLIR in the generic form as plain data. The only module that knows the parser, xDSL.

Every op is taken as unregistered: nothing but the builtin attributes and types is interpreted, so that new versions of a
dialect read as well as old ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fxcost.errors import FileError, SpecError
from fxcost.ir.types import DType

MAX_ELEMENTS = 4096
"""Elements of a constant that are looked at: windows and shapes have few, weights are not wanted."""


Form = tuple[Any, ...]
"""An affine expression: ("d", i), ("s", i), ("c", value) or (operator, left, right)."""


@dataclass(frozen=True)
class Shaped:
    """A tensor type; None is a size that the text leaves open."""

    dims: tuple[int | None, ...]
    dtype: DType


@dataclass(frozen=True)
class Scalar:
    """Any other type, by its text."""

    text: str


@dataclass(frozen=True)
class Elements:
    """A constant tensor: its numbers where they are few and whole, and whether all are the same."""

    splat: bool
    numbers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Map:
    """An affine map: numbers of dimensions and symbols, and its results."""

    dims: int
    symbols: int
    results: tuple[Form, ...]


@dataclass(frozen=True)
class Result:
    """A value: the number it is known by, its type, and its name in the text where it had one."""

    id: int
    type: Shaped | Scalar
    name: str = ""


@dataclass(frozen=True)
class Block:
    """Arguments and operations."""

    arguments: tuple[Result, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Operation:
    """One operation; of every region only the first block is kept."""

    name: str
    operands: tuple[int, ...]
    types: tuple[Shaped | Scalar, ...]
    results: tuple[Result, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()

    def walk(self) -> Iterator[Operation]:
        """This operation and all inside it."""
        yield self
        for block in self.blocks:
            for inner in block.operations:
                yield from inner.walk()


def parse_operations(text: str, where: str) -> Operation:
    """The module in a text; raises FileError where it is malformed, SpecError where xDSL is not installed."""
    try:
        from xdsl.context import Context
        from xdsl.dialects.builtin import Builtin
        from xdsl.parser import Parser
        from xdsl.utils.exceptions import ParseError
    except ModuleNotFoundError as problem:
        raise SpecError(f"reading MLIR of other dialects needs xDSL: pip install 'fxcost[mlir]' ({problem})") from None
    context = Context(allow_unregistered=True)
    context.load_dialect(Builtin)
    try:
        module = Parser(context, text, where).parse_module()
    except ParseError as problem:
        line, column = (
            problem.span.get_line_col()[:2] if hasattr(problem.span, "get_line_col") else _place(text, problem)
        )
        raise FileError(f"{where}:{line}:{column}: {problem.msg.strip()}; expected MLIR in the generic form") from None
    except RecursionError:
        raise FileError(f"{where}: found regions or attributes nested too deep") from None
    except Exception as problem:  # xDSL meets malformed text in many ways
        raise FileError(f"{where}: cannot be read as MLIR: {type(problem).__name__}: {problem}") from None
    return _Converter().operation(module)


def _place(text: str, problem: Any) -> tuple[int, int]:
    start = int(getattr(problem.span, "start", 0))
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


class _Converter:
    """Numbers values as they come."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def id(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def operation(self, op: Any) -> Operation:
        attrs = {**op.attributes, **op.properties}
        name = attrs.pop("op_name__", None)
        blocks = tuple(self.block(region.blocks[0]) for region in op.regions if region.blocks)
        return Operation(
            name=op.name if name is None else name.data,
            operands=tuple(self.id(value) for value in op.operands),
            types=tuple(_type(value.type) for value in op.operands),
            results=tuple(self.result(value) for value in op.results),
            attrs={key: _attribute(value) for key, value in attrs.items()},
            blocks=blocks,
        )

    def block(self, block: Any) -> Block:
        arguments = tuple(self.result(value) for value in block.args)
        return Block(arguments, tuple(self.operation(op) for op in block.ops))

    def result(self, value: Any) -> Result:
        return Result(self.id(value), _type(value.type), value.name_hint or "")


def _type(found: Any) -> Shaped | Scalar:
    from xdsl.dialects.builtin import TensorType

    if not isinstance(found, TensorType):
        return Scalar(str(found))
    element = str(found.element_type)
    dtype = DType.of_mlir("i64" if element == "index" else element)
    if dtype is None:
        raise FileError(f"found the element type {element}, expected one of {', '.join(d.mlir for d in DType)}")
    return Shaped(tuple(None if size < 0 else size for size in found.get_shape()), dtype)


def _attribute(found: Any) -> Any:
    """A number, string, tuple, Elements or Map; what is none of these is its text."""
    from xdsl.dialects import builtin

    match found:
        case builtin.IntegerAttr() | builtin.FloatAttr():
            return found.value.data
        case builtin.StringAttr():
            return found.data
        case builtin.SymbolRefAttr():
            return found.root_reference.data
        case builtin.ArrayAttr():
            return tuple(_attribute(item) for item in found.data)
        case builtin.DenseArrayBase():
            return tuple(found.get_values())
        case builtin.DenseIntOrFPElementsAttr():
            return _elements(found)
        case builtin.DenseResourceAttr():
            return Elements(splat=False)
        case builtin.AffineMapAttr():
            held = found.data
            return Map(held.num_dims, held.num_symbols, tuple(_form(result) for result in held.results))
        case builtin.UnitAttr():
            return True
    return str(found)


def _elements(found: Any) -> Elements:
    splat = bool(found.is_splat())
    if not str(found.get_element_type()).lstrip("su").startswith(("i", "index")):
        return Elements(splat)
    count = 1
    for size in found.get_shape():
        count *= size
    if count > MAX_ELEMENTS:
        return Elements(splat)
    return Elements(splat, tuple(int(number) for number in found.get_values()))


def _form(found: Any) -> Form:
    from xdsl.ir.affine import AffineBinaryOpExpr, AffineConstantExpr, AffineDimExpr, AffineSymExpr

    match found:
        case AffineDimExpr():
            return ("d", found.position)
        case AffineSymExpr():
            return ("s", found.position)
        case AffineConstantExpr():
            return ("c", found.value)
        case AffineBinaryOpExpr():
            return (found.kind.name, _form(found.lhs), _form(found.rhs))
    raise FileError(f"found the affine expression {found}, expected dimensions, symbols, numbers and + * mod floordiv")
