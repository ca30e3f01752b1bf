"""Running a training step that makes some values again: torch's joint graph, cut into two by a plan.

The forward part hands over what the plan keeps; the backward part begins with that, and makes the rest again where it is
first needed. Both are GraphModules of torch's own operators under one `autograd.Function`, so that `loss.backward()`
trains the model as usual.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import fx, nn
from torch.fx.graph import _BoxedCodeGen
from torch.utils import _pytree as pytree

from fxcost.errors import ModelError
from fxcost.ir.graph import Graph
from fxcost.lower.fx import op_name
from fxcost.lower.step import Step, step_at

aten = torch.ops.aten
_IN_PLACE = {
    "aten._native_batch_norm_legit": aten._native_batch_norm_legit.default,
    "aten.add_.Tensor": aten.add_.Tensor,
}
"""What the step does in place and torch's joint graph does not."""

_TRACED_AS = {
    "aten._native_batch_norm_legit": "aten._native_batch_norm_legit_functional",
    "aten.add_.Tensor": "aten.add.Tensor",
}
"""And what it does there instead."""


@dataclass(frozen=True)
class Cut:
    """Both parts of a step: the names of what each takes, and of what the forward part keeps for the backward part."""

    forward: fx.GraphModule
    backward: fx.GraphModule
    taken: tuple[str, ...]
    kept: tuple[str, ...]
    handed: tuple[str, ...]


class RecomputedStep(nn.Module):
    """A model and its loss, trained with values made again; called with the model's inputs, it returns the loss."""

    def __init__(self, model: nn.Module, step: Step, cut: Cut, shapes: Sequence[tuple[int, ...]]) -> None:
        """Put together by `recomputed_step`."""
        super().__init__()
        self.model = model
        self._step, self._cut, self._shapes = step, cut, tuple(shapes)

    def forward(self, *inputs: Any, **named: Any) -> torch.Tensor:
        """The loss. Raises ModelError for inputs of other sizes than those of the plan."""
        given = [leaf for leaf in pytree.tree_leaves((inputs, named)) if isinstance(leaf, torch.Tensor)]
        shapes = [tuple(tensor.shape) for tensor in given]
        if shapes != list(self._shapes):
            raise ModelError(f"this plan is for inputs of {list(self._shapes)}, these are of {shapes}")
        states: dict[str, torch.Tensor] = dict(self.model.named_parameters(remove_duplicate=False))
        states |= dict(self.model.named_buffers(remove_duplicate=False))
        missing = next((path for path in self._step.states.values() if path not in states), None)
        if missing is not None:
            raise ModelError(f"the model has no {missing}: it is not the one that the plan is for")
        trained = [states[path] for path in self._step.trained]
        own = {name: states[path] for name, path in self._step.states.items()}
        everything = own | dict(zip(self._step.inputs, given, strict=True))
        del given, inputs, named
        found: torch.Tensor = _Recomputing.apply(self._step, self._cut, everything, *trained)  # type: ignore[no-untyped-call]
        return found


class _Recomputing(torch.autograd.Function):
    """The two parts as one differentiable function of the trained parameters."""

    @staticmethod
    def forward(ctx: Any, step: Step, cut: Cut, values: dict[str, Any], *trained: Any) -> Any:
        own = {name: values[name] for name in cut.handed if name in step.states}
        arguments = [values[name] for name in cut.taken]
        values.clear()
        with torch.no_grad():
            loss, *kept = cut.forward.forward(arguments)
        ctx.step, ctx.cut, ctx.own = step, cut, own
        ctx.save_for_backward(*kept)
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        kept = dict(zip(ctx.cut.kept, ctx.saved_tensors, strict=True))
        values = kept | ctx.own | dict.fromkeys(ctx.step.tangents, gradients[0])
        arguments = [values[name] for name in ctx.cut.handed]
        del kept, values, gradients
        ctx.maybe_clear_saved_tensors()
        with torch.no_grad():
            found = list(ctx.cut.backward.forward(arguments))
        return None, None, None, *found


def recomputed_step(
    model: nn.Module,
    inputs: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    loss: Any,
    graph: Graph,
    order: Iterable[tuple[int, bool]],
) -> RecomputedStep:
    """The model's training step at these inputs' sizes in the given order; parameters are the model's own.

    `graph` is the analysed step, `order` its positions with True for those that run again. Raises ModelError where the
    model's step at these sizes is not the one that was analysed.
    """
    return under_plan(model, step_at(model, tuple(inputs), dict(kwargs or {}), loss), inputs, kwargs, graph, order)


def under_plan(
    model: nn.Module,
    step: Step,
    inputs: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    graph: Graph,
    order: Iterable[tuple[int, bool]],
) -> RecomputedStep:
    """The same of a step that was captured before."""
    shapes = [tuple(leaf.shape) for leaf in pytree.tree_leaves((inputs, kwargs)) if isinstance(leaf, torch.Tensor)]
    return RecomputedStep(model, step, _Cutter(step, graph, list(order)).cut(), shapes)


