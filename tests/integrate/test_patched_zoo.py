"""Published networks in patches at odd sizes: gates, shuffled channels, branches; run and measured in float32."""

from __future__ import annotations

import pytest
import torch

import fxcost
from fxcost.capture.shim import prepare_torchvision
from fxcost.cost import Cost
from tests.support.reordered import exported

pytestmark = pytest.mark.slow
NETWORKS = {  # whether some patches need less
    "torchvision:shufflenet_v2_x0_5": True,
    "torchvision:squeezenet1_1": True,
    "torchvision:googlenet": True,
    "timm:lcnet_050": True,
    "timm:ghostnet_050": True,
    "timm:regnety_002": True,
    "timm:convnext_atto": True,
    "timm:mobilevit_xxs": True,
    "timm:poolformerv2_s12": True,
}


def network(spec: str) -> torch.nn.Module:
    source, _, name = spec.partition(":")
    prepare_torchvision()
    library = pytest.importorskip(source)
    if source == "timm":
        return library.create_model(name, pretrained=False).eval()  # type: ignore[no-any-return]
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return library.models.get_model(name, weights=None, **options).eval()  # type: ignore[no-any-return]


@pytest.mark.parametrize("spec", NETWORKS)
def test_a_published_network_runs_as_predicted(spec: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 97, 131)
    program = exported(network(spec), x)
    cost: Cost = fxcost.analyze(program, check=False)
    for cached in (False, True):
        found = cost.patch(grids=[(2, 2), (3, 1)], overhead=0.5, cached=cached)
        assert found.plain_peak == fxcost.measure_peak(program, (x,)).values
        assert (found.peak < found.plain_peak) == NETWORKS[spec]
        module = found.apply(program)
        assert fxcost.measure_peak(module, (x,)).values == found.peak
        with torch.no_grad():
            torch.testing.assert_close(module(x), program.module()(x), rtol=1e-4, atol=1e-5)
