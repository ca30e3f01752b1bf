"""MLIR that torch-mlir and jax emit: MACs are those of independent counts, sizes stay formulas, costs survive our text."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from fxcost.capture.shim import prepare_torchvision
from fxcost.errors import SpecError
from tests.support.foreign_models import TinyNet, jax_models, tiny_bert
from tests.support.mlir_opt import PRETTY, needs_mlir_opt
from tests.support.mlir_opt import run as mlir_opt

FOLDER = Path(__file__).resolve().parent.parent / "data" / "dialects"
torch.set_num_threads(1)


def text(name: str) -> str:
    packed = FOLDER / f"{name}.mlir.gz"
    return gzip.decompress(packed.read_bytes()).decode() if packed.exists() else (FOLDER / f"{name}.mlir").read_text()


def torch_macs(model: nn.Module, *inputs: torch.Tensor) -> int:
    """Half of what torch's own counter says of an eager run."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*inputs)
    return int(counter.get_total_flops()) // 2


def network(name: str) -> nn.Module:
    prepare_torchvision()
    from torchvision import models

    with torch.device("meta"):
        made: nn.Module = models.get_model(name, weights=None)
    return made


# -- against torch -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["tiny_linalg", "tiny_stablehlo"])
def test_a_tiny_network(name: str) -> None:
    cost = fxcost.analyze(text(name))
    assert cost.macs() == torch_macs(TinyNet(), torch.randn(2, 3, 32, 32))
    assert cost.unknown_ops == {}
    assert cost.params() == sum(v.numel() for n, v in TinyNet().state_dict().items() if "tracked" not in n)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_real_networks(name: str) -> None:
    cost = fxcost.analyze(text(f"{name}_linalg"))
    assert cost.macs() == torch_macs(network(name), torch.empty(1, 3, 224, 224, device="meta"))
    assert cost.unknown_ops == {}
    published = {"resnet18": 1_814_073_344, "mobilenet_v2": 300_774_272}
    assert cost.macs() == published[name]


def test_a_transformer() -> None:
    cost = fxcost.analyze(text("bert_linalg"))
    assert cost.macs() == torch_macs(tiny_bert(), torch.randint(0, 300, (2, 16)))
    assert cost.unknown_ops == {}


@pytest.mark.parametrize("sizes", [(1, 32, 32), (3, 40, 64), (2, 33, 57), (5, 8, 9)])
def test_open_sizes_stay_formulas(sizes: tuple[int, int, int]) -> None:
    cost = fxcost.analyze(text("tiny_linalg_dynamic"), "N,3,H,W")
    batch, height, width = sizes
    assert cost.macs(N=batch, H=height, W=width) == torch_macs(TinyNet(), torch.randn(batch, 3, height, width))
    assert list(cost.symbols) == ["N", "H", "W"]
    assert not any(s.kind == "data" for s in cost.symbols.values())
    fixed = fxcost.analyze(text("tiny_linalg_dynamic"), "2,3,32,32")
    static = fxcost.analyze(text("tiny_linalg"))
    assert {n: q() for n, q in fixed.quantities.items()} == {n: q() for n, q in static.quantities.items()}


