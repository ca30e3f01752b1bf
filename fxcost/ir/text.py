"""Writes a graph as text: valid MLIR, which `text_reader` reads back into an equal graph.

Every mlir-opt from 14 on takes the generic form with `--allow-unregistered-dialect` (8-bit floats from 16 on), and from
16 on the pretty one. Grammar; the braces of attributes are written literally, `*` repeats, `?` is optional::

    text      ::= "builtin.module"() ({ function variant* }) {fxcost.version = 1 : i64, graph-attr*} : () -> ()
    function  ::= "func.func"() ({ body }) {function_type = (type*) -> (type*), sym_name = "forward"} : () -> ()
    variant   ::= a function with {fxcost.ones = ["N"], graph-attr*}: the graph where these symbols are one
    body      ::= (^bb0(%input: type*):)? state* node* update* "func.return"(%output*) : (type*) -> ()
    state     ::= %w = "fxcost.state"() {kind = "parameter", paths = ["fc.weight"], trainable = true} : () -> type
    node      ::= (%name (:count)? =)? "op"(%operand*) ((region*))? {attr*, node-attr*} : (type*) -> type place?
    region    ::= { body }             its last op is "fxcost.yield"(%output*) {graph-attr*}; it reads no outer value
    update    ::= "fxcost.update"(%state, %value) : (type, type) -> ()
    place     ::= loc("module"("file":line:0)) | loc("module") | loc("file":line:0)

    pretty    ::= module attributes {fxcost.version = 1 : i64, graph-attr*} { function variant* }
    function  ::= func.func @forward(%x: type*) -> (type*) { body }       variant: ... attributes {fxcost.ones ...} { body }
                  its body has no ^bb0 and ends in "func.return %output* : type*"; ops are as above

    graph-attr ::= fxcost.name | fxcost.symbols = [{name = "N", min = 1, max = 64, multiple_of = 2, hint = 4}]
                 | fxcost.domain = ["N >= 2"] | fxcost.fixed = [["W", "why"]] | fxcost.standing = "lower" | fxcost.notes
    node-attr  ::= fxcost.slots = ["input", "weight"] | fxcost.views = [[result, operand]] | fxcost.writes = [operand]
                 | fxcost.ids = ["id"] (of several results, used as %name#0) | fxcost.name (where %name is another)
                 | fxcost.holds = ["id"] | fxcost.into = operand
                 | fxcost.call | fxcost.phase | fxcost.module | fxcost.source | fxcost.op | fact.*
    attr       ::= name = attribute
    attribute  ::= true | 3 | #fxcost.int<"18446744073709551616"> | 0.5 | 0x7FF8000000000000 : f64 | "text"
                 | #fxcost.expr<"(H + 1)//2"> | unit (None) | [attribute*] (a tuple)
    type       ::= tensor<?x3x?xf32, #fxcost.shape<"[N, 3, (H + 1)//2]">> | tensor<64xf32> | index | f64 | i1 (numbers)

A value is named by its id. Characters that MLIR lacks are written `$20` (a byte in hexadecimal), and `$_` at the end
keeps a name apart from one outside the region. An op that MLIR could not take, or would take for one of its own
(`math.ceil`), is written `"fxcost.call"` with its name in `fxcost.op`. What has its default value is left out.
Attributes that begin with `fact.` are what passes found out, affine maps among them; readers skip them. A float NaN is
not equal to itself: it reads back as `math.nan` with the same bits, and makes graphs equal that hold this very object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fxcost.errors import InternalError
from fxcost.ir.affine import AffineMap
from fxcost.ir.graph import Attribute, Graph, Node, Standing, Variant
from fxcost.ir.mlir import attribute, braces, condition, key, quote, tensor, value_name
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import ScalarType, ValueType
from fxcost.ir.verify import verify

VERSION: Final = 1

Fact = Attribute | AffineMap
Facts = Mapping[str, Mapping[str, Fact]]
"""What passes found out, to be printed: by node name (empty: the whole graph), then by the name of the fact."""

FORMS: Final = ("generic", "pretty")

# Namespaces that mlir-opt knows: it would check our op against its own of that name.
_TAKEN = re.compile(
    "acc|affine|amdgpu|amx|arith|arm_neon|arm_sme|arm_sve|async|bufferization|builtin|cf|complex|dlti|emitc|func|fxcost|gpu|"
    "index|irdl|linalg|llvm|math|memref|mesh|ml_program|mpi|nvgpu|nvvm|omp|pdl|pdl_interp|polynomial|ptr|quant|rocdl|scf|"
    "shape|shard|smt|sparse_tensor|spirv|spv|std|tensor|test|tosa|transform|ub|vcix|vector|wasmssa|x86vector|xegpu|xevm"
)
_OP_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_$]*)(?:\.[A-Za-z0-9_$]+)+")
_SOURCE = re.compile(r"([^\0]+):(0|[1-9][0-9]{0,8})", re.DOTALL)
_SCALARS = {"int": "index", "float": "f64", "bool": "i1"}


def print_graph(
    graph: Graph, facts: Facts | None = None, variants: Iterable[Variant] = (), *, form: str = "generic"
) -> str:
    """Return the text of a graph and its variants, annotated with `facts`; `form` is generic or pretty.

    Raises InternalError where a graph breaks a rule of `verify`.
    """
    verify(graph, "print_graph", InternalError)
    types: dict[ValueType, str] = {}
    lines = _Writer(types, frozenset(), facts or {}).function(graph, "forward", {}, form)
    for position, variant in enumerate(variants, 1):
        verify(variant.graph, "print_graph", InternalError)
        told = {"fxcost.ones": attribute(tuple(sorted(variant.ones))), **_graph_attributes(variant.graph)}
        lines += _Writer(types, frozenset(), {}).function(variant.graph, f"forward_{position}", told, form)
    whole = {key(f"fact.{name}"): fact(value) for name, value in (facts or {}).get("", {}).items()}
    attributes = braces({"fxcost.version": f"{VERSION} : i64", **_graph_attributes(graph), **whole})
    if form == "pretty":
        return "\n".join([f"module attributes {attributes} {{", *lines, "}", ""])
    return "\n".join(['"builtin.module"() ({', *lines, f"}}) {attributes} : () -> ()", ""])


def fact(value: Fact) -> str:
    """A fact as MLIR text."""
    return str(value) if isinstance(value, AffineMap) else attribute(value)


class _Writer:
    """Writes one graph; `taken` are the names of the graphs around it, which MLIR does not let regions use again."""

    def __init__(self, types: dict[ValueType, str], taken: frozenset[str], facts: Facts) -> None:
        self.types = types
        self.taken = set(taken)
        self.facts = facts
        self.references: dict[str, str] = {}

    def type(self, value: ValueType) -> str:
        found = self.types.get(value)
        if found is None:
            found = self.types[value] = _SCALARS[value.kind] if isinstance(value, ScalarType) else tensor(value)
        return found

    def facts_of(self, node: str) -> dict[str, str]:
        return {key(f"fact.{name}"): fact(value) for name, value in self.facts.get(node, {}).items()}

    def function(self, graph: Graph, name: str, attributes: Mapping[str, str], form: str) -> list[str]:
        """A graph as a function of the module."""
        inputs = ", ".join(self.type(value.type) for value in graph.inputs)
        outputs = ", ".join(self.type(graph.types[output]) for output in graph.outputs)
        if form == "generic":
            told = braces({"function_type": f"({inputs}) -> ({outputs})", "sym_name": quote(name), **attributes})
            return ['  "func.func"() ({', *self.body(graph, "  ", "func.return", {}), f"  }}) {told} : () -> ()"]
        self.name_values(graph)
        lines = self.statements(graph, "    ")
        told = f" attributes {braces(attributes)}" if attributes else ""
        returned = f" {self.uses(graph.outputs)} : {self.types_of(graph, graph.outputs)}" if graph.outputs else ""
        head = f"  func.func @{name}({self.arguments(graph)}){f' -> ({outputs})' if outputs else ''}{told} {{"
        return [head, *lines, f"    func.return{returned}", "  }"]

    def arguments(self, graph: Graph) -> str:
        return ", ".join(f"{self.references[value.id]}: {self.type(value.type)}" for value in graph.inputs)

    def body(self, graph: Graph, indent: str, terminator: str, attributes: Mapping[str, str]) -> list[str]:
        self.name_values(graph)
        inner = indent + "  "
        lines = [f"{indent}^bb0({self.arguments(graph)}):"] if graph.inputs else []
        lines += self.statements(graph, inner)
        ending = f" {braces(attributes)}" if attributes else ""
        types = self.types_of(graph, graph.outputs)
        lines.append(f'{inner}"{terminator}"({self.uses(graph.outputs)}){ending} : ({types}) -> ()')
        return lines

    def statements(self, graph: Graph, inner: str) -> list[str]:
        lines = []
        for state in graph.states:
            fields = {"kind": quote(state.kind), "paths": attribute(state.paths)}
            fields |= {"trainable": "true"} if state.trainable else {}
            name = self.references[state.value.id]
            lines.append(f'{inner}{name} = "fxcost.state"() {braces(fields)} : () -> {self.type(state.value.type)}')
        for node in graph.nodes:
            lines += self.node(graph, node, inner)
        for pair in graph.updates:
            lines.append(f'{inner}"fxcost.update"({self.uses(pair)}) : ({self.types_of(graph, pair)}) -> ()')
        return lines

    def name_values(self, graph: Graph) -> None:
        """Choose a name for every value: its id, and for several results of one node the node's name and a number."""
        singles = [*(state.value for state in graph.states), *graph.inputs]
        singles += [node.results[0] for node in graph.nodes if len(node.results) == 1]
        outer = frozenset(self.taken)
        for value in singles:
            self.references[value.id] = "%" + self.free(value_name(value.id), outer)
        for node in graph.nodes:
            if len(node.results) > 1:
                name = self.free(value_name(node.name), self.taken)
                for position, value in enumerate(node.results):
                    self.references[value.id] = f"%{name}#{position}"

    def free(self, name: str, taken: Iterable[str]) -> str:
        while name in taken:
            name += "$_"
        self.taken.add(name)
        return name

    def uses(self, ids: Iterable[str]) -> str:
        return ", ".join(self.references[i] for i in ids)

    def types_of(self, graph: Graph, ids: Iterable[str]) -> str:
        return ", ".join(self.type(graph.types[i]) for i in ids)

    def node(self, graph: Graph, node: Node, indent: str) -> list[str]:
        fields = {key(name): attribute(value) for name, value in node.attrs.items()} | _node_attributes(node)
        head = indent
        if node.results:
            head += self.references[node.results[0].id].partition("#")[0]
            head += f":{len(node.results)} = " if len(node.results) > 1 else " = "
        name = _OP_NAME.fullmatch(node.op)
        if name is None or _TAKEN.fullmatch(name[1]):
            fields["fxcost.op"] = quote(node.op)
            head += f'"fxcost.call"({self.uses(node.operands)}) '
        else:
            head += f'"{node.op}"({self.uses(node.operands)}) '
        place, told = _place(node)
        types = [self.type(value.type) for value in node.results]
        results = types[0] if len(types) == 1 else f"({', '.join(types)})"
        fields |= told | self.facts_of(node.name)
        tail = f"{braces(fields)} : ({self.types_of(graph, node.operands)}) -> {results}{place}"
        if not node.regions:
            return [head + tail]
        lines = [head + "({"]
        for position, region in enumerate(node.regions):
            inner = _Writer(self.types, frozenset(self.taken), {})
            lines += [f"{indent}}}, {{"] if position else []
            lines += inner.body(region, indent, "fxcost.yield", _graph_attributes(region))
        return [*lines, f"{indent}}}) {tail}"]


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


