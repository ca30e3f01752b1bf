"""Models behind the MLIR in tests/data/dialects, in PyTorch and in jax: small, with every kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class TinyNet(nn.Module):
    """Convolutions dense, depthwise and grouped, batch norm, pooling, a mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1, groups=2)
        self.pool, self.last = nn.MaxPool2d(2), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = self.pool(self.grouped(x + self.depthwise(x)))
        result: torch.Tensor = self.last(x.mean((2, 3)))
        return result


def tiny_bert() -> nn.Module:
    """Two layers of BERT, 64 wide, four heads; ids of 2 x 16."""
    from fxcost.capture.shim import prepare_torchvision

    prepare_torchvision()  # transformers looks whether it is there
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        vocab_size=300,
        attn_implementation="eager",
    )

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(config, add_pooling_layer=False)
            for module in self.bert.modules():
                module._non_persistent_buffers_set.clear()  # torch-mlir looks for every buffer in the state

        def forward(self, ids: torch.Tensor) -> Any:
            return self.bert(ids).last_hidden_state

    return Hidden().eval()


def jax_models() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """A convnet and a transformer, with the shapes of their arguments."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import lax

    def convolved(x: Any, kernel: Any, stride: int = 1, groups: int = 1) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), "SAME", dimension_numbers=numbers, feature_group_count=groups
        )

    def convnet(p: Any, x: Any) -> Any:
        x = jax.nn.relu(convolved(x, p["first"], 2))
        x = jax.nn.relu(x + convolved(convolved(x, p["depthwise"], 1, 16), p["pointwise"]))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return x.mean((1, 2)) @ p["last"] + p["bias"]

    def normed(x: Any, p: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p[name + "g"] + p[name + "b"]

    def block(p: Any, x: Any) -> Any:
        h = normed(x, p, "1")
        q, k, v = ((h @ p[name]).reshape(*x.shape[:2], 4, 8) for name in "qkv")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(8)
        scores = jnp.where(jnp.tril(jnp.ones((x.shape[1],) * 2, bool)), scores, -1e9)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v).reshape(x.shape)
        x = x + mixed @ p["o"]
        return x + jax.nn.gelu(normed(x, p, "2") @ p["up"]) @ p["down"]

    def transformer(p: Any, ids: Any) -> Any:
        x = p["embedding"][ids]
        for layer in p["layers"]:
            x = block(layer, x)
        return x @ p["embedding"].T

    def shape(*sizes: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(sizes, dtype)

    first = {"first": shape(3, 3, 3, 16), "depthwise": shape(3, 3, 1, 16), "pointwise": shape(1, 1, 16, 16)}
    layer = {name: shape(32, 32) for name in "qkvo"} | {"up": shape(32, 64), "down": shape(64, 32)}
    layer |= {f"{i}{kind}": shape(32) for i in "12" for kind in "gb"}
    return {
        "jax_convnet": (convnet, ({**first, "last": shape(16, 10), "bias": shape(10)}, shape(2, 32, 32, 3))),
        "jax_transformer": (
            transformer,
            ({"embedding": shape(100, 32), "layers": [layer, layer]}, shape(2, 16, dtype=jnp.int32)),
        ),
    }
