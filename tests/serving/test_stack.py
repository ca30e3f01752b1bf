"""Stacks of equal blocks: put together from few they are the graph that a capture of all of them gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from fxcost.cost import Cost
from fxcost.ir.graph import Graph
from fxcost.ir.verify import problems
from fxcost.language import LanguageModel, language_model
from fxcost.passes.totals import Totals
from fxcost.pipeline import ACCOUNTINGS, Facts, Options
from fxcost.serving.stack import NotRepeatable, cut, stacked
from tests.support.language_models import MODELS

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "llama"]


def captured(name: str, whole: bool) -> LanguageModel:
    """A small model by name, its blocks captured whole or in part."""
    with torch.device("meta"):
        model = MODELS[name]().eval()
    return language_model(model, whole=whole, check=False, name=name)


def graphs(cost: Cost) -> list[Graph]:
    """The graph of a step and of its slices."""
    return [cost.graph, *(v.graph for v in cost.variants)]


def calls(graph: Graph) -> Counter[tuple[str, str, str]]:
    """Every call with its place."""
    return Counter((n.op, n.module, str(n.attrs)) for n in graph.nodes)


@pytest.mark.parametrize("name", ["llama", *SLOW])
def test_a_stack_equals_the_whole_capture(name: str) -> None:
    """Every total under every accounting, every operator, every parameter and input: as if captured at once."""
    part, whole = captured(name, whole=False), captured(name, whole=True)
    assert "stand for all" in part.notes[-1], "blocks of these models repeat"
    assert part.layers == whole.layers
    for step in ("decode", "prefill"):
        for ours, theirs in zip(graphs(getattr(part, step)), graphs(getattr(whole, step)), strict=True):
            assert problems(ours) == []
            assert calls(ours) == calls(theirs)
            assert [v.type for v in ours.inputs] == [v.type for v in theirs.inputs]
            assert [ours.types[o] for o in ours.outputs] == [theirs.types[o] for o in theirs.outputs]
            assert Counter(p for s in ours.states for p in s.paths if s.kind == "parameter") == Counter(
                p for s in theirs.states for p in s.paths if s.kind == "parameter"
            )
            for accounting in ACCOUNTINGS:
                options = Options(accounting=accounting)
                assert Facts(ours, options)[Totals].values == Facts(theirs, options)[Totals].values


@pytest.fixture(scope="module")
def two_blocks() -> Graph:
    """Two blocks of the small Llama."""
    with torch.device("meta"):
        model = MODELS["llama"](2).eval()
    return language_model(model, whole=True, check=False).decode.graph


def test_blocks_that_differ_are_no_stack(two_blocks: Graph) -> None:
    """One argument of one call changed: no other block may stand for it."""
    position = next(
        i for i, n in enumerate(two_blocks.nodes) if n.module.startswith("model.layers.1") and "pow" in n.op
    )
    node = two_blocks.nodes[position]
    other = replace(node, attrs={**node.attrs, "exponent": 3})
    changed = replace(two_blocks, nodes=(*two_blocks.nodes[:position], other, *two_blocks.nodes[position + 1 :]))
    assert len(stacked(two_blocks, "model.layers", [0, 1, 1]).nodes) > len(two_blocks.nodes)
    with pytest.raises(NotRepeatable, match="no other captured block"):
        stacked(changed, "model.layers", [0, 1, 1])


def test_blocks_wired_differently_are_no_stack(two_blocks: Graph) -> None:
    """The same calls on other operands are another graph."""
    position = next(
        i
        for i, n in enumerate(two_blocks.nodes)
        if n.module == "model.layers.1" and n.op.startswith("aten.add") and len(n.operands) == 2
    )
    node = two_blocks.nodes[position]
    doubled = replace(node, operands=(node.operands[1], node.operands[1]))
    changed = replace(two_blocks, nodes=(*two_blocks.nodes[:position], doubled, *two_blocks.nodes[position + 1 :]))
    with pytest.raises(NotRepeatable):
        stacked(changed, "model.layers", [0, 1, 1])


def test_there_must_be_a_block_to_compare_with(two_blocks: Graph) -> None:
    """A block of which only one was captured stands for no other."""
    with pytest.raises(NotRepeatable, match="block 0"):
        stacked(two_blocks, "model.layers", [0, 1, 0])
    with pytest.raises(NotRepeatable, match="not all in the graph"):
        cut(two_blocks, "model.layers", 3)
