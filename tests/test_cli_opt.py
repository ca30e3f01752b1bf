"""`fxcost opt`: passes over MLIR, without torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fxcost
from fxcost.errors import SpecError
from fxcost.ir.expr import const
from fxcost.ir.graph import Graph, Node, Value
from fxcost.ir.text import print_graph
from fxcost.ir.text_reader import read_graph
from fxcost.ir.types import DType, TensorType
from fxcost.steps import STEPS, Setting, run_steps
from tests.support.commands import DATA, answer, run
from tests.support.mlir_opt import PRETTY, needs_mlir_opt
from tests.support.mlir_opt import run as mlir_opt
from tests.support.variants import TWO_REGIONS

POINT = "--at N=1,H=224,W=224"


def branches() -> Graph:
    """Two branches of 64 -> 1 KB each; the traced order expands both before it shrinks either."""

    def form(size: int) -> TensorType:
        return TensorType((const(size),), DType.F32)

    def node(name: str, operands: tuple[str, ...], size: int) -> Node:
        slots = tuple(f"tensors.{i}" for i in range(len(operands))) if len(operands) > 1 else ("self",)
        op = "aten.cat" if len(operands) > 1 else "aten.relu"
        return Node(name, op, operands, slots, {}, (Value(name, form(size)),))

    nodes = (
        node("wide_a", ("x",), 256),
        node("wide_b", ("x",), 256),
        node("small_a", ("wide_a",), 4),
        node("small_b", ("wide_b",), 4),
        node("both", ("small_a", "small_b"), 8),
    )
    return Graph("branches", inputs=(Value("x", form(16)),), nodes=nodes, outputs=("both",))


@pytest.fixture
def branching(tmp_path: Path) -> Path:
    path = tmp_path / "branches.mlir"
    path.write_text(print_graph(branches()))
    return path


def facts(text: str, name: str) -> dict[str, str]:
    """What the text says of one fact, by the value in front of it."""
    return dict(re.findall(rf"%(\S+?)(?::\d+)? = .*?\bfact\.{re.escape(name)} = (\[[^\]]*\]|\"[^\"]*\"|[^,}}]*)", text))


def test_schedule_moves_ops_and_liveness_follows(branching: Path) -> None:
    before = answer(f"opt {branching} --passes liveness")
    # bytes: x 64, wide 1,024, small 16, both 32
    assert facts(before, "liveness.bytes") == {
        "wide_a": '"1088"',
        "wide_b": '"2112"',
        "small_a": '"2064"',
        "small_b": '"1056"',
        "both": '"64"',
    }
    after = answer(f"opt {branching} --passes liveness,schedule")
    assert list(facts(after, "liveness.bytes").items()) == [
        ("wide_a", '"1088"'),
        ("small_a", '"1104"'),
        ("wide_b", '"1104"'),
        ("small_b", '"1056"'),
        ("both", '"64"'),
    ]
    assert "fact.schedule.peak = 1104" in after
    assert "fact.schedule.traced_peak = 2112" in after
    assert facts(after, "liveness.frees")["small_a"] == '["wide_a"]'


def test_the_text_that_comes_out_is_the_reordered_graph(branching: Path, tmp_path: Path) -> None:
    ordered = tmp_path / "ordered.mlir"
    assert run("opt", branching, "--passes", "schedule", "-o", ordered).code == 0
    names = [node.name for node in read_graph(ordered).nodes]
    assert names in (
        ["wide_a", "small_a", "wide_b", "small_b", "both"],
        ["wide_b", "small_b", "wide_a", "small_a", "both"],
    )
    assert answer(f"query {ordered} peak_memory") == "1104 bytes\n"
    assert sorted(tmp_path.iterdir()) == [branching, ordered], "nothing else is left behind"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_offsets_do_not_overlap_while_values_are_alive(name: str, tmp_path: Path) -> None:
    planned = tmp_path / "planned.mlir"
    command = ("opt", DATA / f"{name}.mlir", "--passes", "schedule,plan", "--alignment", "64", "-o", planned)
    assert run(*command, "--at", "N=1,H=224,W=224").code == 0
    text = planned.read_text()
    offset = {k: int(v) for k, v in facts(text, "plan.offset").items()}
    graph = read_graph(planned)
    last = {o: i for i, node in enumerate(graph.nodes) for o in node.operands} | dict.fromkeys(graph.outputs, 10**9)
    size = {v.id: 4 * _elements(v) for v in graph.values()}
    height = re.search(r"fact\.plan\.height = (\d+)", text)
    assert height is not None
    blocks = facts(text, "plan.block")
    alive: dict[str, tuple[int, int]] = {}
    for step, node in enumerate(graph.nodes):
        result = node.results[0].id
        here = (offset[result], offset[result] + size[result])
        assert here[0] % 64 == 0
        assert here[1] <= int(height[1])
        block = blocks.get(result)
        if block is not None:  # a view or a result in place lies where its operand does
            assert node.op.split(".")[1].endswith("_") or node.op in {"aten.flatten.using_ints", "aten.dropout"}
            assert offset[result] == offset[node.operands[0]]
        for other, (start, end) in alive.items():
            apart = here[1] <= start or end <= here[0]
            assert apart or block is not None, (result, other)
        alive[result] = here
        alive = {v: span for v, span in alive.items() if last.get(v, -1) > step}


def _elements(value: Value) -> int:
    from math import prod

    from fxcost.ir.evaluate import evaluate

    assert isinstance(value.type, TensorType)
    return prod(evaluate(dim, {"N": 1, "H": 224, "W": 224}) for dim in value.type.shape)


def test_roofline_times_add_up(tmp_path: Path) -> None:
    text = answer(f"opt DATA/resnet18.mlir --passes roofline --target t4 {POINT}")
    rows = [float(v) for v in facts(text, "roofline.seconds").values()]
    whole = re.search(r"fact\.roofline\.roofline_s = (\S+?)[,}]", text)
    assert whole is not None
    assert sum(rows) == pytest.approx(float(whole[1]))


def test_a_variant_runs_at_its_own_sizes(tmp_path: Path) -> None:
    path = tmp_path / "regions.mlir"
    path.write_text(TWO_REGIONS)
    ran = run("opt", path, "--passes", "cost", "--at", "N=1,H=6")
    assert ran.code == 0
    assert "another graph, which alone is written" in ran.err
    assert "linear_1" not in ran.out
    kept = run("opt", path, "--passes", "cost")
    assert kept.err == ""
    assert 'fxcost.ones = ["N"]' in kept.out


@pytest.mark.parametrize("form", ["generic", "pretty"])
def test_every_pass_leaves_a_graph_that_reads(branching: Path, form: str) -> None:
    for step in STEPS:
        text = answer(f"opt {branching} --passes {step.name} --target t4 --form {form}")
        assert f"fact.{step.name}." in text or step.name == "storage"
        assert sorted(n.name for n in read_graph_text(text).nodes) == sorted(n.name for n in branches().nodes)


def read_graph_text(text: str) -> Graph:
    return fxcost.analyze(text).graph


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--passes livenes", "there is no pass 'livenes'; did you mean 'liveness'"),
        ("--passes ,", "--passes names none"),
        ("--passes plan", "the pass 'plan' needs a size for N, H, W: for example --at N=5,H=352,W=416"),
        ("--passes schedule --at N=1", "the pass 'schedule' needs a size for H, W"),
        ("--passes cost --at Q=1", "the model has no symbol 'Q'"),
        ("--passes roofline", "the pass 'roofline' needs a machine"),
        ("--passes roofline --target t44", "t4"),
        ("--passes cost --form prety", "--form 'prety' is not one of generic, pretty"),
        ("--passes cost -o /nowhere/x.mlir", "cannot write /nowhere/x.mlir"),
    ],
)
def test_one_clear_error(arguments: str, message: str) -> None:
    ran = run("opt", DATA / "resnet18.mlir", *arguments.split())
    assert ran.code == 2
    assert ran.out == ""
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_malformed_text_says_where(tmp_path: Path) -> None:
    path = tmp_path / "broken.mlir"
    path.write_text(print_graph(branches()).replace("%wide_b = ", "%wide_b ", 1))
    ran = run("opt", path, "--passes", "cost", "-o", tmp_path / "out.mlir")
    assert ran.code == 2
    assert re.match(rf"fxcost: {path}:\d+:\d+: found '\"aten.relu\"', expected '='; ", ran.err)
    assert not (tmp_path / "out.mlir").exists()
    missing = run("opt", tmp_path / "none.mlir", "--passes", "cost")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_it_never_imports_torch() -> None:
    program = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise AssertionError("torch is imported")
sys.meta_path.insert(0, Refuse())
from fxcost.cli import main
main()
"""
    names = ",".join(step.name for step in STEPS)
    command = [sys.executable, "-c", program, "opt", str(DATA / "tiny_llama.mlir"), "--passes", names]
    done = subprocess.run([*command, "--target", "t4", "--at", "N=1,S=16"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fact.plan.height" in done.stdout


def test_steps_from_python() -> None:
    cost = fxcost.analyze(print_graph(branches()))
    done = run_steps(cost, ["schedule", "peak"], Setting())
    assert done.cost.peak_memory() == 1104
    assert done.found[""]["peak.bytes"] == 1104
    assert done.order is not None
    with pytest.raises(SpecError, match="did you mean 'schedule'"):
        run_steps(cost, ["shedule"], Setting())


@pytest.mark.slow
@needs_mlir_opt
@pytest.mark.parametrize("tool", PRETTY)
def test_mlir_opt_takes_the_scheduled_and_planned_graph(tool: str) -> None:
    for name, at in (("resnet18", "N=1,H=224,W=224"), ("tiny_llama", "N=2,S=16")):
        for form in ("generic", "pretty"):
            passes = ",".join(step.name for step in STEPS)
            text = answer(f"opt DATA/{name}.mlir --passes {passes} --at {at} --target t4 --form {form}")
            mlir_opt(tool, text)
