"""Lowering: an ExportedProgram becomes an `ir.Graph`. The only reader of fx nodes.

Symbolic integers are folded into the arguments and shapes that use them (torch keeps an exact expression for each), so
size arithmetic leaves no nodes behind. Sizes that only the data decides become symbols of their own (`data_0`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fxcost.capture.inputs import TORCH_DTYPES
from fxcost.capture.ladder import Captured
from fxcost.errors import CaptureError
from fxcost.ir.domain import reduced, simplify_domain
from fxcost.ir.expr import DATA_PREFIX, Expr, as_expr, symbol
from fxcost.ir.graph import NO_EFFECTS, Attribute, Graph, Node, State, Value
from fxcost.ir.predicate import Compare, Predicate
from fxcost.ir.symbols import SymbolInfo, ranges_of
from fxcost.ir.sympy_bridge import Untranslatable, from_sympy, predicate_from_sympy
from fxcost.ir.types import ScalarType, TensorType, ValueType
from fxcost.lower.collectives import DEVICES, group_of, is_collective
from fxcost.lower.control import CONTROL_FLOW, COUNTED_AS, Body, described, summed
from fxcost.lower.fx import (
    arguments,
    decomposition,
    effects,
    identity,
    is_number,
    op_name,
    reads_data,
    shape_env,
    source,
    state_tensor,
    unique,
)
from fxcost.ops.registry import find

_DTYPES = {torch_type: dtype for dtype, torch_type in TORCH_DTYPES.items()}
_LAYOUTS = {
    torch.contiguous_format: "contiguous",
    torch.channels_last: "channels_last",
    torch.channels_last_3d: "channels_last",
    torch.preserve_format: "preserve",
}
_IGNORED = {"aten._assert_tensor_metadata", "aten._assert_async", "aten._assert_scalar", "aten.sym_constrain_range"}


def lower(captured: Captured, name: str) -> Graph:
    """Translate a captured program; raises CaptureError where a size has no exact integer form."""
    try:
        return _Lowering(captured, name).run()
    except Untranslatable as error:
        raise CaptureError(f"{name}: {error}") from error


@dataclass
class _Lowering:
    captured: Captured
    name: str
    names: dict[str, Expr] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # fx node name -> value id, tuple of ids, or an attribute
    types: dict[str, ValueType] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    data: dict[str, SymbolInfo] = field(default_factory=dict)
    sizes: dict[Any, Expr] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outer: Any = None  # the operator that is being taken apart
    groups: dict[str, SymbolInfo] = field(default_factory=dict)  # process groups of unknown size, by name

    def run(self) -> Graph:
        program = self.captured.program
        self.names = dict(self.captured.bindings)
        states, inputs = self._placeholders(program)
        self._body(program.graph_module, "")
        outputs, updates = self._outputs(program)
        symbols = (*self.captured.symbols, *self.groups.values(), *self.data.values())
        return Graph(
            name=self.name,
            symbols=symbols,
            states=states,
            inputs=inputs,
            nodes=tuple(self.nodes),
            outputs=outputs,
            updates=updates,
            domain=self._domain(program, symbols),
            fixed=self.captured.fixed,
            notes=tuple(dict.fromkeys((f"captured: {self.captured.rung}", *self.notes))),
        )

    # -- inputs and outputs ----------------------------------------------------------------------------------------
    def _placeholders(self, program: Any) -> tuple[tuple[State, ...], tuple[Value, ...]]:
        nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        first: dict[Any, str] = {}
        paths: dict[str, list[str]] = {}
        found: dict[str, tuple[str, bool]] = {}
        inputs: list[Value] = []
        for spec in program.graph_signature.input_specs:
            node = nodes.get(getattr(spec.arg, "name", ""))
            if node is None:
                continue
            example = node.meta.get("val")
            kind = spec.kind.name
            if kind == "USER_INPUT":
                if isinstance(example, torch.Tensor):
                    inputs.append(self._define(node.name, node.name, example))
                else:
                    self.values[node.name] = self._attribute(example)
                continue
            if not isinstance(example, torch.Tensor):
                self.values[node.name] = None
                continue
            path = self._path(spec.target)
            same = identity(state_tensor(program, spec.target))
            if same is not None and same in first:  # tied: one state under several names
                self.values[node.name] = first[same]
                paths[first[same]].append(path)
                continue
            value = self._define(node.name, node.name, example)
            if same is not None:
                first[same] = value.id
            paths[value.id] = [path]
            real = program.state_dict.get(spec.target)
            trainable = kind == "PARAMETER" and (real is None or bool(real.requires_grad))
            found[value.id] = ({"PARAMETER": "parameter", "BUFFER": "buffer"}.get(kind, "constant"), trainable)
        states = tuple(
            State(Value(key, self.types[key]), kind, tuple(paths[key]), trainable)
            for key, (kind, trainable) in found.items()
        )
        return states, tuple(inputs)

    def _path(self, target: str) -> str:
        return str(target).removeprefix(self.captured.prefix)

    def _outputs(self, program: Any) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        outputs: list[str] = []
        updates: list[tuple[str, str]] = []
        inputs_by_target = {
            spec.target: spec.arg.name for spec in program.graph_signature.input_specs if spec.target is not None
        }
        for spec in program.graph_signature.output_specs:
            value = self.values.get(getattr(spec.arg, "name", ""))
            if not isinstance(value, str) or value not in self.types:
                continue  # a number, a constant or None
            if spec.kind.name in {"USER_OUTPUT", "LOSS_OUTPUT"}:
                outputs.append(value)
            elif spec.kind.name in {"BUFFER_MUTATION", "PARAMETER_MUTATION", "USER_INPUT_MUTATION"}:
                target = inputs_by_target.get(spec.target, spec.target)
                owner = self.values.get(target)
                if isinstance(owner, str):
                    updates.append((owner, value))
        return tuple(outputs), tuple(updates)

    # -- nodes -----------------------------------------------------------------------------------------------------
    def _body(self, module: Any, place: str) -> None:
        for node in module.graph.nodes:
            if node.op == "call_function":
                self._call(module, node, place)
            elif node.op == "get_attr":
                self.values[node.name] = getattr(module, str(node.target), None)
            elif node.op == "output" and place:
                self.values[f"{place}!output"] = _map(node.args[0], self._read)

    def _call(self, module: Any, node: Any, place: str) -> None:
        if node.target is operator.getitem:
            source = self._read(node.args[0])
            self.values[node.name] = source[node.args[1]] if isinstance(source, tuple | list) else None
            return
        example = node.meta.get("val")
        op = op_name(node.target)
        if op in _IGNORED:
            return
        if (op.startswith("hop.wrap") or op in {"hop.invoke_subgraph", "hop.hints_wrapper"}) and self._wrapped(
            node, place
        ):
            return
        if is_number(example) and not reads_data(node):
            self.values[node.name] = self._attribute(example)
            return
        if find(op) is None and self._taken_apart(node, place):
            return
        flow = self._control_flow(node, op, place) if op in CONTROL_FLOW else None
        if flow is not None:
            self._emit(node, flow[0], example, place, flow[1])
            return
        self._emit(node, op, example, place)

    def _control_flow(self, node: Any, op: str, place: str) -> tuple[str, dict[str, Attribute]] | None:
        """What stands for control flow, with the sums of its bodies; None where a body holds an unknown operator."""
        bodies = [v for a in node.args if isinstance(v := self._raw(a), torch.fx.GraphModule)]
        sums = [self._sums(body, f"{place}{node.name}/{i}/") for i, body in enumerate(bodies)]
        known = [each for each in sums if each is not None]
        if not bodies or len(known) < len(bodies):
            return None
        self.notes.append(f"control flow ({op}): {COUNTED_AS}")
        return described(op, node, known, self._size, self._decided)

    def _sums(self, body: torch.fx.GraphModule, scope: str) -> Body | None:
        """What one run of a body costs; its nodes stay out of the graph."""
        outer, self.nodes, saved = self.nodes, [], dict(self.values)
        inputs: list[str] = []
        for inner in body.graph.nodes:
            example = inner.meta.get("val")
            if inner.op == "placeholder" and isinstance(example, torch.Tensor):
                name = unique(f"{scope}{inner.name}".replace("/", "."), self.types)
                inputs.append(self._define(inner.name, name, example).id)
            elif inner.op == "placeholder":
                self.values[inner.name] = self._attribute(example)
        self._body(body, scope)
        outputs = {value for value in pytree.tree_leaves(self.values.get(f"{scope}!output")) if isinstance(value, str)}
        nodes, self.nodes, self.values = self.nodes, outer, saved
        return summed(nodes, self.types, inputs, outputs)

    def _group(self, node: Any) -> dict[str, Attribute]:
        """Among how many devices a collective runs, and as which of them; a size of its own where nobody knows."""
        found = group_of(node)
        if found.size is not None:
            known_rank: dict[str, Attribute] = {} if found.rank is None else {"group_rank": found.rank}
            return {"group_size": found.size, **known_rank}
        known = self.groups.get(found.name)
        if known is None:
            taken = {*self.names, *(s.name for s in self.captured.symbols)}
            known = self.groups[found.name] = SymbolInfo(unique(DEVICES, dict.fromkeys(taken)))
            self.notes.append(f"{known.name} is the number of devices of process group {found.name!r}, which is gone")
        return {"group_size": symbol(known.name)}

    def _decided(self, most: int | None) -> Expr:
        """A symbol for what only the data decides: how often a loop runs, which branch is taken."""
        name = f"{DATA_PREFIX}{len(self.data)}"
        self.data[name] = SymbolInfo(name, min=0, max=most, kind="data")
        return symbol(name)

    def _wrapped(self, node: Any, place: str) -> bool:
        """A wrapper (no_grad, autocast) costs what its body costs."""
        body = next((v for a in node.args if isinstance(v := self._raw(a), torch.fx.GraphModule)), None)
        if body is None:
            return False
        where = next(i for i, a in enumerate(node.args) if self._raw(a) is body)
        self._inline(node, place, body, list(node.args[where + 1 :]))
        return True

    def _taken_apart(self, node: Any, place: str) -> bool:
        """An operator without a rule costs what torch decomposes it to, if all of that has rules."""
        found = decomposition(node)
        if found is None:
            return False
        body, given = found
        parts = {op_name(n.target) for n in body.graph.nodes if n.op == "call_function"}
        if not all(find(op) for op in parts):
            return False
        outer, self.outer = self.outer, self.outer or node
        self._inline(node, place, body, given)
        self.outer = outer
        return True

    def _inline(self, node: Any, place: str, body: torch.fx.GraphModule, given: list[Any]) -> None:
        """Put the body in the node's place."""
        inner = [n for n in body.graph.nodes if n.op == "placeholder"]
        scope = f"{place}{node.name}/"
        renamed = {n.name: f"{scope}{n.name}" for n in body.graph.nodes}
        saved = {k: self.values[k] for k in renamed if k in self.values}
        for placeholder, argument in zip(inner, given, strict=False):
            self.values[placeholder.name] = self._read(argument)
        self._body(body, scope)
        result = self.values.pop(f"{scope}!output", None)
        self.values |= saved
        self.values[node.name] = tuple(result) if isinstance(result, list) else result

    def _emit(
        self, node: Any, op: str, example: Any, place: str, more: Mapping[str, Attribute] = MappingProxyType({})
    ) -> None:
        name = unique(f"{place}{node.name}".replace("/", "."), self.types)
        operands: list[str] = []
        slots: list[str] = []
        attrs: dict[str, Attribute] = {}
        for slot, argument in arguments(node):
            self._argument(slot, argument, operands, slots, attrs)
        attrs |= more
        if is_collective(op):
            attrs |= self._group(node)
        schema = getattr(node.target, "_schema", None)
        memory = effects(schema, slots) if schema is not None else NO_EFFECTS
        results = self._results(name, node.name, example)
        owner = self.outer or node
        module, call = self._place(owner)
        self.nodes.append(
            Node(name, op, tuple(operands), tuple(slots), attrs, results, module, call, source(owner), effects=memory)
        )

    def _argument(
        self, slot: str, argument: Any, operands: list[str], slots: list[str], attrs: dict[str, Attribute]
    ) -> None:
        value = self._read(argument)
        if isinstance(argument, torch.fx.Node) and isinstance(value, str) and value in self.types:
            operands.append(value)
            slots.append(slot)
        elif isinstance(argument, list | tuple) and any(isinstance(a, torch.fx.Node) for a in argument):
            plain: list[Attribute] = []
            tensors = 0
            for position, (item, read) in enumerate(zip(argument, value, strict=True)):
                if isinstance(item, torch.fx.Node) and isinstance(read, str) and read in self.types:
                    operands.append(read)
                    slots.append(f"{slot}.{position}")
                    tensors += 1
                else:
                    plain.append(self._attribute(read))
            if not tensors:
                attrs[slot] = tuple(plain)
        elif argument is not None:
            attrs[slot] = self._attribute(value)

    def _results(self, name: str, fx_name: str, example: Any) -> tuple[Value, ...]:
        if not isinstance(example, tuple | list):
            if example is None:
                self.values[fx_name] = None
                return ()
            return (self._define(fx_name, name, example),)
        found: list[Value] = []
        ids: list[Any] = []
        for position, item in enumerate(example):
            if item is None:
                ids.append(None)
                continue
            value = self._define(None, f"{name}.{position}", item)
            found.append(value)
            ids.append(value.id)
        self.values[fx_name] = tuple(ids)
        return tuple(found)

    def _define(self, fx_name: str | None, wanted: str, example: Any) -> Value:
        value = Value(wanted, self._type(example))
        self.types[value.id] = value.type
        if fx_name is not None:
            self.values[fx_name] = value.id
        return value

    def _type(self, example: Any) -> ValueType:
        if isinstance(example, torch.Tensor):
            dtype = _DTYPES.get(example.dtype)
            if dtype is None:
                raise CaptureError(f"{self.name}: element type {example.dtype} is not supported")
            return TensorType(tuple(self._size(size) for size in example.shape), dtype)
        if isinstance(example, bool | torch.SymBool):
            return ScalarType("bool")
        if isinstance(example, int | torch.SymInt):
            if isinstance(example, torch.SymInt):
                self._size(example)  # a size only the data decides becomes a symbol
            return ScalarType("int")
        return ScalarType("float")

    # -- reading arguments -----------------------------------------------------------------------------------------
    def _raw(self, argument: Any) -> Any:
        return self.values.get(argument.name) if isinstance(argument, torch.fx.Node) else argument

    def _read(self, argument: Any) -> Any:
        return _map(argument, self._raw)

    def _attribute(self, value: Any) -> Attribute:
        if value is None or isinstance(value, bool | int | float | str | Expr):
            return value
        if isinstance(value, torch.SymInt):
            return _plain(self._size(value))
        if isinstance(value, torch.SymFloat | torch.SymBool):
            try:
                return _plain(from_sympy(value.node.expr, self.names))
            except (Untranslatable, AttributeError):
                return f"symbolic {value}"
        if isinstance(value, torch.dtype):
            return _DTYPES[value].short if value in _DTYPES else str(value)
        if isinstance(value, torch.memory_format):
            return _LAYOUTS.get(value, str(value))
        if isinstance(value, complex):
            return str(value)
        if isinstance(value, list | tuple):
            return tuple(self._attribute(item) for item in value)
        if isinstance(value, torch.device | torch.layout):
            return str(value)
        return type(value).__name__

    def _size(self, size: Any) -> Expr:
        if isinstance(size, int):
            return as_expr(size)
        expression = size.node.expr
        known = self.sizes.get(expression)
        if known is None:
            for free in sorted(expression.free_symbols, key=str):
                if free.name not in self.names:
                    self.names[free.name] = self._data_symbol(free.name)
            known = self.sizes[expression] = from_sympy(expression, self.names)
        return known

    def _data_symbol(self, torch_name: str) -> Expr:
        if not torch_name.startswith(("u", "f")):
            raise Untranslatable(f"a size mentions {torch_name}, which is no dimension of an input")
        name = f"{DATA_PREFIX}{len(self.data)}"
        self.data[torch_name] = SymbolInfo(name, min=0, kind="data")
        return symbol(name)

    # -- places and guards -----------------------------------------------------------------------------------------
    def _place(self, node: Any) -> tuple[str, int]:
        stack = node.meta.get("nn_module_stack")
        if not stack:
            return "", 0
        key, (path, *_) = next(reversed(stack.items()))
        call = str(key).rpartition("@")[2]
        wrapped = self.captured.prefix.rstrip(".")
        path = "" if path == wrapped and wrapped else self._path(path)
        return path, int(call) if "@" in str(key) and call.isdecimal() else 0

    def _unified(self, environment: Any) -> None:
        """Symbols that torch found equal to others, or to a number, mean what those mean."""
        for name, value in environment.replacements.items():
            if str(name) not in self.names:
                with suppress(Untranslatable):
                    self.names[str(name)] = from_sympy(value, self.names)

    def _domain(self, program: Any, symbols: tuple[SymbolInfo, ...]) -> tuple[Predicate, ...]:
        found: list[Predicate] = list(self.captured.domain)
        environment = shape_env(program)
        if environment is not None:
            self._unified(environment)
            found += self._decisions()
            for guard in environment.guards:
                try:
                    read = predicate_from_sympy(guard.expr, self.names)
                except Untranslatable:
                    self.notes.append(f"a guard has no exact integer form, and sizes in it are held: {guard.expr}")
                    found += self._held(guard.expr, symbols)
                    continue
                if not _about_storage(guard, read):
                    found.append(read)
            for name, span in environment.var_to_range.items():
                value = self.names.get(str(name))
                if value is None or not str(name).startswith("s"):
                    continue
                lower_end, upper = span.lower, span.upper
                if lower_end.is_Integer and int(lower_end) > 2:
                    found.append(Compare(">=", value, as_expr(int(lower_end))))
                if upper.is_Integer and int(upper) < 2**31:
                    found.append(Compare("<=", value, as_expr(int(upper))))
        return simplify_domain(found, ranges_of(symbols))

    def _decisions(self) -> Iterator[Predicate]:
        """What the trace took for settled although only the data settle it; noted where no size in the graph shows it."""
        for relation in self.captured.decided:
            try:
                yield predicate_from_sympy(relation, self.names)
            except Untranslatable:
                self.notes.append(f"taken as settled, although the data decide: {relation}")

    def _held(self, guard: Any, symbols: tuple[SymbolInfo, ...]) -> list[Predicate]:
        """The sizes that a guard is about at what they were traced with: all that is known of where it holds."""
        known = [self.names[free.name] for free in guard.free_symbols if free.name in self.names]
        about = frozenset[str]().union(*(value.symbols for value in known))
        return [Compare("==", symbol(s.name), as_expr(s.hint)) for s in symbols if s.name in about and s.hint]


def _about_storage(guard: Any, read: Predicate) -> bool:
    """Torch's own "is this size one (or zero)?" decides strides, never shapes or counts; the storage pass asks it itself.

    Such questions come from dispatch and from export's own bookkeeping; shape checks come from the meta functions, and
    branches from the model's code: these stay. So do questions about remainders, which are no sizes of tensors: operators
    that divide a tensor into parts ask them, and give other parts.
    """
    place = str(getattr(getattr(guard, "sloc", None), "framework_loc", "")).replace("\\", "/")
    asked = reduced(read)
    if not isinstance(asked, Compare) or asked.right.constant not in (0, 1):
        return False
    if all(atom.kind == "mod" for atom in asked.left.atoms()):
        return False
    if asked.op == "!=":
        return "/torch/_" in place
    return asked.op == ">" and ("/torch/_ops.py" in place or "/torch/_export/" in place)


def _map(value: Any, function: Any) -> Any:
    """Apply `function` to every leaf of nested lists and tuples."""
    if isinstance(value, list | tuple):
        return [_map(item, function) for item in value]
    if isinstance(value, slice):
        return value
    return function(value)


def _plain(value: Expr) -> Attribute:
    return value if value.constant is None else value.constant
