"""Default configurations of transformers, made shallow, and set right where no model can be built or run from them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

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
    "image_token_id": 4, "image_token_index": 4, "video_token_id": 5, "downsample_rate": "1/4",
    "default_language": lambda part: part.languages[0],
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
    **{  # the width of the features was counted without those of time
        kind: {"num_time_features": 1, "feature_size": 10}
        for kind in ("autoformer", "informer", "time_series_transformer")
    },
    "granite4_vision": {"deepstack_layer_map": []},
    # A misspelt key leaves timm's default architecture, whose channels are not those that are stated beside it.
    "timm_wrapper": {"architecture": lambda part: getattr(part, "archirecture", part.architecture)},
    "lw_detr": {  # of the small published one
        "projector_scale_factors": [1.0],
        "projector_in_channels": lambda part: [part.d_model],
        "num_feature_levels": 1,
    },
    "depth_pro": {"intermediate_hook_ids": [1, 0]},
    "uvdoc_backbone": {"out_features": [f"stage{n}" for n in range(1, 7)]},
    "timm_backbone": {"backbone": lambda part: part.backbone or "resnet50"},
    "dbrx": {"attn_config.rope_theta": 500000.0, "attn_config.clip_qkv": 8},
    "moonshine_streaming": {"num_key_value_heads": 8},
    "t5gemma2_text": {"dropout_rate": 0.0},
    "muse_spark_audio": {"num_hidden_layers": 4},  # a pyramid with a width for each
    "openai_privacy_filter": {"_experts_implementation": "grouped_mm"},  # as with other experts, no loop over them
    "perception_lm": {
        "vision_config.architecture": "vit_pe_core_large_patch14_336",
        "vision_config.model_args": {"embed_dim": 1024, "depth": 2, "img_size": [448, 448], "global_pool": ""},
    },
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},  # two share weights
}  # fmt: skip
"""By model type, names inside by dots: what default configurations state so that no model can be built or run from them."""


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
    stages = getattr(config, "out_indices", None) or ()
    if len(stages) > 1 and hasattr(config, "stage_names"):  # a backbone: what follows is as wide as all its outputs
        depth = max(depth, *stages)
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


def corrected(part: Any) -> None:
    """Fill in what a configuration leaves open, and set right what it states amiss."""
    by_layer = part.per_layer_attributes if getattr(part, "is_heterogeneous", False) else ()
    for name, value in LEFT_OPEN.items():
        if name in by_layer:  # stated for some of the layers, and then not to be read for all of them
            continue
        if getattr(part, name, value) is None and (not callable(value) or hasattr(part, "num_attention_heads")):
            setattr(part, name, value(part) if callable(value) else value)
    for name, value in CORRECTED.get(part.model_type, {}).items():
        *inside, last = name.split(".")
        setattr(reduce(getattr, inside, part), last, value(part) if callable(value) else value)
    width, heads = (getattr(part, name, None) for name in ("hidden_size", "num_attention_heads"))
    free = "head_dim" not in by_layer and not hasattr(part, "head_dim")
    if isinstance(width, int) and isinstance(heads, int) and free and width % heads:
        part.num_attention_heads = max(n for n in range(1, heads) if width % n == 0)


def parts(config: Any) -> Iterator[Any]:
    """A configuration and those inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            yield from parts(value)
