"""Traffic of a traced decoding step: against the bytes that the operators of a real run on the CPU read and write."""

from __future__ import annotations

import pytest
import torch

from fxcost.capture.cached import CachedStep, cache_layers
from tests.support.language_models import MODELS, captured
from tests.support.traffic import distinct, traffic_of

NAMES = ["llama", *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name != "llama")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("batch", "past"), [(2, 7), (3, 30)])
def test_a_real_step_moves_as_many_bytes(name: str, batch: int, past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read of weights, read of everything else, written: each to the byte, with the cache shorter and longer than windows.

    Torch says that it exports, so that the model's code takes the branches that it takes when it is captured.
    """
    model, found = captured(name)
    with torch.device("meta"):
        layers = cache_layers(MODELS[name]().eval(), name)
    cache = []
    for layer in layers:
        length = past if layer.window is None else min(past, layer.window - 1)
        cache += [torch.rand(batch, layer.key_heads, length, layer.key_channels)]
        cache += [torch.rand(batch, layer.value_heads, length, layer.value_channels)]
    monkeypatch.setattr(torch.compiler, "_is_compiling_flag", True)
    monkeypatch.setattr(torch.compiler, "_is_exporting_flag", True)
    step, tokens = CachedStep(model, last_only=True), torch.arange(batch).reshape(batch, 1)
    with torch.no_grad(), traffic_of(model) as moved:
        step(tokens, *cache)
    decode, point = found.decode, {"N": batch, "S": past}
    ours = [decode.total(quantity).at(point) for quantity in ("weight_bytes", "read_bytes", "write_bytes")]
    assert ours == [moved.weights, moved.read, moved.written], moved.by_operator.most_common(9)


def test_what_is_broadcast_is_there_once() -> None:
    """The count itself, on tensors whose elements are known to share memory or not."""
    base = torch.zeros(3, 4)
    assert distinct(base) == distinct(base.t()) == 12
    assert distinct(base[:, :1].expand(3, 9)) == 3
    assert distinct(base[None].expand(5, 3, 4)) == 12
    assert distinct(base[:0]) == 0
