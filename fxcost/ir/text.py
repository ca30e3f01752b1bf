"""Writes a graph as text: valid MLIR in the generic form, which `text_reader` reads back into an equal graph.

Every mlir-opt from 14 on takes it with `--allow-unregistered-dialect` (8-bit floats from 16 on). Grammar; braces of
attributes are written literally, `*` repeats, `?` is optional::

    text      ::= "builtin.module"() ({ function }) {fxcost.version = 1 : i64, graph-attr*} : () -> ()
    function  ::= "func.func"() ({ body }) {function_type = (type*) -> (type*), sym_name = "forward"} : () -> ()
    body      ::= ^bb0(%input: type*): state* node* update* "func.return"(%output*) : (type*) -> ()
    state     ::= %w = "fxcost.state"() {kind = "parameter", paths = ["fc.weight"], trainable = true} : () -> type
    node      ::= (%name (:count)? =)? "op"(%operand*) (region, ...)? {attr*, node-attr*} : (type*) -> (type*) place?
    update    ::= "fxcost.update"(%state, %value) : (type, type) -> ()
    region    ::= { body }          its last op is "fxcost.yield"(%output*) {graph-attr*}; it reads no outer value
    place     ::= loc("module"("file":line:0)) | loc("module") | loc("file":line:0)

    graph-attr ::= fxcost.name | fxcost.symbols = [{name = "N", min = 1, max = 64, multiple_of = 2, hint = 4}]
                 | fxcost.domain = ["N >= 2"] | fxcost.fixed = [["W", "why"]] | fxcost.standing = "lower" | fxcost.notes
    node-attr  ::= fxcost.slots = ["input", "weight"] | fxcost.name | fxcost.call | fxcost.phase
                 | fxcost.views = [[result, operand]] | fxcost.writes = [operand] | fxcost.module | fxcost.source
    value-attr ::= fxcost.ids = ["id"]   where %names cannot say the ids: several results, or characters beyond MLIR's

    attribute ::= true | 3 | #fxcost.int<"18446744073709551616"> | 0.5 | 0x7FF8000000000000 : f64 | "text"
                | #fxcost.expr<"(H + 1)//2"> | unit (None) | [attribute*] (tuple)
    type      ::= tensor<?x3x?xf32, #fxcost.shape<"[N, 3, (H + 1)//2]">> | tensor<64x3xf32> | index | f64 | i1 (numbers)

An op whose name MLIR could not take, or takes for one of its own (`math.ceil`), is written `"fxcost.call"` with the
name in `fxcost.op`. What has its default value is left out. A float NaN is not equal to itself: it reads back as
`math.nan` with the same bits, which makes graphs equal when they hold that very object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Final

from fxcost.errors import InternalError
from fxcost.ir.graph import Graph, Node, Standing, Value
from fxcost.ir.mlir import attribute, braces, condition, key, quote, tensor
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import ScalarType, ValueType
from fxcost.ir.verify import verify

VERSION: Final = 1
SCALARS: Final = {"int": "index", "float": "f64", "bool": "i1"}
"""MLIR type of a number, by kind."""

# Namespaces that mlir-opt knows: it would check our op against its own of that name.
_TAKEN = re.compile(
    "acc|affine|amdgpu|amx|arith|arm_neon|arm_sme|arm_sve|async|bufferization|builtin|cf|complex|dlti|emitc|func|fxcost|gpu|"
    "index|irdl|linalg|llvm|math|memref|mesh|ml_program|mpi|nvgpu|nvvm|omp|pdl|pdl_interp|polynomial|ptr|quant|rocdl|scf|"
    "shape|shard|smt|sparse_tensor|spirv|spv|std|tensor|test|tosa|transform|ub|vcix|vector|wasmssa|x86vector|xegpu|xevm"
)
_OP_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_$]*)(?:\.[A-Za-z0-9_$]+)+")
_VALUE_NAME = re.compile(r"[0-9]+|[A-Za-z_$.][A-Za-z0-9_$.-]*")
_SOURCE = re.compile(r"([^\0]+):(0|[1-9][0-9]{0,8})", re.DOTALL)


def print_graph(graph: Graph) -> str:
    """Return the text of a graph; raises InternalError when the graph breaks a rule of `verify`."""
    verify(graph, "print_graph", InternalError)
    types: dict[ValueType, str] = {}
    writer = _Writer(types, frozenset())
    inputs = ", ".join(writer.type(value.type) for value in graph.inputs)
    outputs = ", ".join(writer.type(graph.types[output]) for output in graph.outputs)
    body = writer.body(graph, "  ", "func.return", {})
    attributes = {"fxcost.version": f"{VERSION} : i64", **_graph_attributes(graph)}
    return "\n".join(
        [
            '"builtin.module"() ({',
            '  "func.func"() ({',
            *body,
            f'  }}) {{function_type = ({inputs}) -> ({outputs}), sym_name = "forward"}} : () -> ()',
            f"}}) {braces(attributes)} : () -> ()",
            "",
        ]
    )


class _Writer:
    """Writes one graph; `taken` are the names of the graphs around it, which MLIR does not let regions use again."""

    def __init__(self, types: dict[ValueType, str], taken: frozenset[str]) -> None:
        self.types = types
        self.taken = set(taken)
        self.references: dict[str, str] = {}
        self.numbers = count()

    def type(self, value: ValueType) -> str:
        found = self.types.get(value)
        if found is None:
            found = self.types[value] = SCALARS[value.kind] if isinstance(value, ScalarType) else tensor(value)
        return found

    def body(self, graph: Graph, indent: str, terminator: str, attributes: Mapping[str, str]) -> list[str]:
        self.reserve(graph)
        inner = indent + "  "
        lines: list[str] = []
        arguments, ids = self.define_inputs(graph.inputs)
        if arguments:
            lines.append(f"{indent}^bb0({arguments}):")
        for state in graph.states:
            name, extra = self.define((state.value,), "")
            fields = {"kind": quote(state.kind), "paths": attribute(state.paths)}
            fields |= {"trainable": "true"} if state.trainable else {}
            lines.append(
                f'{inner}{name} = "fxcost.state"() {braces(fields | extra)} : () -> {self.type(state.value.type)}'
            )
        for node in graph.nodes:
            lines += self.node(graph, node, inner)
        for pair in graph.updates:
            lines.append(f'{inner}"fxcost.update"({self.uses(pair)}) : ({self.types_of(graph, pair)}) -> ()')
        ending = braces({**attributes, **ids})
        ending = f" {ending}" if ending != "{}" else ""
        types = self.types_of(graph, graph.outputs)
        lines.append(f'{inner}"{terminator}"({self.uses(graph.outputs)}){ending} : ({types}) -> ()')
        return lines

    def reserve(self, graph: Graph) -> None:
        """Let the values whose ids can be MLIR names have them, before names are made for the others."""
        singles = [(v,) for v in (*(s.value for s in graph.states), *graph.inputs)]
        for group in (*singles, *(node.results for node in graph.nodes)):
            name = group[0].id if len(group) == 1 else ""
            if _VALUE_NAME.fullmatch(name) and name not in self.taken:
                self.references[name] = "%" + name
        self.taken.update(self.references)

    def define(self, values: Sequence[Value], wish: str) -> tuple[str, dict[str, str]]:
        """The left side of an op that defines `values`, and the attribute that tells their ids where it does not."""
        if len(values) == 1 and values[0].id in self.references:
            return self.references[values[0].id], {}
        if not (_VALUE_NAME.fullmatch(wish) and wish not in self.taken):
            wish = next(name for number in self.numbers if (name := f"v{number}") not in self.taken)
        self.taken.add(wish)
        several = len(values) > 1
        for position, value in enumerate(values):
            self.references[value.id] = f"%{wish}#{position}" if several else f"%{wish}"
        return f"%{wish}:{len(values)}" if several else f"%{wish}", {
            "fxcost.ids": attribute(tuple(v.id for v in values))
        }

    def define_inputs(self, inputs: Sequence[Value]) -> tuple[str, dict[str, str]]:
        parts, told = [], False
        for value in inputs:
            name, extra = self.define((value,), "")
            told |= bool(extra)
            parts.append(f"{name}: {self.type(value.type)}")
        return ", ".join(parts), {"fxcost.ids": attribute(tuple(v.id for v in inputs))} if told else {}

    def uses(self, ids: Iterable[str]) -> str:
        return ", ".join(self.references[i] for i in ids)

    def types_of(self, graph: Graph, ids: Iterable[str]) -> str:
        return ", ".join(self.type(graph.types[i]) for i in ids)

    def node(self, graph: Graph, node: Node, indent: str) -> list[str]:
        regions = [self.region(region, indent) for region in node.regions]  # before the results: they see none of them
        left, extra = self.define(node.results, node.name) if node.results else ("", {})
        implied = left.partition(":")[0][1:]
        fields = {key(name): attribute(value) for name, value in node.attrs.items()}
        fields |= _node_attributes(node, implied) | extra
        space = _OP_NAME.fullmatch(node.op)
        op = node.op
        if space is None or _TAKEN.fullmatch(space[1]):
            op = "fxcost.call"
            fields["fxcost.op"] = quote(node.op)
        place, told = _place(node)
        fields |= told
        head = f"{indent}{left} = " if left else indent
        results = ", ".join(self.type(value.type) for value in node.results)
        tail = f"{braces(fields)} : ({self.types_of(graph, node.operands)}) -> ({results}){place}"
        if not regions:
            return [f'{head}"{op}"({self.uses(node.operands)}) {tail}']
        lines = [f'{head}"{op}"({self.uses(node.operands)}) ({{']
        for position, region in enumerate(regions):
            lines += [f"{indent}}}, {{"] if position else []
            lines += region
        return [*lines, f"{indent}}}) {tail}"]

    def region(self, graph: Graph, indent: str) -> list[str]:
        inner = _Writer(self.types, frozenset(self.taken))
        return inner.body(graph, indent + "  ", "fxcost.yield", _graph_attributes(graph))


def _graph_attributes(graph: Graph) -> dict[str, str]:
    found = {"fxcost.name": quote(graph.name)}
    if graph.symbols:
        found["fxcost.symbols"] = f"[{', '.join(_symbol(s) for s in graph.symbols)}]"
    if graph.domain:
        found["fxcost.domain"] = f"[{', '.join(quote(condition(p)) for p in graph.domain)}]"
    if graph.fixed:
        found["fxcost.fixed"] = attribute(tuple(graph.fixed.items()))
    if graph.standing is not Standing.EXACT:
        found["fxcost.standing"] = quote(graph.standing.value)
    if graph.notes:
        found["fxcost.notes"] = attribute(graph.notes)
    return found


def _symbol(info: SymbolInfo) -> str:
    fields = {"name": quote(info.name), "min": attribute(info.min)}
    fields |= {"max": attribute(info.max)} if info.max is not None else {}
    fields |= {"multiple_of": attribute(info.multiple_of)} if info.multiple_of != 1 else {}
    fields |= {"hint": attribute(info.hint)} if info.hint is not None else {}
    return braces(fields | ({"kind": quote(info.kind)} if info.kind != "size" else {}))


def _node_attributes(node: Node, implied: str) -> dict[str, str]:
    found = {"fxcost.slots": attribute(node.slots)} if node.slots else {}
    if node.name != implied:
        found["fxcost.name"] = quote(node.name)
    if node.call:
        found["fxcost.call"] = attribute(node.call)
    if node.phase != "forward":
        found["fxcost.phase"] = quote(node.phase)
    if node.effects.views:
        found["fxcost.views"] = attribute(node.effects.views)
    if node.effects.writes:
        found["fxcost.writes"] = attribute(node.effects.writes)
    return found


def _place(node: Node) -> tuple[str, dict[str, str]]:
    """The location of a node, and attributes for what no location can say."""
    match = _SOURCE.fullmatch(node.source)
    told = {} if match or not node.source else {"fxcost.source": quote(node.source)}
    file = f"{quote(match[1])}:{match[2]}:0" if match else ""
    if node.module:
        return f" loc({quote(node.module)}{f'({file})' if file else ''})", told
    return (f" loc({file})" if file else ""), told
