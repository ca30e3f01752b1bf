"""Bounds of patches against every plan in every order, by force: the best of all lies between bound and answer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fxcost
from fxcost.ir.graph import Graph
from fxcost.passes._patch_setting import setting_of
from fxcost.passes._patch_sweep import Grid
from fxcost.passes.patch import lower_bound
from fxcost.pipeline import ACCOUNTINGS, Facts
from tests.passes.test_patch import plans_by_force
from tests.support.reordered import exported

CUT = [(2, 1), (2, 2), (3, 2)]
GRIDS = [Grid(rows, columns, cached) for rows, columns in CUT for cached in (False, True)]
MOST_ORDERS = 24


class Branched(nn.Module):
    """A drawn graph: every call takes earlier values of its size, what nobody reads is joined at the end."""

    def __init__(self, seed: int, calls: int) -> None:
        super().__init__()
        rng = random.Random(seed)
        self.layers = nn.ModuleDict()
        channels, self.calls, unread = [2], list[tuple[str, tuple[int, ...]]](), {0}
        for number in range(1, calls + 1):
            kind = rng.choice(["conv", "conv", "conv", "relu", "sum", "join", "gate"])
            first, second = rng.randrange(number), rng.choice(sorted(unread))
            if kind == "sum" and channels[first] != channels[second]:
                kind = "join"
            made = rng.randint(1, 6) if kind == "conv" else channels[first]
            made += channels[second] * (kind == "join")
            if kind == "conv":
                self.layers[str(number)] = nn.Conv2d(
                    channels[first], made, kernel := rng.choice([1, 3]), 1, kernel // 2
                )
            operands = (first, second) if kind in {"sum", "join"} else (first,)
            self.calls.append((kind, operands))
            channels.append(made)
            unread = (unread - {*operands}) | {number}
        self.left = sorted(unread)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of one size."""
        found = [x]
        for number, (kind, operands) in enumerate(self.calls, 1):
            first, *others = (found[i] for i in operands)
            match kind:
                case "conv":
                    made = self.layers[str(number)](first)
                case "relu":
                    made = F.relu(first)
                case "sum":
                    made = first + others[0]
                case "join":
                    made = torch.cat([first, others[0]], 1)
                case _:
                    made = torch.sigmoid(first - first.amax((2, 3), keepdim=True))
            found.append(made)
        return torch.cat([found[i] for i in self.left], 1).amax((2, 3))


def orders(graph: Graph) -> Iterator[tuple[int, ...]]:
    """Every order in which operands come before their readers; nothing here writes in place."""
    made = {value.id: k for k, node in enumerate(graph.nodes) for value in node.results}
    needs = [{made[o] for o in node.operands if o in made} for node in graph.nodes]

    def go(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == len(needs):
            yield done
        for k, before in enumerate(needs):
            if k not in done and before <= {*done}:
                yield from go((*done, k))

    return go(())


class Late(nn.Module):
    """What is traced first may run last and overwrite what it reads: the bound must not count its result beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.thin = nn.Conv2d(2, 8, 3, 1, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Two readers of one map; the first one cannot be cut."""
        wide = self.wide(x)
        gated = wide - wide.amax(3, keepdim=True)
        return torch.cat([self.thin(wide).amax((2, 3)), gated.amax((2, 3))], 1)


def check(seed: int, accounting: str, calls: int = 4) -> tuple[bool, bool]:
    """Whether the bound was met, and whether the answer was the best of all."""
    return check_model(Branched(seed, calls), accounting)


def check_model(model: nn.Module, accounting: str) -> tuple[bool, bool]:
    """The same for a model."""
    program = exported(model.eval(), torch.zeros(1, 2, 6, 7))
    cost = fxcost.analyze(program, check=False, accounting=accounting)
    every = list(orders(cost.graph))
    if len(every) > MOST_ORDERS:
        return False, False
    best = None
    for order in every:
        graph = replace(cost.graph, nodes=tuple(cost.graph.nodes[k] for k in order))
        setting = setting_of(graph, Facts(graph, cost.options), {})
        least = min(peak for peak, _ in plans_by_force(setting, GRIDS))
        best = least if best is None else min(best, least)
    assert best is not None
    found = cost.patch(overhead=100.0, grids=CUT)
    assert lower_bound(setting_of(cost.graph, cost.facts, {})) <= best  # of the traced order, too
    assert found.bound <= best <= found.peak
    assert found.peak * (1 - found.gap) <= best + 1e-6
    assert found.bound <= found.order_bound <= found.peak
    assert f"{found.bound:,} bytes that no patches and no order stay under" in found.certificate or found.gap == 0
    return found.bound == best, best == found.peak


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_the_best_of_all_plans_lies_between_the_bound_and_the_answer(accounting: str) -> None:
    outcomes = [check(seed, accounting) for seed in range(4)]
    assert any(best for _, best in outcomes)


@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_a_result_that_may_be_written_over_its_operand(accounting: str) -> None:
    check_model(Late(), accounting)


@pytest.mark.slow
@pytest.mark.parametrize("accounting", ACCOUNTINGS)
def test_more_of_them(accounting: str) -> None:
    outcomes = [check(seed, accounting, calls=3 + seed % 3) for seed in range(100, 112)]
    assert any(best for _, best in outcomes)
