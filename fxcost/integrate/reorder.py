"""Running a program in another order: the nodes of an ExportedProgram or GraphModule are moved, nothing else changes.

Nodes that take no part in the analysis (size arithmetic, assertions, unpacking of tuples, reads of parameters) run as
soon as what they need is there, so that they keep nothing alive. Nodes that depend on parameters alone can be folded:
they run once, here, and their results become constants of the program.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec, TensorArgument

from fxcost.capture.quiet import muffled
from fxcost.errors import ModelError
from fxcost.integrate.measure import bound_call, module_of

FOLDED = "fxcost_folded"
"""Prefix of the constants that hold folded results."""


def reordered(program: Any, order: Sequence[str], folded: Sequence[str] = ()) -> Any:
    """The program with its operators in this order, those of `folded` replaced by constants; the original is untouched.

    `order` names nodes as the analysis does, all of them; parameters are shared with the original. Raises ModelError where
    the program is not the one that was analysed, or the order runs a node before what it needs.
    """
    if isinstance(program, torch.export.ExportedProgram):
        return _exported(program, order, folded)
    if isinstance(program, torch.fx.GraphModule):
        return _graph_module(program, order, folded)
    raise ModelError(f"an order is for an ExportedProgram or a GraphModule, found {type(program).__name__}")


def reorder_in_place(graph: Any, order: Sequence[str]) -> None:
    """Move the nodes of a torch.fx graph into this order, which names all operators; raises ModelError as `reordered`."""
    names = {node.name: node for node in graph.nodes}
    _move(graph, _sequence(names, order, "the graph"))
    graph.lint()


def through_origins(
    order: Sequence[str], folded: Sequence[str], origins: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """An order of operators as one of the GraphModule's nodes that they come from; `folded` are those wholly folded.

    Raises ModelError where the operators of one node, a module say, do not run one after the other.
    """
    found: dict[str, None] = {}
    last = ""
    for name in order:
        node = origins.get(name)
        if node is None:
            raise ModelError(f"{name} comes from no node of the graph module that was analysed")
        if node in found and node != last:
            raise ModelError(
                f"the order parts the operators inside {node} (at {name}): apply it to the exported program, or trace the "
                "model deeper"
            )
        found[node] = None
        last = node
    kept = {origins[name] for name in order if name not in set(folded)}
    return tuple(found), tuple(node for node in found if node not in kept)


def _graph_module(program: Any, order: Sequence[str], folded: Sequence[str]) -> Any:
    graph, names = _copied(program.graph)
    result = torch.fx.GraphModule(program, graph, type(program).__name__)
    result.meta.update(program.meta)
    _move(graph, _sequence(names, order, "the graph module"))
    constants = _fold(result, {}, [names[name] for name in folded])
    for target, (node, value) in constants.items():
        result.register_buffer(target, value, persistent=False)
        with graph.inserting_before(next(iter(graph.nodes))):
            made = graph.get_attr(target)
        _replace(node, made)
    graph.lint()
    result.recompile()
    return result


def _exported(program: Any, order: Sequence[str], folded: Sequence[str]) -> Any:
    graph, names = _copied(program.graph)
    module = torch.fx.GraphModule(program.graph_module, graph)
    module.meta.update(program.graph_module.meta)
    _move(graph, _sequence(names, order, "the exported program"))
    _, states = module_of(program)
    found = _fold(module, states, [names[name] for name in folded])
    specs = list(program.graph_signature.input_specs)
    constants = dict(program.constants)
    first_input = next((i for i, spec in enumerate(specs) if spec.kind is InputKind.USER_INPUT), len(specs))
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for place, (target, (node, value)) in enumerate(found.items(), first_input):
        behind = placeholders[first_input] if first_input < len(placeholders) else next(iter(graph.nodes))
        with graph.inserting_before(behind):
            made = graph.placeholder(target)
        specs.insert(place, InputSpec(InputKind.CONSTANT_TENSOR, TensorArgument(made.name), target, None))
        constants[target] = value
        _replace(node, made)
    graph.lint()
    module.recompile()
    signature = ExportGraphSignature(specs, list(program.graph_signature.output_specs))
    return torch.export.ExportedProgram(
        root=module,
        graph=graph,
        graph_signature=signature,
        state_dict=program.state_dict,
        range_constraints=copy.deepcopy(program.range_constraints),
        module_call_graph=list(program.module_call_graph),
        example_inputs=program.example_inputs,
        constants=constants,
        verifiers=list(program.verifiers),
    )


def _copied(graph: Any) -> tuple[Any, dict[str, Any]]:
    """A copy of a graph with the same names, and its nodes by name."""
    with muffled():  # torch warns of its own copying
        copied = copy.deepcopy(graph)
    for original, node in zip(graph.nodes, copied.nodes, strict=True):
        node.name = original.name  # copying renames what is called like a Python builtin
    return copied, {node.name: node for node in copied.nodes}


def _sequence(names: Mapping[str, Any], order: Sequence[str], what: str) -> list[Any]:
    """The nodes that an order names; what runs inside a wrapper (no_grad, autocast) stands for the wrapper."""
    found: dict[str, None] = {}
    last = ""
    for name in order:
        outer = name if name in names else name.partition(".")[0]
        if outer not in names:
            raise ModelError(f"{what} has no node {name}: it is not the program that was analysed")
        if outer in found and outer != last:
            raise ModelError(
                f"{what}: the nodes inside {outer} run one after the other, the order parts them at {name}"
            )
        found[outer] = None
        last = outer
    sequence = [names[name] for name in found]
    strange = [node.name for node in names.values() if _computes(node) and node.name not in found]
    if strange:
        raise ModelError(f"{what} has the node {strange[0]}, which was not analysed: it is another program")
    return sequence


def _computes(node: Any) -> bool:
    """True for operators on tensors: those that an analysis names."""
    if node.op not in {"call_function", "call_module", "call_method"}:
        return False
    example = node.meta.get("val")
    leaves = torch.utils._pytree.tree_leaves(example)
    is_operator = isinstance(node.target, torch._ops.OpOverload) and "assert" not in str(node.target)
    return is_operator and any(isinstance(leaf, torch.Tensor) for leaf in leaves)


def _move(graph: Any, sequence: Sequence[Any]) -> None:
    """Put the nodes into this order; all others run as soon as their operands are there."""
    named = set(sequence)
    waiting = {node: len({*node.all_input_nodes}) for node in graph.nodes}
    others = {node for node in graph.nodes if node not in named and node.op not in {"placeholder", "output"}}
    placed: list[Any] = []

    def place(node: Any) -> None:
        ready = [node]
        while ready:
            current = ready.pop(0)
            placed.append(current)
            for user in current.users:
                waiting[user] -= 1
                if not waiting[user] and user in others:
                    ready.append(user)

    for node in [n for n in graph.nodes if n.op == "placeholder"]:
        place(node)
    for node in [n for n in graph.nodes if n in others and not n.all_input_nodes]:
        place(node)
    for node in sequence:
        if waiting[node]:
            missing = next(operand for operand in node.all_input_nodes if operand not in placed)
            raise ModelError(f"the order runs {node.name} before {missing.name}, which it needs")
        place(node)
    output = next(node for node in graph.nodes if node.op == "output")
    left = [node.name for node in graph.nodes if node not in {*placed, output}]
    assert not left, f"every node has a place, {left} has none"
    for node in placed:
        output.prepend(node)


def _fold(module: Any, states: Mapping[str, Any], nodes: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    """Run nodes that depend on parameters alone; the results that others read, by the name of their constant."""
    folded = set(nodes)
    env: dict[Any, Any] = {}
    found: dict[str, tuple[Any, Any]] = {}

    def value(node: Any) -> Any:
        if node not in env:
            if node.op == "placeholder" and node.name not in states:
                raise ModelError(
                    f"{node.name} is an input here, the analysis knows it as a parameter: apply the order to the "
                    "ExportedProgram, or to its module()"
                )
            if node.op == "placeholder":
                env[node] = states[node.name]
            else:
                function, args, kwargs = bound_call(module, node, {n: value(n) for n in node.all_input_nodes})
                env[node] = function(*args, **kwargs)
        return env[node]

    with torch.no_grad():
        for node in nodes:
            readers = [node, *(user for user in node.users if user.target is operator.getitem)]
            for result in readers:  # a node of several results is read through its parts
                tensor = value(result)
                if isinstance(tensor, torch.Tensor) and any(user not in folded for user in result.users):
                    found[f"{FOLDED}_{result.name}"] = (result, tensor.detach())
    return found


def _replace(node: Any, made: Any) -> None:
    """Let the constant stand for the node; nodes that nothing reads any more go."""
    made.meta.update({key: value for key, value in node.meta.items() if key in {"val", "tensor_meta"}})
    node.replace_all_uses_with(made)
    gone = [node]
    while gone:
        current = gone.pop()
        operands = [operand for operand in current.all_input_nodes if operand.op not in {"placeholder", "output"}]
        current.graph.erase_node(current)
        gone += [operand for operand in dict.fromkeys(operands) if not operand.users and operand not in gone]
