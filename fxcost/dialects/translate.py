"""From operations to a graph: values, sizes that are computed along the way, calls put in place.

A tensor is a value of the graph, or *fresh*: `tensor.empty` and constants of one number hold nothing that is read. A number
is an expression where it can be followed. A size that nothing tells is a symbol of its own, as one that the data decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fxcost.dialects.operations import Block, Elements, Operation, Result, Scalar, Shaped
from fxcost.errors import FileError
from fxcost.ir.expr import DATA_PREFIX, Expr, as_expr, symbol
from fxcost.ir.graph import NO_EFFECTS, Attribute, Effects, Graph, Node, State, Value
from fxcost.ir.limits import MAX_REGIONS
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import ScalarType, TensorType

IGNORED = frozenset(["cf.assert", "shape.assuming_yield", "torch_c.get_next_seed", "sdy.mesh"])


@dataclass(frozen=True)
class Tensor:
    """A value of the graph."""

    id: str
    type: TensorType
    is_made: bool = True  # by a node, not given from outside


@dataclass(frozen=True)
class Fresh:
    """Memory without contents, or one number everywhere: shape only."""

    type: TensorType


@dataclass(frozen=True)
class Number:
    """A scalar; None where it cannot be followed."""

    value: Expr | None = None


Held = Tensor | Fresh | Number
Handler = Callable[["Translator", Operation], bool]
"""Translates an operation; False leaves it to the next handler."""


@dataclass
class Translator:
    """Builds one graph."""

    name: str
    where: str
    functions: Mapping[str, Operation]
    handlers: Sequence[Handler]
    env: dict[int, Held] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    symbols: dict[str, SymbolInfo] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    depth: int = 0

    # -- the program -----------------------------------------------------------------------------------------------
    def graph(self, entry: Operation, notes: Iterable[str]) -> Graph:
        """The graph of a function and of everything that it calls."""
        body = body_of(self, entry)
        for function in self.functions.values():
            for op in function.walk():
                self.uses.update(op.operands)
        for position, argument in enumerate(body.arguments):
            self.env[argument.id] = self.input(argument, position)
        outputs = self.run(body)
        kept = tuple(held.id for held in (self.env[number] for number in outputs) if isinstance(held, Tensor))
        return Graph(
            name=self.name,
            symbols=tuple(self.symbols.values()),
            states=tuple(self.states),
            inputs=tuple(self.inputs),
            nodes=tuple(self.nodes),
            outputs=kept,
            notes=tuple(notes),
        )

    def input(self, argument: Result, position: int) -> Held:
        """An argument of the program; its open sizes become symbols."""
        name = self.unique(argument.name or f"arg{position}")
        if isinstance(argument.type, Scalar):
            value = Value(name, ScalarType("int" if argument.type.text.startswith(("i", "index")) else "float"))
            self.inputs.append(value)
            return Number(None)
        sizes = [
            self.size(f"{name}_{dim}") if size is None else as_expr(size) for dim, size in enumerate(argument.type.dims)
        ]
        form = TensorType(tuple(sizes), argument.type.dtype)
        self.inputs.append(Value(name, form))
        return Tensor(name, form, is_made=False)

    def size(self, wanted: str) -> Expr:
        """A new symbol for a size of an input."""
        name = wanted if wanted.isidentifier() and not wanted.startswith(DATA_PREFIX) else f"size_{len(self.symbols)}"
        self.symbols[name] = SymbolInfo(name)
        return symbol(name)

    def open_size(self) -> Expr:
        """A new symbol for a size that nothing tells."""
        name = f"{DATA_PREFIX}{sum(s.kind == 'data' for s in self.symbols.values())}"
        self.symbols[name] = SymbolInfo(name, min=0, kind="data")
        return symbol(name)

    def unique(self, wanted: str) -> str:
        """`wanted`, or with a number behind it."""
        self.taken[wanted] += 1
        return wanted if self.taken[wanted] == 1 else self.unique(f"{wanted}_{self.taken[wanted]}")

    def run(self, block: Block) -> tuple[int, ...]:
        """Translate a body; the values that its last operation returns."""
        for op in block.operations[:-1]:
            self.translate(op)
        if not block.operations:
            return ()
        return block.operations[-1].operands

    def translate(self, op: Operation) -> None:
        """Translate one operation by the first handler that takes it; what none takes is a node without a rule."""
        missing = [number for number in op.operands if number not in self.env]
        if missing:
            raise FileError(f"{self.where}: {op.name} reads a value that nothing before it makes")
        if op.name in IGNORED:
            return
        if op.name in {"func.call", "call", "stablehlo.composite"}:
            self.call(op)
        elif not any(handler(self, op) for handler in self.handlers):
            self.other(op)

    def call(self, op: Operation) -> None:
        """Put the body of the function in the place of the call."""
        callee = str(op.attrs.get("callee", op.attrs.get("decomposition", "")))
        function = self.functions.get(callee)
        if function is None:
            raise FileError(f"{self.where}: found a call of @{callee}, which the file does not define")
        if self.depth >= MAX_REGIONS:
            raise FileError(f"{self.where}: found calls nested deeper than {MAX_REGIONS}, or @{callee} calling itself")
        body = body_of(self, function)
        self.depth += 1
        for argument, number in zip(body.arguments, op.operands, strict=True):
            self.env[argument.id] = self.env[number]
        for result, number in zip(op.results, self.run(body), strict=True):
            self.env[result.id] = self.env[number]
        self.depth -= 1

    def other(self, op: Operation) -> None:
        """A node with all tensors as operands; numbers are followed no further."""
        tensors = [(f"operands.{i}", self.env[n]) for i, n in enumerate(op.operands)]
        if op.results and not any(isinstance(result.type, Shaped) for result in op.results):
            for result in op.results:
                self.env[result.id] = Number(None)
            return
        self.emit(op, op.name, tensors, {})

    # -- nodes -----------------------------------------------------------------------------------------------------
    def emit(
        self,
        op: Operation,
        name: str,
        operands: Iterable[tuple[str, Held]],
        attrs: Mapping[str, Attribute],
        shapes: Sequence[Sequence[Expr | None]] | None = None,
        over: str | None = None,
    ) -> None:
        """Add a node. `shapes` are those of the results, None in them is open; `over` is the slot it is written over."""
        kept = [(slot, held) for slot, held in operands if isinstance(held, Tensor)]
        label = self.unique(name.split(".")[1] if "." in name else name)
        results: list[Value] = []
        for position, result in enumerate(op.results):
            many = len(op.results) > 1
            identity = f"{label}.{position}" if many else label
            if isinstance(result.type, Scalar):
                self.env[result.id] = Number(None)
                results.append(Value(identity, ScalarType("int")))
                continue
            form = self.formed(result.type, shapes[position] if shapes is not None else None)
            results.append(Value(identity, form))
            self.env[result.id] = Tensor(identity, form)
        place = next((i for i, (slot, _) in enumerate(kept) if slot == over), None)
        effects = NO_EFFECTS if place is None else Effects(((0, place),), ())
        self.nodes.append(
            Node(
                name=label,
                op=name,
                operands=tuple(held.id for _, held in kept),
                slots=tuple(slot for slot, _ in kept),
                attrs=dict(attrs),
                results=tuple(results),
                effects=effects,
            )
        )

    def view(self, op: Operation, slot: str, shape: Sequence[Expr | None] | None) -> None:
        """The first operand under another shape; it may be written over where the operand may be."""
        source, (result,) = self.env[op.operands[0]], op.results
        assert isinstance(result.type, Shaped), "a tensor stays one"
        if isinstance(source, Fresh):
            self.env[result.id] = Fresh(self.formed(result.type, shape))
            return
        self.emit(op, op.name, [(slot, source)], {}, None if shape is None else [shape], over=slot)
        made = self.env[result.id]
        assert isinstance(made, Tensor), "it was just made"
        self.env[result.id] = Tensor(made.id, made.type, self.may_overwrite(op.operands[0]))

    def formed(self, type: Shaped, shape: Sequence[Expr | None] | None) -> TensorType:
        """The type of a result: sizes in the text, else those known, else open ones."""
        known = [None] * len(type.dims) if shape is None else list(shape)
        sizes = []
        for size, told in zip(type.dims, known, strict=True):
            stated = None if size is None else as_expr(size)
            sizes.append(stated if stated is not None else told if told is not None else self.open_size())
        return TensorType(tuple(sizes), type.dtype)

    def constant(self, op: Operation) -> None:
        """A constant: a number, one number everywhere, or data of the model; floating data counts as its parameters."""
        (result,) = op.results
        value = op.attrs.get("value")
        if isinstance(result.type, Scalar):
            whole = isinstance(value, int) and not isinstance(value, bool)
            self.env[result.id] = Number(as_expr(value) if whole else None)  # type: ignore[arg-type]
            return
        form = self.formed(result.type, None)
        if isinstance(value, Elements) and value.splat:
            self.env[result.id] = Fresh(form)
            return
        name = self.unique("constant")
        is_weight = form.rank > 0 and form.dtype.is_floating
        self.states.append(State(Value(name, form), "parameter" if is_weight else "constant", (name,)))
        self.env[result.id] = Tensor(name, form, is_made=False)

    # -- values ----------------------------------------------------------------------------------------------------
    def number(self, id: int) -> Expr | None:
        """The expression of a scalar, where it is known."""
        held = self.env.get(id)
        return held.value if isinstance(held, Number) else None

    def form(self, id: int) -> TensorType | None:
        """The type of a tensor."""
        held = self.env.get(id)
        return held.type if isinstance(held, Tensor | Fresh) else None

    def may_overwrite(self, id: int) -> bool:
        """True for a tensor that a node made and nobody else reads: its memory may hold the result."""
        held = self.env.get(id)
        return isinstance(held, Tensor) and held.is_made and self.uses[id] == 1


def body_of(translator: Translator, function: Operation) -> Block:
    """The body of a function that is defined, not only declared."""
    if not function.blocks:
        raise FileError(
            f"{translator.where}: the function @{function.attrs.get('sym_name')} is declared without a body"
        )
    return function.blocks[0]


def numbers_or(static: Iterable[int], dynamic: Iterable[Expr | None]) -> tuple[Expr | None, ...]:
    """A list of sizes of which some are written as attributes, and the others (the smallest number) as operands."""
    rest = iter(dynamic)
    return tuple(next(rest, None) if size < -(2**62) else as_expr(size) for size in static)
