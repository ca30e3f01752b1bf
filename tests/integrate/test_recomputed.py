"""Recomputation on real runs: bytes kept by the hooks, MACs by torch's counter, peaks by the tracker, exactly."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost
from fxcost.errors import ModelError
from fxcost.integrate.measure import _Tracker
from tests.capture.test_training import Attention, Gated, Residual, grouped, storages


def kept_by(run: Callable[[], Tensor], model: nn.Module) -> tuple[int, int]:
    """Bytes that autograd packs, each storage once, and MACs of a whole forward and backward pass."""
    own, found, alive = storages(model), {}, []

    def pack(tensor: Tensor) -> Tensor:
        alive.append(tensor)
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            found[storage._cdata] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = run()
        loss.backward()
    return sum(found.values()), counter.get_total_flops() // 2


def peak_by(step: nn.Module, model: nn.Module, x: Tensor) -> int:
    """Bytes at the peak of a step with one in-place update for each gradient."""
    model.zero_grad(set_to_none=True)
    inputs = [x.clone()]
    tracker = _Tracker(storages(model))
    tracker.note(inputs[0])
    with tracker:
        loss = step(inputs.pop())
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-1)
    return tracker.peak


def layers() -> nn.Module:
    parts = [(16, 48), (48, 8), (8, 64), (64, 24)]
    return nn.Sequential(*(m for i, o in parts for m in (nn.Linear(i, o), nn.Tanh())))


CASES: dict[str, tuple[Callable[[], nn.Module], str, dict[str, int], Callable[[], Tensor]]] = {
    "layers": (layers, "N,16", {"N": 7}, lambda: torch.randn(7, 16)),
    "residual": (Residual, "N,3,H,W", {"N": 3, "H": 20, "W": 24}, lambda: torch.randn(3, 3, 20, 24)),
    "attention": (Attention, "N,S,8", {"N": 3, "S": 9}, lambda: torch.randn(3, 9, 8)),
    "grouped": (grouped, "N,3,H,W", {"N": 3, "H": 20, "W": 24}, lambda: torch.randn(3, 3, 20, 24)),
    "gated": (Gated, "N,3,H,W", {"N": 3, "H": 20, "W": 24}, lambda: torch.randn(3, 3, 20, 24)),
}


QUICK = ("layers", "residual")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES])
def test_runs_keep_count_and_peak_as_predicted(name: str) -> None:
    build, spec, at, make = CASES[name]
    torch.manual_seed(0)
    model, x = build().train(), make()
    cost = fxcost.analyze(model, spec, mode="training", check=False)
    for of in ("saved_activations", "peak_memory"):
        plans = cost.recompute(at=at, of=of).plans
        for budget in sorted({plans.bytes[0], plans.bytes[len(plans) // 2], plans.bytes[-1]}):
            found = cost.recompute(budget, at, of=of)
            step = found.apply(model, (x,))
            model.zero_grad(set_to_none=True)
            expected = copy.deepcopy(model)
            expected(x).sum().backward()
            kept, macs = kept_by(lambda: step(x), model)  # noqa: B023
            assert kept == found.kept
            assert macs == found.plain["macs"] + found.macs
            for mine, theirs in zip(model.parameters(), expected.parameters(), strict=True):
                assert mine.grad is not None
                assert theirs.grad is not None
                assert torch.allclose(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4 * float(theirs.grad.abs().max()))
            for state, other in zip(model.buffers(), expected.buffers(), strict=True):
                assert torch.allclose(state, other)  # running statistics once, not twice
            # The caller of the backward pass holds the loss's own gradient, four bytes, while that pass runs.
            assert peak_by(step, model, x) - found.peak in {0, 4}


def test_it_trains_with_an_optimizer_and_a_loss() -> None:
    def loss(outputs: Tensor) -> Tensor:
        return F.cross_entropy(outputs, torch.arange(outputs.shape[0]) % 24)

    torch.manual_seed(0)
    model = layers()
    x = torch.randn(7, 16)
    found = fxcost.analyze(model, "N,16", mode="training", loss=loss, check=False).recompute(2000, {"N": 7})
    assert found.again
    step = found.apply(model, (x,), loss=loss)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        value = step(x)
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert losses == sorted(losses, reverse=True)


def test_other_sizes_and_other_models_are_refused() -> None:
    model = layers()
    found = fxcost.analyze(model, "N,16", mode="training", check=False).recompute(2000, {"N": 7})
    step = found.apply(model, (torch.randn(7, 16),))
    with pytest.raises(ModelError, match="this plan is for inputs of"):
        step(torch.randn(8, 16))
    other = nn.Sequential(nn.Linear(16, 48), nn.ReLU())
    with pytest.raises(ModelError, match=r"is not the one analysed: aten\.relu where the analysis has aten\.tanh"):
        found.apply(other, (torch.randn(7, 16),))
