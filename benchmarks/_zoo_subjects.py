"""The zoos, listed by rule: every torchvision model, every timm model file, every architecture of transformers.

Beside them a few large models in the configurations that they were published in.

A subject is a name; what it builds and which inputs it takes is settled where it is measured, in a worker process.
Transformers come from their own default configurations, so widths are the published ones; only depth is cut down.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import nn

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
DEPTHS = {
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "layers", "depth", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "decoder_num_layers", "encoder_num_layers", "decoder_depth",
    "num_hidden_groups", "l_layers", "x_layers", "r_layers", "speech_encoder_layers", "t2u_encoder_layers",
    "t2u_decoder_layers", "text_encoder_num_layers", "num_sparse_encoder_layers", "num_sparse_decoder_layers",
    "decoder_num_hidden_layers", "mit_num_hidden_layers", "vision_layers", "text_layers", "num_blocks",
}  # fmt: skip
"""Integers of a configuration that say how deep a stack is."""

DENSE_FIRST = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
"""How many layers come before the first one with experts."""

LEFT_OPEN: dict[str, Any] = {
    "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "prediction_length": 24, "context_length": 24,
    "vocabulary_map": {"<image>": 4}, "head_dim": lambda part: part.hidden_size // part.num_attention_heads,
    "n_routed_experts": 8, "n_shared_experts": 1, "num_experts": 8, "moe_intermediate_size": 512, "top_k_experts": 2,
    "num_key_value_heads": lambda part: part.num_attention_heads, "expert_intermediate_size": 512,
    "image_token_id": 4, "image_token_index": 4, "video_token_id": 5,
}  # fmt: skip
"""What some default configurations leave out, although no model can be built or run without."""

CORRECTED: dict[str, dict[str, Any]] = {
    **{
        kind: {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5}}
        for kind in ("glm4v_text", "glm_image_text")
    },
    "glm4v_moe_text": {"head_dim": 128},
    "hunyuan_vl_text": {
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default", "mrope_section": [16, 16, 16, 16]}
    },
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_theta": 10000.0, "rope_type": "default"}}},
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"]},
    **{kind: {"num_time_features": 1} for kind in ("autoformer", "informer", "time_series_transformer")},
    "granite4_vision": {"deepstack_layer_map": []},
}  # fmt: skip
"""By model type: what default configurations state so that no model can be built or run from them."""


def _transformers(subject: Subject) -> Settled:
    import transformers

    config = transformers.CONFIG_MAPPING[subject.name]()
    shallow(config, 2)
    for part in _parts(config):
        _corrected(part)
    model_class = transformers.MODEL_MAPPING[type(config)]
    if isinstance(model_class, tuple):
        model_class = model_class[0]
    inputs = tuple(((), each) for each in _input_sets(model_class, config))
    return Settled(model_class.__name__, partial(model_class, config), inputs)


def shallow(config: Any, depth: int) -> None:
    """Cut every stack to `depth` layers, or as many as it takes to have one of every kind, in sub-configurations too."""
    values = vars(config)
    whole = {values[name] for name in DEPTHS if isinstance(values.get(name), int)}
    lists = [
        n for n, v in values.items() if isinstance(v, list) and len(v) in whole and len(v) > depth and "layer" in n
    ]
    for name in lists:
        kinds = [repr(kind) for kind in values[name]]
        depth = max(depth, *(kinds.index(kind) + 1 for kind in set(kinds))) if len(set(kinds)) < 5 else depth
    for name in DENSE_FIRST:
        if isinstance(values.get(name), int) and values[name] > 1:
            setattr(config, name, 1)
    for name in lists:
        setattr(config, name, values[name][:depth])
    for name, value in list(values.items()):
        if name in DEPTHS and isinstance(value, int) and not isinstance(value, bool) and value > depth:
            setattr(config, name, depth)
        elif hasattr(value, "to_dict") and hasattr(value, "model_type"):
            shallow(value, 2)


def _corrected(part: Any) -> None:
    """Fill in what a configuration leaves open, and set right what it states amiss."""
    for name, value in LEFT_OPEN.items():
        if getattr(part, name, value) is None and (not callable(value) or hasattr(part, "num_attention_heads")):
            setattr(part, name, value(part) if callable(value) else value)
    for name, value in CORRECTED.get(part.model_type, {}).items():
        setattr(part, name, value)
    width, heads = (getattr(part, name, None) for name in ("hidden_size", "num_attention_heads"))
    if isinstance(width, int) and isinstance(heads, int) and not hasattr(part, "head_dim") and width % heads:
        part.num_attention_heads = max(n for n in range(1, heads) if width % n == 0)


def _parts(config: Any) -> Iterator[Any]:
    """A configuration and those inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            yield from _parts(value)


def _stated(config: Any, *names: str, default: int) -> int:
    """The first of these numbers that the configuration, or one inside it, states."""
    for part in _parts(config):
        for name in names:
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return default


