"""MLIR with costs: it reads back, xDSL takes its strings, and its maps and functions mean what the formulas mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from xdsl.context import Context
from xdsl.dialects.arith import Arith
from xdsl.dialects.builtin import Builtin
from xdsl.dialects.func import Func
from xdsl.parser import Parser

import fxcost
from fxcost.errors import FileError, SpecError
from fxcost.ir.affine import affine_map
from fxcost.ir.expr import ceildiv, const, floordiv, maximum, minimum, symbol
from fxcost.ir.text_reader import parse_program
from tests.strategies import SYMBOLS, Shadowed, points, shadowed
from tests.support.mlir_maps import value_of_map
from tests.support.variants import TWO_REGIONS

DATA = Path(__file__).resolve().parent.parent / "data"
N, H, W = (symbol(name) for name in SYMBOLS)


@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v2", "tiny_llama"])
def cost(request: pytest.FixtureRequest) -> fxcost.Cost:
    return fxcost.analyze(DATA / f"{request.param}.mlir")


def parse_with_xdsl(text: str) -> object:
    context = Context(allow_unregistered=True)
    for dialect in (Builtin, Func, Arith):
        context.load_dialect(dialect)
    return Parser(context, text).parse_module()


# -- the graph -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["generic", "pretty"])
def test_both_forms_read_back_with_their_costs(cost: fxcost.Cost, form: str) -> None:
    text = cost.to_mlir(form=form)
    assert "fact.macs = " in text
    assert "fact.macs.map = affine_map" in text
    again = parse_program(text)
    assert again.graph == cost.graph
    assert again.variants == ()


@pytest.mark.parametrize("form", ["generic", "pretty"])
def test_variants_read_back(form: str) -> None:
    cost = fxcost.analyze(TWO_REGIONS)
    assert [sorted(v.ones) for v in cost.variants] == [["N"]]
    again = fxcost.analyze(cost.to_mlir(form=form))
    assert again.graph == cost.graph
    assert again.variants == cost.variants
    for at in ({"N": 1, "H": 6}, {"N": 5, "H": 6}):
        assert again.macs(**at) == cost.macs(**at)
    assert again.macs(N=1, H=6) == 6 * 8 * 8  # the linear layer alone
    assert again.macs(N=5, H=6) == 2 * 5 * 6 * 8 * 8  # twice


def test_locations_name_module_and_line(cost: fxcost.Cost) -> None:
    node = next(node for node in cost.graph.nodes if node.module and node.source)
    file, _, line = node.source.rpartition(":")
    for form in ("generic", "pretty"):
        assert f'loc("{node.module}"("{file}":{line}:0))' in cost.to_mlir(form=form)


def test_xdsl_reads_the_strings(cost: fxcost.Cost) -> None:
    for form in ("generic", "pretty"):
        parse_with_xdsl(cost.to_mlir(form=form, costs="string"))
        parse_with_xdsl(cost.to_cost_mlir(form=form))


def test_every_node_says_what_it_costs(cost: fxcost.Cost) -> None:
    stated = re.findall(r'fact\.macs = "([^"]*)"', cost.to_mlir(costs="string"))
    total, rows = stated[-1], [str(row.metrics["macs"]) for row in cost.nodes if row.metrics["macs"].constant != 0]
    assert sorted(stated[:-1]) == sorted(rows)
    assert total == str(cost.macs.value)


def test_what_is_wrong_is_said() -> None:
    cost = fxcost.analyze(DATA / "tiny_llama.mlir")
    with pytest.raises(SpecError, match="form='prety' is not one of generic, pretty; did you mean 'pretty'"):
        cost.to_mlir(form="prety")
    with pytest.raises(SpecError, match="costs='strings' is not one of"):
        cost.to_mlir(costs="strings")
    text = cost.to_mlir(form="pretty", costs="none")
    for wrong, message in (
        (text.replace("func.func @forward", "func.func forward"), "expected a function's name such as @forward"),
        (text.replace("module attributes", "module @name attributes"), "expected '{'"),
        (text.replace("    func.return", "    func.retrun"), "found 'func.retrun', expected an operation"),
        (re.sub(r"(func.return %[^\s]+) : .*", r"\1", text), "expected ':'"),
        (re.sub(r"(func.return %[^\s]+) : .*", r"\1 : index", text), "other types than the operands of the return"),
        (re.sub(r"\) -> \(tensor<\S+ \S+ \S+ \S+ {\n", r") {\n", text, count=1), "other result types than"),
        (text.replace("fxcost.slots = ", "map = affine_map<()[N] -> (N)>, fxcost.slots = ", 1), "an attribute's value"),
    ):
        assert wrong != text, message
        with pytest.raises(FileError, match=message):
            parse_program(wrong)


# -- maps ----------------------------------------------------------------------------------------------------------
@settings(max_examples=150, deadline=None)
@given(shadowed(), points())
def test_maps_mean_what_formulas_mean(one: Shadowed, point: Mapping[str, int]) -> None:
    found = affine_map(one.value, SYMBOLS)
    if found is not None:
        assert value_of_map(str(found), point) == one.shadow(point)


def test_a_maximum_is_a_map_of_several_results() -> None:
    value = 4 * N * maximum(ceildiv(H, 2), W) + 8
    found = affine_map(value, SYMBOLS)
    assert found is not None
    assert str(found) == "affine_map<()[N, H, W] -> (4 * ((H + 1) floordiv 2) * N + 8, 4 * N * W + 8)>"
    assert value_of_map(str(found), {"N": 3, "H": 9, "W": 4}) == 4 * 3 * 5 + 8


@pytest.mark.parametrize(
    "value",
    [
        minimum(H, W),
        floordiv(maximum(H, W), N + 1),
        N - maximum(H, W),
        const(2**63) * N,
        maximum(N, H) * maximum(N, W) ** 2,
    ],
)
def test_what_has_no_map(value: object) -> None:
    assert affine_map(value, SYMBOLS) is None  # type: ignore[arg-type]


def test_names_that_mlir_cannot_take_are_numbered() -> None:
    assert str(affine_map(symbol("größe") * symbol("mod"), ("größe", "mod"))) == "affine_map<()[s0, s1] -> (s0 * s1)>"


# -- functions -----------------------------------------------------------------------------------------------------
def test_one_function_a_quantity(cost: fxcost.Cost) -> None:
    text = cost.to_cost_mlir()
    names = re.findall(r"func\.func @(\S+)__(\w+)\(", text)
    assert [name for _, name in names] == list(cost.quantities)
    arguments = ", ".join(f"%{name}: index" for name in cost.symbols)
    assert f"__macs({arguments}) -> index {{" in text


def test_too_large_numbers_are_left_out_and_said() -> None:
    text = DATA.joinpath("tiny_llama.mlir").read_text().replace("1000", str(10**20))
    written = fxcost.analyze(text).to_cost_mlir()
    assert "// macs is left out: its formula has a number of more than 64 bits" in written
    assert "__macs(" not in written
