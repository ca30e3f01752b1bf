"""The JSON schema fxcost/1, field by field; its expressions are Python and say what our own evaluation says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.report.formats import render
from tests.support.commands import DATA, answer
from tests.support.tiny_models import chosen_rows

POINT = {"N": 1, "H": 224, "W": 224}
LINE = "report DATA/resnet18.mlir --at N=1,H=224,W=224 --json"
NAMES = ("resnet18", "mobilenet_v2", "tiny_llama")


def load(text: str) -> dict[str, Any]:
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def python(expr: str, point: dict[str, int]) -> Any:
    """What a reader of the document does with an expression."""
    return eval(expr, {"__builtins__": {}, "max": max, "min": min}, dict(point))


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: fxcost.analyze(DATA / f"{name}.mlir") for name in NAMES}


@pytest.fixture(scope="module")
def documents(costs: dict[str, Cost]) -> dict[str, dict[str, Any]]:
    return {name: load(render("json", cost.summary())) for name, cost in costs.items()}


@pytest.fixture(scope="module")
def resnet() -> dict[str, Any]:
    return load(answer(f"{LINE} --target h100-sxm --target stm32h743"))


def test_head(resnet: dict[str, Any]) -> None:
    assert resnet["schema"] == "fxcost/1"
    assert resnet["versions"].keys() == {"fxcost", "torch"}
    assert resnet["model"] == "torchvision:resnet18"
    assert (resnet["mode"], resnet["accounting"], resnet["inputs"]) == ("inference", "eager", "freed")
    assert resnet["standing"] == "exact"
    assert resnet["symbols"] == {n: {"min": 1, "max": None, "multiple_of": 1} for n in ("N", "H", "W")}
    assert (resnet["fixed_dims"], resnet["domain"], resnet["unknown_ops"]) == ({}, [], {})
    assert resnet["at"] == POINT


def test_options_are_recorded() -> None:
    found = load(answer(f"{LINE} --accounting fused --inputs held --weights int8 --activations int8"))
    assert (found["accounting"], found["inputs"]) == ("fused", "held")
    assert (found["weights"], found["activations"]) == ({"*": "int8"}, "int8")


def test_totals_have_unit_standing_formula_and_value(resnet: dict[str, Any], costs: dict[str, Cost]) -> None:
    assert resnet["totals"].keys() == costs["resnet18"].quantities.keys()
    for name, entry in resnet["totals"].items():
        assert entry.keys() == {"unit", "standing", "expr", "value"}, name
        assert python(entry["expr"], POINT) == entry["value"], name
    # torchvision's own figures: 1.814 GMAC and 11,689,512 parameters.
    assert resnet["totals"]["macs"] == {**resnet["totals"]["macs"], "unit": "MAC", "value": 1_814_073_344}
    assert resnet["totals"]["params"]["value"] == 11_689_512
    assert resnet["totals"]["flops"]["value"] == 2 * 1_814_073_344


def test_nodes(resnet: dict[str, Any]) -> None:
    first = resnet["nodes"][0]
    # 64 * 3 * 7 * 7 products at each of the 112 x 112 places of the output.
    assert first["macs"]["value"] == 64 * 3 * 7 * 7 * 112 * 112 == 118_013_952
    assert (first["op"], first["module"], first["dtype"], first["known"]) == ("aten.conv2d", "conv1", "f32", True)
    sizes = [python(size, POINT) for size in first["shape"]]
    assert sizes == [1, 64, 112, 112]
    for node in resnet["nodes"]:
        for metric in ("params", "macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes"):
            assert python(node[metric]["expr"], POINT) == node[metric]["value"]


def test_nodes_add_up_to_the_totals(resnet: dict[str, Any]) -> None:
    for metric in ("params", "macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes"):
        assert sum(node[metric]["value"] for node in resnet["nodes"]) == resnet["totals"][metric]["value"], metric


def test_the_peak_is_the_sum_of_what_is_alive(resnet: dict[str, Any]) -> None:
    owner = resnet["peak_owner"]
    assert owner["bytes"] == resnet["totals"]["peak_memory"]["value"]
    assert sum(buffer["bytes"] for buffer in owner["alive"]) == owner["bytes"]


def test_targets(resnet: dict[str, Any]) -> None:
    assert resnet["targets"].keys() == {"h100-sxm", "stm32h743"}
    for target in resnet["targets"].values():
        assert target["latency_s"].keys() == {"lecture", "bound", "roofline", "calibrated"}
        assert target["energy_j"] > 0
        assert target["fits"]
        assert all(isinstance(term, str) for term in target["dropped_terms"])
        times = target["latency_s"]
        assert times["bound"] <= times["roofline"], "only the bound is a bound"
        assert sum(row["macs"] for row in target["nodes"]) == resnet["totals"]["macs"]["value"]
        slower = [max(row["t_compute_s"] or 0, row["t_memory_s"] or 0) for row in target["nodes"]]
        assert sum(slower) == pytest.approx(times["roofline"])
    # 2 * 1.814 GMAC in fp32 at 67 TFLOP/s: the lecture's compute time, which is the larger one here.
    assert resnet["targets"]["h100-sxm"]["latency_s"]["lecture"] == pytest.approx(2 * 1_814_073_344 / 67e12, rel=1e-3)


def test_without_a_point_there_are_formulas_and_no_values(documents: dict[str, dict[str, Any]]) -> None:
    for document in documents.values():
        assert document["at"] is None
        for entry in document["totals"].values():
            assert ("value" in entry) == entry["expr"].isdecimal()
        assert "peak_owner" not in document


def test_a_point_with_a_size_missing_gives_no_values() -> None:
    found = load(answer("report DATA/resnet18.mlir --at N=1,H=224 --json"))
    assert found["at"] == {"N": 1, "H": 224}
    assert "value" not in found["totals"]["macs"]
    assert "value" in found["totals"]["params"]


@given(data=st.data())
def test_expressions_are_exact_python(
    data: st.DataObject, costs: dict[str, Cost], documents: dict[str, dict[str, Any]]
) -> None:
    """At any point, a million tokens included, Python's own evaluation gives what the quantity gives."""
    name = data.draw(st.sampled_from(NAMES))
    size = st.integers(1, 70) | st.integers(1, 10**6)
    point = {symbol: data.draw(size, symbol) for symbol in costs[name].symbols}
    for metric, entry in documents[name]["totals"].items():
        assert python(entry["expr"], point) == costs[name].total(metric).at(point), metric


