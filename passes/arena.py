"""Arena: what a microcontroller runtime allocates for the int8 model, by part, as formulas.

The head is the least that activations and scratch can take together: the largest sum, over the operators in order, of
what is alive while one runs, every buffer padded to the runtime's alignment. Where a planner places them there or above
is a plan at one point (`fxcost.passes.arena_plan`). Buffers apart and the persistent end are added; weights lie in flash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fxcost.ir.domain import ranges_within
from fxcost.ir.expr import ONE, ZERO, Expr, total
from fxcost.ir.graph import Graph
from fxcost.ir.types import TensorType
from fxcost.ir.widths import activation_bytes
from fxcost.passes.latency import target_of
from fxcost.passes.micro_operators import UNKNOWN, MicroGraph, MicroOperator, trained_for_format
from fxcost.passes.micro_runtimes import KEPT, RUNTIMES, Runtime, flash_rows, padded, persistent
from fxcost.passes.peak import largest
from fxcost.pipeline import Facts, register_pass


@dataclass(frozen=True)
class Life:
    """A buffer of the arena: alive from operator `first` to operator `last`; -1 is before the first.

    Where `kept` is 1 it stays to `until`: what reads it there is otherwise a copy with padding around it.
    """

    id: str
    size: Expr
    first: int
    last: int
    until: int = -2
    kept: Expr = ZERO

    def alive(self, step: int) -> Expr:
        """Bytes alive while an operator runs."""
        if self.first <= step <= self.last:
            return self.size
        return self.size * self.kept if self.last < step <= self.until else ZERO


@dataclass(frozen=True)
class Arena:
    """Bytes of the arena by part; None for a runtime whose arena is not known.

    head     activations and scratch together: no planner needs less
    apart    buffers beside them, by name
    tail     structures at the persistent end
    flash    what lies in flash, by part
    unknown  operators that the runtime's format does not have, or whose kernels keep what is not known: their results
             are in the head, the rest is a lower bound
    """

    runtime: str
    alignment: int
    head: Expr
    apart: tuple[tuple[str, Expr], ...]
    tail: Expr
    flash: tuple[tuple[str, Expr], ...]
    lives: tuple[Life, ...]
    unknown: Mapping[str, int]

    @property
    def total(self) -> Expr:
        """All parts of the arena."""
        return total([self.head, *(size for _, size in self.apart), self.tail])

    @property
    def parts(self) -> tuple[tuple[str, Expr], ...]:
        """Every part by name."""
        tail = (("structures", self.tail),) if self.tail is not ZERO else ()
        return (("activations and scratch", self.head), *self.apart, *tail)


@dataclass(frozen=True)
class Arenas:
    """The arena of the target's runtime, and that of a model trained with the format's padding; None where not known."""

    found: Arena | None = None
    trained: Arena | None = None


@register_pass("arena", provides=Arenas, requires=(MicroGraph,), options=("target", "order"))
def arena(graph: Graph, facts: Facts) -> Arenas:
    """The arena under the target's runtime."""
    runtime = RUNTIMES.get(target_of(facts).runtime)
    if runtime is None:
        return Arenas()
    micro, order = facts[MicroGraph], facts.options.order
    return Arenas(arena_of(graph, micro, runtime, order), arena_of(graph, trained_for_format(micro), runtime, order))


def arena_of(
    graph: Graph, micro: MicroGraph, runtime: Runtime, order: tuple[int, ...] | None = None, pointer: int = 4
) -> Arena:
    """The arena of a graph under a runtime; `order` are positions of its nodes, `pointer` bytes of an address."""
    if runtime.pads_inside:
        micro = trained_for_format(micro)
    place = {position: step for step, position in enumerate(order or range(len(graph.nodes)))}
    operators = sorted(micro.operators, key=lambda operator: place[operator.at])
    lives = tuple(lives_of(operators, micro, runtime))
    steps = range(-1, len(operators))
    sums = [total(padded(life.alive(step), runtime.alignment) for life in lives) for step in steps]
    return Arena(
        runtime=runtime.name,
        alignment=runtime.alignment,
        head=largest(sums, ranges_within(graph.symbols, graph.domain)),
        apart=runtime.apart(micro),
        tail=persistent(micro, runtime, pointer) if runtime.keeps else ZERO,
        flash=flash_rows(micro),
        lives=lives,
        unknown=_unknown(micro, runtime),
    )


def _unknown(micro: MicroGraph, runtime: Runtime) -> dict[str, int]:
    """Operators outside the format, and those whose kernels keep what is not known here."""
    found = dict(micro.unknown)
    for operator in micro.operators:
        if runtime.keeps and operator.kind not in {UNKNOWN, *KEPT}:
            found[operator.op] = found.get(operator.op, 0) + 1
    return found


def lives_of(operators: list[MicroOperator], micro: MicroGraph, runtime: Runtime) -> list[Life]:
    """Buffers with their lifetimes; results that overwrite their operand extend the operand's."""
    last: dict[str, int] = dict.fromkeys(micro.inputs, -1)
    for step, operator in enumerate(operators):
        last |= dict.fromkeys((*operator.reads, *operator.results), step)
    last |= dict.fromkeys(micro.outputs, len(operators) - 1)
    holder = {name: name for name in micro.types}
    until = dict(last)
    for step, operator in enumerate(operators):
        operand = operator.reads[0] if operator.reads else ""
        in_place = runtime.depthwise_in_place and operator.kind == "DEPTHWISE_CONV_2D" and last.get(operand) == step
        if (in_place and _fits(operator, micro)) or (operator.kind == "RESHAPE" and not runtime.reshapes_copy):
            result = operator.results[0]
            holder[result] = holder[operand]
            until[holder[result]] = max(until[holder[result]], last[result])
    padded_at = {
        operator.reads[0]: (step + 1, ONE - operator.when)
        for step, operator in enumerate(operators)
        if operator.when is not ONE and last[operator.reads[0]] == step
    }

    def life(name: str, step: int, here: Expr) -> Life:
        return Life(name, _bytes(micro.types[name]) * here, step, until[name], *padded_at.get(name, ()))

    found = [life(name, -1, ONE) for name in micro.inputs]
    for step, operator in enumerate(operators):
        for result in operator.results:
            if holder[result] == result and result not in micro.inputs:
                found.append(life(result, step, operator.when))
        for number, size in enumerate(runtime.scratch(operator, micro)):
            found.append(Life(f"{operator.results[0]}/scratch{number}", size, step, step))
    return found


def _fits(operator: MicroOperator, micro: MicroGraph) -> bool:
    """The result is no larger than its operand, channel by channel."""
    strides = (operator.window["stride_h"].constant or 0, operator.window["stride_w"].constant or 0)
    if operator.window["channels_in"] is not operator.window["channels_out"]:
        return False
    return strides != (1, 1) or micro.types[operator.results[0]].numel is micro.types[operator.reads[0]].numel


def _bytes(form: TensorType) -> Expr:
    """Bytes of an activation in int8; numbers that are no floats keep their width."""
    return activation_bytes(form, form.numel, "int8")
