"""Storage: which values share memory with an earlier value, always or under a condition, and how results are laid out.

Runs on the IR alone, in one sweep: strides flow forward, and where torch would decide by strides (reshape, contiguous,
casts, dropout) the same decision is made on symbols. Strides differ by device, so the fact names it (`options.device`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fxcost.ir.graph import Graph, Node
from fxcost.ir.predicate import FALSE, TRUE, Predicate, decide
from fxcost.ir.symbols import SymbolInfo, ranges_of
from fxcost.ir.types import TensorType
from fxcost.ops.layouts import layout_of_pointwise
from fxcost.ops.registry import Call, find
from fxcost.ops.strides import Layout, Scene, Strides, contiguous, has_layout, layout_of
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class Alias:
    """A value that lives in the memory of the value `of` where `when` holds; `operand_written` marks in-place results."""

    of: str
    when: Predicate
    operand_written: bool = False


@dataclass(frozen=True)
class Storage:
    """Aliases by value id (absent: the value owns its memory), strides by value id, the device they hold for.

    `homes` maps the model's own tensors, and values that are always views of one, to that state's value id.
    """

    aliases: Mapping[str, Alias]
    strides: Mapping[str, Strides]
    device: str
    homes: Mapping[str, str] = field(default_factory=dict)

    @property
    def conditions(self) -> tuple[Predicate, ...]:
        """Distinct undecided conditions, in order of first appearance."""
        return tuple(dict.fromkeys(a.when for a in self.aliases.values() if a.when != TRUE))


@register_pass("storage", provides=Storage, options=("device",))
def storage(graph: Graph, facts: Facts) -> Storage:
    """Sweep the graph once in traced order."""
    device = facts.options.device
    ranges = ranges_of(graph.symbols)
    hints = {s.name: _generic(s, position) for position, s in enumerate(graph.symbols)}
    strides: dict[str, Strides] = {}
    aliases: dict[str, Alias] = {}
    for value in (*(s.value for s in graph.states), *graph.inputs):
        if isinstance(value.type, TensorType):
            strides[value.id] = contiguous(value.type.shape)
    for node in graph.nodes:
        for position, outcome in enumerate(_layouts(graph, node, strides, hints, device)):
            result = node.results[position]
            strides[result.id] = outcome.strides
            if outcome.of is None or outcome.when == FALSE:
                continue
            known = decide(outcome.when, ranges)
            if known is not False:
                written = outcome.of in node.effects.writes
                aliases[result.id] = Alias(node.operands[outcome.of], TRUE if known else outcome.when, written)
    homes = {state: state for state in graph.state_of}
    for name, alias in aliases.items():  # in order of definition, so that the base comes first
        if alias.when == TRUE and alias.of in homes:
            homes[name] = homes[alias.of]
    return Storage(aliases, strides, device, homes)


def _generic(info: SymbolInfo, position: int) -> int:
    """A size at which no dimension is one: the traced one, or another where the model was traced at one."""
    if info.hint is not None and info.hint > 2:
        return info.hint
    size = max(info.min, 7 + 4 * position)
    return size if info.max is None else min(size, info.max)


def _layouts(
    graph: Graph, node: Node, strides: Mapping[str, Strides], hints: Mapping[str, int], device: str
) -> tuple[Layout, ...]:
    types = tuple(graph.types[operand] for operand in node.operands)
    scene = Scene(Call(node, types), tuple(strides.get(operand) for operand in node.operands), hints, device)
    if find(node.op) is not None and not has_layout(node.op) and not node.effects.views and not node.effects.writes:
        followed = layout_of_pointwise(scene)
        if followed is not None:
            return followed
    return layout_of(scene)
