"""Rounded quotients of sizes as integer division: torch traces `math.ceil(h / 2)`, but has no word for it in a file."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch


def with_integer_division(program: Any) -> None:
    """Write ceil(a / b) as -(-a // b), and floor(a / b) as a // b, in place: the same for all integers, and exact."""
    graph = program.graph
    for node in list(graph.nodes):
        quotient = node.args[0] if node.target in (math.ceil, math.floor) else None
        if not isinstance(quotient, torch.fx.Node) or quotient.target is not operator.truediv:
            continue
        if not all(isinstance(_value(part), int | torch.SymInt) for part in quotient.args):
            continue
        above, below = quotient.args
        with graph.inserting_before(node):
            if node.target is math.floor:
                whole = _call(graph, operator.floordiv, above, below)
            else:
                whole = _call(
                    graph, operator.neg, _call(graph, operator.floordiv, _call(graph, operator.neg, above), below)
                )
        whole.meta = dict(node.meta)
        node.replace_all_uses_with(whole)
        graph.erase_node(node)
        if not quotient.users:
            graph.erase_node(quotient)
    program.graph_module.recompile()


def _call(graph: Any, function: Any, *arguments: Any) -> Any:
    made = graph.call_function(function, arguments)
    made.meta["val"] = function(*map(_value, arguments))
    return made


def _value(part: Any) -> Any:
    return part.meta.get("val") if isinstance(part, torch.fx.Node) else part
