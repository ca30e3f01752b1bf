"""Passes of torch.fx: what is found out goes into `node.meta["fxcost"]`, an order moves the nodes where they are."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx.passes.infra.pass_base import PassBase, PassResult

from fxcost.integrate.provenance import origin_of
from fxcost.integrate.reorder import reorder_in_place

META = "fxcost"
"""Key in the `meta` of nodes and of the module."""

Found = Mapping[str, Mapping[str, Any]]
Run = Callable[[torch.fx.GraphModule], tuple[Found, Sequence[str] | None]]
"""From a module to what is found, by node name (empty: the module), and an order of the nodes where there is a new one."""


class FxPass(PassBase):
    """A pass for `torch.fx.passes.infra.pass_manager.PassManager`, also callable by itself."""

    def __init__(self, name: str, run: Run) -> None:
        """A pass called `name` that does what `run` finds."""
        self.__name__ = name  # the pass manager reports it
        self.run = run

    def call(self, graph_module: torch.fx.GraphModule) -> PassResult:
        """Annotate the module, and move its nodes where there is a new order."""
        found, order = self.run(graph_module)
        annotate(graph_module, found)
        before = list(graph_module.graph.nodes)
        if order is not None:
            reorder_in_place(graph_module.graph, order)
            graph_module.recompile()
        return PassResult(graph_module, before != list(graph_module.graph.nodes))


def annotate(module: torch.fx.GraphModule, found: Found) -> None:
    """Add what was found to `meta["fxcost"]` of every node it is about, and of the module."""
    module.meta[META] = {**module.meta.get(META, {}), **found.get("", {})}
    inside: dict[str, dict[str, Any]] = {}
    for name, values in found.items():  # an operator that was analysed in parts has them as `outer.part`
        outer, dot, _ = name.partition(".")
        if dot:
            inside.setdefault(outer, {})[name] = values
    for node in module.graph.nodes:
        values = {**found.get(node.name, {}), **({"parts": inside[node.name]} if node.name in inside else {})}
        if values:
            node.meta[META] = {**node.meta.get(META, {}), **values}


def annotate_by_origin(module: torch.fx.GraphModule, found: Found) -> tuple[str, ...]:
    """The same for a program whose nodes may have been renamed or decomposed since.

    Each node gets the values of the node that it came from; what several nodes share is marked `shared` with their
    number. Returns the names that no node came from.
    """
    homes: dict[str, list[Any]] = {}
    for node in module.graph.nodes:
        name = origin_of(node, found) if node.op == "call_function" else None
        if name is not None and node.target is not operator.getitem:
            homes.setdefault(name, []).append(node)
    module.meta[META] = {**module.meta.get(META, {}), **found.get("", {})}
    for name, nodes in homes.items():
        for node in nodes:
            part = {"origin": name} | ({"shared": len(nodes)} if len(nodes) > 1 else {})
            node.meta[META] = {**node.meta.get(META, {}), **found[name], **part}
    return tuple(name for name in found if name and name not in homes)
