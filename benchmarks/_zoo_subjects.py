"""The zoos, listed by rule: every torchvision model, every timm model file, every architecture of transformers.

Beside them a few large models in the configurations that they were published in.

A subject is a name; what it builds and which inputs it takes is settled where it is measured, in a worker process.
Transformers come from their own default configurations, so widths are the published ones; only depth is cut down.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks._zoo_configurations import corrected, parts, shallow
from benchmarks._zoo_inputs import input_sets
from fxcost.capture.quiet import muffled
from fxcost.capture.shim import prepare_torchvision

ZOOS = ("torchvision", "timm", "transformers", "published")
Inputs = tuple[tuple[Any, ...], dict[str, Any]]
"""Input specs by position and by keyword."""


@dataclass(frozen=True)
class Subject:
    """One line of the benchmark; `name` is a model's, for timm that of a file (unless a model was asked for)."""

    zoo: str
    name: str
    whole_file: bool = False

    @property
    def key(self) -> str:
        """What stands in the first column."""
        return f"{self.zoo}:{self.name}"


@dataclass(frozen=True)
class Settled:
    """What a subject turned out to be: the model's own name, how to build it, and inputs to try in this order."""

    name: str
    build: Callable[[], nn.Module]
    inputs: tuple[Inputs, ...]


def subjects(zoo: str, everything: bool = False) -> list[Subject]:
    """All subjects of a zoo; with `everything`, every name of timm instead of one a file."""
    prepare_torchvision()
    if zoo == "torchvision":
        import torchvision

        return [Subject(zoo, name) for name in torchvision.models.list_models()]
    if zoo == "timm":
        import timm

        if everything:
            return [Subject(zoo, name) for name in timm.list_models()]
        return [Subject(zoo, file, whole_file=True) for file in timm.list_modules() if timm.list_models(module=file)]
    if zoo == "published":
        return [Subject(zoo, name) for name in PUBLISHED]
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return [Subject(zoo, kind) for kind in MODEL_MAPPING_NAMES]


def settled(subject: Subject) -> Settled:
    """Look a subject up; raises whatever the zoo raises."""
    prepare_torchvision()
    with muffled():
        look_up = {"torchvision": _torchvision, "timm": _timm, "transformers": _transformers, "published": _published}
        return look_up[subject.zoo](subject)


# -- torchvision ---------------------------------------------------------------------------------------------------
def _torchvision(subject: Subject) -> Settled:
    import torchvision

    builder = torchvision.models.get_model_builder(subject.name)
    extra: dict[str, Any] = {}
    if "weights_backbone" in inspect.signature(builder).parameters:
        extra["weights_backbone"] = None
    if subject.name.endswith(("googlenet", "inception_v3")):
        extra["init_weights"] = False  # it takes a minute
    kind = builder.__module__
    specs: tuple[Any, ...] = ("N,3,H,W",)
    if ".detection" in kind:
        specs = (["3,H,W"],)
    elif ".video" in kind:
        specs = ("N,3,T,H,W",)
    elif ".optical_flow" in kind:
        specs = ("N,3,H,W", "N,3,H,W")
    return Settled(subject.name, lambda: builder(weights=None, **extra), ((specs, {}),))


# -- timm ----------------------------------------------------------------------------------------------------------
def _timm(subject: Subject) -> Settled:
    import timm

    name = subject.name
    if subject.whole_file:
        with torch.device("meta"):
            sizes = dict(_sizes(timm.list_models(module=subject.name)))
        name = min(sizes, key=lambda each: (sizes[each], each))
    return Settled(name, lambda: timm.create_model(name, pretrained=False), ((("N,3,H,W",), {}),))


def _sizes(names: list[str]) -> Iterator[tuple[str, int]]:
    """Parameters by name, of those models that can be built without values."""
    import timm

    for name in names:
        try:
            model = timm.create_model(name, pretrained=False)
        except Exception:  # a constructor that needs values or a download
            continue
        yield name, sum(p.numel() for p in model.parameters())


# -- transformers --------------------------------------------------------------------------------------------------
def _transformers(subject: Subject) -> Settled:
    import transformers

    config = transformers.CONFIG_MAPPING[subject.name]()
    shallow(config, 2)
    for part in parts(config):
        corrected(part)
    model_class = transformers.MODEL_MAPPING[type(config)]
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    # A class that takes a part of the configuration only, such as the decoder's, gets that part.
    wanted = model_class.__init__.__annotations__.get("config")
    config = next((part for part in parts(config) if type(part) is wanted), config)
    inputs = tuple(((), each) for each in input_sets(model_class, config))
    return Settled(model_class.__name__, partial(model_class, config), inputs)


# -- large models as published -------------------------------------------------------------------------------------
TEXT: Inputs = ((), {"input_ids": "i64[N,S]"})
PUBLISHED: dict[str, tuple[str, dict[str, Any], Inputs]] = {
    "llama-3-8b": (
        "LlamaForCausalLM",
        {
            "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        },
        TEXT,
    ),
    "llama-3-70b": (
        "LlamaForCausalLM",
        {
            "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
            "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
        },
        TEXT,
    ),
    "mixtral-8x7b": (
        "MixtralForCausalLM",
        {
            "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000,
        },
        TEXT,
    ),
    "whisper-large-v3": (
        "WhisperForConditionalGeneration",
        {
            "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "encoder_attention_heads": 20,
            "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120, "num_mel_bins": 128,
            "vocab_size": 51866,
        },
        ((), {"input_features": "N,128,3000", "decoder_input_ids": "i64[N,T]"}),
    ),
    "clip-vit-large-patch14": (
        "CLIPModel",
        {
            "projection_dim": 768,
            "text_config": {
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
            },
            "vision_config": {
                "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                "patch_size": 14,
            },
        },
        ((), {"input_ids": "i64[M,S]", "pixel_values": "N,3,H,W"}),
    ),
    "t5-3b": (
        "T5ForConditionalGeneration",
        {"d_model": 1024, "d_ff": 16384, "d_kv": 128, "num_heads": 32, "num_layers": 24, "num_decoder_layers": 24},
        ((), {"input_ids": "i64[N,S]", "decoder_input_ids": "i64[N,T]"}),
    ),
    "sam-vit-huge": (
        "SamModel",
        {
            "vision_config": {
                "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
                "global_attn_indexes": [7, 15, 23, 31],
            }
        },
        ((), {"pixel_values": "N,3,1024,1024"}),
    ),
}  # fmt: skip
"""Class, configuration and inputs, from the models' cards."""


def _published(subject: Subject) -> Settled:
    import transformers

    name, settings, inputs = PUBLISHED[subject.name]
    model_class = getattr(transformers, name)
    return Settled(name, partial(model_class, model_class.config_class(**settings)), (inputs,))