@given(tokens=st.integers(1, 10**5), batch=st.integers(1, 100))
def test_a_language_model_counted_by_hand(tokens: int, batch: int, documents: dict[str, dict[str, Any]]) -> None:
    """Two layers of width 64 with 4 heads of 16, 2 of them for keys and values, 172 hidden units, 1000 words."""
    layer = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 172  # queries, keys and values, output, gated mlp
    attention = 4 * tokens * (16 + 16)  # per token: every head, every key, scores and values
    expected = batch * tokens * (2 * (layer + attention) + 64 * 1000)
    point = {"N": batch, "S": tokens}
    assert python(documents["tiny_llama"]["totals"]["macs"]["expr"], point) == expected


def test_guards_are_python_too(tmp_path: Any) -> None:
    text = (DATA / "tiny_llama.mlir").read_text()
    guard = "(S >= 2) or (min(512, S) == 1)"
    (tmp_path / "guarded.mlir").write_text(
        text.replace("fxcost.symbols", f'fxcost.domain = ["{guard}"], fxcost.symbols', 1)
    )
    (found,) = load(render("json", fxcost.analyze(tmp_path / "guarded.mlir").summary()))["domain"]
    assert [python(found, {"S": size, "N": 1}) for size in (1, 2, 600)] == [True, True, True]
    assert python(found.replace("== 1", "== 3"), {"S": 1, "N": 1}) is False


def test_a_static_graph_has_values_without_being_asked() -> None:
    found = load(answer("report MODELS:Chosen -i N,8 --json"))
    macs = 8 * 8 * chosen_rows(5)
    assert found["standing"] == "numeric"
    assert found["symbols"] == {}
    assert found["totals"]["macs"] == {"unit": "MAC", "standing": "numeric", "expr": str(macs), "value": macs}


def test_unknown_operators_make_lower_bounds() -> None:
    found = load(answer("report MODELS:Odd -i N,8 --json"))
    assert found["unknown_ops"] == {"fxcost_tests.odd": 1}
    assert found["standing"] == found["totals"]["macs"]["standing"] == "lower"
    assert found["totals"]["params"]["standing"] == "exact", "what no operator decides is known"
    assert [node["known"] for node in found["nodes"]] == [True, False]