def _paired(step: Step, graph: Graph) -> dict[int, Any]:
    """The call in the joint graph of each node of the analysed step, by position: both are in the same order.

    Names differ: a trace with symbolic sizes numbers its nodes otherwise.
    """
    calls = [node for node in step.module.graph.nodes if node.op == "call_function" and _makes_tensors(node)]
    seeds = set(step.tangents)
    mine = [
        i for i, n in enumerate(graph.nodes) if n.phase != "update" and not (n.op == "aten.ones" and n.name in seeds)
    ]
    for at, call in zip_longest(mine, calls):
        op = None if at is None else graph.nodes[at].op
        found = None if call is None else op_name(call.target)
        if found != op and (op is None or found != _TRACED_AS.get(op)):
            raise ModelError(
                f"the model's step at these sizes is not the one analysed: {found or 'its end'} where the analysis has "
                f"{op or 'its end'}; analyse it at these sizes (numbers instead of names in the specs)"
            )
    return dict(zip(mine, calls, strict=True))


def _makes_tensors(node: Any) -> bool:
    return node.target is not operator.getitem and any(
        isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves(node.meta.get("val"))
    )


class _Cutter:
    """Writes both graphs out of the joint one."""

    def __init__(self, step: Step, graph: Graph, order: Sequence[tuple[int, bool]]) -> None:
        self.step = step
        self.nodes = {node.name: node for node in step.module.graph.nodes}
        found = _paired(step, graph)
        self.ops = {node.name: graph.nodes[position].op for position, node in found.items()}
        phases = [(position, again, graph.nodes[position].phase) for position, again in order if position in found]
        self.forward = [found[at] for at, again, phase in phases if phase == "forward" and not again]
        self.backward = [(found[at], again) for at, again, phase in phases if again or phase == "backward"]

        self.stands_for = {  # what is written in place is there under the name of the state
            self.nodes[new]: self.nodes[state]
            for state, new in step.written.items()
            if self.ops.get(self._source(self.nodes[new]).name) in _IN_PLACE
        }

    def cut(self) -> Cut:
        """Both parts."""
        handed = self._handed()
        named = set(self.step.states) | set(self.step.tangents)
        kept = tuple(name for name in handed if name not in named)
        taken = (*self.step.states, *self.step.inputs)
        results = [self.nodes[self.step.loss], *(self.nodes[name] for name in kept)]
        forward = self._written([(node, False) for node in self.forward], taken, results, copies=True)
        gradients = [self.nodes[name] for name in self.step.gradients]
        backward = self._written(self.backward, handed, gradients, copies=False)
        return Cut(forward, backward, taken, kept, handed)

    def _handed(self) -> tuple[str, ...]:
        """What the backward part reads and does not make, in order of first need."""
        made: set[Any] = set()
        found: dict[str, None] = {}
        for node, _ in self.backward:
            for operand in self._read(node):
                if operand.op != "get_attr" and operand not in made:
                    found.setdefault(operand.name)
            made.add(node)
            made |= {user for user in node.users if user.target is operator.getitem}
        for name in self.step.gradients:
            if self.nodes[name] not in made:
                found.setdefault(name)
        return tuple(found)

    def _read(self, node: Any) -> list[Any]:
        return [self.stands_for.get(operand, operand) for operand in node.all_input_nodes]

    @staticmethod
    def _source(node: Any) -> Any:
        return node.args[0] if node.target is operator.getitem else node

    def _written(
        self, calls: Sequence[tuple[Any, bool]], taken: Sequence[str], results: Sequence[Any], *, copies: bool
    ) -> fx.GraphModule:
        """A graph that takes and clears a list of values, and returns `results`."""
        made = fx.Graph()
        values: dict[Any, Any] = {self.nodes[name]: made.placeholder(name) for name in taken}
        updates = {
            self.nodes[state]: self.nodes[new]
            for state, new in self.step.written.items()
            if copies and self.nodes[new] not in self.stands_for
        }
        read = {operand for node, _ in calls for operand in self._read(node)} | {*results, *updates.values()}

        def value(node: Any) -> Any:
            node = self.stands_for.get(node, node)
            if node not in values and node.op == "get_attr":
                values[node] = made.get_attr(node.target)
            return values[node]

        for node, again in calls:
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), value)
            values[node] = called = made.call_function(*self._called(node, args, kwargs, again=again))
            for user in node.users:  # taken apart at once, so that what nobody reads is let go
                if user.target is operator.getitem and user in read:
                    values[user] = made.call_function(operator.getitem, (called, user.args[1]))
        for state, new in updates.items():
            made.call_function(aten.copy_.default, (value(state), value(new)))
        made.output(tuple(value(node) for node in results))
        made.set_codegen(_BoxedCodeGen())
        return fx.GraphModule(self.step.module, made)

    def _called(self, node: Any, args: Any, kwargs: Any, *, again: bool) -> tuple[Any, Any, Any]:
        """The call of a node: in place where the step is, and a norm that runs again without its statistics."""
        op = self.ops[node.name]
        if op not in _IN_PLACE:
            return node.target, args, kwargs
        if again:
            given = dict(zip([a.name for a in node.target._schema.arguments], args, strict=False)) | kwargs
            given = {name: each for name, each in given.items() if not name.startswith("running")}
            return aten._native_batch_norm_legit.no_stats, tuple(given.values()), {}
        return _IN_PLACE[op], args, kwargs