def test_sizes_without_names_are_called_after_their_input() -> None:
    assert list(fxcost.analyze(text("tiny_linalg_dynamic")).symbols) == ["arg0_0", "arg0_2", "arg0_3"]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (("N,4,H,W",), "the text fixes 3, its spec says 4"),
        (("N,3,H",), "its spec says f32"),
        (("i64[N,3,H,W]",), "its spec says i64"),
        (("N,3,H,W", "N"), "takes 1 tensors, 2 specs were given"),
    ],
)
def test_specs_that_do_not_fit(specs: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fxcost.analyze(text("tiny_linalg_dynamic"), specs)


# -- against sums by hand ------------------------------------------------------------------------------------------
def test_a_convnet_of_jax() -> None:
    # first: 16 x 16 x 16 results of 27 taps, depthwise 9, pointwise 16; last layer 16 x 10; batch of 2
    expected = 2 * (16 * 16 * 16 * (27 + 9 + 16) + 16 * 10)
    cost = fxcost.analyze(text("jax_convnet"))
    assert cost.macs() == expected
    assert cost.unknown_ops == {}


def test_a_transformer_of_jax() -> None:
    # two layers: four products 32 x 32, up and down 32 x 64, attention 16 x 16 x 4 x (8 + 8); the embedding transposed
    layer = 16 * (4 * 32 * 32 + 2 * 32 * 64) + 16 * 16 * 4 * (8 + 8)
    cost = fxcost.analyze(text("jax_transformer"))
    assert cost.macs() == 2 * (2 * layer + 16 * 32 * 100)
    assert cost.unknown_ops == {}


# -- what can be done with them ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["tiny_linalg_dynamic", "tiny_stablehlo", "bert_linalg", "jax_transformer"])
def test_they_come_back_from_our_text(name: str) -> None:
    cost = fxcost.analyze(text(name))
    again = fxcost.analyze(cost.to_mlir(form="pretty"))
    assert again.graph == cost.graph
    assert {n: q.value for n, q in again.quantities.items()} == {n: q.value for n, q in cost.quantities.items()}


def test_they_are_scheduled_and_planned() -> None:
    from fxcost.steps import Setting, run_steps

    cost = fxcost.analyze(text("tiny_linalg_dynamic"), "N,3,H,W")
    done = run_steps(cost, ["schedule", "plan", "peak"], Setting({"N": 2, "H": 32, "W": 32}))
    whole = done.found[""]
    assert whole["schedule.peak"] <= whole["schedule.traced_peak"]
    assert whole["schedule.traced_peak"] == cost.peak_memory(N=2, H=32, W=32)
    assert whole["peak.bytes"] == whole["plan.load_bound"] == whole["schedule.peak"] <= whole["plan.height"]


@needs_mlir_opt
@pytest.mark.parametrize("tool", PRETTY)
def test_what_mlir_opt_prints_has_the_same_costs(tool: str) -> None:
    """An older MLIR leaves out the maps of named ops, and prints the custom form."""
    for name in ("tiny_linalg", "tiny_linalg_dynamic"):
        expected = fxcost.analyze(text(name)).macs.value
        try:
            custom = mlir_opt(tool, text(name))
        except AssertionError:
            pytest.skip(f"{tool} is older than this text")
        assert fxcost.analyze(custom).macs.value is expected
        assert fxcost.analyze(mlir_opt(tool, text(name), "--mlir-print-op-generic")).macs.value is expected
        assert (
            fxcost.analyze(
                mlir_opt(tool, text(name), "--linalg-generalize-named-ops", "--mlir-print-op-generic")
            ).macs.value
            is expected
        )


# -- with the tools that emit them ---------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("output", ["linalg-on-tensors", "stablehlo"])
def test_fresh_from_torch_mlir(output: str) -> None:
    fx = pytest.importorskip("torch_mlir.fx", reason="torch-mlir is not installed")
    for model, inputs in ((TinyNet(), (torch.randn(3, 3, 40, 24),)), (tiny_bert(), (torch.randint(0, 300, (1, 24)),))):
        module = fx.export_and_import(model.eval(), *inputs, output_type=output)
        found = str(module.operation.get_asm(large_elements_limit=4, large_resource_limit=0))  # the custom form
        assert fxcost.analyze(found).macs() == torch_macs(model, *inputs)


@pytest.mark.slow
def test_fresh_from_jax() -> None:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    for name, (function, shapes) in jax_models().items():
        expected = jaxpr_macs(jax.make_jaxpr(function)(*shapes).jaxpr)
        lowered = jax.jit(function).lower(*shapes).as_text()  # the custom form
        assert fxcost.analyze(lowered).macs() == fxcost.analyze(text(name)).macs() == expected


def jaxpr_macs(jaxpr: Any) -> int:
    """MACs of jax's own program, before it becomes MLIR."""
    found = 0
    for equation in jaxpr.eqns:
        shapes = [variable.aval.shape for variable in equation.invars if hasattr(variable, "aval")]
        out = prod(equation.outvars[0].aval.shape)
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            found += out * prod(shapes[0][dim] for dim in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            features = shapes[1][equation.params["dimension_numbers"].rhs_spec[0]]
            found += out * prod(shapes[1]) // features
        for inner in jax_bodies(equation.params):
            found += jaxpr_macs(inner)
    return found


def jax_bodies(params: Mapping[str, Any]) -> list[Any]:
    return [
        value.jaxpr if hasattr(value, "jaxpr") else value
        for name, value in params.items()
        if name in {"jaxpr", "call_jaxpr"}
    ]
