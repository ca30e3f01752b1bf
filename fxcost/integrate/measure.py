"""Peak memory of a real run, by storage: independent evidence for the liveness pass.

The program is interpreted node by node. Every tensor storage is tracked by a weak reference to its first owner, so the
count knows nothing of the analysis: a value of the graph counts from its producer until it is dropped after its last
reader, and a dispatch mode sees every other allocation that happens inside an op.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from fxcost.errors import ModelError


@dataclass(frozen=True)
class Measured:
    """Bytes of a real run: `values` of the graph at their peak, and `everything` that was allocated at once.

    `at` names the node that was running at the values' peak.
    """

    values: int
    everything: int
    at: str


class _Tracker(TorchDispatchMode):
    """Live storages, seen from below: everything that any operator returns, until the storage is freed."""

    def __init__(self, ignored: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ignored = ignored
        self.live: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in pytree.tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.note(leaf)
        return result

    def note(self, tensor: torch.Tensor) -> None:
        """Count the tensor's storage from now until it is freed."""
        import weakref

        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.ignored or key in self.live:
            return
        self.live[key] = storage.nbytes()
        weakref.finalize(storage, self.live.pop, key, None)
        self.peak = max(self.peak, sum(self.live.values()))


def measure_peak(program: Any, inputs: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Measured:
    """Run an ExportedProgram or GraphModule on real tensors and return its peak bytes.

    The run owns the inputs: an input is dropped after its last reader, like every other value. Parameters, buffers and
    constants of the program are not counted. Raises ModelError when the inputs do not fit the program.
    """
    module, states = module_of(program)
    flat = pytree.tree_leaves((tuple(inputs), dict(kwargs or {})))
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    waiting = list(flat)
    env: dict[Any, Any] = {}
    own = [*states.values(), *module.parameters(), *module.buffers()]
    own += [attribute(module, node.target) for node in module.graph.nodes if node.op == "get_attr"]
    ignored = {t.untyped_storage()._cdata for t in own if isinstance(t, torch.Tensor)}
    del own
    for node in placeholders:
        if node.name in states:
            env[node] = states[node.name]
        elif waiting:
            value = waiting.pop(0)
            env[node] = value.clone() if isinstance(value, torch.Tensor) else value
        else:
            raise ModelError(f"the program takes more inputs than the {len(flat)} given; {node.name} has none")
        value = None  # the loop's own name must not keep an input alive
    if waiting:
        raise ModelError(f"the program takes {len(flat) - len(waiting)} inputs, {len(flat)} were given")
    del flat, inputs
    last = last_readers(module)
    peak, where = _values_bytes(env, ignored), "inputs"
    tracker = _Tracker(ignored)
    with torch.no_grad():
        for tensor in env.values():
            if isinstance(tensor, torch.Tensor):
                tracker.note(tensor)
        tensor = None
        for node in placeholders:
            if not node.users:
                del env[node]
        with tracker:
            for node in module.graph.nodes:
                if node.op in {"placeholder", "output"}:
                    continue
                function, args, kwargs = bound_call(module, node, env)
                env[node] = function(*args, **kwargs)
                del function, args, kwargs  # they must not keep an operand alive
                now = _values_bytes(env, ignored)
                if now > peak:
                    peak, where = now, node.name
                for gone in last.get(node, ()):
                    del env[gone]
                if not node.users:
                    del env[node]
    return Measured(peak, tracker.peak, where)


def bound_call(module: Any, node: Any, env: Mapping[Any, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """What a node of a graph module calls: a function, and its arguments out of the values so far."""
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: env[n])
    if node.op == "get_attr":
        return attribute, (module, node.target), {}
    if node.op == "call_module":
        return module.get_submodule(node.target), args, kwargs
    if node.op == "call_method":
        return getattr(args[0], node.target), args[1:], kwargs
    return node.target, args, kwargs


def attribute(module: Any, target: str) -> Any:
    """What a dotted name stands for in a module."""
    for part in target.split("."):
        module = getattr(module, part)
    return module


def _values_bytes(env: Mapping[Any, Any], ignored: set[int]) -> int:
    storages = {}
    for value in env.values():
        for leaf in pytree.tree_leaves(value):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                storages[storage._cdata] = storage.nbytes()
    return sum(size for key, size in storages.items() if key not in ignored)


def last_readers(module: Any) -> dict[Any, list[Any]]:
    """For each node, the values that die once it has run."""
    seen: set[Any] = set()
    last: dict[Any, list[Any]] = {}
    for node in reversed(list(module.graph.nodes)):
        for operand in node.all_input_nodes:
            if operand not in seen:
                seen.add(operand)
                last.setdefault(node, []).append(operand)
    return last


def module_of(program: Any) -> tuple[Any, dict[str, Any]]:
    """The graph to run, and the program's own tensors by placeholder name."""
    if isinstance(program, torch.fx.GraphModule):
        return program, {}
    if not isinstance(program, torch.export.ExportedProgram):
        raise ModelError(f"measure_peak takes an ExportedProgram or a GraphModule, found {type(program).__name__}")
    states: dict[str, Any] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind.name != "USER_INPUT" and spec.target is not None:
            found = program.state_dict.get(spec.target)
            states[spec.arg.name] = found if found is not None else program.constants.get(spec.target)
    return program.graph_module, states
