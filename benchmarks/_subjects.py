"""Models whose latency is measured on a CPU: what fits may see, and what none has seen; each with its family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FAMILIES = {
    "alexnet": "alexnet",
    "resnet18": "resnet",
    "resnet50": "resnet",
    "resnext50_32x4d": "resnet",
    "vgg11": "vgg",
    "squeezenet1_1": "squeezenet",
    "mobilenet_v2": "mobile",
    "mobilenet_v3_small": "mobile",
    "mobilenet_v3_large": "mobile",
    "mnasnet1_0": "mobile",
    "efficientnet_b0": "mobile",
    "shufflenet_v2_x1_0": "shufflenet",
    "densenet121": "densenet",
    "googlenet": "googlenet",
    "regnet_y_400mf": "regnet",
    "convnext_tiny": "convnext",
    "vit_b_16": "vit",
    "swin_t": "swin",
}
"""The models of the recorded measurements, which the shipped efficiency was fitted on."""

THREE = ("resnet50", "mobilenet_v2", "vit_b_16")
"""What the small fits see."""

UNSEEN_TORCHVISION = {
    "resnet34": (224, "resnet"),
    "vgg16_bn": (160, "vgg"),
    "squeezenet1_0": (192, "squeezenet"),
    "shufflenet_v2_x0_5": (224, "shufflenet"),
    "mnasnet0_5": (192, "mobile"),
    "efficientnet_v2_s": (192, "mobile"),
    "regnet_x_400mf": (224, "regnet"),
    "densenet169": (192, "densenet"),
    "inception_v3": (224, "googlenet"),
    "convnext_small": (160, "convnext"),
    "swin_v2_t": (224, "swin"),
    "maxvit_t": (224, "maxvit"),
}
UNSEEN_TIMM = {
    "deit_tiny_patch16_224": (224, "vit"),
    "mixer_s32_224": (224, "mlp"),
    "resmlp_12_224": (224, "mlp"),
    "ghostnet_100": (224, "mobile"),
    "mobilenetv4_conv_small": (224, "mobile"),
    "lcnet_100": (224, "mobile"),
    "fbnetc_100": (224, "mobile"),
    "tf_mobilenetv3_large_minimal_100": (224, "mobile"),
    "repvgg_a0": (224, "vgg"),
    "poolformer_s12": (224, "poolformer"),
    "mobilevit_s": (192, "mobilevit"),
    "edgenext_x_small": (224, "edgenext"),
}


@dataclass(frozen=True)
class Candidate:
    """A model to build and its inputs."""

    name: str
    family: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[torch.Tensor, ...]]


class LastState(nn.Module):
    """A language model as a function of token numbers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> Any:
        """The last layer's states."""
        return self.model(tokens).last_hidden_state


def from_torchvision(name: str, size: int, family: str) -> Candidate:
    """A model with random weights, on one image."""

    def build() -> nn.Module:
        import torchvision

        options: dict[str, Any] = {"image_size": size} if name == "vit_b_16" else {}
        if name in {"googlenet", "inception_v3"}:
            options = {"init_weights": False, "aux_logits": False}
        model: nn.Module = torchvision.models.get_model(name, weights=None, **options)
        return model

    return Candidate(f"{name}@{size}", family, build, lambda: (torch.randn(1, 3, size, size),))


def from_timm(name: str, size: int, family: str) -> Candidate:
    """A model with random weights, on one image."""

    def build() -> nn.Module:
        import timm

        model: nn.Module = timm.create_model(name)
        return model

    return Candidate(f"{name}@{size}", family, build, lambda: (torch.randn(1, 3, size, size),))


def language(name: str, length: int, kind: str, model_class: str, **settings: Any) -> Candidate:
    """A transformer by its configuration, on one sequence."""

    def build() -> nn.Module:
        import transformers

        config = transformers.AutoConfig.for_model(kind, **settings)
        config.use_cache = False
        return LastState(getattr(transformers, model_class)(config))

    return Candidate(f"{name}@{length}", kind, build, lambda: (torch.randint(0, 1000, (1, length)),))


def fitted_on(sizes: tuple[int, ...] = (160, 224), names: tuple[str, ...] = THREE) -> Iterator[Candidate]:
    """Models that fits may see."""
    for name in names:
        for size in sizes:
            yield from_torchvision(name, size, FAMILIES[name])


def unseen() -> Iterator[Candidate]:
    """Models that no fit has seen: other members of known families, and other families."""
    for name, (size, family) in UNSEEN_TORCHVISION.items():
        yield from_torchvision(name, size, family)
    for name, (size, family) in UNSEEN_TIMM.items():
        yield from_timm(name, size, family)
    small = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    yield language("bert_mini", 128, "bert", "BertModel", **small)
    yield language("bert_base", 64, "bert", "BertModel")
    yield language("gpt2", 96, "gpt2", "GPT2Model")
    llama = small | {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 1376}
    yield language("llama_small", 128, "llama", "LlamaModel", vocab_size=8000, **llama)
