"""Arenas of microcontroller runtimes: what their own interpreter records, published integers, sums from the definition."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

import fxcost
from fxcost.capture.loaders import load_model
from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import const
from fxcost.ir.graph import Graph
from fxcost.ir.text_reader import read_graph
from fxcost.ir.types import DType, TensorType
from fxcost.passes.arena import Arena, arena_of
from fxcost.passes.arena_plan import best_head, greedy_head, requests_at
from fxcost.passes.memory_plan_problem import load_bound
from fxcost.passes.micro_operators import MicroGraph, MicroOperator, trained_for_format
from fxcost.passes.micro_runtimes import RUNTIMES, cmsis_scratch, persistent
from fxcost.pipeline import Facts
from tests.support.commands import DATA, answer, shell
from tests.support.small_graphs import random_graph

ROOT = Path(__file__).parents[2]
TINY = ROOT / "examples" / "09_microcontroller.py"
RECORDED = list(csv.DictReader((ROOT / "benchmarks" / "data" / "arenas.csv").read_text().splitlines()))
RECORDER = 488  # bytes of the recording allocator, see benchmarks/arenas.py
IMAGE = {"N": 1, "H": 224, "W": 224}


def arena(graph: Graph, runtime: str, *, same: bool = False, pointer: int = 4) -> tuple[MicroGraph, Arena]:
    micro = Facts(graph)[MicroGraph]
    micro = trained_for_format(micro) if same else micro
    return micro, arena_of(graph, micro, RUNTIMES[runtime], pointer=pointer)


# -- against the interpreter of TensorFlow Lite for microcontrollers, as recorded ---------------------------------
TINY_MODELS = ("anomaly_detection", "keyword_spotting", "visual_wake_words", "image_classification")


def assert_recorded(graph: Graph, row: Mapping[str, str], point: Mapping[str, int]) -> None:
    """Head as the interpreter places it, the lowest head, the tail: all to the byte."""
    micro, found = arena(graph, "tflite-micro", same=row["file"] == "same", pointer=8)
    tail = evaluate(persistent(micro, RUNTIMES["tflite-micro"], 8, RECORDER), point)
    assert (greedy_head(found, point), tail) == (int(row["head"]), int(row["tail"]))
    assert best_head(found, point).height == int(row["best_head"]) == int(row["by_plan"])


@pytest.mark.parametrize("name", TINY_MODELS)
def test_tiny_models_take_what_the_interpreter_records(name: str) -> None:
    """MLPerf Tiny's models, padded either way, as files of ours and as litert-torch converts them."""
    rows = [row for row in RECORDED if row["model"] == name]
    assert {row["file"] for row in rows} == {"explicit", "litert-torch", "same"}
    graph = fxcost.analyze(load_model(f"{TINY}:{name}"), rows[0]["input"], check=False).graph
    for row in rows:
        assert_recorded(graph, row, {})


def test_formulas_give_what_the_interpreter_records() -> None:
    """MobileNetV2 from one capture, at an even and at an odd size: where padding is copied depends on it."""
    graph = read_graph(DATA / "mobilenet_v2.mlir")
    rows = [row for row in RECORDED if row["model"] == "mobilenet_v2"]
    assert {row["input"] for row in rows} == {"1,3,224,224", "1,3,145,145"}
    for row in rows:
        n, _, h, w = map(int, row["input"].split(","))
        assert_recorded(graph, row, {"N": n, "H": h, "W": w})


def test_the_record_is_close_for_every_model() -> None:
    """At most one per cent of the arena that the interpreter records; most to the byte."""
    errors = [abs(int(row["ours_total"]) / int(row["total"]) - 1) for row in RECORDED if row["total"]]
    assert len(errors) == 26
    assert max(errors) <= 0.01
    assert sum(error == 0 for error in errors) >= len(errors) - 3
    assert any(row["file"] == "litert-torch" for row in RECORDED)


