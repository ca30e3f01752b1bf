"""Pages of captured models: branches on sizes, module names that a browser could misread, and real sizes of pages."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import fxcost
from tests.support.pages import QUANTITIES, data_of, node

HOSTILE = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(2)>"


class Branching(nn.Module):
    """Skips a layer for a batch of one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One or two products."""
        if x.shape[0] != 1:
            x = self.layer(x)
        found: torch.Tensor = self.layer(x)
        return found


def test_nodes_are_those_of_the_graph_that_runs_at_the_size() -> None:
    cost = fxcost.analyze(Branching().eval(), "N,L,8")
    assert cost.variants
    page = cost.to_html(targets=["t4"])
    with node() as running:
        one, two = running.at(page, [{"N": 1, "L": 5}, {"N": 2, "L": 5}])
    for size, found in ((1, one), (2, two)):
        at = {"N": size, "L": 5}
        assert {name: int(value) for name, value in found["totals"].items()} == {
            name: cost.total(name).at(at) for name in QUANTITIES
        }
        assert len(found["names"]) == len(cost.at_point(at).graph.nodes)
        assert int(found["traced"]["peak"]) == cost.peak_memory(**at)
        assert found["machines"][0]["latencies"]["roofline"] == cost.on("t4", at=at).roofline
    assert 2 * int(one["totals"]["macs"]) == 5 * 8 * 8 * 2
    assert len(one["names"]) < len(two["names"])


def test_names_of_modules_stay_text() -> None:
    model = nn.Sequential()
    model.add_module(HOSTILE, nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    page = fxcost.analyze(model.eval(), "N,4", name=HOSTILE).to_html()
    assert HOSTILE not in page.text
    assert any(HOSTILE in text for text in json.loads(data_of(page))["strings"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spec", "kilobytes"),
    [
        ("torchvision:resnet50", "N,3,H,W", 300),
        ("torchvision:efficientnet_v2_l", "N,3,H,W", 1000),
        ("timm:nasnetalarge", "N,3,331,331", 1000),
    ],
)
def test_pages_of_large_models_are_small(name: str, spec: str, kilobytes: int) -> None:
    """All three accountings on two machines, with everything that draws; 175, 1,019 and 1,266 operators."""
    cost = fxcost.analyze(name, spec, check=False)
    at = {symbol: 1 if symbol == "N" else 224 for symbol in cost.symbols}
    page = cost.to_html(at=at, targets=["t4", "stm32h743"])
    assert len(page.text.encode()) < kilobytes * 1000


class AlikeWhenEager(nn.Module):
    """Turns around or copies: the same counts op by op, but a copy is no buffer once a runtime folds it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One of two movements, then a sum."""
        y = x.clone() if x.shape[0] != 1 else x.flip(1)
        return (x + y).relu()


def test_accountings_of_one_capture_are_those_of_a_capture_each() -> None:
    cost = fxcost.analyze(AlikeWhenEager().eval(), "N,L")
    page = cost.to_html()
    with node() as running:
        for number, accounting in enumerate(("eager", "inplace", "fused")):
            apart = fxcost.analyze(AlikeWhenEager().eval(), "N,L", accounting=accounting)
            ats = [{"N": size, "L": 64} for size in (1, 2, 5)]
            for at, found in zip(ats, running.at(page, ats, number), strict=True):
                assert {name: int(value) for name, value in found["totals"].items()} == {
                    name: apart.total(name).at(at) for name in QUANTITIES
                }
