"""Small models of transformers that several devices can share, by name."""

from __future__ import annotations

import torch
from torch import nn

from fxcost.capture.shim import prepare_torchvision


def make(name: str, device: str = "meta", layers: int = 2) -> nn.Module:
    """The model, in eval mode, with random weights (none on the meta device)."""
    prepare_torchvision()
    from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

    sizes = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 128,
        "max_position_embeddings": 256,
        "use_cache": False,
    }
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    makers = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**sizes)),
        "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**sizes, **experts)),
    }
    with torch.device(device):
        made: nn.Module = makers[name]()
    return made.eval()
