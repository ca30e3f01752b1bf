"""Element types and value types of the IR."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from fxcost.errors import SpecError, nearest
from fxcost.ir.expr import Expr, const, product


class DType(Enum):
    """An element type: the value is (short name, MLIR spelling, bits, kind)."""

    F64 = ("f64", "f64", 64, "float")
    F32 = ("f32", "f32", 32, "float")
    F16 = ("f16", "f16", 16, "float")
    BF16 = ("bf16", "bf16", 16, "float")
    F8E4M3 = ("f8e4m3", "f8E4M3FN", 8, "float")
    F8E5M2 = ("f8e5m2", "f8E5M2", 8, "float")
    I64 = ("i64", "i64", 64, "int")
    I32 = ("i32", "i32", 32, "int")
    I16 = ("i16", "i16", 16, "int")
    I8 = ("i8", "i8", 8, "int")
    U8 = ("u8", "ui8", 8, "int")
    U16 = ("u16", "ui16", 16, "int")
    U32 = ("u32", "ui32", 32, "int")
    U64 = ("u64", "ui64", 64, "int")
    BOOL = ("bool", "i1", 8, "bool")
    C32 = ("c32", "complex<f16>", 32, "complex")
    C64 = ("c64", "complex<f32>", 64, "complex")
    C128 = ("c128", "complex<f64>", 128, "complex")

    @property
    def short(self) -> str:
        """The name used in specs and reports, e.g. `f32`."""
        return self.value[0]

    @property
    def mlir(self) -> str:
        """The MLIR element type, e.g. `f8E4M3FN`."""
        return self.value[1]

    @property
    def bits(self) -> int:
        """Width of one stored element in bits (a bool takes a byte)."""
        return self.value[2]

    @property
    def bytes(self) -> int:
        """Width of one stored element in bytes."""
        return self.value[2] // 8

    @property
    def is_floating(self) -> bool:
        """True for real floating types, the ones that a deployment may narrow to int8."""
        return self.value[3] == "float"

    @property
    def is_whole(self) -> bool:
        """True for integers and truth values."""
        return self.value[3] in ("int", "bool")

    @classmethod
    def of(cls, short: str) -> DType:
        """Return the type called `short`; raises SpecError naming the nearest known ones."""
        found = _BY_SHORT.get(short)
        if found is None:
            raise SpecError(f"unknown element type {short!r}{nearest(short, _BY_SHORT)}")
        return found

    @classmethod
    def of_mlir(cls, spelling: str) -> DType | None:
        """Return the type with this MLIR spelling, or None."""
        return _BY_MLIR.get(spelling)


_BY_SHORT = {d.value[0]: d for d in DType}
_BY_MLIR = {d.value[1]: d for d in DType}


@dataclass(frozen=True)
class TensorType:
    """A tensor's shape (expressions in the symbols) and element type."""

    shape: tuple[Expr, ...]
    dtype: DType

    @cached_property
    def numel(self) -> Expr:
        """Number of elements."""
        return product(self.shape)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @cached_property
    def nbytes(self) -> Expr:
        """Bytes of a dense copy at the tensor's own width."""
        return self.numel * const(self.dtype.bytes)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{', '.join(str(d) for d in self.shape)}]"


@dataclass(frozen=True)
class ScalarType:
    """A single number that flows through the graph: `int`, `float` or `bool` (MLIR: index, f64, i1)."""

    kind: str

    def __str__(self) -> str:
        return self.kind


ValueType = TensorType | ScalarType
