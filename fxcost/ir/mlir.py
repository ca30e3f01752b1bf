"""Single values as MLIR text: attributes, strings, tensor types, conditions. `text` says where they stand."""

from __future__ import annotations

import math
import re
import string
import struct
from collections.abc import Mapping

from fxcost.ir.expr import Expr
from fxcost.ir.graph import Attribute
from fxcost.ir.predicate import AllOf, Compare, Predicate
from fxcost.ir.printing import python
from fxcost.ir.types import TensorType

_FIRST = frozenset(string.ascii_letters + "_.")
_LATER = _FIRST | frozenset(string.digits + "-")
_NAME = re.compile(r"[0-9]+|[A-Za-z_.][A-Za-z0-9_.-]*")
_DOLLAR = re.compile(rb"\$([0-9A-F]{2})")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]*")


def tensor(value: TensorType) -> str:
    """A tensor type; sizes that are no numbers of MLIR are `?`, and then the encoding tells the whole shape."""
    sizes = [dim.constant for dim in value.shape]
    static = [size is not None and 0 <= size < 2**63 for size in sizes]
    dims = "".join(f"{size}x" if fits else "?x" for size, fits in zip(sizes, static, strict=True))
    shape = "" if all(static) else f', #fxcost.shape<"[{", ".join(map(python, value.shape))}]">'
    return f"tensor<{dims}{value.dtype.mlir}{shape}>"


def attribute(value: Attribute) -> str:
    """An attribute as MLIR text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value) if -(2**63) <= value < 2**63 else f'#fxcost.int<"{int.__repr__(value)}">'
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, Expr):
        return f'#fxcost.expr<"{python(value)}">'
    if value is None:
        return "unit"
    return f"[{', '.join(attribute(item) for item in value)}]"


def _float(value: float) -> str:
    if not math.isfinite(value):
        return f"0x{struct.pack('>d', value).hex().upper()} : f64"
    mantissa, e, exponent = float.__repr__(value).partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + e + exponent


def quote(text: str) -> str:
    """A string as MLIR text; what is not printable is written byte by byte."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\' or not letter.isprintable():
        return "".join(f"\\{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))
    return letter


def value_name(id: str) -> str:
    """The name of a value (after `%`): its id, with what MLIR does not take in a name as `$` and bytes."""
    if _NAME.fullmatch(id):
        return id
    first = "" if id[0] in _FIRST else _dollars(id[0])
    return first + "".join(c if c in _LATER else _dollars(c) for c in id[bool(first) :])


def value_id(name: str) -> str | None:
    """The id that `value_name` wrote, or None for what it would not write."""
    bare = name
    while bare.endswith("$_"):
        bare = bare[:-2]
    if "$" not in bare:
        return bare
    try:
        return _DOLLAR.sub(lambda m: bytes.fromhex(m[1].decode()), bare.encode()).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None


def _dollars(letter: str) -> str:
    return "".join(f"${byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def key(name: str) -> str:
    """The name of an attribute, quoted where it must be."""
    return name if _BARE.fullmatch(name) else quote(name)


def braces(fields: Mapping[str, str]) -> str:
    """A dictionary of attributes that are text already."""
    return "{" + ", ".join(k if v == "unit" else f"{k} = {v}" for k, v in fields.items()) + "}"


def condition(predicate: Predicate) -> str:
    """A predicate as text that reads back exactly; `str` writes an `and` of one part like the part alone."""
    if isinstance(predicate, Compare):
        return str(predicate)
    conjunction = isinstance(predicate, AllOf)
    parts = [condition(part) for part in predicate.parts]
    if len(parts) < 2:
        return f"{'all' if conjunction else 'any'}({', '.join(parts)})"
    return (" and " if conjunction else " or ").join(f"({part})" for part in parts)
