"""Independent evidence for the rules: torch's own FLOP counter on meta tensors, over random configurations.

`FlopCounterMode` counts 2 FLOP per multiply-accumulate of what the operator runs below autograd, so half of it must be
our `macs`. Its formulas were written by others, from the kernels' shapes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from fxcost.ir.expr import total
from fxcost.ops.registry import Call, all_rules
from tests.support.calls import cost_of, number
from tests.support.torch_calls import allocated_inside, meta, overload, torch_call

small = st.integers(1, 4)
few = settings(max_examples=40)


def counted(op: str, *args: Any, **kwargs: Any) -> tuple[Call, int]:
    """The call, and the multiply-accumulates that torch counts for it."""
    with FlopCounterMode(display=False) as counter:
        outputs = overload(op)(*args, **kwargs)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return torch_call(op, *args, outputs=outputs, **kwargs), flops // 2


def agree(op: str, *args: Any, **kwargs: Any) -> None:
    """Our MACs for the call are what torch counts."""
    call, macs = counted(op, *args, **kwargs)
    assert number(cost_of(call).macs) == macs, call.node


# -- convolution ---------------------------------------------------------------------------------------------------
@st.composite
def convolutions(
    draw: st.DrawFn, *, transposed: bool = False, batched: bool = False, grouped: bool = True
) -> dict[str, Any]:
    """Arguments of a random convolution in one to three dimensions whose result is not empty."""
    rank = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel, stride, padding, dilation = sizes(1, 3), sizes(1, 3), sizes(0, 2), sizes(1, 3)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    extra = sizes(0, 4)
    if transposed:  # (size - 1)*stride - 2*padding + reach must be positive
        inner = [e + 1 + 2 * p for e, p in zip(extra, padding, strict=True)]
    else:
        inner = [max(1, r - 2 * p) + e for e, r, p in zip(extra, reach, padding, strict=True)]
    per_in, per_out, batch = draw(small), draw(small), draw(small)
    groups = draw(small) if grouped else 1
    channels = (groups * per_in, per_out) if transposed else (groups * per_out, per_in)
    unbatched = not batched and draw(st.booleans())
    return {
        "rank": rank,
        "input": meta(*([] if unbatched else [batch]), groups * per_in, *inner),
        "weight": meta(*channels, *kernel),
        "bias": meta(groups * per_out) if draw(st.booleans()) else None,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


@few
@given(convolutions())
def test_convolution(made: dict[str, Any]) -> None:
    rank = made.pop("rank")
    agree(f"aten.conv{rank}d", **made)


@few
@given(convolutions(), st.sampled_from(["same", "valid"]))
def test_convolution_with_spelled_padding(made: dict[str, Any], padding: str) -> None:
    rank = made.pop("rank")
    if padding == "same":
        made["stride"] = [1] * rank
    reach = [d * (k - 1) + 1 for d, k in zip(made["dilation"], made["weight"].shape[2:], strict=True)]
    assume(padding == "same" or all(s >= r for s, r in zip(made["input"].shape[-rank:], reach, strict=True)))
    agree(f"aten.conv{rank}d.padding", **made | {"padding": padding})


@few
@given(convolutions(transposed=True), st.data())
def test_transposed_convolution(made: dict[str, Any], data: st.DataObject) -> None:
    rank = made.pop("rank")
    limits = [max(s, d) - 1 for s, d in zip(made["stride"], made["dilation"], strict=True)]
    made["output_padding"] = [data.draw(st.integers(0, limit)) for limit in limits]
    agree(
        {1: "aten.conv_transpose1d", 2: "aten.conv_transpose2d.input", 3: "aten.conv_transpose3d.input"}[rank], **made
    )


@few
@given(convolutions(batched=True), st.booleans())
def test_convolution_below_autograd(made: dict[str, Any], underscored: bool) -> None:
    rank = made.pop("rank")
    made |= {"transposed": False, "output_padding": [0] * rank}
    flags = {"benchmark": False, "deterministic": False, "cudnn_enabled": False, "allow_tf32": False}
    agree("aten._convolution" if underscored else "aten.convolution", **made, **(flags if underscored else {}))


@few
@given(convolutions(transposed=True, batched=True))
def test_transposed_convolution_below_autograd(made: dict[str, Any]) -> None:
    rank = made.pop("rank")
    agree("aten.convolution", **made, transposed=True, output_padding=[0] * rank)


@few
@given(st.data(), st.booleans(), st.sampled_from([(True, False), (False, True), (True, True)]))
def test_convolution_backward(data: st.DataObject, transposed: bool, wanted: tuple[bool, bool]) -> None:
    # Torch's counter leaves the groups out of the weight gradient, so groups are tried for the input gradient alone.
    made = data.draw(convolutions(transposed=transposed, batched=True, grouped=not wanted[1]))
    rank, bias = made.pop("rank"), made.pop("bias")
    made |= {"transposed": transposed, "output_padding": [0] * rank}
    forward = overload("aten.convolution")(**made, bias=None)
    sizes = None if bias is None else [bias.shape[0]]
    agree("aten.convolution_backward", forward, **made, bias_sizes=sizes, output_mask=[*wanted, False])


# -- products ------------------------------------------------------------------------------------------------------
@few
@given(small, small, small, small, st.booleans())
def test_plain_products(b: int, m: int, n: int, k: int, scaled: bool) -> None:
    factors = {"beta": 2, "alpha": 3} if scaled else {}
    agree("aten.mm", meta(m, k), meta(k, n))
    agree("aten.bmm", meta(b, m, k), meta(b, k, n))
    agree("aten.addmm", meta(n), meta(m, k), meta(k, n), **factors)
    agree("aten.baddbmm", meta(b, m, n), meta(b, m, k), meta(b, k, n), **factors)
    agree("aten.linear", meta(b, m, k), meta(n, k), meta(n))
    agree("aten.linear", meta(k), meta(n, k))
    agree("aten._scaled_mm", *scaled_operands(16 * m, 16 * n, 16 * k))


def scaled_operands(m: int, n: int, k: int) -> tuple[torch.Tensor, ...]:
    """Arguments of an 8-bit float product with one scale per tensor; the second factor is stored by columns."""
    eight = torch.float8_e4m3fn
    return meta(m, k, dtype=eight), meta(n, k, dtype=eight).t(), meta(1), meta(1)


# Products that torch's counter has no formula for; counted by hand.
@few
@given(small, small, small, small)
def test_products_that_torch_leaves_out(b: int, m: int, n: int, k: int) -> None:
    made = [
        (torch_call("aten.dot", meta(k), meta(k)), k),
        (torch_call("aten.vdot", meta(k), meta(k)), k),
        (torch_call("aten.addbmm", meta(m, n), meta(b, m, k), meta(b, k, n)), b * m * n * k),
        (torch_call("aten.mv", meta(m, k), meta(k)), m * k),
        (torch_call("aten.addmv", meta(m), meta(m, k), meta(k)), m * k),
        (torch_call("aten.matmul", meta(k), meta(k)), k),
        (torch_call("aten._int_mm", *(meta(32, 32, dtype=torch.int8),) * 2), 32 * 32 * 32),
        (torch_call("aten.linalg_vecdot", meta(b, k), meta(b, k)), b * k),
        # x1 @ W: every row, output and pair of inputs; then @ x2: every row, output and second input
        (torch_call("aten.bilinear", meta(m, k), meta(m, b), meta(n, k, b)), m * n * (k * b + b)),
        (torch_call("aten.outer", meta(m), meta(n)), 0),
        (torch_call("aten.kron", meta(m, n), meta(k, b)), 0),
    ]
    for call, macs in made:
        assert number(cost_of(call).macs) == macs, call.op


@few
@given(st.data(), small, small, small)
def test_matmul_broadcasts(data: st.DataObject, m: int, n: int, k: int) -> None:
    batch = data.draw(st.lists(small, max_size=2))

    def side(*matrix: int) -> torch.Tensor:
        kept = [size if data.draw(st.booleans()) else 1 for size in batch]
        return meta(*kept[data.draw(st.integers(0, len(kept))) :], *matrix)

    shapes = data.draw(st.sampled_from(["matrix @ matrix", "vector @ matrix", "matrix @ vector"]))
    left = meta(k) if shapes.startswith("vector") else side(m, k)
    right = meta(k) if shapes.endswith("vector") else side(k, n)
    # Torch has no formula for matrix @ vector; for a matrix of one column, or one row, it has.
    row, column = left[None] if left.dim() == 1 else left, right[:, None] if right.dim() == 1 else right
    _, macs = counted("aten.matmul", row, column)
    assert number(cost_of(torch_call("aten.matmul", left, right)).macs) == macs
    assert number(cost_of(torch_call("aten.linalg_matmul", left, right)).macs) == macs


EQUATIONS = """
    ij,jk->ik  bij,bjk->bik  ij,jk  bhqd,bhkd->bhqk  bhqk,bkhd->bqhd  i,i->  ij,ij->  ij,ij->i  ii,ij->j  ijk,kl->ijl
    ...ij,jk->...ik  b...d,de->b...e  ijk,jl->il  i,j->ij  ij,i->ij  ij->j  ik,jk->ji  bl,bld->bd  bchw,oc->bohw
    bij,bjk,bkl->bil  ab,bc,cd,de->ae  abc,bd,ce->ade  ij,jk,kj->i  abcd,cdef->abef
