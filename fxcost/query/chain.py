"""Chains of blocks: what a sequential network costs, composed exactly from blocks that are captured once.

A block takes one tensor and gives one tensor. In a chain the output of a block is the input of the next, and nothing else
crosses: branches and residual connections stay inside blocks. Counts and traffic add up. So does memory, in its own
way: while a block runs, its input lives until its last reader, its output is there from its producer on, and no other
block owns anything; hence the peak of the chain is the largest peak of a block, each with its input freed. What the
caller holds (`inputs="held"`) is alive throughout.

That is exact where the seam between two blocks hides nothing, which `link` checks: the output owns all of its memory and
is dense, and no operator would fuse across the seam. A block that fails the check is refused, never approximated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.evaluate import compiled
from fxcost.ir.expr import Expr, const, maximum, mod, substitute, symbol, total
from fxcost.ir.graph import Graph, Standing
from fxcost.ir.predicate import Compare, Predicate, decide, holds, replace_symbols
from fxcost.ir.symbols import SymbolInfo, check_point, ranges_of
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.buffers import Buffers
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.storage import Storage
from fxcost.passes.totals import COUNTED, SEVERAL_DEVICES, UNITS, Totals
from fxcost.pipeline import Facts, Options
from fxcost.query.quantity import Quantity

ENDS = ("input_bytes", "output_bytes")
PEAKS = ("peak_memory", "peak_memory_with_scratch")
LAYERED = ("total_activations", "peak_activations")
"""Counted by layers that may reach over a seam (an activation belongs to the layer before it): not composed."""

SUMS = tuple(name for name in UNITS if name not in {*ENDS, *PEAKS, *LAYERED, *SEVERAL_DEVICES})
COMPOSED = (*SUMS, *PEAKS, *ENDS)
"""Quantities of a chain."""


@dataclass(frozen=True)
class Link:
    """A block as a chain sees it: shapes and costs as expressions in its own symbols.

    `first` are the costs at the head of a chain, `later` those behind another block, where the input is freed; `only_first`
    is the reason why it cannot stand there.
    """

    name: str
    takes: TensorType
    gives: TensorType
    symbols: tuple[SymbolInfo, ...]
    first: Mapping[str, Expr]
    later: Mapping[str, Expr]
    guards: tuple[Predicate, ...] = ()
    standing: Standing = Standing.EXACT
    standing_of_sizes: Standing = Standing.EXACT
    held: bool = False
    only_first: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Symbols, in the order in which points are written."""
        return tuple(s.name for s in self.symbols)

    def only(self, metrics: Collection[str]) -> Link:
        """The same block with fewer quantities."""
        first, later = ({n: v for n, v in values.items() if n in metrics} for values in (self.first, self.later))
        return replace(self, first=first, later=later)

    def behind(self, given_type: TensorType) -> dict[str, Expr]:
        """Sizes of the symbols from what the block before gives; raises SpecError where that is not what this one takes."""
        if self.only_first:
            raise SpecError(f"{self.name}: {self.only_first}")
        if given_type.rank == self.takes.rank and given_type.dtype is self.takes.dtype:
            env: dict[str, Expr] = {}
            for wanted, given in zip(self.takes.shape, given_type.shape, strict=True):
                if str(wanted) in self.names:
                    known = env.setdefault(str(wanted), given)
                    if known is not given:
                        break
                elif wanted is not given:
                    break
            else:
                return env
        raise SpecError(f"{self.name} takes {self.takes}, found {given_type} from the block before it")


def link(graph: Graph, options: Options, name: str | None = None) -> Link:
    """Look at a captured block; raises SpecError, saying why, where a chain of it could not be composed exactly."""
    name = name or graph.name
    facts = Facts(graph, options)
    takes, gives = _ends(graph, name)
    _check_end(graph, facts, name)
    later = facts.under(inputs="freed")
    standing = graph.standing
    if facts[Costs].unknown:
        standing = standing.combine(Standing.LOWER)
    first, behind = ({n: found[Totals].values[n] for n in COMPOSED} for found in (facts, later))
    guards = tuple(dict.fromkeys(graph.domain + facts[Totals].guards + later[Totals].guards))
    held = options.inputs == "held"
    return Link(
        name,
        takes,
        gives,
        graph.symbols,
        first,
        behind,
        guards,
        standing,
        graph.standing,
        held,
        _fuses_ahead(graph, facts),
    )


