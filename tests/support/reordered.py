"""A program, its best order, and real runs of both: what every measured test of an order checks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

import fxcost
from fxcost.cost import Cost
from fxcost.passes.schedule_check import check_schedule
from fxcost.passes.totals import Totals
from fxcost.schedule import Schedule


def exported(model: torch.nn.Module, *inputs: torch.Tensor) -> Any:
    """The program of a model in eval mode, with the model's own weights."""
    with torch.no_grad():
        return torch.export.export(model.eval(), inputs)


def outputs(program: Any, inputs: Sequence[torch.Tensor]) -> list[Any]:
    """Results of a run on copies: neither inputs nor buffers are left changed."""
    module = copy.deepcopy(program).module() if hasattr(program, "module") else copy.deepcopy(program)
    with torch.no_grad():
        torch.manual_seed(0)
        return [
            leaf.clone() if isinstance(leaf, torch.Tensor) else leaf
            for leaf in pytree.tree_leaves(module(*(x.clone() for x in inputs)))
        ]


def assert_same(before: Sequence[Any], after: Sequence[Any]) -> None:
    """Equal bit for bit: the same kernels ran on the same numbers."""
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
        assert same or torch.equal(torch.isnan(one), torch.isnan(other)) & torch.equal(
            one.nan_to_num(), other.nan_to_num()
        )


def check_reordered(program: Any, inputs: Sequence[torch.Tensor]) -> tuple[Cost, Schedule, Any]:
    """Schedule a program, run it both ways and compare bytes and outputs; returns the cost, the schedule, the program.

    The traced peak and its scratch are the measured ones; so are the best peak and its scratch on the reordered program,
    under the order as an option (where nothing is folded) and as the reordered program is analysed by itself.
    """
    cost = fxcost.analyze(program)
    found = cost.schedule({})
    traced = fxcost.measure_peak(program, inputs)
    assert (traced.values, traced.everything) == (cost.peak_memory(), cost.peak_memory_with_scratch())
    assert found.peak == check_schedule(cost.graph, cost.facts, {}, found.order, found.folded)
    ordered = found.apply(program)
    best = fxcost.measure_peak(ordered, inputs)
    assert best.values == found.peak
    again = fxcost.analyze(ordered)
    assert (again.peak_memory(), again.peak_memory_with_scratch()) == (best.values, best.everything)
    if not found.folded:
        assert found.traced_peak == traced.values
        under = cost.facts.under(order=found.order)[Totals].values
        assert (under["peak_memory"].constant, under["peak_memory_with_scratch"].constant) == (
            best.values,
            best.everything,
        )
    assert_same(outputs(program, inputs), outputs(ordered, inputs))
    return cost, found, ordered
