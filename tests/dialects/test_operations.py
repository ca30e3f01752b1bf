"""Single operations of other dialects, counted by hand; and texts that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fxcost
from fxcost.dialects import custom_form
from fxcost.errors import FileError
from tests.support.commands import run


def function(body: str, inputs: str, outputs: str, more: str = "") -> str:
    """A module of one function in the generic form; `body` defines %result."""
    types = ", ".join(part.partition(": ")[2] for part in inputs.split("; "))
    arguments = inputs.replace("; ", ", ")
    return f""""builtin.module"() ({{
  "func.func"() <{{function_type = ({types}) -> {outputs}, sym_name = "main"}}> ({{
  ^bb0({arguments}):
    {body}
    "func.return"(%result) : ({outputs}) -> ()
  }}) : () -> ()
{more}
}}) : () -> ()
"""


MULTIPLY_ADD = """^bb0(%p: f32, %q: f32, %o: f32):
      %m = "arith.mulf"(%p, %q) : (f32, f32) -> f32
      %s = "arith.addf"(%o, %m) : (f32, f32) -> f32
      "linalg.yield"(%s) : (f32) -> ()"""


@pytest.mark.parametrize(
    ("name", "left", "right", "out", "macs"),
    [
        ("matmul", "4x5", "5x6", "4x6", 4 * 5 * 6),
        ("matmul_transpose_a", "5x4", "5x6", "4x6", 4 * 5 * 6),
        ("matmul_transpose_b", "4x5", "6x5", "4x6", 4 * 5 * 6),
        ("batch_matmul", "3x4x5", "3x5x6", "3x4x6", 3 * 4 * 5 * 6),
        ("batch_reduce_matmul", "3x4x5", "3x5x6", "4x6", 3 * 4 * 5 * 6),
        ("matvec", "4x5", "5", "4", 20),
        ("vecmat", "4", "4x5", "5", 20),
        ("dot", "7", "7", "", 7),
        ("mmt4d", "2x3x4x5", "6x3x7x5", "2x6x4x7", 2 * 3 * 4 * 5 * 6 * 7),
        ("conv_2d", "8x8", "3x3", "6x6", 36 * 9),
        ("conv_1d_nwc_wcf", "2x8x3", "3x3x4", "2x6x4", 2 * 6 * 4 * 9),
        ("conv_2d_nhwc_hwcf", "2x8x8x3", "3x3x3x4", "2x6x6x4", 2 * 36 * 4 * 27),
        ("conv_2d_nchw_fchw", "2x3x8x8", "4x3x3x3", "2x4x6x6", 2 * 36 * 4 * 27),
        ("conv_2d_nhwc_fhwc", "2x8x8x3", "4x3x3x3", "2x6x6x4", 2 * 36 * 4 * 27),
        ("conv_2d_ngchw_gfchw", "2x5x3x8x8", "5x4x3x3x3", "2x5x4x6x6", 2 * 36 * 20 * 27),
        ("conv_3d_ndhwc_dhwcf", "1x5x5x5x2", "3x3x3x2x4", "1x3x3x3x4", 27 * 4 * 54),
        ("depthwise_conv_2d_nhwc_hwc", "2x8x8x5", "3x3x5", "2x6x6x5", 2 * 36 * 5 * 9),
        ("depthwise_conv_2d_nhwc_hwcm", "2x8x8x5", "3x3x5x2", "2x6x6x5x2", 2 * 36 * 10 * 9),
        ("depthwise_conv_2d_nchw_chw", "2x5x8x8", "5x3x3", "2x5x6x6", 2 * 36 * 5 * 9),
    ],
)
def test_named_contractions_without_maps(name: str, left: str, right: str, out: str, macs: int) -> None:
    a, b, c = (f"tensor<{size}{'x' if size else ''}f32>" for size in (left, right, out))
    body = f"""%result = "linalg.{name}"(%a, %b, %c) <{{operandSegmentSizes = array<i32: 2, 1>}}> ({{
    {MULTIPLY_ADD}
    }}) : ({a}, {b}, {c}) -> {c}"""
    cost = fxcost.analyze(function(body, f"%a: {a}; %b: {b}; %c: {c}", c))
    assert cost.macs() == macs
    assert cost.other_ops() == 0
    assert cost.unknown_ops == {}


def test_a_generic_op_counts_its_body_and_what_its_result_needs() -> None:
    body = """%e = "tensor.empty"() : () -> tensor<4x6xf32>
    %result = "linalg.generic"(%a, %e) <{
      indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0, d1)>],
      iterator_types = [#linalg.iterator_type<parallel>, #linalg.iterator_type<parallel>],
      operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%x: f32, %o: f32):
      %unused = "math.exp"(%x) : (f32) -> f32
      %y = "math.tanh"(%x) : (f32) -> f32
      %z = "arith.mulf"(%y, %x) : (f32, f32) -> f32
      %w = "arith.addf"(%z, %x) : (f32, f32) -> f32
      "linalg.yield"(%w) : (f32) -> ()
    }) : (tensor<4x6xf32>, tensor<4x6xf32>) -> tensor<4x6xf32>"""
    cost = fxcost.analyze(function(body, "%a: tensor<4x6xf32>", "tensor<4x6xf32>"))
    assert cost.macs() == 0, "nothing is reduced"
    assert cost.other_ops() == 24 * (15 + 1 + 1)  # a transcendental, a multiplication, an addition
    assert cost.peak_memory() == 2 * 96  # the operand and the result: an empty tensor is none yet


def test_an_accumulator_is_written_over_where_nobody_else_reads_it() -> None:
    matmul = """"linalg.matmul"(%a, %b, %c0) <{operandSegmentSizes = array<i32: 2, 1>}> ({
    BODY
    }) : (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>""".replace("BODY", MULTIPLY_ADD)
    start = '%c0 = "stablehlo.add"(%a, %b) : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>\n    '
    inputs = "%a: tensor<8x8xf32>; %b: tensor<8x8xf32>"
    once = fxcost.analyze(function(f"{start}%result = {matmul}", inputs, "tensor<8x8xf32>"))
    assert once.peak_memory() == 3 * 256  # a, b, and the sum that becomes the product
    again = f"""{start}%d = {matmul}
    %result = "stablehlo.add"(%d, %c0) : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>"""
    twice = fxcost.analyze(function(again, inputs, "tensor<8x8xf32>"))
    assert twice.peak_memory() == 4 * 256  # the product needs memory of its own


def test_index_arithmetic_is_followed() -> None:
    body = """%c1 = "arith.constant"() <{value = 1 : index}> : () -> index
    %c3 = "arith.constant"() <{value = 3 : index}> : () -> index
    %h = "tensor.dim"(%a, %c1) : (tensor<4x?xf32>, index) -> index
    %g = "affine.apply"(%h) <{map = affine_map<(d0) -> ((d0 - 1) floordiv 3 + 1)>}> : (index) -> index
    %t = "arith.muli"(%g, %c3) : (index, index) -> index
    %e = "tensor.empty"(%t) : (index) -> tensor<4x?xf32>
    %zero = "arith.constant"() <{value = 0.0 : f32}> : () -> f32
    %f = "linalg.fill"(%zero, %e) <{operandSegmentSizes = array<i32: 1, 1>}> ({
    ^bb0(%x: f32, %o: f32):
      "linalg.yield"(%x) : (f32) -> ()
    }) : (f32, tensor<4x?xf32>) -> tensor<4x?xf32>
    %p = "stablehlo.abs"(%f) : (tensor<4x?xf32>) -> tensor<4x?xf32>
    %result = "stablehlo.add"(%p, %f) : (tensor<4x?xf32>, tensor<4x?xf32>) -> tensor<4x?xf32>"""
    cost = fxcost.analyze(function(body, "%a: tensor<4x?xf32>", "tensor<4x?xf32>"), "4,H")
    assert str(cost.graph.nodes[-1].results[0].type) == "f32[4, 3*((H + 2)//3)]"
    assert cost.other_ops(H=7) == 2 * 4 * 9


def test_sizes_that_only_the_data_decides_are_open() -> None:
    body = """%i = "arith.constant"() <{value = 0 : index}> : () -> index
    %n = "tensor.extract"(%a, %i) : (tensor<4xi64>, index) -> i64
    %s = "arith.index_cast"(%n) : (i64) -> index
    %e = "tensor.empty"(%s) : (index) -> tensor<?xf32>
    %x = "stablehlo.exponential"(%e) : (tensor<?xf32>) -> tensor<?xf32>
    %result = "stablehlo.abs"(%x) : (tensor<?xf32>) -> tensor<?xf32>"""
    cost = fxcost.analyze(function(body, "%a: tensor<4xi64>", "tensor<?xf32>"))
    assert {name: info.kind for name, info in cost.symbols.items()} == {"data_0": "data"}
    assert str(cost.other_ops.value) == "16*data_0"


@pytest.mark.parametrize(
    ("lhs_dilation", "macs"),
    [(1, 2 * 36 * 4 * 27), (2, 2 * 64 * 3 * 4 * 9)],  # dilated: a transposed convolution, every input meets every tap
)
def test_convolutions_of_stablehlo(lhs_dilation: int, macs: int) -> None:
    size = 6 if lhs_dilation == 1 else 13
    out = f"tensor<2x4x{size}x{size}xf32>"
    body = f"""%result = "stablehlo.convolution"(%a, %b) <{{batch_group_count = 1 : i64,
      dimension_numbers = #stablehlo.conv<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>, feature_group_count = 1 : i64,
      lhs_dilation = array<i64: {lhs_dilation}, {lhs_dilation}>}}> : (tensor<2x3x8x8xf32>, tensor<4x3x3x3xf32>) -> {out}"""
    cost = fxcost.analyze(function(body, "%a: tensor<2x3x8x8xf32>; %b: tensor<4x3x3x3xf32>", out))
    assert cost.macs() == macs


def test_open_sizes_follow_through_stablehlo() -> None:
    image = "tensor<?x8x?x3xf32>"
    body = f"""%c = "stablehlo.convolution"(%a, %k) <{{batch_group_count = 1 : i64,
      dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>, feature_group_count = 1 : i64,
      padding = dense<[[1, 1], [0, 1]]> : tensor<2x2xi64>, window_strides = array<i64: 2, 2>}}> : ({image},
      tensor<3x3x3x4xf32>) -> tensor<?x4x?x4xf32>
    %t = "stablehlo.transpose"(%c) <{{permutation = array<i64: 0, 3, 1, 2>}}> : (tensor<?x4x?x4xf32>) -> tensor<?x4x4x?xf32>
    %j = "stablehlo.concatenate"(%t, %t) <{{dimension = 3 : i64}}> : (tensor<?x4x4x?xf32>, tensor<?x4x4x?xf32>)
      -> tensor<?x4x4x?xf32>
    %z = "stablehlo.constant"() <{{value = dense<0.0> : tensor<f32>}}> : () -> tensor<f32>
    %r = "stablehlo.reduce"(%j, %z) <{{dimensions = array<i64: 1, 2>}}> ({{
    ^bb0(%p: tensor<f32>, %q: tensor<f32>):
      %s = "stablehlo.add"(%p, %q) : (tensor<f32>, tensor<f32>) -> tensor<f32>
      "stablehlo.return"(%s) : (tensor<f32>) -> ()
    }}) : (tensor<?x4x4x?xf32>, tensor<f32>) -> tensor<?x?xf32>
    %result = "stablehlo.dot_general"(%r, %w) <{{dot_dimension_numbers = #stablehlo.dot<
      lhs_contracting_dimensions = [0], rhs_contracting_dimensions = [0]>}}> : (tensor<?x?xf32>, tensor<?x5xf32>)
      -> tensor<?x5xf32>"""
    text = function(body, f"%a: {image}; %k: tensor<3x3x3x4xf32>; %w: tensor<?x5xf32>", "tensor<?x5xf32>")
    cost = fxcost.analyze(text, ("N,8,W,3", "3,3,3,4", "N,5"))
    # (8 + 2 - 3)//2 + 1 = 4 rows, (W + 1 - 3)//2 + 1 = W//2 columns
    assert str(cost.graph.nodes[-1].results[0].type) == "f32[2*(W//2), 5]"
    assert cost.macs(N=3, W=9) == 3 * 4 * 4 * 4 * 27 + 2 * 4 * 5 * 3


def test_products_of_stablehlo_contract_what_they_say() -> None:
    body = """%result = "stablehlo.dot_general"(%a, %b) <{dot_dimension_numbers = #stablehlo.dot<
      lhs_batching_dimensions = [0, 2], rhs_batching_dimensions = [0, 2],
      lhs_contracting_dimensions = [3], rhs_contracting_dimensions = [3]>}> : (tensor<2x5x3x7xf32>,
      tensor<2x6x3x7xf32>) -> tensor<2x3x5x6xf32>"""
    inputs = "%a: tensor<2x5x3x7xf32>; %b: tensor<2x6x3x7xf32>"
    assert fxcost.analyze(function(body, inputs, "tensor<2x3x5x6xf32>")).macs() == 2 * 3 * 5 * 6 * 7


def test_loops_are_unknown_and_make_lower_bounds() -> None:
    body = """%result = "stablehlo.while"(%a) ({
    ^bb0(%x: tensor<4xf32>):
      %c = "stablehlo.constant"() <{value = dense<true> : tensor<i1>}> : () -> tensor<i1>
      "stablehlo.return"(%c) : (tensor<i1>) -> ()
    }, {
    ^bb0(%y: tensor<4xf32>):
      "stablehlo.return"(%y) : (tensor<4xf32>) -> ()
    }) : (tensor<4xf32>) -> tensor<4xf32>"""
    cost = fxcost.analyze(function(body, "%a: tensor<4xf32>", "tensor<4xf32>"))
    assert cost.unknown_ops == {"stablehlo.while": 1}
    assert cost.macs.standing == "lower"


CALLED = """  "func.func"() <{function_type = (tensor<4xf32>) -> tensor<4xf32>, sym_name = "f",
    sym_visibility = "private"}> ({
  ^bb0(%x: tensor<4xf32>):
    %y = "stablehlo.tanh"(%x) : (tensor<4xf32>) -> tensor<4xf32>
    MORE
    "func.return"(%y) : (tensor<4xf32>) -> ()
  }) : () -> ()"""
CALL = '"func.call"(%a) <{callee = @f}> : (tensor<4xf32>) -> tensor<4xf32>'


def test_calls_stand_for_what_they_call() -> None:
    twice = f"%b = {CALL}\n    %result = {CALL.replace('%a', '%b')}"
    cost = fxcost.analyze(function(twice, "%a: tensor<4xf32>", "tensor<4xf32>", CALLED.replace("MORE", "")))
    assert cost.other_ops() == 2 * 4 * 15
    assert [node.name for node in cost.graph.nodes] == ["tanh", "tanh_2"]


# -- what cannot be read -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"builtin.module"() ({\n "func.func"() : (', r"<text>:3:\d+: .*expected MLIR in the generic form"),
        ('"builtin.module"() ({ }) : () -> ()', "found no public function with a body"),
        (
            function("%result = " + CALL, "%a: tensor<4xf32>", "tensor<4xf32>"),
            "a call of @f, which the file does not define",
        ),
        (
            function(
                f"%result = {CALL}",
                "%a: tensor<4xf32>",
                "tensor<4xf32>",
                CALLED.replace("MORE", "%z = " + CALL.replace("%a", "%x")),
            ),
            "nested deeper than 20, or @f calling itself",
        ),
        (
            function('%result = "memref.alloc"() : () -> memref<4xf32>', "%a: tensor<4xf32>", "memref<4xf32>"),
            "works on memref<4xf32>, expected linalg or stablehlo on tensors: stop before bufferization",
        ),
        (
            function(
                '%result = "stablehlo.abs"(%a) : (tensor<4xi4>) -> tensor<4xi4>', "%a: tensor<4xi4>", "tensor<4xi4>"
            ),
            "found the element type i4, expected one of",
        ),
        (
            function(
                '%result = "stablehlo.abs"(%no) : (tensor<4xf32>) -> tensor<4xf32>',
                "%a: tensor<4xf32>",
                "tensor<4xf32>",
            ),
            "%no",
        ),
    ],
)
def test_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        fxcost.analyze(text + "\n")


def test_the_custom_form_without_a_tool_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(custom_form, "_tools", lambda: iter(()))
    path = tmp_path / "custom.mlir"
    path.write_text(
        "module {\n  func.func @main(%a: tensor<4xf32>) -> tensor<4xf32> {\n    return %a : tensor<4xf32>\n  }\n}\n"
    )
    ran = run("report", path)
    assert ran.code == 2
    assert "is MLIR in its custom form, expected the generic form: print it with mlir-opt" in ran.err
    assert ran.err.count("\n") == 1


def test_hostile_texts_end_in_an_error() -> None:
    deep = '"builtin.module"() (' + '{ "a.b"() (' * 5000
    for text in (deep, "#a = " * 1000 + "func.func", '"builtin.module"() ({ }) {a = ' + "[" * 20000 + "\n"):
        with pytest.raises(FileError):
            fxcost.analyze(text + "\n")


def test_without_xdsl_it_says_what_to_install() -> None:
    program = """
import sys
sys.modules["xdsl"] = sys.modules["xdsl.context"] = None
import fxcost
try:
    fxcost.analyze('"builtin.module"() ({ "func.func"() : () -> () }) : () -> ()\\n')
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "reading MLIR of other dialects needs xDSL: pip install 'fxcost[mlir]'" in done.stdout, done.stderr


def test_a_view_of_what_others_read_is_not_written_over() -> None:
    start = """%sum = "stablehlo.add"(%a, %b) : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    %v = "tensor.cast"(%sum) : (tensor<8x8xf32>) -> tensor<8x8xf32>
    """
    matmul = f"""%d = "linalg.matmul"(%a, %b, %v) <{{operandSegmentSizes = array<i32: 2, 1>}}> ({{
    {MULTIPLY_ADD}
    }}) : (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
    """
    last = '%result = "stablehlo.add"(%d, %OTHER) : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>'
    inputs = "%a: tensor<8x8xf32>; %b: tensor<8x8xf32>"
    shared = fxcost.analyze(function(start + matmul + last.replace("OTHER", "sum"), inputs, "tensor<8x8xf32>"))
    assert shared.peak_memory() == 4 * 256  # a, b, the sum, and the product beside it
    alone = fxcost.analyze(function(start + matmul + last.replace("OTHER", "d"), inputs, "tensor<8x8xf32>"))
    assert alone.peak_memory() == 3 * 256
