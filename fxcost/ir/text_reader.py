"""Reads the text form of graphs (the grammar is in `text`): our own output, in any order of attributes and any layout.

Nothing in a file is ever run. Sizes are bounded everywhere, so that hostile text ends in a FileError like any other
malformed file, and the graph is checked by `verify` before anybody sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fxcost.errors import FileError
from fxcost.ir.graph import NO_EFFECTS, Effects, Graph, Node, Standing, State, Value, Variant
from fxcost.ir.limits import MAX_REGIONS, MAX_VARIANTS
from fxcost.ir.mlir import value_id
from fxcost.ir.mlir_ops import Fields, Operation, operation, returned
from fxcost.ir.mlir_reader import END, MAP, NAME, SYMBOL, WORD, FunctionType, Scanner
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.text import VERSION
from fxcost.ir.types import ValueType
from fxcost.ir.verify import verify

MAX_BYTES: Final = 512 * 2**20
"""Size of the largest file that is read; a model of a thousand nodes has one of them."""

_VERSION = re.compile(r"fxcost\.version\s*=\s*([0-9]{1,18})")


@dataclass(frozen=True)
class Program:
    """What a text holds: the graph, and its variants for regions where symbols are one."""

    graph: Graph
    variants: tuple[Variant, ...] = ()


def read_graph(path: str | Path) -> Graph:
    """Read the graph of a file; every problem is a FileError that names the file."""
    return read_program(path).graph


def read_program(path: str | Path) -> Program:
    """Read a graph and its variants from a file; every problem is a FileError that names the file."""
    where = str(path)
    try:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{where}: found {size:,} bytes, expected at most {MAX_BYTES:,}; is it fxcost IR text?")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        raise problem if isinstance(problem, FileError) else FileError(f"{where}: cannot be read: {problem}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        column = problem.start - data.rfind(b"\n", 0, problem.start)
        found = f"found the byte 0x{data[problem.start]:02x}, expected UTF-8 text; is it fxcost IR text?"
        raise FileError(f"{where}:{line}:{column}: {found}") from None
    return parse_program(text, where)


def parse_graph(text: str, where: str = "<text>") -> Graph:
    """Read the graph of a text; raises FileError as `where:line:column: found, expected, what to do`."""
    return parse_program(text, where).graph


def parse_program(text: str, where: str = "<text>") -> Program:
    """Read a graph and its variants from text; raises FileError as `parse_graph` does."""
    if len(text) > MAX_BYTES:
        raise FileError(f"{where}: found {len(text):,} characters, expected at most {MAX_BYTES:,}")
    try:
        program = _Parser(text, where).module()
    except FileError:
        # A newer version may be written in ways that do not read here: say so rather than where it began to differ.
        match = _VERSION.search(text, text.rfind("fxcost.version") if "fxcost.version" in text else len(text))
        if match and int(match[1]) != VERSION:
            raise _wrong_version(where, int(match[1])) from None
        raise
    for graph in (program.graph, *(variant.graph for variant in program.variants)):
        verify(graph, where, FileError)
    return program


def _wrong_version(where: str, version: object) -> FileError:
    return FileError(
        f"{where}: found fxcost.version = {version}, expected {VERSION}; "
        "read it with the fxcost that wrote it, or export the model again"
    )


class _Body:
    """What has been read of one graph."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}  # by reference, e.g. %x or %split#1
        self.inputs: list[Value] = []
        self.states: list[State] = []
        self.nodes: list[Node] = []
        self.updates: list[tuple[str, str]] = []
        self.outputs: tuple[Value, ...] = ()


