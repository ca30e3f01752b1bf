"""Pages in a real browser: every slider and box against Python, no message, no request, no barrier for screen readers.

What is drawn is looked at by people; that it is drawn without an error, at both widths and in both colours, is seen here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.passes._patch_setting import setting_of
from tests.report.test_html import HOSTILE, hostile_cost
from tests.report.test_html_patches import counted
from tests.support.commands import DATA
from tests.support.pages import QUANTITIES, browser, drive
from tests.support.small_graphs import random_graph

pytestmark = pytest.mark.slow
TARGETS = ("t4", "stm32h743")
SERIOUS = {"serious", "critical"}


@pytest.fixture(autouse=True)
def _needs_a_browser() -> None:
    browser()


def quiet(found: Mapping[str, Any], page: Path) -> list[Any]:
    """The results of a visit in which the console stayed empty, and nothing but the page itself was asked for."""
    assert found["messages"] == []
    assert found["requests"] == [page.resolve().as_uri()]
    results: list[Any] = found["results"]
    return results


def shown(totals: Mapping[str, str]) -> dict[str, int | None]:
    return {name: None if text == "unknown here" else int(text.replace(",", "")) for name, text in totals.items()}


def expected(cost: Cost, at: Mapping[str, int]) -> dict[str, int]:
    """What the page lists, once its folds are open; causal products only where they differ."""
    names = [n for n in QUANTITIES if n != "macs_causal" or cost.macs_causal.value is not cost.macs.value]
    return {name: cost.total(name).at(at) for name in names}


def label(row: list[str]) -> str:
    """The name in a row of the tree, without the mark that folds it."""
    return row[0].strip("▾▸ \n").split()[0]


def reads(moves: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every move, and what is to be read after it."""
    for move in moves:
        yield move
        yield {"do": "read"}


@pytest.mark.parametrize("name", ["resnet18", "tiny_llama"])
def test_typed_values_give_pythons_totals_at_ten_points(tmp_path: Path, name: str) -> None:
    cost = fxcost.analyze(DATA / f"{name}.mlir")
    page = tmp_path / "page.html"
    cost.to_html(page, targets=TARGETS)
    rng = random.Random(11)
    ats = [{s: rng.choice([1, 2, 3, 7, 32, 97, 224, 999]) for s in cost.symbols} for _ in range(7)]
    ats += [dict.fromkeys(cost.symbols, size) for size in (99_991, 10**6 + 3, 10**9)]
    steps: list[dict[str, Any]] = [{"do": "open"}]
    for at in ats:
        steps += [{"do": "type", "symbol": s, "text": str(size)} for s, size in at.items()] + [{"do": "read"}]
    results = quiet(drive(page, steps), page)
    seen = [result for step, result in zip(steps, results, strict=True) if step["do"] == "read"]
    for at, read in zip(ats, seen, strict=True):
        assert shown(read["totals"]) == expected(cost, at)
        roofline = [float(value) for kind, value in read["latencies"] if kind == "roofline"]
        assert roofline == [cost.on(target, at=at).roofline for target in TARGETS]
    assert sum(expected(cost, at)["macs"] > 2**53 for at in ats) >= 2