# -- published ------------------------------------------------------------------------------------------------------
def test_the_published_peak_of_mobilenet_v2() -> None:
    """1,505,280 bytes under TensorFlow Lite; 1372 KiB with depthwise convolutions in place, as MCUNetV2 counts."""
    graph = read_graph(DATA / "mobilenet_v2.mlir")
    _, found = arena(graph, "tflite-micro", same=True)
    assert evaluate(found.head, IMAGE) == best_head(found, IMAGE).height == 1_505_280
    assert evaluate(arena(graph, "tinyengine")[1].head, IMAGE) == 1372 * 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "published"),
    [
        ("timm:mobilenetv1_100", 224, 1_204_224),
        ("timm:mobilenetv2_100", 224, 1_505_280),
        ("torchvision:mobilenet_v3_large", 224, 1_003_520),
        ("timm:efficientnet_lite0", 224, 1_505_280),
        ("timm:efficientnet_lite4", 300, 4_050_000),
    ],
)
def test_published_peaks(name: str, size: int, published: int) -> None:
    """RAM of TensorFlow Lite models in uint8, as ml_memory_analyser prints it."""
    cost = fxcost.analyze(load_model(name), f"1,3,{size},{size}", check=False)
    _, found = arena(cost.graph, "tflite-micro", same=True)
    assert evaluate(found.head, {}) == best_head(found, {}).height == published


# -- from the definition --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18"])
def test_formulas_are_sums_at_every_size(name: str, runtime: str) -> None:
    """The head is what is alive at one time, even and odd sizes; no planner is below it, and ours is never above theirs."""
    for same in (False, True):
        _, found = arena(read_graph(DATA / f"{name}.mlir"), runtime, same=same)
        for n, h, w in [(1, 96, 96), (1, 97, 96), (2, 95, 130), (1, 33, 64), (3, 224, 223)]:
            point = {"N": n, "H": h, "W": w}
            head = evaluate(found.head, point)
            assert head == load_bound(requests_at(found, point))
            assert head <= best_head(found, point).height <= greedy_head(found, point)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_any_graph_has_an_arena(runtime: str) -> None:
    """Views, in-place writes, several results: the head is what is alive at one time."""
    for seed in range(60):
        _, found = arena(random_graph(seed), runtime)
        assert evaluate(found.head, {}) == load_bound(requests_at(found, {}))


def convolution(
    kind: str, kernel: tuple[int, int], channels: tuple[int, int], pad: int, batch: int = 1
) -> MicroOperator:
    sizes = {"kernel_h": kernel[0], "kernel_w": kernel[1], "pad_h": pad, "pad_w": pad, "stride_h": 1, "stride_w": 1}
    sizes |= {"dilation_h": 1, "dilation_w": 1, "channels_in": channels[0], "channels_out": channels[1], "batch": batch}
    weight = TensorType((const(channels[1]), const(channels[0]), const(kernel[0]), const(kernel[1])), DType.F32)
    window = {name: const(size) for name, size in sizes.items()}
    return MicroOperator(kind, "aten.conv2d", "c", 0, ("x",), ("y",), (weight,), window)


@pytest.mark.parametrize(
    ("operator", "size"),
    [
        (convolution("CONV_2D", (3, 3), (3, 8), 1), 112),  # 27 rounded up to 28, two columns of two bytes
        (convolution("CONV_2D", (1, 1), (64, 8), 0), 0),
        (convolution("CONV_2D", (1, 1), (6, 8), 1), 32),  # padding: 6 rounded up to 8
        (convolution("DEPTHWISE_CONV_2D", (3, 3), (16, 16), 1), 0),
        (convolution("DEPTHWISE_CONV_2D", (5, 5), (16, 16), 2), 800),  # 25 x 16 x 2
        (convolution("DEPTHWISE_CONV_2D", (3, 3), (16, 16), 2), 288),
        (convolution("DEPTHWISE_CONV_2D", (5, 5), (16, 16), 2, batch=2), 0),
        (convolution("DEPTHWISE_CONV_2D", (5, 5), (1, 16), 2), 0),
    ],
)
def test_scratch_of_cmsis_nn(operator: MicroOperator, size: int) -> None:
    """As the library's functions return it for cores with the DSP extension."""
    micro = MicroGraph((operator,), {}, ("x",), ("y",), {})
    assert sum(evaluate(part, {}) for part in cmsis_scratch(operator, micro)) == size


