"""Convolutions: MACs, bias, bytes and the printed formula, by hand."""

from __future__ import annotations

from fxcost.ir.expr import symbol
from fxcost.ir.graph import Attribute
from fxcost.ops.registry import OpCost
from tests.support.calls import cost, number

N, H, W = symbol("N"), symbol("H"), symbol("W")
PLAIN: dict[str, Attribute] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def conv2d(source: str, weight: str, result: str, bias: str = "", **attrs: Attribute) -> OpCost:
    operands = {"input": source, "weight": weight} | ({"bias": bias} if bias else {})
    return cost("aten.conv2d", operands, result=result, **(PLAIN | attrs))


def test_first_layer_of_alexnet() -> None:
    # 96 filters of 3x11x11 on 55x55 places: 96 * 3*121 * 3025 = 105,415,200 MACs, the lecture's number.
    found = conv2d("f32[1, 3, 224, 224]", "f32[96, 3, 11, 11]", "f32[1, 96, 55, 55]", stride=(4, 4), padding=(2, 2))
    assert number(found.macs) == 105_415_200
    assert found.formula == "N*Cout*Ho*Wo*(Cin//g)*kh*kw"
    assert number(found.other_ops) == 0
    # Windows start at -2, -2 + 4 ... -2 + 216 and end at 225: the last of 224 rows is 223, so all are covered.
    assert number(found.reads[0]) == 3 * 224 * 224


def test_groups_divide_the_input_channels() -> None:
    # conv2 of the two-tower AlexNet: 256 filters of 48x5x5 on 27x27: 256 * 48*25 * 729 = 223,948,800.
    found = conv2d("f32[1, 96, 27, 27]", "f32[256, 48, 5, 5]", "f32[1, 256, 27, 27]", padding=(2, 2), groups=2)
    assert number(found.macs) == 223_948_800
    assert number(found.bind["Cin"]) == 96
    assert number(found.bind["g"]) == 2


def test_symbolic_sizes_and_bias() -> None:
    found = conv2d("f32[N, 3, H, W]", "f32[8, 3, 3, 3]", "f32[N, 8, H, W]", "f32[8]")
    assert found.macs is N * H * W * 8 * 27
    assert found.other_ops is N * H * W * 8  # one addition per output element
    assert found.reads == {0: 3 * N * H * W}


def test_depthwise() -> None:
    found = conv2d("f32[N, 32, H, W]", "f32[32, 1, 3, 3]", "f32[N, 32, H, W]", groups=32)
    assert found.macs is N * H * W * 32 * 9
    assert found.reads == {0: 32 * N * H * W}


def test_strided_pointwise_kernel_reads_a_quarter() -> None:
    # 1x1, stride 2 on 8x8 looks at the even rows and columns: 4*4 of 64 elements per channel.
    found = conv2d("f32[1, 5, 8, 8]", "f32[7, 5, 1, 1]", "f32[1, 7, 4, 4]", stride=(2, 2), padding=(0, 0))
    assert number(found.reads[0]) == 5 * 16


def test_without_batch_dimension() -> None:
    found = conv2d("f32[3, 8, 8]", "f32[4, 3, 3, 3]", "f32[4, 8, 8]")
    assert number(found.macs) == 4 * 64 * 27
    assert number(found.reads[0]) == 3 * 64


def test_spelled_padding() -> None:
    operands = {"input": "f32[N, 2, H, W]", "weight": "f32[4, 2, 4, 3]"}
    same = cost("aten.conv2d.padding", operands, result="f32[N, 4, H, W]", stride=(1, 1), padding="same",
                dilation=(1, 1), groups=1)  # fmt: skip
    assert same.macs is N * H * W * 4 * 2 * 12
    assert same.reads == {0: 2 * N * H * W}
    # A kernel of 4 needs 3 rows of padding, 1 before and 2 behind: the odd row is padded by a copy first.
    assert same.scratch[0].nbytes is 8 * N * (H + 1) * W
    valid = cost("aten.conv2d.padding", operands, result="f32[N, 4, H, W]", stride=(1, 1), padding="valid",
                 dilation=(1, 1), groups=1)  # fmt: skip
    assert valid.scratch == ()