def _node_attributes(node: Node) -> dict[str, str]:
    found = {"fxcost.slots": attribute(node.slots)} if node.slots else {}
    if len(node.results) > 1:
        found["fxcost.ids"] = attribute(tuple(value.id for value in node.results))
    if len(node.results) == 0 or (len(node.results) == 1 and node.results[0].id != node.name):
        found["fxcost.name"] = quote(node.name)
    if node.call:
        found["fxcost.call"] = attribute(node.call)
    if node.phase != "forward":
        found["fxcost.phase"] = quote(node.phase)
    if node.effects.views:
        found["fxcost.views"] = attribute(node.effects.views)
    if node.effects.writes:
        found["fxcost.writes"] = attribute(node.effects.writes)
    if node.holds:
        found["fxcost.holds"] = attribute(node.holds)
    if node.into is not None:
        found["fxcost.into"] = attribute(node.into)
    return found


def _place(node: Node) -> tuple[str, dict[str, str]]:
    """The location of a node, and attributes for what no location can say."""
    match = _SOURCE.fullmatch(node.source)
    told = {} if match or not node.source else {"fxcost.source": quote(node.source)}
    file = f"{quote(match[1])}:{match[2]}:0" if match else ""
    if node.module:
        return f" loc({quote(node.module)}{f'({file})' if file else ''})", told
    return (f" loc({file})" if file else ""), told
