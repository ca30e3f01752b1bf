"""Lowering of traced GraphModules: what torch.compile's backends, its passes and `ep.module()` hold.

Every node has an example value (`meta["val"]`) in such a graph, so nothing is captured again. Sizes keep torch's own
names (`s77`). A GraphModule does not say which placeholders are parameters: `states` names them; tensors that it reads as
attributes are the model's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils import _pytree as pytree

from fxcost.capture.ladder import Captured
from fxcost.capture.quiet import muffled
from fxcost.errors import ModelError
from fxcost.ir.expr import symbol
from fxcost.ir.graph import Graph
from fxcost.ir.symbols import SymbolInfo
from fxcost.lower.exported import lower
from fxcost.lower.fx import shape_env


def is_traced(module: torch.fx.GraphModule) -> bool:
    """True when every operator's node carries an example value."""
    calls = [node for node in module.graph.nodes if node.op == "call_function" and _is_operator(node)]
    return bool(calls) and all("val" in node.meta for node in calls)


def lifted(module: torch.fx.GraphModule) -> tuple[str, ...]:
    """Placeholders that are named as torch.export names the parameters and buffers that it lifts."""
    names = [node.name for node in module.graph.nodes if node.op == "placeholder"]
    return tuple(name for name in names if name.startswith(("p_", "b_")))


def lower_traced(module: torch.fx.GraphModule, name: str, states: Collection[str] = ()) -> Graph:
    """The graph of a traced GraphModule; placeholders named in `states` are the model's own tensors.

    Raises ModelError where nodes carry no example values, CaptureError where a size has no exact integer form.
    """
    if not is_traced(module):
        raise ModelError(f"{name}: its nodes carry no example values (meta['val']); export or trace the model first")
    program = _program(module, set(states))
    symbols = tuple(_symbols(module))
    bindings = {info.name: symbol(info.name) for info in symbols}
    with muffled():
        return lower(Captured(program, symbols, bindings, {}, (), "given as a traced graph"), name)


def _is_operator(node: Any) -> bool:
    return isinstance(node.target, torch._ops.OpOverload)


@dataclass
class _Placeholder:
    """A tensor that the graph reads as an attribute, seen as a lifted input."""

    name: str
    meta: Mapping[str, Any]
    op: str = "placeholder"


@dataclass
class _Module:
    """The module with another list of nodes; graphs inside are found in the original."""

    graph: Any
    original: Any = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        return reduce(getattr, name.split("."), self.original)


def _program(module: torch.fx.GraphModule, states: set[str]) -> Any:
    """The module dressed as an ExportedProgram, as far as lowering looks at one."""
    nodes: list[Any] = []
    inputs, tensors = [], {}
    for node in module.graph.nodes:
        found = _tensor_of(module, node)
        if found is not None:
            tensors[node.target] = found
            kind = "PARAMETER" if isinstance(found, torch.nn.Parameter) else "BUFFER"
            nodes.append(_Placeholder(node.name, {"val": node.meta.get("val", found)}))
            inputs.append(spec(kind, node.name, node.target))
            continue
        nodes.append(node)
        if node.op == "placeholder":
            inputs.append(spec("PARAMETER" if node.name in states else "USER_INPUT", node.name, node.name))
    output = next(node for node in module.graph.nodes if node.op == "output")
    results = [leaf for leaf in pytree.tree_leaves(output.args) if isinstance(leaf, torch.fx.Node)]
    graph = SimpleNamespace(nodes=nodes)
    return SimpleNamespace(
        graph=graph,
        graph_module=_Module(graph, module),
        graph_signature=SimpleNamespace(
            input_specs=inputs, output_specs=[spec("USER_OUTPUT", node.name, None) for node in results]
        ),
        state_dict=tensors,
        constants={},
    )


def spec(kind: str, name: str, target: Any) -> Any:
    """One entry of an export signature."""
    return SimpleNamespace(kind=SimpleNamespace(name=kind), arg=SimpleNamespace(name=name), target=target)


def _tensor_of(module: torch.fx.GraphModule, node: Any) -> torch.Tensor | None:
    """The tensor that a node reads as an attribute of the module."""
    if node.op != "get_attr":
        return None
    found: Any = module
    for part in str(node.target).split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, torch.Tensor) else None


def _symbols(module: torch.fx.GraphModule) -> Iterator[SymbolInfo]:
    """Every symbolic size that inputs or values mention, with its range and the size it was traced at."""
    environment = shape_env(module)
    if environment is None:
        return
    seen: set[str] = set()
    for node in module.graph.nodes:
        for leaf in pytree.tree_leaves(node.meta.get("val")):
            for size in leaf.shape if isinstance(leaf, torch.Tensor) else [leaf]:
                if not isinstance(size, torch.SymInt):
                    continue
                for free in sorted(size.node.expr.free_symbols, key=str):
                    if str(free) not in seen and str(free).startswith("s"):
                        seen.add(str(free))
                        yield _ranged(environment, free)


def _ranged(environment: Any, free: Any) -> SymbolInfo:
    info = SymbolInfo(str(free))
    span = environment.var_to_range.get(free)
    if span is not None:
        low = int(span.lower) if span.lower.is_Integer else 1
        high = int(span.upper) if span.upper.is_Integer and int(span.upper) < 2**31 else None
        info = replace(info, min=max(low, 0), max=high)
    traced = environment.backed_var_to_val.get(free)
    return info if traced is None else replace(info, hint=int(traced))
