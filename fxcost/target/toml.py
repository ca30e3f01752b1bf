"""Checked values out of TOML tables: a reader takes a key path and a value, and says where something is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

from fxcost.errors import nearest

LARGEST: Final = 1e30
MAX_ENTRIES: Final = 64
"""Longest list or table by name: real files have a dozen entries, and checking sources is quadratic."""

Reader = Callable[[str, Any], Any]

_KINDS = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "a table"}


class Malformed(Exception):
    """What is wrong at which key; `parse_target` adds the file."""


def bad(path: str, found: object, expected: str) -> Malformed:
    """The complaint that `found` is not what is `expected` at `path`."""
    try:
        shown = repr(found)
    except ValueError:  # an integer of thousands of digits
        shown = "a very long number"
    if len(shown) > 60:
        shown = shown[:57] + "..."
    kind = _KINDS.get(type(found), f"a {type(found).__name__}")
    return Malformed(f"{path}: found {shown} ({kind}), expected {expected}")


def join(path: str, key: str) -> str:
    """The key path of `key` inside `path`; odd keys are quoted and cut."""
    shown = key if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key) else repr(key[:60])
    return f"{path}.{shown}" if path else shown


# -- single values ---------------------------------------------------------------------------------------------------
def text(path: str, value: Any) -> str:
    """A line of printable text, not empty."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise bad(path, value, "a line of text")
    return value


def title(path: str, value: Any) -> str:
    """A name that people type: letters, digits, dots, hyphens and underscores."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise bad(path, value, "a name of letters, digits, '.', '-' and '_'")
    return value


def word(path: str, value: Any) -> str:
    """A name that is part of key paths: no dots."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise bad(path, value, "a name of letters, digits, '-' and '_'")
    return value


def choice(known: tuple[str, ...]) -> Reader:
    """One of the known words."""

    def read(path: str, value: Any) -> str:
        if not isinstance(value, str):
            raise bad(path, value, "one of " + ", ".join(known))
        if value not in known:
            raise Malformed(f"{path}: found {value[:60]!r}, expected one of {', '.join(known)}{nearest(value, known)}")
        return value

    return read


def number(path: str, value: Any) -> float:
    """A number above zero."""
    return _in_range(path, value, 1 / LARGEST, "a positive number")


def number_or_zero(path: str, value: Any) -> float:
    """A number that is not negative."""
    return _in_range(path, value, 0, "a number that is not negative")


def _in_range(path: str, value: Any, smallest: float, expected: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not smallest <= value <= LARGEST:  # nan fails both; integers of any length compare exactly
        raise bad(path, value, f"{expected}, at most {LARGEST:g}")
    return float(value)


def whole(path: str, value: Any) -> int:
    """A positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise bad(path, value, "a positive integer, written without point or exponent")
    return value


def flag(path: str, value: Any) -> bool:
    """A boolean."""
    if not isinstance(value, bool):
        raise bad(path, value, "true or false")
    return value


def day(path: str, value: Any) -> date:
    """A date without a time."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise bad(path, value, "a date such as 2026-11-22, without quotes")
    return value


# -- tables and lists ------------------------------------------------------------------------------------------------
def table(readers: Mapping[str, Reader], required: str = "") -> Callable[[str, Any], dict[str, Any]]:
    """A table with these keys and no others; the words of `required` are keys that must be there."""

    def read(path: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise bad(path, value, f"a table with {', '.join(readers)}")
        for key in value:
            if key not in readers:
                raise Malformed(f"{join(path, key)}: unknown key{nearest(key, readers)}")
        for key in required.split():
            if key not in value:
                raise Malformed(f"{join(path, key)}: missing; expected {', '.join(required.split())} here")
        return {key: readers[key](join(path, key), item) for key, item in value.items()}

    return read


def record(make: Callable[..., Any], readers: Mapping[str, Reader], required: str = "") -> Reader:
    """A table whose values become the keyword arguments of `make`."""
    read = table(readers, required)
    return lambda path, value: make(**read(path, value))


def items(read_item: Reader) -> Callable[[str, Any], tuple[Any, ...]]:
    """A list of at least one entry."""

    def read(path: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise bad(path, value, "a list of at least one entry")
        if len(value) > MAX_ENTRIES:
            raise Malformed(f"{path}: found {len(value)} entries, expected at most {MAX_ENTRIES}")
        return tuple(read_item(f"{path}[{position}]", item) for position, item in enumerate(value))

    return read


def by_name(read_name: Reader, read_item: Reader, suffix: str = "") -> Callable[[str, Any], tuple[Any, ...]]:
    """(name, value) pairs of a table whose keys are a name and the suffix."""

    def read(path: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, dict):
            raise bad(path, value, "a table")
        if len(value) > MAX_ENTRIES:
            raise Malformed(f"{path}: found {len(value)} keys, expected at most {MAX_ENTRIES}")
        pairs = []
        for key, item in value.items():
            here = join(path, key)
            if not key.endswith(suffix):
                raise Malformed(f"{here}: unknown key, expected a name that ends in {suffix!r}")
            pairs.append((read_name(here, key.removesuffix(suffix)), read_item(here, item)))
        return tuple(pairs)

    return read
