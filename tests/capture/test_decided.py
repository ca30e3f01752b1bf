"""Sizes that only the data decide: symbols of their own, with the way that the model takes for them."""

from __future__ import annotations

import builtins
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from fxcost.capture.decided import decisions
from fxcost.capture.numbers import LENGTHS, spelled


class Found(nn.Module):
    """A layer for the rows that are found, of which the first thousand count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        found = x[x.sum(1) > 0]
        if len(found) == 0:
            return found.new_zeros(0, 4)
        if len(found) > 1000:
            found = found[:1000]
        made: Tensor = self.layer(found)
        return made


def rows(positive: int, all_rows: int) -> Tensor:
    return torch.cat([torch.ones(positive, 8), -torch.ones(all_rows - positive, 8)])


def counted(model: nn.Module, *inputs: Any) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(*inputs)
    return int(counter.get_total_flops()) // 2


def test_a_branch_on_how_many_are_found_is_part_of_the_domain() -> None:
    model = Found()
    cost = fxcost.analyze(model, "N,8")
    assert str(cost.standing) == "exact"
    for size, found in ((5, 1), (7, 7), (3000, 1000), (40, 2)):
        assert cost.macs(N=size, data_0=found) == counted(model, rows(found, size))
        assert cost.output_bytes(N=size, data_0=found) == 4 * model(rows(found, size)).numel()
    for found in (0, 1001):  # there it goes another way
        with pytest.raises(fxcost.errors.OutsideDomain, match="data_0"):
            cost.macs(N=2000, data_0=found)
    assert any(note.startswith("no self-check: ") for note in cost.graph.notes)


class OneByOne(Found):
    def forward(self, x: Tensor) -> Tensor:
        found = x[x.sum(1) > 0]
        return torch.stack([self.layer(found[row]) for row in range(found.shape[0])])


def test_places_of_what_is_true_are_as_many_as_the_data_say() -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            row, place = torch.where(x[..., 0] > 0)
            made: Tensor = self.layer(x[row, place])
            return made

    cost = fxcost.analyze(Places(), "N,S,8")
    [found] = set(cost.symbols) - {"N", "S"}
    x = torch.cat([torch.ones(2, 3, 8), -torch.ones(2, 4, 8)], 1)
    with FlopCounterMode(display=False) as counter:
        Places()(x)
    assert cost.macs(N=2, S=7, **{found: 6}) == counter.get_total_flops() // 2 == 6 * 8 * 4
    assert cost.output_bytes(N=2, S=7, **{found: 6}) == 4 * 6 * 4


def test_a_run_with_made_up_data_says_so() -> None:
    cost = fxcost.analyze(OneByOne(), "N,8")
    [warning] = cost.warnings
    assert warning.startswith("the data decide how much comes out of aten.index; ")
    assert warning in cost.graph.notes


def test_a_run_without_such_operators_says_nothing() -> None:
    class Asked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[[0, 1]] * float(x.flatten()[0].item() ** 2 + sum(ord(c) for c in repr(x.tolist())) % 2)

    cost = fxcost.analyze(Asked(), "4,8")
    assert str(cost.standing) == "numeric"
    assert cost.warnings == ()


class ByLength(nn.Module):
    def forward(self, x: Tensor, others: tuple[Tensor, Tensor]) -> Tensor:
        assert len(others) == 2
        return x.reshape(len(x) * 2, -1) + len(others)


def test_the_length_of_a_tensor_is_its_first_size() -> None:
    cost = fxcost.analyze(ByLength(), ("N,8", ("M,1", "M,1")))
    assert {"N", "M"} <= set(cost.symbols)
    assert not cost.fixed_dims
    assert cost.output_bytes(N=9, M=3) == 4 * 9 * 8


def test_what_is_patched_for_a_trace_is_as_it_was_afterwards() -> None:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    before = ShapeEnv.evaluate_expr
    with suppress(RuntimeError), decisions() as found, spelled(ByLength(), LENGTHS):
        assert globals()["len"] is not builtins.len
        assert len(torch.zeros(3, 4)) == 3
        assert len([1, 2]) == 2
        raise RuntimeError("inside")
    assert found == []
    assert ShapeEnv.evaluate_expr is before
    assert "len" not in globals()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs torchvision")
def test_detection_costs_what_its_proposals_cost() -> None:
    """Faster R-CNN runs its head on as many regions as suppression leaves."""
    cost = fxcost.analyze("torchvision:fasterrcnn_mobilenet_v3_large_fpn", (["3,320,480"],))
    from torchvision.models import detection  # where its own library is missing, after ours stands in

    assert str(cost.standing) == "exact"
    assert any("MACs depend on data_" in note for note in cost.graph.notes)
    [regions] = [s.name for s in cost.graph.symbols if s.name in cost.macs.value.symbols]
    model = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None).eval()
    seen: list[int] = []
    model.roi_heads.box_head.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    torch.manual_seed(0)
    for threshold in (0.0, 0.5, 0.52):
        model.rpn.score_thresh = threshold
        macs = counted(model, [torch.randn(3, 320, 480)])
        assert cost.macs.at({regions: seen[-1]}) == macs
    assert len(set(seen)) > 1


class Heads(nn.Module):
    """Attention as GPT-2 writes it: torch's own code asks whether sizes are one, and shapes never depend on the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(32, 96)), nn.Parameter(torch.zeros(96))

    def forward(self, x: Tensor) -> Tensor:
        made = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view((*x.size()[:-1], 96))
        query, key, value = (part.view(*part.shape[:-1], 4, 8).transpose(1, 2) for part in made.split(32, dim=2))
        mixed = (torch.matmul(query, key.transpose(-1, -2)).softmax(-1) @ value).transpose(1, 2)
        joined: Tensor = mixed.reshape(*mixed.shape[:-2], -1).contiguous()
        return joined


def test_where_a_question_comes_from_is_seen_through_the_patch() -> None:
    assert fxcost.analyze(Heads(), "N,S,32", check=False).graph.domain == ()
