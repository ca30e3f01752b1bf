"""The models of torchvision that people know: exact at other sizes, and measured byte for byte. Slow: full captures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from fxcost.capture.loaders import load_model

pytestmark = pytest.mark.slow

NAMES = [
    "alexnet",
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "densenet121",
    "inception_v3",
    "googlenet",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "convnext_tiny",
    "vit_b_16",
    "deeplabv3_resnet50",
]

# A batch of one, odd sizes, sizes off the grid of 32, the traced size itself.
SIZES = [(1, 224, 224), (2, 225, 231), (3, 256, 192), (1, 97, 130), (5, 352, 416)]
SMALLEST = {"inception_v3": 99}  # below, the model itself refuses


@pytest.fixture(scope="module", params=NAMES)
def captured(request: pytest.FixtureRequest) -> tuple[str, Any, fxcost.Cost]:
    """A model without weights, and its costs from one capture."""
    model = load_model(f"torchvision:{request.param}")
    return request.param, model, fxcost.analyze(model, "N,3,H,W", name=request.param)


def point_of(cost: fxcost.Cost, batch: int, height: int, width: int) -> dict[str, int]:
    """The sizes that are symbols in this model."""
    return {n: v for n, v in {"N": batch, "H": height, "W": width}.items() if n in cost.symbols}


@pytest.mark.parametrize(("batch", "height", "width"), SIZES)
def test_macs_equal_torchs_counter(captured: Any, batch: int, height: int, width: int) -> None:
    """Torch's own counter, on a run at a size that was never traced."""
    name, model, cost = captured
    if cost.fixed_dims:
        height = width = 224
    height, width = max(height, SMALLEST.get(name, 1)), max(width, SMALLEST.get(name, 1))
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it hides the projections from the counter
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(batch, 3, height, width, device="meta"))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    assert cost.macs.at(point_of(cost, batch, height, width)) * 2 == counter.get_total_flops()


def test_parameters_are_all_there(captured: Any) -> None:
    """Every parameter of the module, tied ones once."""
    _, model, cost = captured
    assert int(cost.params) == sum(p.numel() for p in model.parameters())
    assert int(cost.buffers) == sum(b.numel() for b in model.buffers())


def test_nothing_is_unknown(captured: Any) -> None:
    """Every operator has a rule and every formula is exact."""
    _, _, cost = captured
    assert cost.unknown_ops == {}
    assert cost.macs.standing == "exact"
    assert set(cost.fixed_dims) <= {"H", "W"}


@pytest.mark.parametrize(("batch", "height", "width"), [(2, 128, 160), (1, 225, 231)])
def test_peak_memory_is_what_a_run_takes(captured: Any, batch: int, height: int, width: int) -> None:
    """The storages of a real run of the exported program, with and without what lives inside ops."""
    name, _, cost = captured
    if cost.fixed_dims:
        height = width = 224
    inputs = (torch.rand(batch, 3, height, width),)
    measured = fxcost.measure_peak(_program(name, inputs), inputs)
    point = point_of(cost, batch, height, width)
    assert cost.peak_memory.at(point) == measured.values
    assert cost.peak_memory_with_scratch.at(point) == measured.everything


def _program(name: str, inputs: tuple[torch.Tensor, ...]) -> Any:
    """The model with random weights, exported at one size."""
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    options: dict[str, Any] = {"weights_backbone": None} if name.startswith("deeplab") else {}
    options |= {"init_weights": False} if name in {"inception_v3", "googlenet"} else {}
    model = builder(weights=None, **options).eval()
    with torch.no_grad():
        return torch.export.export(model, inputs, strict=False)


def test_resnet50_by_hand(captured: Any) -> None:
    """The figures that everybody quotes: 4,089,184,256 MACs and 25,557,032 parameters."""
    name, _, cost = captured
    if name != "resnet50":
        pytest.skip("one model only")
    assert cost.macs(N=1, H=224, W=224) == 4_089_184_256
    assert int(cost.params) == 25_557_032
