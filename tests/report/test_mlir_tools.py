"""A real MLIR judges what we export: it parses it, folds its maps, and runs its cost functions."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

import fxcost
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Graph
from fxcost.ir.text_reader import parse_program
from tests.support.mlir_opt import PRETTY, VERSIONS, called, needs_mlir_opt, needs_runner, run
from tests.support.variants import TWO_REGIONS

pytestmark = [pytest.mark.slow, needs_mlir_opt]
each_version = pytest.mark.parametrize("mlir_opt", VERSIONS)

DATA = Path(__file__).resolve().parent.parent / "data"
ZOO = {
    "torchvision:squeezenet1_1": "N,3,H,W",
    "torchvision:shufflenet_v2_x0_5": "N,3,H,W",
    "torchvision:googlenet": "N,3,H,W",
    "torchvision:vit_b_16": "N,3,224,224",
    "timm:test_convnext": "N,3,H,W",
}
READ = {name: DATA / f"{name}.mlir" for name in ("resnet18", "mobilenet_v2", "tiny_llama")}


@pytest.fixture(scope="module")
def zoo() -> dict[str, fxcost.Cost]:
    found = {name: fxcost.analyze(path) for name, path in READ.items()}
    found |= {name: fxcost.analyze(name, spec, check=False) for name, spec in ZOO.items()}
    return found | {"two regions": fxcost.analyze(TWO_REGIONS)}


@each_version
def test_every_exported_model_parses(zoo: Mapping[str, fxcost.Cost], mlir_opt: str) -> None:
    for name, cost in zoo.items():
        forms = ("generic", "pretty") if mlir_opt in PRETTY else ("generic",)
        for form in forms:
            printed = run(mlir_opt, cost.to_mlir(form=form), "--mlir-print-debuginfo")
            assert printed.count("fact.macs") >= sum(row.metrics["macs"].constant != 0 for row in cost.nodes), name
            # The functions hold nothing of ours, so that any compiler takes them as they are.
            run(mlir_opt, cost.to_cost_mlir(form=form), unregistered=mlir_opt not in PRETTY)


@pytest.mark.parametrize("mlir_opt", PRETTY)
@pytest.mark.parametrize("form", ["generic", "pretty"])
def test_what_mlir_opt_prints_reads_back(zoo: Mapping[str, fxcost.Cost], mlir_opt: str, form: str) -> None:
    for name, cost in zoo.items():
        printed = run(mlir_opt, cost.to_mlir(form=form))  # maps by name, values numbered, attributes sorted
        again = parse_program(printed)
        assert shape_of(again.graph) == shape_of(cost.graph), name
        assert [shape_of(v.graph) for v in again.variants] == [shape_of(v.graph) for v in cost.variants]


def shape_of(graph: Graph) -> list[object]:
    """All of a graph but the names of its values."""
    nodes = [(n.op, n.slots, dict(n.attrs), [v.type for v in n.results], n.effects) for n in graph.nodes]
    return [graph.symbols, graph.domain, [v.type for v in graph.inputs], [s.paths for s in graph.states], nodes]


@pytest.mark.parametrize("mlir_opt", PRETTY)
def test_a_schedule_that_uses_a_value_before_its_definition_is_rejected(mlir_opt: str) -> None:
    lines = fxcost.analyze(READ["resnet18"]).to_mlir(form="pretty").split("\n")
    first = next(i for i, line in enumerate(lines) if "%batch_norm =" in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    command = [mlir_opt, "--allow-unregistered-dialect"]
    done = subprocess.run(command, input="\n".join(lines).encode(), capture_output=True, check=False)
    assert done.returncode != 0
    assert b"does not dominate this use" in done.stderr


# -- numbers -------------------------------------------------------------------------------------------------------
def magnitude(value: Expr, point: Mapping[str, int]) -> int:
    """More than any number in between: MLIR folds modulo 2^64 and does not say so."""
    largest = 0
    for monomial, factor in value.terms.items():
        term = abs(factor)
        for atom, power in monomial:
            size = point[atom.name] if atom.kind == "symbol" else max(magnitude(arg, point) for arg in atom.args)
            term *= max(size, 1) ** power
        largest += term
    return largest


def drawn(cost: fxcost.Cost, count: int, metrics: tuple[str, ...], seed: int) -> list[tuple[str, dict[str, int]]]:
    """Metrics at random points, as large as 63 bits allow."""
    random_sizes = random.Random(seed)
    found: list[tuple[str, dict[str, int]]] = []
    while len(found) < count:
        high = 2 ** random_sizes.randint(1, 20)
        point = {name: random_sizes.randint(1, high) for name in cost.symbols}
        found += [(m, point) for m in metrics if magnitude(cost.total(m).value, point) < 2**62]
    return found[:count]


METRICS = ("macs", "peak_memory", "read_bytes", "other_ops", "peak_memory_with_scratch")


@each_version
@pytest.mark.parametrize("name", READ)
def test_maps_fold_to_our_values_at_a_thousand_points(mlir_opt: str, name: str) -> None:
    cost = fxcost.analyze(READ[name])
    maps = dict(re.findall(r"fact\.(\w+)\.map = (affine_map<[^>]*>[^>]*>)", cost.to_mlir(costs="affine")))
    points = drawn(cost, 1000, METRICS, seed=7)
    lines = []
    for i, (metric, point) in enumerate(points):
        for symbol, size in point.items():
            lines.append(f'%{symbol}{i} = "arith.constant"() {{value = {size} : index}} : () -> index')
        operands = ", ".join(f"%{symbol}{i}" for symbol in point)
        types = ", ".join("index" for _ in point)
        several = maps[metric].partition("->")[2].count(", ") > 0
        op = "affine.max" if several else "affine.apply"
        lines.append(f'%r{i} = "{op}"({operands}) {{map = {maps[metric]}}} : ({types}) -> index')
        lines.append(f'"test.result"(%r{i}) {{number = {i} : i64}} : (index) -> ()')
    body = "\n".join([*lines, '"func.return"() : () -> ()'])
    function = f'"func.func"() ({{\n{body}\n}}) {{function_type = () -> (), sym_name = "f"}} : () -> ()'
    text = f'"builtin.module"() ({{ {function} }}) : () -> ()'
    printed = run(mlir_opt, text, "--canonicalize", "--mlir-print-op-generic")
    constants = dict(re.findall(r'(%\S+) = "arith\.constant"\(\).*?value = (-?\d+) : index', printed))
    results = re.findall(r'"test\.result"\((%\S+)\).*?number = (\d+)', printed)
    folded = {int(number): int(constants[value]) for value, number in results}
    assert folded == {i: cost.total(metric).at(point) for i, (metric, point) in enumerate(points)}


@needs_runner
@pytest.mark.parametrize("form", ["pretty", "generic"])
@pytest.mark.parametrize("name", [*READ, "two regions"])
def test_functions_lower_to_llvm_and_return_our_values(name: str, form: str) -> None:
    cost = fxcost.analyze(READ.get(name, TWO_REGIONS))
    points = drawn(cost, 300, METRICS, seed=8)
    text = cost.to_cost_mlir(form=form)
    functions = {m: f for f, m in re.findall(r'[@"](\w+?__(\w+))[("]', text)}
    lines = ["func.func @main() -> i64 {", "%sum0 = arith.constant 0 : index", "%by = arith.constant 1000003 : index"]
    expected = 0
    for i, (metric, point) in enumerate(points):
        lines += [f"%{symbol}{i} = arith.constant {size} : index" for symbol, size in point.items()]
        operands = ", ".join(f"%{symbol}{i}" for symbol in point)
        types = ", ".join("index" for _ in point)
        lines.append(f"%r{i} = func.call @{functions[metric]}({operands}) : ({types}) -> index")
        lines += [f"%p{i} = arith.muli %sum{i}, %by : index", f"%sum{i + 1} = arith.addi %p{i}, %r{i} : index"]
        value = cost.total(metric).at(point)
        assert isinstance(value, int)
        expected = (expected * 1000003 + value) % 2**64
    lines += [f"%whole = arith.index_cast %sum{len(points)} : index to i64", "func.return %whole : i64", "}"]
    opened = "module {" if form == "pretty" else '"builtin.module"() ({'
    whole = text.replace(opened, opened + "\n" + "\n".join(lines), 1)
    assert called(whole, "main") % 2**64 == expected, "a sum over all values in which every one counts"
