"""Training steps of whole models, one symbolic capture each, against torch at three sizes: hooks, counter, a real step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, conv_backward_flop

import fxcost
from fxcost.capture.shim import prepare_torchvision
from tests.capture.test_training import saved_by_torch
from tests.support.real_steps import real_peak

prepare_torchvision()
SIZES = ({"N": 2, "H": 64, "W": 64}, {"N": 1, "H": 96, "W": 64}, {"N": 3, "H": 65, "W": 97})
TOKENS = ({"N": 2, "S": 9}, {"N": 1, "S": 33}, {"N": 5, "S": 7})


def vision(name: str, **kwargs: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        model: nn.Module = getattr(models, name)(**kwargs)
        return model

    return build


class Words(nn.Module):
    """A model of transformers, whose first result counts; no dropout, since a CPU keeps its noise as floats."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: Tensor) -> Any:
        return self.model(words, use_cache=False).logits


def gpt2() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 2, "vocab_size": 100, "n_positions": 64}
    still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "attn_implementation": "eager"}
    return Words(transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **still)))


def llama() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=100, attn_implementation="eager")
    return Words(transformers.LlamaForCausalLM(config))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": vision("resnet18"),
    "resnet50": vision("resnet50"),
    "densenet121": vision("densenet121"),
    "googlenet": vision("googlenet", init_weights=False, dropout=0.0, dropout_aux=0.0, aux_logits=False),
    "mobilenet_v2": vision("mobilenet_v2", dropout=0.0),
    "mobilenet_v3_small": vision("mobilenet_v3_small", dropout=0.0),
    "mnasnet0_5": vision("mnasnet0_5", dropout=0.0),
    "regnet_y_400mf": vision("regnet_y_400mf"),
    "shufflenet_v2_x0_5": vision("shufflenet_v2_x0_5"),
    "squeezenet1_1": vision("squeezenet1_1", dropout=0.0),
    "gpt2": gpt2,
    "llama": llama,
}


backward_flops: Any = conv_backward_flop  # its decorator hides its parameters


def by_groups(upstream: Any, source: Any, weight: Any, *rest: Any, out_shape: Any = None, **_: Any) -> int:
    """Torch's own formula for one group, as often as there are groups: for the whole it counts all pairs of channels."""
    groups: int = rest[6]

    def part(shape: Any) -> Any:
        return None if shape is None else [shape[0], shape[1] // groups, *shape[2:]]

    kernel = [weight[0] // groups, *weight[1:]]
    found = [part(out_shape[0]), kernel, None]
    one = backward_flops(part(upstream), part(source), kernel, *rest[:6], 1, *rest[7:], out_val=found)
    return groups * int(one)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_keep_and_multiply_as_torch_does(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().train()
    words = name in {"gpt2", "llama"}
    cost = fxcost.analyze(model, "i64[N,S]" if words else "N,3,H,W", mode="training", check=words)
    assert not cost.unknown_ops
    assert cost.standing == "exact"
    for at in TOKENS if words else SIZES:
        x = torch.randint(0, 100, (at["N"], at["S"])) if words else torch.randn(at["N"], 3, at["H"], at["W"])
        assert cost.saved_activations(**at) == saved_by_torch(model, (x,))
        corrected = {torch.ops.aten.convolution_backward: by_groups}
        with FlopCounterMode(display=False, custom_mapping=corrected) as counter:
            loss = model(x).sum()
            forward = counter.get_total_flops() // 2
            loss.backward()
        assert cost.macs_forward(**at) == forward
        assert cost.macs_backward(**at) == counter.get_total_flops() // 2 - forward
        model.zero_grad(set_to_none=True)
        del loss
        assert cost.peak_memory(**at) == real_peak(model, x)
