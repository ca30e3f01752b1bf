"""The rules of a well-formed graph, in one place: for graphs that lowering makes and for graphs that come from files.

`problems` lists every broken rule; `verify` raises. A graph without problems can be written and read back unchanged.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator

from fxcost.errors import FxcostError, InternalError
from fxcost.ir.expr import DATA_PREFIX, Expr, bounds
from fxcost.ir.graph import Attribute, Graph, Node, Standing, Value
from fxcost.ir.limits import (
    MAX_DIGITS,
    MAX_EXPONENT,
    MAX_LISTS,
    MAX_NESTING,
    MAX_REGIONS,
    depth,
    nesting,
    oversized,
)
from fxcost.ir.predicate import Compare, Predicate
from fxcost.ir.symbols import SymbolInfo, ranges_of
from fxcost.ir.types import DType, ScalarType, TensorType

PHASES = ("forward", "backward", "update")
STATE_KINDS = ("parameter", "buffer", "constant")
SYMBOL_KINDS = ("size", "data")
SCALAR_KINDS = ("int", "float", "bool")


def verify(graph: Graph, where: str = "graph", error: type[FxcostError] = InternalError) -> None:
    """Raise `error`, naming the first few broken rules; files are verified with FileError."""
    found = problems(graph)
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise error(f"{where}: {'; '.join(found[:3])}{more}")


def problems(graph: Graph) -> list[str]:
    """Every broken rule, in words; empty for a well-formed graph."""
    return list(_graph(graph, _Expressions(), (), 0))


class _Expressions:
    """Checks each expression once for what does not depend on the place: size, depth, numbers."""

    def __init__(self) -> None:
        self._nesting: dict[Expr, int] = {}
        self._seen: dict[Expr, str] = {}

    def problem(self, value: Expr) -> str:
        """What is wrong with `value` wherever it stands, or nothing."""
        found = self._seen.get(value)
        if found is None:
            found = self._seen[value] = self._problem(value)
        return found

    def _problem(self, value: Expr) -> str:
        if nesting(value, self._nesting) > MAX_NESTING:
            return f"has divisions or maxima nested deeper than {MAX_NESTING}"
        if oversized(value.terms.values()):
            return f"has a number of more than {MAX_DIGITS} digits"
        if any(power > MAX_EXPONENT for monomial in value.terms for _, power in monomial):
            return f"has an exponent above {MAX_EXPONENT}"
        inner = (self.problem(arg) for atom in value.atoms() for arg in atom.args)
        return next((problem for problem in inner if problem), "")


def _graph(graph: Graph, checker: _Expressions, outer: tuple[SymbolInfo, ...], level: int) -> Iterator[str]:
    if level > MAX_REGIONS:
        yield f"regions are nested deeper than {MAX_REGIONS}"
        return
    yield from _symbols(graph.symbols)
    scope = _Scope(checker, (*outer, *graph.symbols))
    known: set[str] = set()
    for state in graph.states:
        yield from scope.value(state.value, known)
        who = f"state {state.value.id!r}"
        if not isinstance(state.value.type, TensorType):
            yield f"{who} is a number; a state must be a tensor"
        if state.kind not in STATE_KINDS:
            yield f"{who} has the unknown kind {state.kind!r}; known: {', '.join(STATE_KINDS)}"
    yield from _repeated("path", (path for state in graph.states for path in state.paths), "states")
    for value in graph.inputs:
        yield from scope.value(value, known)
    for node in graph.nodes:
        yield from _node(node, scope, known, level)
    yield from _repeated("name", (node.name for node in graph.nodes), "nodes")
    yield from (f"output {output!r} is not defined" for output in graph.outputs if output not in known)
    yield from _updates(graph, known)
    for predicate in graph.domain:
        yield from scope.predicate(predicate)
    if not isinstance(graph.standing, Standing):
        yield f"the standing {graph.standing!r} is none of {', '.join(s.value for s in Standing)}"


def _symbols(symbols: tuple[SymbolInfo, ...]) -> Iterator[str]:
    yield from _repeated("name", (info.name for info in symbols), "symbols")
    for info in symbols:
        who = f"symbol {info.name!r}"
        if not info.name.isidentifier() or keyword.iskeyword(info.name):
            yield f"{who} is not a name; use letters, digits and _, and no keyword of Python"
        least = 0 if info.name.startswith(DATA_PREFIX) else 1
        if info.min < least:
            yield f"{who} has the minimum {info.min}; expected at least {least}, which every formula relies on"
        if info.max is not None and info.max < info.min:
            yield f"{who} has the maximum {info.max} below its minimum {info.min}"
        if info.multiple_of < 1:
            yield f"{who} must be a multiple of {info.multiple_of}; expected at least 1"
        if info.kind not in SYMBOL_KINDS:
            yield f"{who} has the unknown kind {info.kind!r}; known: {', '.join(SYMBOL_KINDS)}"
        if oversized(n for n in (info.min, info.max, info.multiple_of, info.hint) if n is not None):
            yield f"{who} has a number of more than {MAX_DIGITS} digits"


def _updates(graph: Graph, known: set[str]) -> Iterator[str]:
    states = {state.value.id for state in graph.states}
    for state, value in graph.updates:
        if state not in states:
            yield f"the update of {state!r} is of no state"
        if value not in known:
            yield f"the update of {state!r} takes {value!r}, which is not defined"


def _node(node: Node, scope: _Scope, known: set[str], level: int) -> Iterator[str]:
    who = f"node {node.name!r}"
    if not node.name or not node.op:
        yield f"{who} lacks its name or its op"
    yield from (f"{who} reads {o!r}, which is not defined before it" for o in node.operands if o not in known)
    if len(node.slots) != len(node.operands):
        yield f"{who} has {len(node.operands)} operands in {len(node.slots)} slots; expected one slot for each"
    yield from _repeated("slot", node.slots, who)
    for name, held in node.attrs.items():
        if not name or name.startswith(("fxcost.", "fact.")):
            yield f"{who} has an attribute called {name!r}; a name must not be empty or begin with 'fxcost.' or 'fact.'"
        yield from scope.attribute(held, f"attribute {name!r} of {who}", 0)
    for result, operand in node.effects.views:
        if not (0 <= result < len(node.results) and 0 <= operand < len(node.operands)):
            yield f"{who} says that result {result} is a view of operand {operand}, which it does not have"
    yield from (
        f"{who} writes operand {w}, which it does not have"
        for w in node.effects.writes
        if not 0 <= w < len(node.operands)
    )
    yield from (f"{who} holds {held!r}, which is not defined before it" for held in node.holds if held not in known)
    if node.into is not None and not (node.results and 0 <= node.into < len(node.operands)):
        yield f"{who} puts its result into operand {node.into}, which it does not have"
    if node.phase not in PHASES:
        yield f"{who} has the unknown phase {node.phase!r}; known: {', '.join(PHASES)}"
    if node.call < 0:
        yield f"{who} has the call number {node.call}; expected 0 or more"
    for position, region in enumerate(node.regions):
        for problem in _graph(region, scope.checker, scope.infos, level + 1):
            yield f"region {position} of {who}: {problem}"
    for value in node.results:
        yield from scope.value(value, known)


def _repeated(what: str, names: Iterable[str], where: str) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"the {what} {name!r} stands twice in {where}"
        seen.add(name)


class _Scope:
    """The symbols that are known at a place, and checks of what is written in them."""

    def __init__(self, checker: _Expressions, infos: tuple[SymbolInfo, ...]) -> None:
        self.checker = checker
        self.infos = infos
        self.ranges = ranges_of(infos)
        self.clean: set[Expr] = set()  # expressions that were checked here and are sizes

    def value(self, value: Value, known: set[str]) -> Iterator[str]:
        who = f"value {value.id!r}"
        if value.id in known or not value.id:
            yield f"{who} is defined twice" if value.id else "a value has no id"
        known.add(value.id)
        if isinstance(value.type, ScalarType):
            if value.type.kind not in SCALAR_KINDS:
                yield f"{who} is a number of unknown kind {value.type.kind!r}; known: {', '.join(SCALAR_KINDS)}"
            return
        if not isinstance(value.type.dtype, DType):
            yield f"{who} has the unknown element type {value.type.dtype!r}"
        for size in value.type.shape:
            if size in self.clean:
                continue
            found = list(self.expression(size, who))
            high = None if found else bounds(size, self.ranges)[1]
            if high is not None and high < 0:
                found.append(f"{who} has the negative size {size}")
            if not found:
                self.clean.add(size)
            yield from found

    def expression(self, value: Expr, who: str) -> Iterator[str]:
        problem = self.checker.problem(value)
        if problem:
            yield f"{who} {problem}"
            return
        for name in sorted(value.symbols - self.ranges.keys()):
            yield f"{who} uses the symbol {name!r}, which is not declared"

    def predicate(self, predicate: Predicate) -> Iterator[str]:
        if depth(predicate) > MAX_NESTING:
            yield f"a guard of the domain is nested deeper than {MAX_NESTING}"
            return
        pending: list[Predicate] = [predicate]
        while pending:
            part = pending.pop()
            if isinstance(part, Compare):
                yield from self.expression(part.left, f"the guard {part}")
                yield from self.expression(part.right, f"the guard {part}")
            else:
                pending.extend(part.parts)

    def attribute(self, value: Attribute, who: str, level: int) -> Iterator[str]:
        if isinstance(value, Expr):
            yield from self.expression(value, who)
        elif isinstance(value, tuple):
            if level >= MAX_LISTS:
                yield f"{who} has lists nested deeper than {MAX_LISTS}"
                return
            for item in value:
                yield from self.attribute(item, who, level + 1)
        elif isinstance(value, int):
            if oversized((value,)):
                yield f"{who} has a number of more than {MAX_DIGITS} digits"
        elif not (value is None or isinstance(value, str | float)):
            yield f"{who} holds {type(value).__name__}; expected bool, int, float, str, Expr, None or a tuple of these"