def test_every_slider_moves_and_ties_hold(tmp_path: Path) -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    page = tmp_path / "page.html"
    cost.to_html(page, at={"N": 1, "H": 64, "W": 64}, targets=TARGETS)
    moves: list[dict[str, Any]] = [
        {"do": "slide", "symbol": "N", "key": "ArrowRight", "times": 3},
        {"do": "slide", "symbol": "H", "key": "ArrowLeft", "times": 5},
        {"do": "slide", "symbol": "W", "key": "End"},
        {"do": "tie", "symbol": "W", "to": "H"},
        {"do": "slide", "symbol": "H", "key": "ArrowRight", "times": 2},
        {"do": "type", "symbol": "W", "text": "2*H + 1"},
        {"do": "tie", "symbol": "W", "to": ""},
        {"do": "slide", "symbol": "W", "key": "Home"},
        {"do": "pick", "id": "accounting", "label": "fused"},
        {"do": "pick", "id": "machine", "label": "stm32h743"},
        {"do": "type", "symbol": "H", "text": "0"},
        {"do": "type", "symbol": "H", "text": "224"},
    ]
    sizes = [
        *((4, 64, 64), (4, 59, 64), (4, 59, 512), (4, 59, 59), (4, 61, 61)),
        *((4, 61, 123), (4, 61, 123), (4, 61, 1), (4, 61, 1), (4, 61, 1), None, (4, 224, 1)),
    ]
    found = quiet(drive(page, [{"do": "open"}, *reads(moves)]), page)[2::2]
    fused = fxcost.analyze(DATA / "resnet18.mlir", accounting="fused")
    for number, (size, read) in enumerate(zip(sizes, found, strict=True)):
        if size is None:
            assert set(shown(read["totals"]).values()) == {None}
            assert "H is to be at least 1" in read["problems"]
        else:
            here = fused if number >= 8 else cost
            assert shown(read["totals"]) == expected(here, dict(zip("NHW", size, strict=True))), moves[number]


def test_tree_is_searched_sorted_and_walked_by_keys(tmp_path: Path) -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    page = tmp_path / "page.html"
    cost.to_html(page, at={"N": 1, "H": 224, "W": 224})
    steps: list[dict[str, Any]] = [
        {"do": "rows"},
        {"do": "fill", "selector": "#search", "text": "layer3.0.downsample"},
        {"do": "rows"},
        {"do": "fill", "selector": "#search", "text": ""},
        {"do": "click", "selector": "#tree-tools button:last-of-type"},
        {"do": "rows"},
        {"do": "focus", "selector": "#tree tbody tr"},
        {"do": "press", "key": "ArrowRight"},
        {"do": "rows"},
        {"do": "press", "key": "End"},
        {"do": "press", "key": "ArrowLeft"},
        {"do": "press", "key": "ArrowLeft"},
        {"do": "rows"},
        {"do": "press", "key": "ArrowRight"},
        {"do": "click", "selector": "#tree thead th:nth-of-type(5) button"},
        {"do": "rows"},
    ]
    results = quiet(drive(page, steps), page)
    rows = [result for step, result in zip(steps, results, strict=True) if step["do"] == "rows"]
    first, hits, folded, opened, shut, ranked = rows
    assert first[0][4] == "1.81 G"  # as torchvision publishes for 224 x 224
    assert [label(row) for row in hits] == ["torchvision:resnet18", "layer3", "0", "downsample", "0", "1"]
    assert (len(folded), len(shut)) == (12, 1)
    tops = [label(row) for row in opened[1:]]
    assert tops == [
        "conv1",
        "bn1",
        "relu",
        "maxpool",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
        "avgpool",
        "flatten",
        "fc",
    ]
    largest = cost.by_module(depth=1).rows[1:]
    best = max(largest, key=lambda row: row["macs"].at({"N": 1, "H": 224, "W": 224}))
    assert label(ranked[1]) == best["module"]


@pytest.mark.parametrize("kind", ["resnet18", "hostile", "no sizes"])
def test_no_barrier_at_either_width_and_in_either_colour(tmp_path: Path, kind: str) -> None:
    page = tmp_path / "page.html"
    if kind == "resnet18":
        cost = fxcost.analyze(DATA / "resnet18.mlir", weights="int8", activations="int8")
        at = {"N": 1, "H": 64, "W": 64}
        cost.to_html(page, at=at, targets=TARGETS, schedule=cost.schedule(at), patches=True)
    else:
        (hostile_cost() if kind == "hostile" else fxcost.analyze(random_graph(3))).to_html(page, targets=TARGETS)
    steps: list[dict[str, Any]] = [{"do": "open"}]
    for width in (1280, 400):
        for scheme in ("light", "dark"):
            look = {"do": "look", "width": width, "scheme": scheme}
            steps += [
                look,
                {"do": "wide"},
                {"do": "axe"},
                {"do": "shoot", "path": str(tmp_path / f"{width}{scheme}.png")},
            ]
    results = quiet(drive(page, steps), page)
    for step, result in zip(steps, results, strict=True):
        if step["do"] == "wide":
            assert result <= 0, "the page scrolls sideways"
        elif step["do"] == "axe":
            assert [violation for violation in result if violation["impact"] in SERIOUS] == []


