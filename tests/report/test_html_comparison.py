"""Comparison pages: the values of every model at any size are Python's, and which is least is where Python proves it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.passes.estimate import LATENCIES
from fxcost.report.html.document import Page
from tests.support.commands import DATA, run
from tests.support.pages import QUANTITIES, Node, browser, data_of, drive, node, source_of

VALUES = """
function answer({ metric, sizes, along }) {
  const chosen = METRICS.find(({ name }) => name === metric);
  const lines = linesOf(chosen);
  if (along) {
    Object.assign(typed, sizes);
    const symbol = data.symbols.find(({ name }) => name === along.name);
    return spansOfLeast(lines, along.name, samples(symbol, along.from, along.to, along.logarithmic), symbol.step);
  }
  const at = pointAt(resolve(sizes).sizes);
  return lines.map((line) => [line.label, line.value(at)]);
}
const typed = {};
"""


def ask(running: Node, page: Page, asks: Sequence[Any]) -> list[Any]:
    # The helper defines its own `answer` for reports: ours comes after it, so it goes in as part of the data's script.
    source = f"const document = {{ getElementById: () => ({{ textContent: {json.dumps(data_of(page))} }}) }};"
    return running.ask(f"(() => {{ {source} {source_of(page)} {VALUES} globalThis.answer = answer; }})()", None, asks)


def costs() -> tuple[Cost, Cost]:
    return fxcost.analyze(DATA / "resnet18.mlir"), fxcost.analyze(DATA / "mobilenet_v2.mlir")


def test_every_metric_of_every_model_and_machine_is_pythons() -> None:
    pair = costs()
    targets = ("t4", "stm32h743")
    page = pair[0].compare_to_html([pair[1]], at={"N": 1}, tie={"W": "H"}, targets=targets)
    ats = [{"N": 1, "H": 7, "W": 9}, {"N": 4, "H": 224, "W": 225}, {"N": 10**6, "H": 10**7, "W": 31}]
    metrics = [*QUANTITIES, *LATENCIES, "energy"]
    asks = [{"metric": m, "sizes": {n: str(v) for n, v in at.items()}} for at in ats for m in metrics]
    with node() as running:
        answers = iter(ask(running, page, asks))
    for at in ats:
        estimates = [(cost, target, cost.on(target, at=at)) for cost in pair for target in targets]
        for metric in metrics:
            found = next(answers)
            if metric in QUANTITIES:
                assert [int(value) for _, value in found] == [cost.total(metric).at(at) for cost in pair]
            else:
                assert [value for _, value in found] == [getattr(estimate, metric) for *_, estimate in estimates]
                assert [name for name, _ in found] == [f"{cost.graph.name} on {on}" for cost, on, _ in estimates]


def test_the_least_changes_where_python_proves_it() -> None:
    """Small images cost the weights, which ResNet-18 has more of; large ones the activations, which it has less of."""
    resnet, mobilenet = costs()
    where: dict[str, Any] = {"wrt": "H", "at": {"N": 1}, "tie": {"W": "H"}}
    proven = resnet.compare(mobilenet, "lecture", target="t4", **where)
    assert proven.crossings
    page = resnet.compare_to_html([mobilenet], metric="lecture", targets=["t4"], **where)
    along = {"name": "H", "from": 1, "to": 400, "logarithmic": False}
    with node() as running:
        [spans] = ask(running, page, [{"metric": "lecture", "sizes": {"N": "1", "H": "1", "W": "H"}, "along": along}])
    assert [span["from"] for span in spans[1:]] == [size for size in proven.crossings if size <= 400]
    for span in spans:
        for size in (span["from"], span["to"]):
            assert proven.cheaper_at(size) == proven.names[int(span["least"])]
    lines = json.loads(data_of(page))["proven"]
    assert lines
    assert all(line.startswith("torchvision:resnet18 beside torchvision:mobilenet_v2 (N=1, W=H): ") for line in lines)


def test_what_is_proven_names_the_lines_of_the_chart() -> None:
    resnet, mobilenet = costs()
    targets = ("t4", "stm32h743")
    where: dict[str, Any] = {"metric": "roofline", "at": {"N": 1}, "tie": {"W": "H"}, "targets": targets}
    page = resnet.compare_to_html([mobilenet], **where)
    with node() as running:
        [values] = ask(running, page, [{"metric": "roofline", "sizes": {"N": "1", "H": "9", "W": "9"}}])
    labels = [label for label, _ in values]
    assert len(set(labels)) == 4
    proven = json.loads(data_of(page))["proven"]
    assert {line.partition(" (N=1")[0] for line in proven} == {f"{labels[0]} beside {label}" for label in labels[1:]}
    assert all("nothing is proven about the true costs" in line for line in proven if "stm32h743" in line)


def test_compare_writes_a_page_of_several_models(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    model, other = DATA / "resnet18.mlir", DATA / "mobilenet_v2.mlir"
    ran = run("compare", model, other, "--and", model, "--at", "N=1", "--tie", "W=H", "--html", out, "--target", "t4")
    assert (ran.code, ran.err) == (0, "")
    data = json.loads(data_of(Page(out.read_text(encoding="utf-8"), "")))
    assert [entry["name"] for entry in data["models"]] == [
        "torchvision:resnet18",
        "torchvision:mobilenet_v2",
        "torchvision:resnet18 (2)",
    ]
    assert (data["wrt"], data["metric"]) == ("H", "macs")
    assert data["models"][0]["machines"][0][0]["dropped"]


def three() -> tuple[Cost, Cost, Cost]:
    """An image model, a language model and a training step: of the sizes N, H, W, S they have some each."""
    names = ("resnet18", "tiny_llama", "mobilenet_v2")
    first, second, third = (fxcost.analyze(DATA / f"{name}.mlir") for name in names)
    return first, second, third


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
@pytest.mark.parametrize("wrt", ["H", "S", "N"])
def test_models_of_different_sizes_on_one_page(order: tuple[int, ...], wrt: str) -> None:
    costs_ = three()
    first, *others = (costs_[i] for i in order)
    at = {"N": 2, "H": 64, "S": 48}
    del at[wrt]
    page = first.compare_to_html(others, wrt=wrt, at=at, tie={"W": "H"}, metric="peak_memory")
    sizes = [{"N": 1, "H": 7, "W": 9, "S": 5}, {"N": 3, "H": 224, "W": 225, "S": 129}]
    asks = [{"metric": "macs", "sizes": {n: str(v) for n, v in at.items()}} for at in sizes]
    with node() as running:
        answers = ask(running, page, asks)
    for point, found in zip(sizes, answers, strict=True):
        expected = [cost.macs(**{n: point[n] for n in cost.symbols}) for cost in (first, *others)]
        assert [int(value) for _, value in found] == expected
    data = json.loads(data_of(page))
    assert ({s["name"] for s in data["symbols"]}, data["wrt"]) == ({"N", "H", "W", "S"}, wrt)
    assert {s["name"]: s["tie"] for s in data["symbols"]}["W"] == "H"
    for cost in others:
        start = f"{first.graph.name} beside {cost.graph.name}"
        lines = [line for line in data["proven"] if line.startswith(start)]
        assert lines
        known = {*first.symbols, *cost.symbols}
        assert (f"{start}: neither has a size {wrt}" in lines) == (wrt not in known)


def test_compare_of_three_models_with_sizes_of_their_own(tmp_path: Path) -> None:
    out, (a, b, c) = tmp_path / "page.html", (DATA / f"{n}.mlir" for n in ("resnet18", "mobilenet_v2", "tiny_llama"))
    for at, said in (("N=1,S=32", "needs less macs"), ("N=1,H=32", "neither has a size S")):
        ran = run("compare", a, b, "--and", c, "--at", at, "--tie", "W=H", "--html", out)
        assert (ran.code, ran.err) == (0, "")
        assert said in ran.out
        assert len(json.loads(data_of(Page(out.read_text(encoding="utf-8"), "")))["models"]) == 3
    ran = run("compare", a, b, "--and", c, "--at", "N=1", "--tie", "W=H", "--html", out)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "give or tie all but one of H, S" in ran.err


def test_a_model_beside_itself() -> None:
    model = DATA / "resnet18.mlir"
    ran = run("compare", model, model, "--at", "N=1", "--tie", "W=H")
    assert (ran.code, ran.err) == (0, "")
    assert "both need the same macs for H >= 1" in ran.out


def test_more_models_need_a_page() -> None:
    model = DATA / "resnet18.mlir"
    ran = run("compare", model, model, "--and", model, "--at", "N=1", "--tie", "W=H")
    assert ran.code == 2
    assert "give --html FILE" in ran.err


@pytest.mark.parametrize(("metric", "complaint"), [("roofline", "say on which"), ("min_peak_memory", "draws no")])
def test_metrics_that_a_page_cannot_draw_are_refused(metric: str, complaint: str) -> None:
    resnet, mobilenet = costs()
    with pytest.raises(SpecError, match=complaint):
        resnet.compare_to_html([mobilenet], metric=metric, at={"N": 1}, tie={"W": "H"})


@pytest.mark.slow
def test_in_a_browser_without_a_message_request_or_barrier(tmp_path: Path) -> None:
    browser()
    resnet, mobilenet = costs()
    page = tmp_path / "page.html"
    resnet.compare_to_html([mobilenet], page, at={"N": 1}, tie={"W": "H"}, targets=["t4", "jetson-nano"])
    steps: list[dict[str, Any]] = [
        {"do": "slide", "symbol": "H", "key": "ArrowRight"},
        {"do": "type", "symbol": "N", "text": "1000000007"},
        {"do": "pick", "id": "metric", "label": "peak activation memory"},
        {"do": "type", "symbol": "H", "text": "90001"},
        {"do": "text", "selector": "#values"},
        {"do": "pick", "id": "metric", "label": "roofline latency"},
        {"do": "click", "selector": "#log-x"},
        {"do": "click", "selector": "#log-y"},
        {"do": "pick", "id": "along", "label": "N"},
        {"do": "fill", "selector": "#to", "text": "64"},
        {"do": "axe"},
        {"do": "look", "width": 400, "scheme": "dark"},
        {"do": "wide"},
        {"do": "axe"},
    ]
    found = drive(page, steps)
    assert found["messages"] == []
    assert found["requests"] == [page.resolve().as_uri()]
    at = {"N": 1_000_000_007, "H": 90_001, "W": 90_001}
    assert all(f"{cost.peak_memory.at(at):,}" in found["results"][4] for cost in (resnet, mobilenet))
    assert found["results"][12] <= 0
    for barriers in (found["results"][10], found["results"][13]):
        assert [barrier for barrier in barriers if barrier["impact"] in {"serious", "critical"}] == []
