"""The IR: a graph of operator calls over tensors whose sizes are expressions.

Grammar (`*` repeats, `?` is optional)::

    graph   ::= name symbol* state* input* node* output* update* domain fixed standing
    symbol  ::= name range                                  a named dimension            (symbols.SymbolInfo)
    state   ::= value kind path alias* trainable?           a parameter, buffer or constant of the model
    input   ::= value                                       a tensor the caller passes, in call order
    node    ::= name op operand* attr* value* place effects eager region*
    operand ::= slot value-id                               slot: the schema's argument, `tensors.0` inside a list
    attr    ::= name = attribute                            every argument that is not a tensor, defaults filled in
    attribute ::= bool | int | float | str | expr | none | ( attribute* )
    value   ::= id type                                     defined once, used by id
    place   ::= module-path call-number file:line? phase    who owns the node; phase: forward, backward or update
    effects ::= view(result, operand)* write(operand)*      what the operator's schema says about memory
    eager   ::= hold(value-id)* into(operand)?              what eager torch does to memory, beyond what the graph reads
    region  ::= graph                                       bodies of control flow and composites
    update  ::= state-id value-id                           a buffer that takes a new value when the call returns
    domain  ::= predicate*                                  guards: the formulas hold where all are true
    fixed   ::= (name reason)*                              dimensions asked for as symbols that the model pins
    standing::= exact | lower | fitted | numeric

Everything is frozen. A pass never changes a graph: it returns a fact about it. An op is named as torch names it
(`aten.conv2d`, overload appended where it is not the default: `aten.add.Tensor`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from fxcost.ir.expr import Expr
from fxcost.ir.predicate import Predicate
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import TensorType, ValueType

Attribute = bool | int | float | str | Expr | None | tuple["Attribute", ...]


class Standing(StrEnum):
    """How far a number can be trusted; the order is from strong to weak."""

    EXACT = "exact"
    FITTED = "fitted"
    LOWER = "lower"
    NUMERIC = "numeric"

    def combine(self, other: Standing) -> Standing:
        """The weaker of two standings."""
        order = list(Standing)
        return max(self, other, key=order.index)


@dataclass(frozen=True)
class Value:
    """A named result: a tensor or a single number."""

    id: str
    type: ValueType


@dataclass(frozen=True)
class State:
    """A tensor that the model owns. `paths` lists every name it goes by: a tied tensor is one state."""

    value: Value
    kind: str  # parameter | buffer | constant
    paths: tuple[str, ...]
    trainable: bool = False

    @property
    def type(self) -> TensorType:
        """States are always tensors."""
        assert isinstance(self.value.type, TensorType)
        return self.value.type


@dataclass(frozen=True)
class Effects:
    """What the operator's schema says: `views` are (result, operand) pairs that share memory, `writes` operands."""

    views: tuple[tuple[int, int], ...] = ()
    writes: tuple[int, ...] = ()


NO_EFFECTS = Effects()


@dataclass(frozen=True)
class Node:
    """One operator call.

    Where eager torch runs the graph as traced, it keeps the values that a node `holds` until that node has run, though
    no later node reads them (a frame of Python, a node of autograd), and puts the result into the memory of operand
    `into`. A program that runs in any other way does neither.
    """

    name: str
    op: str
    operands: tuple[str, ...]
    slots: tuple[str, ...]
    attrs: Mapping[str, Attribute]
    results: tuple[Value, ...]
    module: str = ""
    call: int = 0
    source: str = ""
    phase: str = "forward"
    effects: Effects = NO_EFFECTS
    regions: tuple[Graph, ...] = ()
    holds: tuple[str, ...] = ()
    into: int | None = None


@dataclass(frozen=True)
class Graph:
    """A captured model; see the grammar above."""

    name: str
    symbols: tuple[SymbolInfo, ...] = ()
    states: tuple[State, ...] = ()
    inputs: tuple[Value, ...] = ()
    nodes: tuple[Node, ...] = ()
    outputs: tuple[str, ...] = ()
    updates: tuple[tuple[str, str], ...] = ()
    domain: tuple[Predicate, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    standing: Standing = Standing.EXACT
    notes: tuple[str, ...] = ()

    @cached_property
    def types(self) -> Mapping[str, ValueType]:
        """Type of every value, by id."""
        return {value.id: value.type for value in self.values()}

    @cached_property
    def state_of(self) -> Mapping[str, State]:
        """States by value id."""
        return {state.value.id: state for state in self.states}

    @cached_property
    def readers(self) -> Mapping[str, tuple[int, ...]]:
        """Positions of the nodes that read each value, ascending."""
        found: dict[str, list[int]] = {}
        for position, node in enumerate(self.nodes):
            for operand in dict.fromkeys(node.operands):
                found.setdefault(operand, []).append(position)
        return {value: tuple(positions) for value, positions in found.items()}

    @cached_property
    def pinned(self) -> Mapping[str, int]:
        """Sizes of the pinned dimensions; a reason begins with it (`H=224: ...`)."""
        found = ((name, why.partition(":")[0].partition("=")[2]) for name, why in self.fixed.items())
        return {name: int(size) for name, size in found if size.isdecimal()}

    def values(self) -> Iterator[Value]:
        """Every value in order of definition: states, inputs, results."""
        yield from (state.value for state in self.states)
        yield from self.inputs
        for node in self.nodes:
            yield from node.results

    def tensor(self, value: str) -> TensorType:
        """Type of a value that must be a tensor."""
        found = self.types[value]
        assert isinstance(found, TensorType), f"{value} is not a tensor"
        return found


@dataclass(frozen=True)
class Variant:
    """The graph of a slice of the model where the symbols `ones` are one (and the other excluded ones are not)."""

    ones: frozenset[str]
    graph: Graph

    def covers(self, point: Mapping[str, int], excluded: Iterable[str]) -> bool:
        """True when the point lies in this variant's region."""
        return frozenset(n for n in excluded if point.get(n) == 1) == self.ones


def as_program(graph: Graph) -> Graph:
    """The graph without what eager torch does beyond it: values die after their last reader."""
    if not any(node.holds or node.into is not None for node in graph.nodes):
        return graph
    return replace(graph, nodes=tuple(replace(node, holds=(), into=None) for node in graph.nodes))
