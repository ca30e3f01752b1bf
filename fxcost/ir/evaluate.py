"""Fast exact evaluation: expressions become straight-line Python (or numpy) code, compiled once.

The code is generated from the expression tree, never from text: variables are numbered, constants are integers, so
nothing a file contains can reach the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fxcost.errors import ModelError
from fxcost.ir.expr import Atom, Expr, rebuilt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

_FLOAT_LIMIT = float(2**62)


@lru_cache(maxsize=1024)
def compiled(values: tuple[Expr, ...], names: tuple[str, ...]) -> Callable[..., tuple[int, ...]]:
    """Return a function of `names` (positional ints) that gives the exact value of every expression."""
    missing = sorted(set().union(*(v.symbols for v in values)) - set(names)) if values else []
    if missing:
        raise ModelError(f"no value given for {', '.join(missing)}; give every symbol of the formula")
    return _build(values, names, elementwise=False)


def evaluate(value: Expr, env: Mapping[str, int]) -> int:
    """Exact value of one expression at a point; raises ModelError naming the symbols that `env` lacks."""
    if value.constant is not None:
        return value.constant
    names = tuple(sorted(value.symbols))
    missing = [n for n in names if n not in env]
    if missing:
        raise ModelError(f"no value given for {', '.join(missing)} in {value}")
    try:
        return compiled((value,), names)(*(env[n] for n in names))[0]
    except ZeroDivisionError as error:
        raise ModelError(f"{value} divides by zero at {', '.join(f'{n}={env[n]}' for n in names)}") from error


def where_known(values: Iterable[Expr], point: Mapping[str, int]) -> tuple[int | None, ...]:
    """Exact values at a point, None for those that need a size it lacks; compiled once for all of them."""
    wanted = tuple(values)
    settled = tuple(dict.fromkeys(value for value in wanted if value.symbols <= point.keys()))
    names = tuple(sorted(set().union(*(value.symbols for value in settled))))
    found = dict(zip(settled, compiled(settled, names)(*(point[name] for name in names)), strict=True))
    return tuple(found.get(value) for value in wanted)


def over_arrays(value: Expr, names: tuple[str, ...]) -> Callable[..., np.ndarray[Any, Any]]:
    """Return a vectorised function of int64 arrays, exact: int64 where that is safe, else Python integers.

    Every intermediate is first bounded in float64; where one could pass 2**62 the whole call is computed on object
    arrays of Python integers, so a silent wrap-around cannot happen.
    """
    import numpy as np

    compiled((value,), names)  # raises for missing symbols
    fast = _build((value,), names, elementwise=True)
    bound = _build((_absolute(value),), names, elementwise=True, magnitudes=True)

    small = all(abs(c) < _FLOAT_LIMIT for c in _constants(value, {}))

    def call(*columns: ArrayLike) -> np.ndarray[Any, Any]:
        arrays = np.broadcast_arrays(*(_integers(column) for column in columns)) if columns else []
        shape = arrays[0].shape if arrays else ()
        safe = small and not any(a.dtype == object for a in arrays) and _stays_small(bound, arrays)
        kind: Any = np.int64 if safe else object
        try:
            with np.errstate(divide="raise"):
                result = fast(*(a.astype(kind) for a in arrays))[0]
        except (ZeroDivisionError, FloatingPointError) as error:
            raise ModelError(f"{value} divides by zero at one of the points") from error
        return np.broadcast_to(np.asarray(result, dtype=kind), shape)

    return call


def _stays_small(bound: Callable[..., Any], arrays: Sequence[np.ndarray[Any, Any]]) -> bool:
    """No intermediate can pass 2**62, judged in float64 at the largest magnitude of every column."""
    import numpy as np

    largest = [float(np.abs(a.astype(float)).max(initial=0)) for a in arrays]
    try:
        return bool(bound(*largest)[0] < _FLOAT_LIMIT)
    except (OverflowError, ZeroDivisionError):
        return False


def _constants(value: Expr, done: dict[Atom, list[int]]) -> list[int]:
    """Every integer in the expression, at any depth."""
    found = list(value.terms.values())
    for atom in value.atoms():
        if atom not in done:
            done[atom] = []
            done[atom] = [c for arg in atom.args for c in _constants(arg, done)]
        found += done[atom]
    return found


def _integers(column: ArrayLike) -> np.ndarray[Any, Any]:
    import numpy as np

    array = np.asarray(column)
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iuO":
        raise ModelError(f"sizes must be integers, found an array of {array.dtype}")
    if array.dtype == object:
        strange = next((x for x in array.flat if isinstance(x, bool) or not hasattr(x, "__index__")), None)
        if strange is not None:
            raise ModelError(f"sizes must be integers, found {strange!r}")
    return array.astype(object) if array.dtype == np.uint64 else array


def _absolute(value: Expr) -> Expr:
    """The expression with every coefficient made positive at the top: bounds all partial sums."""
    return rebuilt({m: abs(c) for m, c in value.terms.items()})


def _build(
    values: tuple[Expr, ...], names: tuple[str, ...], *, elementwise: bool, magnitudes: bool = False
) -> Callable[..., Any]:
    lines: list[str] = []
    known: dict[Atom, str] = {}
    arguments = {name: f"a{i}" for i, name in enumerate(names)}

    def atom_text(atom: Atom) -> str:
        found = known.get(atom)
        if found is None:
            found = known[atom] = _emit(atom)
        return found

    def _emit(atom: Atom) -> str:
        if atom.kind == "symbol":
            return arguments[atom.name]
        parts = [expr_text(arg) for arg in atom.args]
        text = _call(atom.kind, parts, elementwise=elementwise, magnitudes=magnitudes)
        name = f"v{len(known)}_{len(lines)}"
        lines.append(f"    {name} = {text}")
        return name

    def expr_text(value: Expr) -> str:
        terms = []
        for monomial, factor in value.terms.items():
            if magnitudes:
                factor = abs(factor)
            factors = [atom_text(atom) for atom, power in monomial for _ in range(power)]
            terms.append("*".join([f"({factor})", *factors] if factor != 1 or not factors else factors))
        return "(" + (" + ".join(terms) or "0") + ")"

    results = [expr_text(value) for value in values]
    source = "\n".join(
        [
            f"def function({', '.join(arguments.values())}):",
            *lines,
            f"    return ({' '.join(r + ',' for r in results)})",
        ]
    )
    scope: dict[str, Any] = {"__builtins__": {}, "max": max, "min": min}
    if elementwise:
        import numpy as np

        scope |= {"maximum": np.maximum, "minimum": np.minimum}
    exec(compile(source, "<expression>", "exec"), scope)
    return scope["function"]  # type: ignore[no-any-return]


def _call(kind: str, parts: Sequence[str], *, elementwise: bool, magnitudes: bool) -> str:
    if magnitudes:  # an upper bound of the absolute value, in floats
        if kind in {"max", "min"}:
            return " + ".join(parts)
        return f"({parts[0]} + {parts[1]})"  # a quotient is small, its divisor an intermediate all the same
    if kind == "floordiv":
        return f"{parts[0]} // {parts[1]}"
    if kind == "mod":
        return f"{parts[0]} % {parts[1]}"
    if not elementwise:
        return f"{kind}({', '.join(parts)})"
    text = parts[0]
    for part in parts[1:]:
        text = f"{kind}imum({text}, {part})"
    return text
