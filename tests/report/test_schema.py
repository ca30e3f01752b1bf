"""The published JSON Schema: what commands print is valid, and nothing that they print is missing in it."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fxcost.errors import UnknownName
from fxcost.report.schema import DOCUMENTS, schema
from tests.support.commands import answer, shell

AT = "--at N=1,H=64,W=64"
LINES = {
    "report": [
        f"report DATA/resnet18.mlir {AT} --target t4 --target stm32h743 --activations int8 --weights int8",
        "report DATA/tiny_llama.mlir --target h100-sxm --accounting fused",
        "report DATA/tiny_llama.mlir",
        "report DATA/perceptron_step.mlir --mode training --at N=4 --optimizer adam",
        f"report DATA/resnet18.mlir {AT} --patches --target stm32f412",
    ],
    "query": [
        "query DATA/tiny_llama.mlir macs arithmetic_intensity --at N=1,S=8 --latex",
        "query DATA/resnet18.mlir macs",
    ],
    "solve": [
        "solve DATA/tiny_llama.mlir 'macs <= 1G' --for S --at N=1",
        "solve DATA/tiny_llama.mlir 'macs <= 1' --for S --at N=1",
        "solve DATA/tiny_llama.mlir 'macs <= 1G' --for N,S",
        f"solve DATA/mobilenet_v2.mlir 'peak_memory <= 300KB' --for p {AT}",
        "solve DATA/tiny_llama.mlir 'roofline <= 1ms' --target t4 --for S --at N=1",
    ],
    "sweep": ["sweep DATA/tiny_llama.mlir --over S=8:24:8 --at N=1 --metrics macs,arithmetic_intensity,energy:t4"],
    "compare": ["compare DATA/resnet18.mlir DATA/mobilenet_v2.mlir --at N=1 --tie W=H"],
    "fit": [
        "fit DATA/resnet18.mlir --target t4 --target stm32h743",
        "fit DATA/tiny_llama.mlir --target t4 --at N=1,S=9",
        f"fit DATA/resnet18.mlir --target stm32f412 --target t4 {AT} --patches",
    ],
    "llm": ["llm DATA/tiny_mixtral --target h100-sxm --prompt 16 --generate 4 --weights int4:32"],
    "parallel": [
        "parallel MODELS:mlp -i N,8 --at N=8 --devices 1,2,3 --plan 0=colwise --plan 2=rowwise --target h100-sxm",
        "parallel MODELS:mlp -i N,8 --at N=8 --devices 2 --plan 0=colwise --plan 2=rowwise",
    ],
    "arena": [
        "arena DATA/resnet18.mlir --target stm32h743:tflm",
        f"arena DATA/resnet18.mlir --target stm32h743:tflm {AT}",
    ],
    "patch": [
        f"patch DATA/mobilenet_v2.mlir {AT} --activations int8 --grid 2x2",
        "patch DATA/mobilenet_v2.mlir --up-to features.1 --grid 2x2",
        "patch DATA/resnet18.mlir --up-to layer1 --grid 4x1 --recomputed --for N --at H=64,W=64",
    ],
    "crossover": [
        "crossover DATA/tiny_llama.mlir --target t4 --node lm_head --at N=1",
        "crossover DATA/resnet18.mlir --target t4 --pieces",
    ],
    "recompute": [
        "recompute DATA/perceptron_step.mlir --at N=100 --memory 80KB",
        "recompute DATA/perceptron_step.mlir --memory 80KB --over N",
    ],
    "schedule": ["schedule DATA/tiny_llama.mlir --at N=1,S=4", "schedule DATA/tiny_llama.mlir --at N=1"],
    "check": ["check DATA/tiny_llama.mlir --at N=1,S=4 --max macs=3G"],
    "cache": ["cache"],
}
SLOW = {"llm", "schedule", "crossover", "arena", "patch"}
COMMANDS = {path.stem for path in (Path(__file__).parents[2] / "fxcost" / "cli").glob("[!_]*.py")} - {
    "analysis",
    "application",
    "options",
}


def strict(found: Any) -> Any:
    """The same schema where an object may have no other fields than those described."""
    if isinstance(found, list):
        return [strict(item) for item in found]
    if not isinstance(found, dict):
        return found
    inner = {key: strict(value) for key, value in found.items()}
    return inner | {"additionalProperties": False} if "properties" in found and "type" in found else inner


def problems(document: Any, rules: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(rules)
    return [f"{error.json_path}: {error.message:.200}" for error in validator.iter_errors(document)]


def test_it_is_a_schema() -> None:
    for command in DOCUMENTS:
        jsonschema.Draft202012Validator.check_schema(schema(command))
        assert "$ref" in schema(command) or "anyOf" in schema(command)


def test_every_command_with_json_has_one() -> None:
    printing = {name for name in COMMANDS if re.search(r"^ +--json ", answer(f"{name} --help"), re.MULTILINE)}
    assert printing == LINES.keys() & COMMANDS
    assert LINES.keys() == DOCUMENTS.keys()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        pytest.param(command, line, marks=[pytest.mark.slow] if command in SLOW else [])
        for command, lines in LINES.items()
        for line in lines
        if command in COMMANDS
    ],
)
def test_what_is_printed_is_described(command: str, line: str) -> None:
    ran = shell(f"{line} --json")
    assert ran.code in {0, 4}, ran.err  # no size may be an answer, too
    assert problems(json.loads(ran.out), strict(schema(command))) == []


def test_a_difference_is_described(tmp_path: Path) -> None:
    old = json.loads(answer(f"report DATA/resnet18.mlir {AT} --json"))
    old["totals"]["macs"]["expr"] = "N*H*W"
    old["nodes"][0]["module"] = "stem"
    (tmp_path / "old.json").write_text(json.dumps(old))
    found = json.loads(answer(f"check DATA/resnet18.mlir --against {tmp_path}/old.json --json"))
    assert found["against"]["modules"]
    assert problems(found, strict(schema("check"))) == []


def test_wrong_documents_are_found() -> None:
    good = json.loads(answer(f"report DATA/resnet18.mlir {AT} --target t4 --json"))
    rules = strict(schema("report"))
    changes: list[tuple[list[Any], Any]] = [
        (["schema"], "fxcost/2"),
        (["totals", "macs", "value"], 1.5),
        (["totals", "macs", "expr"], 7),
        (["nodes", 0, "macs"], {"value": 1}),
        (["symbols", "N", "max"], "many"),
        (["standing"], "sure"),
        (["targets", "t4", "latency_s"], {}),
        (["nodes", 0, "colour"], "red"),
        (["at"], [1]),
    ]
    for path, value in changes:
        bad = deepcopy(good)
        place = bad
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert problems(bad, rules), path
    del good["model"]
    assert problems(good, rules) == ["$: 'model' is a required property"]


def test_the_command_prints_it() -> None:
    assert json.loads(answer("schema solve")) == schema("solve")
    assert json.loads(answer("schema")) == schema("report")
    ran = shell("schema solv")
    assert ran.code == 2
    assert "did you mean 'solve'" in ran.err
    with pytest.raises(UnknownName, match="'plan' prints no JSON"):
        schema("plan")
