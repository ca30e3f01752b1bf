"""From a graph to an estimate, through every pass in between: widths, accounting, rows by node, fit."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace

import pytest

from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.expr import Expr, as_expr, floordiv, symbol
from fxcost.ir.graph import Graph, Node, State, Value
from fxcost.ir.predicate import Compare
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType, TensorType
from fxcost.passes._rates import EnergyFormula, LatencyFormula
from fxcost.passes.estimate import Estimate, estimate
from fxcost.passes.fits import Check, Fits, checks_on
from fxcost.passes.latency import Latency
from fxcost.passes.workload import Workload
from fxcost.pipeline import Facts, Options
from fxcost.target import Limits, Memory, Target, load_target
from tests.support.workloads import machine, work, workload

N, H = symbol("N"), symbol("H")
T4, MCU = load_target("t4"), load_target("stm32h743")


def tensor(*shape: Expr | int, dtype: DType = DType.F32) -> TensorType:
    return TensorType(tuple(as_expr(d) for d in shape), dtype)


def network(dtype: DType = DType.F32) -> Graph:
    """Convolution 3 -> 8, 3x3, stride 2; relu; mean over the map; linear 8 -> 10, on N images of H x H."""
    half = floordiv(H + 1, 2)
    conv = Node(
        "conv",
        "aten.conv2d",
        ("x", "kernel", "shift"),
        ("input", "weight", "bias"),
        {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1},
        (Value("c", tensor(N, 8, half, half, dtype=dtype)),),
        module="stem",
    )
    relu = Node("relu", "aten.relu", ("c",), ("self",), {}, (Value("r", tensor(N, 8, half, half, dtype=dtype)),))
    mean = Node(
        "mean",
        "aten.mean.dim",
        ("r",),
        ("self",),
        {"dim": (2, 3), "keepdim": False},
        (Value("m", tensor(N, 8, dtype=dtype)),),
    )
    linear = Node(
        "fc",
        "aten.linear",
        ("m", "matrix", "offset"),
        ("input", "weight", "bias"),
        {},
        (Value("y", tensor(N, 10, dtype=dtype)),),
        module="head",
    )
    shapes = {"kernel": (8, 3, 3, 3), "shift": (8,), "matrix": (10, 8), "offset": (10,)}
    return Graph(
        "network",
        symbols=(SymbolInfo("N"), SymbolInfo("H")),
        states=tuple(
            State(Value(name, tensor(*shape, dtype=dtype)), "parameter", (name,), trainable=True)
            for name, shape in shapes.items()
        ),
        inputs=(Value("x", tensor(N, 3, H, H, dtype=dtype)),),
        nodes=(conv, relu, mean, linear),
        outputs=("y",),
    )


def on(
    target: Target,
    dtype: str | None = None,
    env: Mapping[str, int] | None = None,
    graph: Graph | None = None,
    options: Options | None = None,
) -> Estimate:
    graph = graph or network()
    return estimate(graph, Facts(graph, options or Options()), target, dtype, env)


AT = {"N": 1, "H": 32}
# At N = 1, H = 32: MACs 27 * 8 * 16 * 16 = 55,296 and 80; parameters 216 + 8 + 80 + 10 = 314
# elements: input 3072, conv and relu 2048 each, mean 8, output 10
MACS, PARAMS = 55_296 + 80, 314


def test_lecture_and_bound_of_a_small_network() -> None:
    found = on(machine(fp32=1e6, bandwidth=1e6), env=AT)
    compute = 2 * MACS / 1e6
    # fp32, eager: conv 3072 -> 2048, relu 2048 -> 2048, mean 2048 -> 8, linear 8 -> 10
    moved = 4 * (3072 + 2048 + 2048 + 2048 + 2048 + 8 + 8 + 10)
    assert found.lecture == pytest.approx(max(compute, (4 * PARAMS + moved) / 1e6))
    assert found.bound == pytest.approx(max(compute, 4 * (PARAMS + 3072 + 10) / 1e6))


def test_fusion_takes_the_relu_out_of_the_traffic() -> None:
    slow = machine(fp32=1e12, bandwidth=1e6)  # memory binds everywhere
    eager = on(slow, env=AT).roofline
    fused = on(slow, env=AT, options=Options(accounting="fused"))
    assert isinstance(eager, float)
    assert isinstance(fused.roofline, float)
    assert eager - fused.roofline == pytest.approx(4 * (2048 + 2048) / 1e6)
    assert [row.nodes for row in fused.by_node()] == [("conv", "relu"), ("mean",), ("fc",)]


def test_rows_by_node_add_up_to_the_roofline() -> None:
    found = on(T4, env=AT)
    rows = found.by_node()
    assert [(row.name, row.op, row.module) for row in rows] == [
        ("conv", "aten.conv2d", "stem"),
        ("relu", "aten.relu", ""),
        ("mean", "aten.mean.dim", ""),
        ("fc", "aten.linear", "head"),
    ]
    assert [row.macs for row in rows] == [55_296, 0, 0, 80]
    assert rows[0].bytes == 4 * (3072 + 2048 + 216 + 8)
    longest = [max(row.t_compute_s, row.t_memory_s) for row in rows]  # type: ignore[type-var]
    assert found.roofline == pytest.approx(sum(longest))  # type: ignore[arg-type]
    # conv: 2 * 55,296 / 8.1e12 = 13.7 ns (and the bias' additions), 20,480 B (parameters stay in the cache) / 320e9
    # = 64 ns
    assert rows[0].t_memory_s == pytest.approx(20_480 / 320e9)
    assert [row.binds for row in rows] == ["memory"] * 4


def test_without_a_point_everything_is_a_formula() -> None:
    found = on(T4)
    assert isinstance(found.lecture, LatencyFormula)
    assert isinstance(found.energy, EnergyFormula)
    assert found.lecture.symbols == {"N", "H"}
    assert [row.binds for row in found.by_node()] == ["open"] * 4
    assert isinstance(found.by_node()[0].macs, Expr)
    partly = on(T4, env={"N": 1})
    assert isinstance(partly.roofline, LatencyFormula)
    assert partly.roofline.symbols == {"H"}
    whole = on(T4, env=AT)
    assert partly.roofline(H=32) == pytest.approx(whole.roofline)
    assert found.energy(**AT) == pytest.approx(whole.energy)


def test_order_of_the_four_at_many_points() -> None:
    found = on(T4)
    assert isinstance(found.bound, LatencyFormula)
    assert isinstance(found.lecture, LatencyFormula)
    assert isinstance(found.roofline, LatencyFormula)
    for n in (1, 8, 512):
        for h in (1, 31, 224, 1000):
            env = {"N": n, "H": h}
            assert found.bound.at(env) <= found.lecture.at(env) * (1 + 1e-12)
            assert found.bound.at(env) <= found.roofline.at(env) * (1 + 1e-12)


# -- types -----------------------------------------------------------------------------------------------------------
def test_the_type_asked_for_sets_the_widths_too() -> None:
    graph = network()
    facts = Facts(graph)
    plain, half = on(T4, env=AT), on(T4, "fp16", AT)
    assert (plain.by_node()[0].dtype, half.by_node()[0].dtype) == ("fp32", "fp16")
    assert half.by_node()[0].bytes == 2 * (3072 + 2048 + 216 + 8)
    assert half.bound < plain.bound  # type: ignore[operator]
    assert facts[Workload].model_bytes.constant == 4 * PARAMS
    assert estimate(graph, facts, T4, "float16", AT).dtype == "fp16"


def test_tf32_keeps_the_bytes_of_fp32() -> None:
    h100 = load_target("h100-sxm")
    plain, tensor_cores = on(h100, env=AT), on(h100, "tf32", AT)
    assert [row.bytes for row in plain.by_node()] == [row.bytes for row in tensor_cores.by_node()]
    assert tensor_cores.by_node()[0].dtype == "tf32"
    assert "energy of tf32 products: h100-sxm states no tf32 MAC" in tensor_cores.dropped_terms


def test_int8_needs_both_weights_and_activations() -> None:
    every = (("*", "int8"),)
    for options, expected in (
        (Options(weights=every, activations="int8"), "int8"),
        (Options(weights=every), "fp32"),
        (Options(activations="int8"), "fp32"),
        (Options(activations="bf16", weights=every), "bf16"),
        (Options(weights=(("kernel", "int8"),), activations="int8"), "int8"),
    ):
        row = on(MCU, env=AT, options=options).by_node()[0]
        assert row.dtype == expected
    row = on(MCU, env=AT, options=Options(weights=(("kernel", "int8"),), activations="int8")).by_node()[-1]
    assert row.dtype == "fp32"  # the matrix of the last layer is still fp32


def test_a_model_in_a_type_that_the_target_lacks() -> None:
    found = on(T4, env=AT, graph=network(DType.BF16))
    assert "compute time of bf16 products: t4 states no bf16 peak" in found.dropped_terms
    assert found.by_node()[0].binds == "unknown"
    assert found.lecture is not None


def test_types_that_do_not_exist_are_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'bf16'"):
        on(T4, "bf61")


def test_points_are_checked() -> None:
    with pytest.raises(SpecError, match="no symbol 'M'"):
        on(T4, env={"M": 1})
    with pytest.raises(SpecError, match="outside its range"):
        on(T4, env={"N": 0, "H": 3})


def test_a_fact_of_latency_needs_a_target() -> None:
    with pytest.raises(SpecError, match="need a target"):
        Facts(network())[Latency]


def test_facts_of_several_targets_coexist() -> None:
    graph = network()
    facts = Facts(graph)
    both = facts.under(target=T4)[Latency], facts.under(target=MCU)[Latency]
    assert both[0] is facts.under(target=T4)[Latency]
    assert both[0] != both[1]


def test_estimates_travel_between_processes() -> None:
    found = on(T4)
    again = pickle.loads(pickle.dumps(found))
    assert again.roofline(**AT) == found.roofline(**AT)  # type: ignore[misc, operator]
    assert again.by_node() == found.by_node()


def test_points_outside_the_domain_are_refused() -> None:
    graph = replace(network(), domain=(Compare("!=", H, as_expr(7)),))
    assert on(T4, env={"N": 1, "H": 8}, graph=graph).bound
    with pytest.raises(OutsideDomain, match="estimate of network at N=1, H=7: the formulas hold where H != 7"):
        on(T4, env={"N": 1, "H": 7}, graph=graph)


def test_json_of_an_estimate() -> None:
    found = json.loads(json.dumps(on(MCU, "int8", AT).to_dict()))
    assert found["latency_s"]["lecture"] == pytest.approx(2 * MACS / 1.92e9)
    assert found["calibration"] == {
        "origin": "fitted: latency of 8 MCUNet models under TinyEngine, int8; error with the model left out",
        "n": 8,
        "error": 0.0568,
        "noise": None,
        "machine": "STM32H743, Cortex-M7 at 480 MHz",
        "is_own": False,
    }
    assert found["energy_parts_j"]["weights"] is None
    assert found["fits"]["verdict"] == "yes"
    assert found["fits"]["checks"][0] | {"level": "flash", "need_bytes": 512} == found["fits"]["checks"][0]
    assert found["nodes"][0] | {"name": "conv", "macs": 55_296, "t_memory_s": None} == found["nodes"][0]
    open_ = json.loads(json.dumps(on(T4).to_dict()))
    assert "max(" in open_["latency_s"]["roofline"]
    assert "max(" in open_["latency_s"]["calibrated"]


# -- the microcontroller ---------------------------------------------------------------------------------------------
def test_the_microcontroller_in_int8() -> None:
    found = on(MCU, "int8", AT)
    # 2 * 55,376 operations / 1.92e9; no bandwidth is stated
    assert found.lecture == pytest.approx(2 * MACS / 1.92e9)
    assert found.bound == found.lecture
    assert found.calibrated == pytest.approx(2 * MACS / 1.92e9 / 0.2506)
    assert [row.t_memory_s for row in found.by_node()] == [None] * 4
    assert {row.binds for row in found.by_node()} == {"unknown"}
    missing = [term for term in found.dropped_terms if term.startswith("memory time")]
    assert missing == [
        "memory time of activations read: stm32h743 states no bandwidth for sram",
        "memory time of activations written: stm32h743 states no bandwidth for sram",
        "memory time of weights: stm32h743 states no bandwidth for flash",
    ]


def number(amount: Expr | None) -> int | None:
    return None if amount is None else amount.constant


def rows_of(fits: Fits) -> dict[str, tuple[int | None, int | None, str]]:
    return {row.what: (number(row.need_bytes), number(row.margin_bytes), fits.verdict_of(row)) for row in fits.rows}


def test_fit_on_the_microcontroller() -> None:
    found = on(MCU, "int8", AT)
    # int8: 296 bytes of matrices, 18 x 4 of biases, 18 channels x 8 of multipliers and shifts = 512 bytes
    # peak: relu, 2048 + 2048; conv, 3072 + 2048 = 5120
    assert rows_of(found.fits) == {
        "weights": (512, 2_097_152 - 512, "yes"),
        "activations": (5120, 1_048_576 - 5120, "yes"),
        "largest buffer in the largest bank": (3072, 524_288 - 3072, "yes"),
        "all activations in the largest bank": (5120, 524_288 - 5120, "yes"),
        # beside them a column of 3 x 3 x 3, twice, in 16 bits, and 16 kernels of it in 16 bits: 108 + 432
        "arena of tinyengine in int8": (5660, 524_288 - 5660, "yes"),
    }
    assert found.fits.verdict == "yes"


def test_the_bank_decides_before_the_total_does() -> None:
    """H = 400: the input alone has 480,000 bytes, input and conv 800,000: no one bank takes the arena."""
    found = on(MCU, "int8", {"N": 1, "H": 400}).fits
    checks = rows_of(found)
    assert checks["activations"] == (800_000, 248_576, "yes")
    assert checks["largest buffer in the largest bank"] == (480_000, 44_288, "yes")
    assert checks["all activations in the largest bank"] == (800_000, -275_712, "no")
    assert found.verdict == "yes"
    # H = 420: 529,200 bytes of input exceed the largest bank though 882,000 fit in all
    larger = on(MCU, "int8", {"N": 1, "H": 420}).fits
    assert rows_of(larger)["activations"][2] == "yes"
    assert rows_of(larger)["largest buffer in the largest bank"][2] == "no"
    assert larger.verdict == "no"


def test_fit_where_sizes_are_open() -> None:
    found = on(MCU, "int8").fits
    assert found.verdict == "open"
    assert rows_of(found)["weights"][2] == "yes"  # whatever N and H are
    assert rows_of(found)["activations"][2] == "open"
    assert found.at(AT).verdict == "yes"


def test_fit_in_one_memory_adds_weights_and_activations() -> None:
    (check,) = checks_on(machine(), workload(work(weights=100), arena=50), as_expr(50))
    assert check == Check("weights and activations", "dram", as_expr(150), None)
    assert check.verdict() == "unknown"  # no source states the capacity
    assert check.margin_bytes is None


def test_limits_of_the_application() -> None:
    board = Target(
        "board",
        "somebody",
        "mcu",
        "its own",
        peaks=(),
        memory=(Memory("sram", "activations", 1000), Memory("flash", "weights", persistent=True)),
        limits=Limits(sram_bytes=600, flash_bytes=90),
    )
    rows = list(checks_on(board, workload(work(weights=100), arena=601), as_expr(601)))
    assert [(row.level, row.have_bytes, row.verdict()) for row in rows] == [("flash", 90, "no"), ("sram", 600, "no")]