def test_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    hostile_cost().to_html(page)
    [title] = quiet(drive(page, [{"do": "text", "selector": "#model"}]), page)
    assert title.split() == HOSTILE.split()


def test_a_plan_of_patches_is_picked(tmp_path: Path) -> None:
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir", activations="int8")
    page, at = tmp_path / "page.html", {"N": 1, "H": 96, "W": 96}
    cost.to_html(page, at=at, targets=["stm32f412"], patches=True)
    found = cost.patch(at)
    steps = [
        {"do": "text", "selector": "#patches-text p"},
        {"do": "focus", "selector": "#plan"},
        {"do": "press", "key": "Home"},
        {"do": "text", "selector": "#patches-text p"},
        {"do": "press", "key": "ArrowRight"},
        {"do": "text", "selector": "#patches-text p"},
    ]
    last, _, _, first, _, second = quiet(drive(page, steps), page)
    assert f"({found.frontier[-1][0]:,} bytes)" in last
    assert f"({found.frontier[0][0]:,} bytes)" in first
    assert f"({found.frontier[1][0]:,} bytes)" in second


def test_patches_follow_every_slider(tmp_path: Path) -> None:
    """The plan picked is that of Python at each size, and where it cannot be cut the page says so."""
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir", activations="int8")
    page, at = tmp_path / "page.html", {"N": 1, "H": 96, "W": 96}
    found = cost.patch(at, grids=[(3, 3)], cached=False)
    cost.to_html(page, at=at, targets=["stm32f412"], summary=replace(cost.summary(at), patches=found))
    moves: list[tuple[dict[str, Any], tuple[int, int, int]]] = [
        ({"do": "slide", "symbol": "H", "key": "ArrowRight", "times": 5}, (1, 101, 96)),
        ({"do": "slide", "symbol": "N", "key": "ArrowRight", "times": 2}, (3, 101, 96)),
        ({"do": "slide", "symbol": "W", "key": "End"}, (3, 101, 768)),
        ({"do": "type", "symbol": "H", "text": "90001"}, (3, 90_001, 768)),
        ({"do": "type", "symbol": "N", "text": "4000037"}, (4_000_037, 90_001, 768)),  # bytes past 2**53
        ({"do": "type", "symbol": "H", "text": "2*W - 3"}, (4_000_037, 1533, 768)),
    ]
    read = {"do": "text", "selector": "#patches-text"}
    steps = [step for move, _ in moves for step in (move, read)]
    steps += [
        {"do": "type", "symbol": "H", "text": "5"},
        {"do": "type", "symbol": "W", "text": "5"},
        read,
        {"do": "axe"},
    ]
    steps += [{"do": "type", "symbol": "H", "text": "0"}, read]
    results = quiet(drive(page, steps), page)
    for text, (_, size) in zip(results[1::2], moves, strict=False):
        setting = setting_of(cost.graph, cost.facts, dict(zip("NHW", size, strict=True)))
        peak, macs = counted(setting, found.plan.stages) or (0, 0)
        assert f"({peak:,} bytes) for {100 * (macs / setting.total_macs - 1):.2f} %" in text
        assert f"({macs:,} in all)" in text
    *_, small, barriers, _, nowhere = results
    assert "This plan cannot be cut at these sizes" in small
    assert "Not known here: nothing is known at these sizes" in nowhere
    assert [barrier for barrier in barriers if barrier["impact"] in SERIOUS] == []