def test_what_the_format_does_not_have_is_said() -> None:
    graph = read_graph(DATA / "resnet18.mlir")
    strange = read_graph_with(graph, "aten.relu_", "aten.erfinv")
    _, found = arena(strange, "tflite-micro")
    assert set(found.unknown) == {"aten.erfinv"}
    turned = read_graph_with(
        graph, "aten.relu_", "aten.permute"
    )  # in the format, but what its kernel keeps is not known
    assert set(arena(turned, "tflite-micro")[1].unknown) == {"aten.permute"}
    cost = fxcost.analyze(strange)
    assert str(cost.arena("stm32h743:tflm").total.standing) == "lower"
    assert cost.fit("stm32h743:tflm", IMAGE).rows[-1].what == "arena of tflite-micro in int8, at least"


def read_graph_with(graph: Graph, old: str, new: str) -> Graph:
    from dataclasses import replace

    nodes = tuple(replace(node, op=new) if node.op.startswith(old) else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


# -- asking ---------------------------------------------------------------------------------------------------------
def test_the_arena_decides_what_fits_under_tensorflow_lite() -> None:
    """In int8 the arena must lie in one bank of 512 KiB; without, the row is there to be read."""
    graph = read_graph(DATA / "mobilenet_v2.mlir")
    point = {"N": 1, "H": 160, "W": 160}
    fit = fxcost.analyze(graph, activations="int8", weights="int4").fit("stm32h743:tflm", point)
    assert (fit.rows[-1].decides, fit.rows[-1].verdict, fit.rows[-1].have_bytes) == (True, "no", 524_288)
    assert not fxcost.analyze(graph).fit("stm32h743:tflm", point).rows[-1].decides
    assert not fxcost.analyze(graph, activations="int8").fit("stm32h743", point).rows[-1].decides
    assert all("arena of" not in row.what for row in fxcost.analyze(graph).fit("h100-sxm", point).rows)


def test_flash_is_split_by_what_lies_there() -> None:
    """ResNet-18: int8 kernels, and for each of 4,800 + 1,000 channels a bias and two numbers of 32 bits."""
    found = fxcost.analyze(read_graph(DATA / "resnet18.mlir")).arena("stm32h743:tflm", IMAGE)
    sizes = {name: size(**IMAGE) for name, size in found.flash.items()}
    assert sizes["weights, int8"] == 11_689_512 - 1000 - 2 * 4800  # without bias, scales and shifts of norms
    assert sizes["biases, int32"] == 4 * 5800
    assert sizes["multipliers and shifts"] == 8 * 5800
    assert found.flash_total(**IMAGE) == sum(sizes.values())
    assert found.plan is not None
    assert found.plan.height == found.parts["activations and scratch"](**IMAGE)


def test_runtimes_without_a_known_arena() -> None:
    cost = fxcost.analyze(read_graph(DATA / "resnet18.mlir"))
    with pytest.raises(SpecError, match="no arena is known for the runtime 'torch-eager'"):
        cost.arena("h100-sxm")
    with pytest.raises(SpecError, match="padding='sam' is not one of explicit, same"):
        cost.arena("stm32h743:tflm", padding="sam")


def test_the_command(tmp_path: Path) -> None:
    line = "arena DATA/mobilenet_v2.mlir --target stm32h743:tflm --at N=1,H=96,W=96"
    text = answer(f"{line} --padding same -o {tmp_path / 'plan.csv'}")
    assert "arena (SRAM)" in text
    assert "activations and scratch planned: 276,480 bytes, proven lowest; largest first:" in " ".join(text.split())
    assert (tmp_path / "plan.csv").read_text().startswith("id,lower,upper,size,offset\nx,0,2,27648,")
    assert max(map(len, text.splitlines())) <= 80
    assert '"planned":' in answer(f"{line} --json")
    assert "16*max(" in answer("arena DATA/mobilenet_v2.mlir --target stm32h743:tflm --padding same")
    wrong = shell("arena DATA/mobilenet_v2.mlir --target t4")
    assert wrong.code == 2
    assert "no arena is known" in wrong.err
    assert shell("arena DATA/mobilenet_v2.mlir --target stm32h743 -o x.csv").code == 2