def _closing(scan: Scanner) -> Fields:
    """Step over the end of an op that holds a region."""
    for token in ("}", ")"):
        scan.expect(token)
    fields = Fields(scan, scan.start, scan.attributes())
    for token in (":", "(", ")", "->", "(", ")"):
        scan.expect(token)
    return fields


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self.scan = Scanner(text, where)

    def module(self) -> Program:
        scan = self.scan
        while scan.kind == MAP and scan.token.startswith("#"):  # `#map = affine_map<...>`, as mlir-opt prints maps
            scan.advance()
            scan.expect("=")
            if scan.kind != MAP:
                scan.unexpected("an affine map")
            scan.advance()
        if scan.kind == WORD and scan.token == "module":
            functions, fields = self.pretty_module()
        else:
            for token in ('"builtin.module"', "(", ")", "(", "{"):
                scan.expect(token)
            functions = self.functions()
            fields = _closing(scan)
        if scan.kind != END:
            scan.unexpected("the end of the text")
        version = fields.rest.pop("fxcost.version", None)
        if version != VERSION or version is True:
            raise _wrong_version(scan.where, version)
        (body, rest), *others = functions
        rest.done()
        variants = []
        for inner, told in others:
            ones = told.texts("fxcost.ones")
            variants.append(Variant(frozenset(ones), self.graph(inner, told)))
        return Program(self.graph(body, fields), tuple(variants))

    def pretty_module(self) -> tuple[list[tuple[_Body, Fields]], Fields]:
        """Step over `module attributes {...} { ... }`."""
        scan = self.scan
        scan.advance()
        fields = Fields(scan, scan.start, scan.attributes() if scan.accept("attributes") else {})
        scan.expect("{")
        functions = self.functions()
        scan.expect("}")
        return functions, fields

    def functions(self) -> list[tuple[_Body, Fields]]:
        """Step over all functions, in either form, until the module closes."""
        found = [self.function()]
        while self.scan.token != "}" and self.scan.kind != END:
            if len(found) > MAX_VARIANTS:
                self.scan.fail(f"found more than {MAX_VARIANTS} variants of a graph")
            found.append(self.function())
        return found

    def function(self) -> tuple[_Body, Fields]:
        scan = self.scan
        if scan.kind == WORD and scan.token == "func.func":
            return self.pretty_function()
        for token in ('"func.func"', "(", ")", "(", "{"):
            scan.expect(token)
        body, ending = self.body("func.return", 0)
        ending.done()
        position = scan.start
        function = _closing(scan)
        form = function.rest.pop("function_type", None)
        types = tuple(v.type for v in body.inputs), tuple(v.type for v in body.outputs)
        if not isinstance(form, FunctionType) or (form.inputs, form.outputs) != types:
            scan.fail("found another function_type than the inputs and the func.return have", position)
        function.text("sym_name", "forward")
        return body, function

    def pretty_function(self) -> tuple[_Body, Fields]:
        """Step over `func.func @name(%x: type) -> (type) attributes {...} { ... }`."""
        scan, body = self.scan, _Body()
        scan.advance()
        if scan.kind != SYMBOL:
            scan.unexpected("a function's name such as @forward")
        scan.advance()
        if scan.token != "(":
            scan.unexpected("'('")
        self.inputs(body)
        position = scan.start
        types: tuple[ValueType, ...] = ()
        if scan.accept("->"):
            types = scan.types() if scan.token == "(" else (scan.type(),)
        fields = Fields(scan, scan.start, scan.attributes() if scan.accept("attributes") else {})
        scan.expect("{")
        body, ending = self.body("func.return", 0, body)
        ending.done()
        scan.expect("}")
        if types != tuple(value.type for value in body.outputs):
            scan.fail("found other result types than the func.return has", position)
        return body, fields

    def body(self, terminator: str, level: int, body: _Body | None = None) -> tuple[_Body, Fields]:
        """Step over a graph's ops up to its terminator; a function in the pretty form has its inputs in `body`."""
        scan = self.scan
        pretty = body is not None
        body = body or _Body()
        if level > MAX_REGIONS:
            scan.fail(f"found regions nested deeper than {MAX_REGIONS}")
        if not pretty and scan.kind == WORD and scan.token.startswith("^"):
            scan.advance()
            if scan.token == "(":
                self.inputs(body)
            scan.expect(":")
        while True:
            if pretty and scan.kind == WORD and scan.token in {"func.return", "return"}:
                body.outputs = returned(scan, body.values)
                return body, Fields(scan, scan.start, {})
            op = operation(scan, body.values, lambda: self.region(level))
            if op.op == terminator:
                if op.names or op.regions or op.types:
                    scan.fail(f"found results or regions of {terminator}, expected none", op.position)
                body.outputs = op.operands
                return body, op.fields
            self.add(body, op)

    def inputs(self, body: _Body) -> None:
        """Step over `(%x: type, ...)`."""
        scan = self.scan
        scan.expect("(")
        while scan.token != ")":
            if scan.kind != NAME:
                scan.unexpected("an input such as %x")
            position, name = scan.start, scan.advance()
            scan.expect(":")
            body.inputs.append(self.define(body, name, self.id_of(name, position), scan.type(), position))
            if not scan.accept(","):
                break
        scan.expect(")")

    def id_of(self, name: str, position: int) -> str:
        found = value_id(name[1:]) if "#" not in name else None
        return self.scan.fail(f"found the name {name}, which says no id", position) if found is None else found

    def define(self, body: _Body, name: str, id: str, type: ValueType, position: int) -> Value:
        if name in body.values:
            self.scan.fail(f"found {name} defined for the second time", position)
        value = body.values[name] = Value(id, type)
        return value

    def region(self, level: int) -> Graph:
        self.scan.expect("{")
        body, fields = self.body("fxcost.yield", level + 1)
        self.scan.expect("}")
        return self.graph(body, fields)

    # -- meaning -----------------------------------------------------------------------------------------------------
    def add(self, body: _Body, op: Operation[Graph]) -> None:
        if op.op == "fxcost.state":
            body.states.append(self.state(body, op))
        elif op.op == "fxcost.update":
            if len(op.operands) != 2 or op.names:
                self.scan.fail("found an update that is not of the form (state, value)", op.position)
            body.updates.append((op.operands[0].id, op.operands[1].id))
            op.fields.done()
        else:
            body.nodes.append(self.node(body, op))

    def state(self, body: _Body, op: Operation[Graph]) -> State:
        if len(op.names) != 1 or op.operands or op.regions:
            self.scan.fail("found a state with operands, or without exactly one result", op.position)
        value = self.define(body, op.names[0], self.id_of(op.names[0], op.position), op.types[0], op.position)
        state = State(value, op.fields.text("kind"), op.fields.texts("paths"), op.fields.flag("trainable"))
        op.fields.done()
        return state

    def node(self, body: _Body, op: Operation[Graph]) -> Node:
        fields = op.fields
        name = ""
        if len(op.names) > 1:
            ids = fields.texts("fxcost.ids")
            name = self.id_of(op.names[0].partition("#")[0], op.position)
            if len(ids) != len(op.names):
                self.scan.fail(f"found {len(ids)} fxcost.ids for {len(op.names)} results", op.position)
        else:
            ids = tuple(self.id_of(n, op.position) for n in op.names)
            name = ids[0] if ids else ""
        results = tuple(
            self.define(body, n, i, t, op.position) for n, i, t in zip(op.names, ids, op.types, strict=True)
        )
        kind = fields.text("fxcost.op") if op.op == "fxcost.call" else op.op
        if op.op.startswith("fxcost.") and op.op != "fxcost.call":
            self.scan.fail(f"found the unknown operation {op.op!r}", op.position)
        views, writes = fields.pairs("fxcost.views", int), fields.numbers("fxcost.writes")
        node = Node(
            name=fields.text("fxcost.name", name),
            op=kind,
            operands=tuple(value.id for value in op.operands),
            slots=fields.texts("fxcost.slots"),
            attrs={key: value for key, value in fields.rest.items() if not key.startswith(("fxcost.", "fact."))},
            results=results,
            module=fields.text("fxcost.module", op.module),
            call=fields.number("fxcost.call", 0),
            source=fields.text("fxcost.source", op.source),
            phase=fields.text("fxcost.phase", "forward"),
            effects=Effects(views, writes) if views or writes else NO_EFFECTS,
            regions=op.regions,
            holds=fields.texts("fxcost.holds"),
            into=fields.maybe_number("fxcost.into"),
        )
        fields.rest = {key: value for key, value in fields.rest.items() if key.startswith("fxcost.")}
        fields.done()
        return node

    def graph(self, body: _Body, fields: Fields) -> Graph:
        standing = fields.text("fxcost.standing", "exact")
        if standing not in {s.value for s in Standing}:
            fields.wrong("fxcost.standing", f"one of {', '.join(s.value for s in Standing)}")
        graph = Graph(
            name=fields.text("fxcost.name"),
            symbols=tuple(self.symbol(fields, item) for item in fields.items("fxcost.symbols")),
            states=tuple(body.states),
            inputs=tuple(body.inputs),
            nodes=tuple(body.nodes),
            outputs=tuple(value.id for value in body.outputs),
            updates=tuple(body.updates),
            domain=tuple(
                self.scan.formula(self.scan.expressions.predicate, text, fields.position)
                for text in fields.texts("fxcost.domain")
            ),
            fixed=dict(fields.pairs("fxcost.fixed", str)),
            standing=Standing(standing),
            notes=fields.texts("fxcost.notes"),
        )
        fields.done()
        return graph

    def symbol(self, fields: Fields, item: Any) -> SymbolInfo:
        if not isinstance(item, dict):
            fields.wrong("fxcost.symbols", "a list of {name = ..., min = ...}")
        held = Fields(self.scan, fields.position, item)
        info = SymbolInfo(
            name=held.text("name"),
            min=held.number("min", 1),
            max=held.maybe_number("max"),
            multiple_of=held.number("multiple_of", 1),
            hint=held.maybe_number("hint"),
            kind=held.text("kind", "size"),
        )
        held.done()
        return info
