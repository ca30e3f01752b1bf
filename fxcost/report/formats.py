"""The formats a report can take: register one with `@register_format("name")` in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from fxcost.errors import InternalError, UnknownName, nearest
from fxcost.report.summary import Summary

Format = Callable[[Summary], str]

_FORMATS: dict[str, Format] = {}


def register_format(name: str) -> Callable[[Format], Format]:
    """Register a function that renders a Summary as text; refuses duplicates."""

    def register(function: Format) -> Format:
        if name in _FORMATS:
            raise InternalError(f"the format {name!r} is registered twice")
        _FORMATS[name] = function
        return function

    return register


def render(name: str, summary: Summary) -> str:
    """Render with the format called `name`; raises UnknownName with the nearest known ones."""
    package = __name__.rpartition(".")[0]
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
    if name not in _FORMATS:
        raise UnknownName(f"there is no report format {name!r}{nearest(name, _FORMATS)}")
    return _FORMATS[name](summary)
