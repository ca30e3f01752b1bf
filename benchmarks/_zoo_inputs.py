"""Inputs to try with an architecture of transformers: by the names that `forward` takes, with sizes of its configuration."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import torch

from benchmarks._zoo_configurations import parts


def _stated(config: Any, *names: str, default: int) -> int:
    """The first of these numbers that the configuration, or one inside it, states."""
    for part in parts(config):
        for name in names:
            value = getattr(part, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return default


def _image_size(config: Any) -> int:
    """The least height and width that the configuration states."""
    stated = [getattr(part, name, None) for part in parts(config) for name in ("image_size", "max_img_size")]
    size = next((value for value in stated if value), 224)
    size = size if isinstance(size, int) else min(size)
    ratios = getattr(config, "scaled_images_ratios", None)  # the smallest copy of an image still makes a patch
    return int(config.patch_size / min(ratios)) if ratios else size


def input_sets(model_class: Any, config: Any) -> Iterator[dict[str, Any]]:
    """Keyword inputs to try, by the names that `forward` takes: the main input, then pairs, then the others.

    What `forward` demands goes with each of them; last comes everything that it takes and a spelling is known of.
    """
    takes = inspect.signature(model_class.forward).parameters
    spellings = {name: each for name, each in _spellings(config, takes).items() if name in takes}
    beside: dict[str, Any] = {}
    if "decoder_input_ids" in takes:
        beside["decoder_input_ids"] = "i64[N,T]"
    elif "decoder_input_values" in takes:
        beside["decoder_input_values"] = f"N,T,{_stated(config, 'hidden_size', default=768)}"
    main = getattr(model_class, "main_input_name", "input_ids")
    main = main if isinstance(main, str) else main[0]
    order = [main, *(name for name in spellings if name != main)]
    demanded = [name for name in spellings if takes[name].default is inspect.Parameter.empty]
    alone = [{name: spec} for name in order if name in MAIN for spec in spellings.get(name, ())]
    first = [each for each in alone if main in each]
    pairs = [{**a, **b} for a in alone for b in alone if "input_ids" in a and "input_ids" not in b]
    pairs += [{**a, **b} for a in alone for b in alone if "input_values" in a and "pixel_values_videos" in b]
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
    beyond = {name: each for name, each in spellings.items() if name not in MAIN}
    ways = [dict(zip(beyond, each, strict=True)) for each in product(*beyond.values())] if beyond else []
    for companions in ways:
        yield from ({**each, **companions} for each in [*first, *pairs] or [{}])
    if beside and masks:
        yield from ({**each, **way, masks[-1]: "i64[N,S]", **beside} for each in first for way in ways)


def _times(factor: int, dims: str) -> str:
    """Sizes of which the last is a multiple of `factor`."""
    before, comma, last = dims.rpartition(",")
    return dims if factor == 1 else f"{before}{comma}{factor}*{last}"


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
    mels = _stated(
        config, "num_mel_bins", "input_feat_per_channel", "feature_size", "n_mels", "input_dim",
        "feature_projection_input_dim", default=80,
    )  # fmt: skip
    # Sound comes in lengths that some models demand a multiple of: a token's or a window's.
    samples = _stated(config, "samples_per_token", default=1)
    window = 2 * _stated(config, "n_window", default=0)
    heard = _times(_stated(config, "audio_length_per_tok", default=window or 1), "S")
    if "input_values" in takes and "input_features" in takes:  # frames beside samples
        heard, samples = "S", math.prod(getattr(config, "downsampling_ratios", [1]))
    frames = _stated(config, "num_frames", "num_image_with_embedding", default=8)
    size = _image_size(config)
    variables = _stated(config, "num_input_channels", "input_size", default=1)
    length = _stated(config, "context_length", default=64)
    width = _stated(config, "hidden_size", "d_model", default=768)
    latent = _stated(config, "latent_dim", "codebook_dim", default=width)
    action = _stated(getattr(config, "dit_config", config), "hidden_size", default=width)
    side = _stated(config, "patch_size", default=16)
    patch = channels * side**2 * _stated(config, "temporal_patch_size", "patch_temporal", default=1)
    tile = side * _stated(config, "spatial_merge_size", default=1)
    past = max(getattr(config, "lags_sequence", None) or [0]) + length
    step = _stated(config, "patch_length", default=32)
    codebooks = _stated(config, "num_codebooks", default=1)
    patches = GRID[0] * GRID[1]
    packed = any("grid_thw" in name or name == "target_sizes" for name in takes)
    found: dict[str, tuple[Any, ...]] = {
        "input_ids": ("i64[N,S]", *([f"i64[{codebooks}*N,S]"] if codebooks > 1 else [])),
        "pixel_values": (
            f"N,{channels},H,W",
            f"N,{frames},{channels},H,W",
            f"N,T,{channels},H,W",
            f"N,2,{channels},H,W",
            f"N,{frames},{channels},H@{size},W@{size}",
            f"N,{channels},H@{size},W@{size}",
        ),
        "pixel_values_videos": (f"N,{frames},{channels},H,W",),
        "input_values": (
            _times(samples, "N,S"),
            _times(samples, "N,1,S"),
            f"N,S,{mels}",
            f"N,1024,{mels}",
            f"N,S,{width}",
        ),
        "input_features": (
            f"N,{mels},{heard}",
            f"N,{heard},{mels}",
            "N,S,128",
            "N,S,560",
            f"N,{mels},3000",
            f"N,1,1001,{mels}",
            f"N,S,{4 * mels}",  # four frames stacked
        ),
        "past_values": (f"N,{past},{variables}", f"N,{past}", f"N,{step}*P"),
        "inputs": ("i64[N,S]", f"N,S,{width}"),
        "hidden_states": (f"N,S,{width}", f"N,{_stated(config, 'channels', default=1)},S"),
        "inputs_embeds": (f"N,S,{width}",),
        "spectrogram": (f"N,S,{_stated(config, 'model_in_channels', default=64)}",),
        # What goes with them.
        "past_time_features": (f"N,{past},{_stated(config, 'num_time_features', default=1)}",),
        "past_observed_mask": (f"N,{past}", f"N,{past},{variables}"),
        "past_values_padding": (f"i64[N,{step}*P]",),
        "freq": ("i64[N,1]",),
        "input_features_mask": (f"i64[N,{heard}]", f"bool[N,{heard}]"),
        "query_embeds": (f"N,32,{width}",),
        "qformer_input_ids": ("i64[N,Q]",),
        "latents": (f"N,{latent},S", f"N,S,{latent}", *([f"N,{width},S"] if width != latent else [])),
        "noise_embeds": (f"N,S,{width}",),
        "context_hidden_states": (f"N,T,{width * len(getattr(config, 'target_layer_ids', None) or [0])}",),
        "action_embeds": (f"N,A,{action}",),
        "audio_mel": (f"N,S,{_stated(config, 'input_feat_size', default=128)}",),
        "audio_mel_mask": ("bool[N,S]",),
        "pixel_attention_mask": ("bool[N,T]",),
        "bbox": ("i64[N,S,4]", "N,S,4", "N,S,8"),
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
    }
    if "prompt_pixel_values" in takes:  # the model puts both images below one another
        names = ("pixel_values", "prompt_pixel_values", "prompt_masks")
        found |= dict.fromkeys(names, (f"N,{channels},H@{size},W@{size}",))
    if "pixel_position_ids" in takes:  # patches of an image beside one another, pooled by squares
        pooled = _stated(config, "pooling_kernel_size", default=1) ** 2
        found["pixel_values"] = (f"N,{pooled}*P,{patch}",)
        found["pixel_position_ids"] = (f"i64[N,{pooled}*P,2]",)
    if "spatial_shapes" in takes:  # patches of one image, padded, and how they lie
        found["pixel_values"] = (f"1,P={patches}..@{patches},{patch}",)
        found["pixel_attention_mask"] = ("i64[1,P]",)
        found["spatial_shapes"] = (torch.tensor([GRID]),)
    if {"input_values", "pixel_values_videos"} <= set(takes) and "input_ids" not in takes:  # many samples a frame
        found["input_values"] = ("N,1,S@15360",)
    if "classes_structure" in takes:  # of one image, and how many classes it is asked for
        height = _stated(config, "image_size", default=640)
        found["pixel_values"] = (f"1,{channels},H@{height},W@{height}",)
        found |= {f"classes_{name}": ("i64[3,S]",) for name in ("input_ids", "attention_mask")}
        found |= {f"tasks_{name}": ("i64[1,T]",) for name in ("input_ids", "attention_mask")}
        found["classes_structure"] = (torch.tensor([3]),)
    if packed:  # patches of images after one another
        found["hidden_states"] = found["pixel_values"] = (
            f"P@{patches},{patch}",
            f"P@{patches},{channels},{side},{side}",
            f"P@{patches},{tile},{tile},{channels}",
        )
        if "target_sizes" in takes:  # one image, its patches side by side
            found["pixel_values"] = (f"1,{channels},{side},{side * patches}",)
            found["target_sizes"] = (torch.tensor([GRID]),)
        if "merge_sizes" in takes:
            found["merge_sizes"] = (torch.tensor([2]),)
        found |= {name: (torch.tensor([[1, *GRID]]),) for name in ("grid_thw", "image_grid_thw")}
    return found