def test_one_and_three_dimensions() -> None:
    one = cost("aten.conv1d", {"input": "f32[2, 4, 10]", "weight": "f32[6, 4, 3]"}, result="f32[2, 6, 8]",
               stride=(1,), padding=(0,), dilation=(1,), groups=1)  # fmt: skip
    assert number(one.macs) == 2 * 6 * 8 * 4 * 3
    assert one.formula == "N*Cout*Lo*(Cin//g)*k"
    three = cost("aten.conv3d", {"input": "f32[2, 4, 5, 6, 7]", "weight": "f32[6, 4, 3, 1, 1]"},
                 result="f32[2, 6, 3, 6, 7]", stride=(1,), padding=(0,), dilation=(1,), groups=1)  # fmt: skip
    assert number(three.macs) == 2 * 6 * 3 * 6 * 7 * 4 * 3
    assert three.formula == "N*Cout*Do*Ho*Wo*(Cin//g)*kd*kh*kw"


def test_transposed_convolution_counts_from_the_input() -> None:
    # Each of H*W inputs meets all 4*4 taps of 8 output channels, cropped ones too.
    found = cost("aten.conv_transpose2d.input", {"input": "f32[N, 16, H, W]", "weight": "f32[16, 8, 4, 4]"},
                 result="f32[N, 8, 2*H, 2*W]", stride=(2, 2), padding=(1, 1), output_padding=(0, 0), groups=1,
                 dilation=(1, 1))  # fmt: skip
    assert found.macs is N * 16 * H * W * 8 * 16
    assert found.formula == "N*Cin*Hi*Wi*(Cout//g)*kh*kw"
    assert found.reads == {}


def test_dispatched_form_agrees() -> None:
    operands = {"input": "f32[N, 3, H, W]", "weight": "f32[8, 3, 3, 3]"}
    attrs = PLAIN | {"transposed": False, "output_padding": (0, 0)}
    assert cost("aten.convolution", operands, result="f32[N, 8, H, W]", **attrs).macs is N * H * W * 8 * 27


def test_backward_counts_forward_once_per_gradient() -> None:
    operands = {"grad_output": "f32[N, 8, H, W]", "input": "f32[N, 3, H, W]", "weight": "f32[8, 3, 3, 3]"}
    attrs = PLAIN | {"transposed": False, "output_padding": (0, 0), "bias_sizes": (8,)}
    forward = N * H * W * 8 * 27
    both = cost(
        "aten.convolution_backward", operands, result="f32[N, 3, H, W]", output_mask=(True, True, True), **attrs
    )
    assert both.macs is 2 * forward
    assert both.other_ops is N * H * W * 8  # the bias gradient sums the output gradient
    only = cost(
        "aten.convolution_backward", operands, result="f32[8, 3, 3, 3]", output_mask=(False, True, False), **attrs
    )
    assert only.macs is forward
    assert number(only.reads[2]) == 0  # the weight gradient does not need the weight


def test_library_spellings() -> None:
    operands = {"self": "f32[1, 3, 8, 8]", "weight": "f32[4, 3, 3, 3]"}
    for op in ("aten.cudnn_convolution", "aten.mkldnn_convolution"):
        assert number(cost(op, operands, result="f32[1, 4, 8, 8]", **PLAIN).macs) == 4 * 64 * 27
    depthwise = {"self": "f32[1, 4, 8, 8]", "weight": "f32[4, 1, 3, 3]"}
    found = cost("aten._conv_depthwise2d", depthwise, result="f32[1, 4, 8, 8]", stride=(1, 1), padding=(1, 1))
    assert number(found.macs) == 4 * 64 * 9
    assert found.reads == {}
