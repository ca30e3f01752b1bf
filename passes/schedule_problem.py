"""The scheduling problem in numbers: operators with what must run before them, and memory blocks with their sizes.

The blocks are those of `fxcost.passes.buffers` at one point, told apart from any order: who makes a block, who touches
it, whether it lives to the end. Bytes alive between two operators then depend only on the *set* of operators done:
a block is alive once it is made and until everything that touches it is done. In-place accounting changes no such sum:
a result that overwrites a dying operand saves that operand's bytes only while its operator runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, total
from fxcost.ir.graph import Graph
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.buffers import STATE, roots_of
from fxcost.passes.cost import Costs
from fxcost.passes.fuse import Groups
from fxcost.passes.schedule_hazards import closure, constant_nodes, dependences, members, truth_at
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts

INPUT = -1
"""Producer of a block that exists before the first operator."""


@dataclass(frozen=True)
class Block:
    """`size` bytes made by `producer` (an operator, or INPUT), touched by the operators of the bit mask `touched`.

    `touched` holds the producer, too. A block that is `kept` lives to the end. `amount` is the size as a formula.
    """

    id: str
    amount: Expr
    size: int
    producer: int
    touched: int
    kept: bool


@dataclass(frozen=True)
class Problem:
    """Operators are numbered in traced order; sets of operators are bit masks.

    positions    of the operators among the graph's nodes
    before       operators that must be done before each one (direct data edges and hazards)
    blocks       memory blocks
    overwrites   blocks that each operator's result may take over, if they die there
    start        alive before the first operator, as a formula: all inputs; `start_bytes` at the point
    folded       positions of nodes that no input reaches; they count as done before, their results as parameters
    """

    positions: tuple[int, ...]
    before: tuple[int, ...]
    blocks: tuple[Block, ...]
    overwrites: tuple[tuple[int, ...], ...]
    start: Expr
    start_bytes: int
    folded: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of operators."""
        return len(self.positions)


def problem_of(graph: Graph, facts: Facts, point: Mapping[str, int], *, fold: bool = True) -> Problem:
    """The problem at a point that binds every symbol, under the options of `facts` (their order is not used).

    With `fold`, nodes that no input reaches are done before and cost nothing, as parameters do; without it the peak of
    the traced order is exactly that of `Liveness`.
    """
    facts = facts.under(order=None)
    roots = block_roots(graph, facts, point)
    folded = constant_nodes(graph, facts[Storage]) if fold else ()
    made_before = {v.id for i in folded for v in graph.nodes[i].results}
    roots = {value: STATE if root in made_before else root for value, root in roots.items()}
    gone = set(folded)
    positions = tuple(i for i in range(len(graph.nodes)) if i not in gone)
    number = {position: op for op, position in enumerate(positions)}
    before = dependences(graph, facts, point, number)
    overwrites = _overwrites(graph, facts, roots, positions)
    blocks, index, start = _blocks(graph, facts, point, roots, number)
    if facts.options.inputs == "excluded" and facts.options.accounting == "inplace":
        blocks, overwrites = _drop_inputs_memory(graph, blocks, overwrites, index, before)
        index = {block.id: i for i, block in enumerate(blocks)}
    chosen = tuple(tuple(index[root] for root in roots_ if root in index) for roots_ in overwrites)
    return Problem(positions, before, blocks, chosen, start, evaluate(start, point), folded)


def at_other_sizes(problem: Problem, point: Mapping[str, int]) -> Problem:
    """The same problem with the sizes of another point, at which the same storage conditions hold."""
    blocks = tuple(replace(block, size=evaluate(block.amount, point)) for block in problem.blocks)
    return replace(problem, blocks=blocks, start_bytes=evaluate(problem.start, point))


def steps(problem: Problem, order: Iterable[int]) -> list[int]:
    """Bytes alive while each operator of the order runs; the peak is the largest of these and `start_bytes`."""
    born: dict[int, int] = {}
    touching: dict[int, list[int]] = {}
    for i, block in enumerate(problem.blocks):
        born[block.producer] = born.get(block.producer, 0) + block.size
        for op in members(block.touched):
            touching.setdefault(op, []).append(i)
    alive = sum(b.size for b in problem.blocks if b.producer == INPUT and (b.touched or b.kept))
    left = [block.touched for block in problem.blocks]
    found = []
    for op in order:
        dying = []
        for i in touching.get(op, ()):
            left[i] &= ~(1 << op)
            if not left[i] and not problem.blocks[i].kept:
                dying.append(i)
        reused = [problem.blocks[i].size for i in problem.overwrites[op] if i in dying]
        alive += born.get(op, 0)
        found.append(alive - (reused[0] if reused else 0))
        alive -= sum(problem.blocks[i].size for i in dying)
    return found