def _input_sets(model_class: Any, config: Any) -> Iterator[dict[str, Any]]:
    """Keyword inputs to try, by the names that `forward` takes: the main input, then pairs, then the others.

    What `forward` demands goes with each of them; last comes everything that it takes and a spelling is known of.
    """
    takes = inspect.signature(model_class.forward).parameters
    spellings = {name: each for name, each in _spellings(config, takes).items() if name in takes}
    beside: dict[str, Any] = {}
    if "decoder_input_ids" in takes:
        beside["decoder_input_ids"] = "i64[N,T]"
    main = getattr(model_class, "main_input_name", "input_ids")
    order = [main, *(name for name in spellings if name != main)]
    demanded = [name for name in spellings if takes[name].default is inspect.Parameter.empty]
    alone = [{name: spec} for name in order if name in MAIN for spec in spellings.get(name, ())]
    first = [each for each in alone if main in each]
    pairs = [{**a, **b} for a in alone for b in alone if "input_ids" in a and "input_ids" not in b]
    masks = [name for name in (f"{main}_mask", "attention_mask", "padding_mask") if name in takes]
    masked = [{**each, name: "i64[N,S]"} for each in first for name in masks]
    for each in [*first, *pairs, *masked, *alone[len(first) :], {}]:
        missing = [name for name in demanded if name not in each]
        for others in product(*(spellings[name] for name in missing)):
            found = {**each, **dict(zip(missing, others, strict=True))}
            if found:
                yield {**found, **beside}
                if beside:
                    yield found
    companions = {name: each[0] for name, each in spellings.items() if name not in MAIN}
    if companions:
        yield from ({**each, **companions} for each in [*first, *pairs] or [{}])


MAIN = (
    "input_ids", "pixel_values", "pixel_values_videos", "input_values", "input_features", "past_values", "inputs",
    "hidden_states", "inputs_embeds", "spectrogram",
)  # fmt: skip
"""What may be a model's main input."""

GRID = (16, 16)
"""Patches of an image, for models that take patches and are told how they lie."""


def _spellings(config: Any, takes: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Specs to try for inputs by name; an input whose values are sizes is given with values."""
    channels = _stated(config, "num_channels", "in_channels", "in_chans", default=3)
    mels = _stated(config, "num_mel_bins", "input_feat_per_channel", "feature_size", "n_mels", "input_dim", default=80)
    frames = _stated(config, "num_frames", "num_image_with_embedding", default=8)
    variables = _stated(config, "num_input_channels", "input_size", default=1)
    length = _stated(config, "context_length", default=64)
    width = _stated(config, "hidden_size", "d_model", default=768)
    latent = _stated(config, "latent_dim", "codebook_dim", default=width)
    side = _stated(config, "patch_size", default=16)
    patch = channels * side**2 * _stated(config, "temporal_patch_size", default=1)
    past = max(getattr(config, "lags_sequence", None) or [0]) + length
    patches = GRID[0] * GRID[1]
    packed = any("grid_thw" in name or name == "target_sizes" for name in takes)
    found: dict[str, tuple[Any, ...]] = {
        "input_ids": ("i64[N,S]",),
        "pixel_values": (
            f"N,{channels},H,W",
            f"N,{frames},{channels},H,W",
            f"N,T,{channels},H,W",
            f"N,2,{channels},H,W",
        ),
        "pixel_values_videos": (f"N,{frames},{channels},H,W",),
        "input_values": ("N,S", "N,1,S", f"N,S,{mels}", f"N,1024,{mels}"),
        "input_features": (f"N,{mels},S", f"N,S,{mels}", "N,S,128", "N,S,560", f"N,{mels},3000", f"N,1,1001,{mels}"),
        "past_values": (f"N,{past},{variables}", f"N,{past}"),
        "inputs": ("i64[N,S]", f"N,S,{width}"),
        "hidden_states": (f"N,S,{width}",),
        "inputs_embeds": (f"N,S,{width}",),
        "spectrogram": (f"N,S,{_stated(config, 'model_in_channels', default=64)}",),
        # What goes with them.
        "past_time_features": (f"N,{past},{_stated(config, 'num_time_features', default=1)}",),
        "past_observed_mask": (f"N,{past}", f"N,{past},{variables}"),
        "past_values_padding": ("i64[N,S]",),
        "input_features_mask": ("i64[N,S]",),
        "query_embeds": (f"N,32,{width}",),
        "qformer_input_ids": ("i64[N,Q]",),
        "latents": (f"N,{latent},S", f"N,S,{latent}"),
        "noise_embeds": (f"N,S,{width}",),
        "context_hidden_states": (f"N,T,{width}",),
        "action_embeds": (f"N,A,{width}",),
        "audio_mel": (f"N,S,{_stated(config, 'input_feat_size', default=128)}",),
        "audio_mel_mask": ("bool[N,S]",),
        "pixel_position_ids": ("i64[N,P,2]",),
        "bbox": ("i64[N,S,4]", "N,S,8"),
        "visual_feats": (f"N,V,{_stated(config, 'visual_feat_dim', default=2048)}",),
        "visual_pos": ("N,V,4",),
        "states": (f"N,S,{_stated(config, 'state_dim', default=17)}",),
        "actions": (f"N,S,{_stated(config, 'act_dim', default=4)}",),
        "returns_to_go": ("N,S,1",),
        "timesteps": ("i64[N,S]",),
        "image_attention_mask": (f"i64[N,S,{frames}]",),
        "encoder_hidden_states": (f"N,E,{_stated(config, 'encoder_hidden_size', default=width)}",),
        "image_embeds_position_mask": ("bool[N,S]",),
        "task_inputs": ("i64[N,77]",),
        "prompt_pixel_values": (f"N,{channels},H,W",),
        "prompt_masks": (f"N,{channels},H,W",),
    }
    if packed:  # patches of images after one another
        found["hidden_states"] = found["pixel_values"] = (
            f"P@{patches},{patch}",
            f"P@{patches},{channels},{side},{side}",
        )
        if "merge_sizes" in takes:
            found["merge_sizes"] = (torch.tensor([2]),)
        found |= {name: (torch.tensor([[1, *GRID]]),) for name in ("grid_thw", "image_grid_thw")}
    return found


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
