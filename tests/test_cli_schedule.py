"""`fxcost schedule`: the order with its proof, from IR text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fxcost.ir.evaluate import evaluate
from fxcost.ir.reader import parse_expr
from fxcost.ir.text_reader import read_graph
from fxcost.passes.memory_plan_check import check_plan
from fxcost.passes.memory_plan_csv import read_buffers
from fxcost.passes.schedule_check import check_schedule
from fxcost.pipeline import Facts
from tests.support.commands import DATA, answer, run, shell

POINT = {"N": 1, "H": 224, "W": 224}


def test_text_says_what_was_proven() -> None:
    """ResNet-18's traced order is optimal: batch norm after the first convolution, two maps of 64 x 112 x 112 floats."""
    ran = shell("schedule DATA/resnet18.mlir --at N=1,H=224,W=224")
    assert ran.code == 0
    assert f"{2 * 64 * 112 * 112 * 4:,}" in ran.out
    assert "optimal" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_json_holds_an_order_that_the_checker_accepts() -> None:
    """The checker replays it and finds the peak that the answer claims."""
    ran = run("schedule", DATA / "mobilenet_v2.mlir", "--at", "N=1,H=224,W=224", "--json")
    found = json.loads(ran.out)
    graph = read_graph(DATA / "mobilenet_v2.mlir")
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    order = tuple(position[name] for name in found["order"])
    folded = tuple(position[name] for name in found["folded"])
    assert check_schedule(graph, Facts(graph), POINT, order, folded) == found["peak"] <= found["traced_peak"]
    assert found["lower_bound"] <= found["peak"]
    assert found["optimal"] is (found["lower_bound"] == found["peak"])
    assert found["certificate"]
    assert found["seconds"] >= 0


def test_the_timeline_is_in_the_json() -> None:
    """Step by step for both orders; the highest is the peak."""
    found = json.loads(answer("schedule DATA/resnet18.mlir --at N=1,H=64,W=64 --json"))
    for name, peak in (("traced", found["traced_peak"]), ("best", found["peak"])):
        line = found["timeline"][name]
        assert max(step["bytes"] for step in line["steps"]) == peak
        assert [step["node"] for step in line["steps"]] == found["order"] or name == "traced"


def test_an_open_size_gives_a_decision_list() -> None:
    """Every H: ResNet-18 has 2 maps of 64*((H + 1)//2)**2 floats at its peak, for H > 6; N scales all and stays open."""
    ran = shell("schedule DATA/resnet18.mlir --tie W=H")
    assert ran.code == 0, ran.err
    assert "H >= 1" in ran.out
    assert "N scales every block" in ran.out
    found = json.loads(answer("schedule DATA/resnet18.mlir --for H --tie W=H --json"))
    assert found["optimal"]
    assert found["open"] == []
    assert [piece["where"] for piece in found["pieces"]] == [[[1, None]]]
    formula = parse_expr(found["min_peak_memory"]["expr"])
    for size in (32, 97, 224, 5000):
        assert evaluate(formula, {"N": 3, "H": size}) == 3 * 2 * 64 * ((size + 1) // 2) ** 2 * 4


def test_a_picture_of_memory_over_execution(tmp_path: Path) -> None:
    """An SVG with both orders and the bound."""
    path = tmp_path / "memory.svg"
    assert shell(f"schedule DATA/resnet18.mlir --at N=1,H=64,W=64 --plot {path}").code == 0
    text = path.read_text()
    assert all(label in text for label in ("traced order", "best order", "no order stays below"))
    assert [p.name for p in tmp_path.iterdir()] == ["memory.svg"]


def test_the_program_in_its_best_order_is_written(tmp_path: Path) -> None:
    """And read again by its own names of sizes; that it holds no weights is said."""
    path = tmp_path / "ordered.pt2"
    ran = shell(f"schedule MODELS:mlp -i N,8 --at N=3 -o {path}")
    assert ran.code == 0
    assert "holds no weights" in ran.err
    assert shell(f"query {path} macs").out == shell("query MODELS:mlp -i N,8 macs").out


def test_addresses_in_the_best_order_are_written(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    text = answer(f"schedule DATA/resnet18.mlir --at N=1,H=64,W=64 --plan {path} --alignment 16")
    assert re.search(r"^arena +\d", text, re.MULTILINE)
    read = read_buffers(path)
    offsets = {row[0]: int(row[-1]) for row in read.rows}
    assert check_plan(read.requests, offsets, alignment=16)[0] >= max(request.size for request in read.requests)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("schedule DATA/resnet18.mlir --at N=1", "give or tie all but one of H, W"),
        ("schedule DATA/resnet18.mlir --for X --tie W=H", "no symbol 'X'"),
        ("schedule DATA/resnet18.mlir --tie W=H -o x.pt2", "for one point"),
        ("schedule DATA/resnet18.mlir --at N=1,H=64,W=64 --plot x.bmp", "a picture ends in"),
        ("schedule DATA/resnet18.mlir --at N=1,H=64,W=64 -o no/where.pt2", "there is no folder"),
        ("schedule DATA/resnet18.mlir --at N=1,H=64,W=64 -o x.pt2", "read from text"),
    ],
)
def test_wrong_questions_are_one_error(line: str, words: str) -> None:
    ran = shell(line)
    assert ran.code == 2
    assert ran.err.startswith("fxcost: ")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