def peak_of(problem: Problem, order: Sequence[int]) -> int:
    """Peak bytes of an order of the operators."""
    return max([problem.start_bytes, *steps(problem, order)])


def block_roots(graph: Graph, facts: Facts, point: Mapping[str, int]) -> dict[str, str]:
    """The value whose block each value lives in, conditional aliases resolved at the point."""
    storage = facts[Storage]
    return roots_of(graph, storage, facts[Groups].virtual, truth_at(storage, point))


def _blocks(
    graph: Graph, facts: Facts, point: Mapping[str, int], roots: Mapping[str, str], number: Mapping[int, int]
) -> tuple[tuple[Block, ...], dict[str, int], Expr]:
    """Blocks, their index by root, and the bytes of all inputs."""
    options, stored = facts.options, facts[Groups].stored
    touched: dict[str, int] = {}
    producer = {value.id: INPUT for value in graph.inputs}
    for position, op in number.items():
        node = graph.nodes[position]
        producer |= {value.id: op for value in node.results}
        for value in (*node.operands, *(v.id for v in node.results)):
            root = roots.get(value, STATE)
            touched[root] = touched.get(root, 0) | 1 << op
    kept = {roots[v] for v in (*graph.outputs, *(value for _, value in graph.updates)) if v in roots}
    inputs = {v.id for v in graph.inputs}
    if options.inputs == "held":
        kept |= {roots[v] for v in inputs if v in roots}
    blocks: list[Block] = []
    start: list[Expr] = []
    for root in dict.fromkeys(roots.values()):
        if root == STATE or (root in inputs and options.inputs == "excluded" and options.accounting != "inplace"):
            continue
        form = stored.get(root, graph.tensor(root))
        amount = activation_bytes(form, form.numel, options.activations)
        if producer[root] == INPUT and options.inputs != "excluded":
            start.append(amount)
        mask = touched.get(root, 0)
        if mask or root in kept:
            blocks.append(Block(root, amount, evaluate(amount, point), producer[root], mask, root in kept))
    return tuple(blocks), {block.id: i for i, block in enumerate(blocks)}, total(start)


def _overwrites(
    graph: Graph, facts: Facts, roots: Mapping[str, str], positions: Sequence[int]
) -> tuple[tuple[str, ...], ...]:
    """Under in-place accounting, the blocks that each operator's result may take over; see `Buffers`."""
    if facts.options.accounting != "inplace":
        return ((),) * len(positions)
    rows, aliases, narrowed = facts[Costs].rows, facts[Storage].aliases, facts.options.activations
    found: list[tuple[str, ...]] = []
    for position in positions:
        node = graph.nodes[position]
        found.append(())
        if rows[position].kind not in {"pointwise", "affine"} or len(node.results) != 1:
            continue
        result = node.results[0]
        if not isinstance(result.type, TensorType) or roots.get(result.id) != result.id or result.id in aliases:
            continue
        size = activation_bytes(result.type, result.type.numel, narrowed)
        candidates = dict.fromkeys(roots.get(operand, STATE) for operand in node.operands)
        found[-1] = tuple(
            root
            for root in candidates
            if root not in (STATE, result.id)
            and activation_bytes(graph.tensor(root), graph.tensor(root).numel, narrowed) is size
        )
    return tuple(found)


def _drop_inputs_memory(
    graph: Graph,
    blocks: tuple[Block, ...],
    overwrites: tuple[tuple[str, ...], ...],
    index: Mapping[str, int],
    before: Sequence[int],
) -> tuple[tuple[Block, ...], tuple[tuple[str, ...], ...]]:
    """Drop excluded inputs, and every result that is written into an excluded input's memory.

    Which result that is must not depend on the order: bytes alive would no longer be a matter of what is done.
    """
    done = closure(before)
    free = {value.id for value in graph.inputs if value.id in index}
    waiting = [root for root in index if root in free]
    while waiting:
        block = blocks[index[waiting.pop(0)]]
        touching = members(block.touched)
        heirs = [op for op in touching if block.id in overwrites[op] and not any(done[o] >> op & 1 for o in touching)]
        if block.kept or not heirs:
            continue
        last = [op for op in touching if not block.touched & ~(done[op] | 1 << op)]
        if not last or (last[0] in heirs and len(overwrites[last[0]]) > 1):
            raise SpecError(
                f"inputs='excluded' with accounting='inplace': whether a result takes the memory of {block.id!r}, which "
                "is not counted, depends on the order itself; schedule with inputs='freed', or with another accounting"
            )
        taken = next((b.id for b in blocks if b.producer == last[0]), None)
        if last[0] in heirs and taken is not None:
            free.add(taken)
            waiting.append(taken)
    counted = tuple(block for block in blocks if block.id not in free)
    return counted, tuple(tuple(root for root in roots if root not in free) for roots in overwrites)