"""


@few
@given(st.sampled_from(EQUATIONS.split()), st.data())
def test_einsum(equation: str, data: st.DataObject) -> None:
    sizes: dict[str, int] = {}  # torch multiplies instead of contracting where an index has size one
    hidden = data.draw(st.lists(st.integers(2, 4), max_size=2))

    def shaped(term: str) -> torch.Tensor:
        before, dots, after = term.partition("...")
        named = [[sizes.setdefault(label, data.draw(st.integers(2, 5))) for label in part] for part in (before, after)]
        return meta(*named[0], *(hidden if dots else []), *named[1])

    operands = [shaped(term) for term in equation.partition("->")[0].split(",")]
    path = None
    if len(operands) > 2 and data.draw(st.booleans()):
        path = []
        for left in range(len(operands), 1, -1):
            path += data.draw(st.lists(st.integers(0, left - 1), min_size=2, max_size=2, unique=True))
    agree("aten.einsum", equation, operands, path=path)


several = st.integers(2, 5)  # torch multiplies where nothing is left to contract


@few
@given(several, several, several, several)
def test_contractions_of_chosen_dimensions(a: int, b: int, c: int, d: int) -> None:
    agree("aten.tensordot", meta(a, b, c), meta(c, b, d), [2, 1], [0, 1])
    agree("aten.tensordot", meta(a, b, c), meta(d, a), [0], [-1])
    agree("aten.inner", meta(a, b, c), meta(d, c))


# -- attention -----------------------------------------------------------------------------------------------------
@few
@given(small, small, small, small, small, several, several, st.booleans())
def test_attention(n: int, h: int, g: int, s: int, t: int, dk: int, dv: int, grouped: bool) -> None:
    heads = h * g if grouped else h
    query, key, value = meta(n, heads, s, dk), meta(n, h, t, dk), meta(n, h, t, dv)
    agree("aten.scaled_dot_product_attention", query, key, value, enable_gqa=grouped)
    agree("aten.scaled_dot_product_attention", query, key, value, meta(s, t), enable_gqa=grouped)
    if not grouped:
        agree("aten._scaled_dot_product_attention_math", query, key, value)
        agree("aten.scaled_dot_product_attention", query[0], key[0], value[0])
        agree("aten.scaled_dot_product_attention", query[0, 0], key[0, 0], value[0, 0])
        five = (meta(2, *tensor.shape) for tensor in (query, key, value))
        agree("aten.scaled_dot_product_attention", *five)


KERNELS: dict[str, tuple[Any, ...]] = {
    "flash_attention": (),
    "efficient_attention": (None, True),
    "cudnn_attention": (None, True),
}


@few
@given(st.sampled_from(sorted(KERNELS)), small, small, several, several, st.sampled_from([8, 16, 64]))
def test_attention_kernels_and_their_backward(kernel: str, n: int, h: int, s: int, t: int, d: int) -> None:
    query, key, value = (meta(n, h, length, d, dtype=torch.float16) for length in (s, t, t))
    name = f"aten._scaled_dot_product_{kernel}"
    agree(name, query, key, value, *KERNELS[kernel])
    found = overload(name)(query, key, value, *KERNELS[kernel])
    if kernel == "flash_attention":
        arguments = [*found[:4], s, t, 0.0, False, found[6], found[7]]
    elif kernel == "efficient_attention":
        arguments = [None, *found[:4], 0.0, [True, True, True, False]]
    else:
        arguments = [*found[:2], found[6], found[7], None, *found[2:4], s, t, 0.0, False]
    agree(f"{name}_backward", query, query, key, value, *arguments)


# The kernel of the CPU has no formula in torch; the math kernel on the same shapes has.
@few
@given(small, small, several, several, several)
def test_attention_kernel_of_the_cpu(n: int, h: int, s: int, t: int, d: int) -> None:
    query, key, value = (meta(n, h, length, d) for length in (s, t, t))
    _, macs = counted("aten._scaled_dot_product_attention_math", query, key, value)
    call = torch_call("aten._scaled_dot_product_flash_attention_for_cpu", query, key, value)
    assert number(cost_of(call).macs) == macs
    output, logsumexp = overload(call.op)(query, key, value)
    backward = torch_call(f"{call.op}_backward", query, query, key, value, output, logsumexp, 0.0, False)
    assert number(cost_of(backward).macs) == n * h * s * t * 5 * d  # five products, each S x T x D


def test_fast_path_of_multi_head_attention() -> None:
    n, s, e, f, heads = 2, 5, 8, 12, 4
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(e, heads, f, batch_first=True, device="meta").eval()
    source = meta(n, s, e)
    with FlopCounterMode(display=False) as counter:  # with gradients the slow path runs, every product in sight
        layer(source)
    attention, one, two = layer.self_attn, layer.linear1, layer.linear2
    projections = (attention.in_proj_weight, attention.in_proj_bias, *attention.out_proj.parameters())
    norms = (*layer.norm1.parameters(), *layer.norm2.parameters())
    feed_forward = (*one.parameters(), *two.parameters())
    flags = (False, False, 1e-5)  # use_gelu, norm_first, eps
    arguments = (source, e, heads, *projections, *flags, *norms, *feed_forward)
    fused = torch_call("aten._transformer_encoder_layer_fwd", *arguments, outputs=source)
    assert number(cost_of(fused).macs) * 2 == counter.get_total_flops()
    alone = torch_call(
        "aten._native_multi_head_attention", source, source, source, e, heads, *projections, outputs=source
    )
    with FlopCounterMode(display=False) as counter:
        attention(source, source, source)
    assert number(cost_of(alone).macs) * 2 == counter.get_total_flops()


# -- recurrent -----------------------------------------------------------------------------------------------------
@few
@given(
    st.sampled_from(["LSTM", "GRU", "RNN"]), small, small, several, several, st.integers(1, 2), st.booleans(),
    st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_recurrent_layers(
    kind: str, n: int, t: int, i: int, h: int, layers: int, bias: bool, first: bool, both: bool, projected: bool
) -> None:
    options: dict[str, Any] = {"num_layers": layers, "bias": bias, "batch_first": first, "bidirectional": both}
    if kind == "LSTM" and projected:
        options["proj_size"] = h - 1
    module = getattr(torch.nn, kind)(i, h, device="meta", **options)
    directions = layers * (2 if both else 1)
    state = meta(directions, n, options.get("proj_size", h))
    initial = [state, meta(directions, n, h)] if kind == "LSTM" else state
    source = meta(n, t, i) if first else meta(t, n, i)
    op = {"LSTM": "aten.lstm.input", "GRU": "aten.gru.input", "RNN": "aten.rnn_tanh.input"}[kind]
    agree(op, source, initial, module._flat_weights, bias, layers, 0.0, False, both, first)


@few
@given(small, several, several)
def test_recurrent_cells(n: int, i: int, h: int) -> None:
    for op, gates in {"aten.gru_cell": 3, "aten.rnn_tanh_cell": 1, "aten.rnn_relu_cell": 1}.items():
        agree(op, meta(n, i), meta(n, h), meta(gates * h, i), meta(gates * h, h), meta(gates * h), meta(gates * h))
    agree("aten.lstm_cell", meta(n, i), [meta(n, h), meta(n, h)], meta(4 * h, i), meta(4 * h, h))


# -- mixtures of experts -------------------------------------------------------------------------------------------
def test_grouped_products() -> None:
    half = torch.bfloat16
    offsets = torch.tensor([16, 24, 32], dtype=torch.int32)
    # 32 rows of 16 in, 8 out, whichever of the three experts they go to
    call = torch_call(
        "aten._grouped_mm",
        meta(32, 16, dtype=half),
        meta(3, 16, 8, dtype=half),
        offsets,
        outputs=meta(32, 8, dtype=half),
    )
    assert number(cost_of(call).macs) == 32 * 16 * 8


# -- names ---------------------------------------------------------------------------------------------------------
def test_every_rule_is_for_an_operator_that_torch_has() -> None:
    names = [op.split(".")[1] for op in all_rules() if op.startswith("aten.")]
    missing = [n for n in names if not (hasattr(torch.ops.aten, n) or hasattr(torch.ops.aten, f"{n}_"))]
    assert missing == []


# -- what lives inside one op --------------------------------------------------------------------------------------
X, T, C = torch.zeros(2, 8, 33, 33), torch.zeros(4, 10, 32), torch.zeros(8)
Q, SHORT, LONG = torch.zeros(2, 4, 10, 16), torch.zeros(2, 4, 6, 4), torch.zeros(2, 4, 60, 4)
LIVING_INSIDE: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("aten.max_pool2d", (X, [3, 3], [2, 2], [1, 1]), {}),
    ("aten.max_pool3d", (X, [3, 3, 3], [2, 2, 2], [1, 1, 1]), {}),
    ("aten.avg_pool2d", (X, [3, 3]), {}),
    ("aten.adaptive_avg_pool2d", (X, [4, 4]), {}),
    ("aten.conv2d", (X, torch.zeros(8, 8, 3, 3), C), {}),
    ("aten.conv2d.padding", (X, torch.zeros(8, 8, 3, 3), C), {"padding": "same"}),
    ("aten.conv2d.padding", (X, torch.zeros(8, 8, 4, 3), C), {"padding": "same"}),
    ("aten.layer_norm", (T, [32], torch.ones(32)), {}),
    ("aten.layer_norm", (T.bfloat16(), [10, 32]), {}),
    ("aten.layer_norm", (T.bfloat16(), [32], torch.ones(32), torch.zeros(32)), {}),
    ("aten.group_norm", (X, 4, C, C), {}),
    ("aten.batch_norm", (X, C, C, C.clone(), C.clone(), False, 0.1, 1e-5, False), {}),
    ("aten.batch_norm", (X, C, C, C.clone(), C.clone(), True, 0.1, 1e-5, False), {}),
    ("aten.instance_norm", (X, None, None, None, None, True, 0.1, 1e-5, False), {}),
    ("aten.rms_norm", (T, [32]), {}),
    ("aten.rms_norm", (T, [32], torch.ones(32)), {}),
    ("aten.rms_norm", (T.bfloat16(), [32]), {}),
    ("aten.rms_norm", (T.bfloat16(), [32], torch.ones(32).bfloat16()), {}),
    ("aten._weight_norm", (torch.zeros(8, 8, 3), torch.zeros(8, 1, 1)), {}),
    ("aten.where.ScalarOther", (T > 0, T, 1.0), {}),
    ("aten.cross_entropy_loss", (torch.zeros(4, 10), torch.zeros(4, dtype=torch.int64)), {}),
    ("aten.softmax.int", (T, -1), {}),
    ("aten.linear", (T, torch.zeros(64, 32), torch.zeros(64)), {}),
    ("aten.scaled_dot_product_attention", (Q, Q, Q), {"is_causal": True}),
    ("aten.scaled_dot_product_attention", (Q.bfloat16(),) * 3, {}),
    ("aten.scaled_dot_product_attention", (Q.double(),) * 3, {}),
    ("aten.scaled_dot_product_attention", (Q, Q, Q, torch.zeros(2, 1, 10, 10) > 0), {}),
    ("aten.scaled_dot_product_attention", (Q, Q[:, :2], Q[:, :2]), {"enable_gqa": True}),
    ("aten.scaled_dot_product_attention", (Q[0], Q[0], Q[0]), {}),
    ("aten.scaled_dot_product_attention", (LONG, LONG, torch.zeros(2, 4, 60, 8)), {}),
    ("aten.scaled_dot_product_attention", (LONG, LONG, torch.zeros(2, 4, 60, 8)), {"is_causal": True}),
    ("aten.scaled_dot_product_attention", (LONG, SHORT, torch.zeros(2, 4, 6, 80)), {}),
    ("aten.scaled_dot_product_attention", (LONG, LONG, torch.zeros(2, 4, 60, 8), torch.zeros(60, 60) > 0), {}),
    ("aten.scaled_dot_product_attention", (LONG, LONG[:, :2], torch.zeros(2, 2, 60, 8)), {"enable_gqa": True}),
]


@pytest.mark.parametrize(("op", "args", "kwargs"), LIVING_INSIDE)
def test_scratch_is_what_a_run_on_the_cpu_allocates(op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    declared = cost_of(torch_call(op, *args, **kwargs)).scratch
    assert {item.runtime for item in declared} <= {"torch-cpu"}
    assert number(total(item.nbytes for item in declared)) == allocated_inside(op, *args, **kwargs)