def _ends(graph: Graph, name: str) -> tuple[TensorType, TensorType]:
    inputs, outputs = graph.inputs, graph.outputs
    kinds = [graph.types[v] for v in (*(value.id for value in inputs), *outputs)]
    if len(inputs) != 1 or len(outputs) != 1 or not all(isinstance(kind, TensorType) for kind in kinds):
        raise SpecError(
            f"{name}: a block of a chain takes one tensor and gives one, found {len(inputs)} inputs and "
            f"{len(outputs)} outputs; put what crosses a seam into one block"
        )
    if graph.updates:
        raise SpecError(f"{name}: it updates its buffers, which outlive the call; take it in eval mode")
    if any(s.kind != "size" for s in graph.symbols):
        raise SpecError(f"{name}: sizes that its data decides cannot be composed")
    takes = graph.tensor(inputs[0].id)
    strange = [
        size for size in takes.shape if size.constant is None and str(size) not in {s.name for s in graph.symbols}
    ]
    if strange:
        raise SpecError(f"{name}: its input has the size {strange[0]}; give sizes as numbers or single names")
    loose = {s.name for s in graph.symbols} - {str(size) for size in takes.shape}
    if loose:
        raise SpecError(f"{name}: {', '.join(sorted(loose))} is no size of its input")
    return takes, graph.tensor(outputs[0])


def _fuses_ahead(graph: Graph, facts: Facts) -> str:
    """Why the block cannot stand behind another one: it begins with what would fuse with that one's end."""
    source = graph.inputs[0].id
    first = next((value for value, of in facts[Groups].virtual.items() if of == source), None)
    return "" if first is None else f"{first} would fuse with the block before it; let the block begin with a layer"


def _check_end(graph: Graph, facts: Facts, name: str) -> None:
    source, result = graph.inputs[0].id, graph.outputs[0]
    storage, kind = facts[Storage], graph.tensor(result)
    wanted = activation_bytes(kind, kind.numel, facts.options.activations)
    for case in facts[Buffers].cases:
        own = next((b for b in case.buffers if result in b.values), None)
        if own is None or own.size is not wanted:
            raise SpecError(f"{name}: its output is part of a larger tensor; end the block with another operator")
        if source in own.values and facts.options.inputs != "freed":
            raise SpecError(
                f"{name}: its output lives in its input, which is {facts.options.inputs}; count inputs as freed"
            )
    if not _dense(kind, storage.strides.get(result)):
        raise SpecError(f"{name}: its output is not dense (a transposed tensor, say); make it contiguous in the block")
    if facts.options.accounting == "fused" and _would_fuse(graph, facts, result):
        raise SpecError(f"{name}: {result} would fuse if it were no output; let it be its operand's only reader")


def _dense(kind: TensorType, strides: tuple[Expr, ...] | None) -> bool:
    """Row-major, whatever the strides of dimensions of size one."""
    if strides is None:
        return False
    step = const(1)
    for size, stride in zip(reversed(kind.shape), reversed(strides), strict=True):
        if size.constant != 1 and stride is not step:
            return False
        step = step * size
    return True


def _would_fuse(graph: Graph, facts: Facts, result: str) -> bool:
    """A pointwise output with one operand that is read elsewhere, too: kept apart only because it is an output."""
    if result in facts[Groups].virtual or result in facts[Storage].aliases:
        return False
    for node, cost in zip(graph.nodes, facts[Costs].rows, strict=True):
        if any(value.id == result for value in node.results):
            homes = facts[Storage].homes
            activations = {o for o in node.operands if o not in homes and isinstance(graph.types[o], TensorType)}
            same = all(graph.tensor(o).numel is graph.tensor(result).numel for o in activations)
            return cost.kind in {"pointwise", "affine"} and len(activations) == 1 and same
    return True


# -- composing -----------------------------------------------------------------------------------------------------
Known = tuple[tuple[int, ...], TensorType]


