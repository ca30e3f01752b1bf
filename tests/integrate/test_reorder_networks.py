"""Published networks and random wirings with real weights: predicted peaks are those of real runs, in both orders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import fxcost
from fxcost.capture.shim import prepare_torchvision
from tests.support.reordered import check_reordered, exported
from tests.support.wired import Darts, RandWire, WiredCell

TORCHVISION = {
    "alexnet": 96,
    "resnet18": 65,
    "resnet50": 64,
    "mobilenet_v2": 97,
    "mobilenet_v3_large": 64,
    "efficientnet_b0": 64,
    "densenet121": 64,
    "inception_v3": 96,
    "googlenet": 64,
    "shufflenet_v2_x1_0": 64,
    "squeezenet1_1": 64,
    "convnext_tiny": 64,
    "vit_b_16": 224,
    "deeplabv3_resnet50": 64,
}
"""Name -> resolution, small where the network allows it."""

TIMM = {"hrnet_w18": 64, "pnasnet5large": 96, "nasnetalarge": 96}


def torchvision_model(name: str) -> nn.Module:
    prepare_torchvision()
    import torchvision

    options: dict[str, Any] = {"weights": None}
    if name in {"googlenet", "inception_v3"}:
        options["init_weights"] = False  # their own takes minutes; torch's is as random
    if name.startswith("deeplab"):
        options["weights_backbone"] = None
    return torchvision.models.get_model(name, **options)  # type: ignore[no-any-return]


def timm_model(name: str) -> nn.Module:
    prepare_torchvision()
    import timm

    return timm.create_model(name, pretrained=False)  # type: ignore[no-any-return]


def check(build: Callable[[], nn.Module], size: int) -> Any:
    """One network with seeded weights, in evaluation mode; batch norm has seen some numbers."""
    torch.manual_seed(0)
    model = build()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    x = torch.randn(1, 3, size, size)
    _, found, _ = check_reordered(exported(model, x), (x,))
    assert found.optimal
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_networks(name: str) -> None:
    """Their traced order is best, and proven to be so."""
    found = check(partial(torchvision_model, name), TORCHVISION[name])
    assert found.peak == found.traced_peak


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM)
def test_timm_networks(name: str) -> None:
    """The two found by architecture search have something to gain."""
    found = check(partial(timm_model, name), TIMM[name])
    assert (found.peak < found.traced_peak) == (name != "hrnet_w18")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_randwire(seed: int) -> None:
    """At full size; their stem is what is left: convolution and batch norm of 39 x 112 x 112 floats."""
    found = check(partial(RandWire, seed), 224)
    assert found.peak == 2 * 39 * 112 * 112 * 4 < found.traced_peak
    assert len(found.folded) > 200


@pytest.mark.slow
def test_darts() -> None:
    """At full size: two maps of 24 x 112 x 112 floats in the stem; the cells stay below in the traced order, too."""
    found = check(Darts, 224)
    assert found.peak == found.traced_peak == 2 * 24 * 112 * 112 * 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(7))
def test_cells_of_32_nodes(seed: int) -> None:
    """Sums and sigmoids of 1 KB: what the run needs is what was proven to be the least."""
    x = torch.randn(1, 256)
    program = exported(WiredCell(32, 4, seed), x)
    _, found, ordered = check_reordered(program, (x,))
    assert found.optimal
    assert found.traced_peak > found.peak == fxcost.measure_peak(ordered, (x,)).values