@dataclass
class Evaluator:
    """Totals of chains at points; what a block costs behind a tensor of some type is computed once."""

    links: Sequence[Link]
    metrics: tuple[str, ...]
    _blocks: dict[tuple[int, TensorType | None, tuple[tuple[str, int], ...]], Known] = field(default_factory=dict)

    def at(self, chain: Sequence[int], point: Mapping[str, int]) -> dict[str, int]:
        """Totals of the chain of these links at a point of its first link's symbols.

        Raises SpecError where a size is missing or a shape does not fit the next block, OutsideDomain where a guard of a
        block is false at the sizes that reach it.
        """
        head = tuple(sorted(point.items()))
        held = self._head(chain[0], point, ("input_bytes",))[0][0] if self.links[chain[0]].held else 0
        result = [0] * len(self.metrics)
        given: TensorType | None = None
        for position in chain:
            key = (position, given, head if given is None else ())
            found = self._blocks.get(key)
            if found is None:
                found = self._blocks[key] = (
                    self._head(position, point, self.metrics) if given is None else self._behind(position, given)
                )
            for at, (name, value) in enumerate(zip(self.metrics, found[0], strict=True)):
                if name in PEAKS:
                    result[at] = max(result[at], value if given is None else value + held)
                elif name == "output_bytes" or (name == "input_bytes" and given is None):
                    result[at] = value
                elif name != "input_bytes":
                    result[at] += value
            given = found[1]
        return dict(zip(self.metrics, result, strict=True))

    def _head(self, position: int, point: Mapping[str, int], metrics: tuple[str, ...]) -> Known:
        here = self.links[position]
        sizes = check_point(here.symbols, point)
        missing = [name for name in here.names if name not in sizes]
        if missing:
            raise SpecError(f"a chain that begins with {here.name} needs a size for {', '.join(missing)}")
        return _evaluated(here, here.first, metrics, sizes)

    def _behind(self, position: int, given: TensorType) -> Known:
        here = self.links[position]
        sizes = {name: size.constant or 0 for name, size in here.behind(given).items()}
        try:
            check_point(here.symbols, sizes)
        except SpecError as error:
            raise OutsideDomain(f"{here.name}: {error}") from error
        return _evaluated(here, here.later, self.metrics, sizes)


def _evaluated(here: Link, values: Mapping[str, Expr], metrics: tuple[str, ...], sizes: Mapping[str, int]) -> Known:
    """A block's own totals, and the type of its output."""
    for guard in here.guards:
        if not holds(guard, sizes):
            where = ", ".join(f"{name}={size}" for name, size in sizes.items())
            raise OutsideDomain(f"{here.name} at {where}: its costs hold where {guard}, which is false there")
    wanted = tuple(values[name] for name in metrics)
    found = compiled((*wanted, *here.gives.shape), here.names)(*(sizes[name] for name in here.names))
    shape = tuple(const(size) for size in found[len(wanted) :])
    return found[: len(wanted)], TensorType(shape, here.gives.dtype)


def composed(links: Sequence[Link]) -> dict[str, Quantity]:
    """Quantities of the chain as formulas in the symbols of its first link; raises SpecError where shapes do not fit."""
    head = links[0]
    given = head.takes
    parts: dict[str, list[Expr]] = {name: [] for name in COMPOSED}
    guards: list[Predicate] = []
    ranges = ranges_of(head.symbols)
    for place, here in enumerate(links):
        env = here.behind(given) if place else {s.name: symbol(s.name) for s in here.symbols}
        for guard in (*here.guards, *_ranges(here)):
            known = replace_symbols(guard, env)
            if decide(known, ranges) is not True and known not in guards:
                guards.append(known)
        for name, value in (here.later if place else here.first).items():
            parts[name].append(substitute(value, env))
        given = TensorType(tuple(substitute(size, env) for size in here.gives.shape), here.gives.dtype)
    held = parts["input_bytes"][0] if head.held else const(0)
    values = {name: total(parts[name]) for name in SUMS}
    values |= {name: maximum(parts[name][0], *(later + held for later in parts[name][1:])) for name in PEAKS}
    values |= {"input_bytes": parts["input_bytes"][0], "output_bytes": parts["output_bytes"][-1]}
    standing = reduce(Standing.combine, (here.standing for here in links))
    of_sizes = reduce(Standing.combine, (here.standing_of_sizes for here in links))
    return {
        name: Quantity(name, UNITS[name], value, standing if name in COUNTED else of_sizes, tuple(guards), head.symbols)
        for name, value in values.items()
    }


def _ranges(here: Link) -> Iterable[Predicate]:
    for info in here.symbols:
        yield Compare(">=", symbol(info.name), const(info.min))
        if info.max is not None:
            yield Compare("<=", symbol(info.name), const(info.max))
        if info.multiple_of > 1:
            yield Compare("==", mod(symbol(info.name), info.multiple_of), const(0))
