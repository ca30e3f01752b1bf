"""What two calculators of language models give, by the formulas that they publish: neither is written in this project.

LLM-Viewer (hahnyuan/LLM-Viewer, `ModelAnalyzer.analyze`) is on no package registry: its formulas are restated here.
llm-analysis 0.2.2 is; its formulas are restated as well, so that this table needs no further package, and were compared
with what the package itself computes.

Counts are of multiply-accumulates: their FLOPs halved, without what they count for norms, additions and softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Given:
    """What both read from a configuration."""

    width: int
    layers: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int
    experts: int = 1
    chosen: int = 1

    @classmethod
    def of(cls, config: Any) -> Given:
        """From a configuration of transformers."""
        heads = config.num_attention_heads
        return cls(
            config.hidden_size,
            config.num_hidden_layers,
            heads,
            getattr(config, "num_key_value_heads", heads),
            config.intermediate_size,
            config.vocab_size,
            getattr(config, "num_local_experts", None) or getattr(config, "n_routed_experts", None) or 1,
            getattr(config, "num_experts_per_tok", None) or 1,
        )


@dataclass(frozen=True)
class Figures:
    """MACs of a prefill and of a decoding step; bytes of the cache, and of cache read and written by a step; bf16."""

    prefill: float
    decode: float
    cache: float
    moved: float


def llm_viewer(g: Given, batch: int, past: int) -> Figures:
    """Linear layers, two products of attention, and the last layer, whose products it counts once instead of twice."""
    projections = 2 * g.width**2 + 2 * g.width * g.width * g.key_heads / g.heads
    token = projections + 3 * g.width * g.inner
    head = g.width // g.heads
    last = batch * g.width * g.vocabulary / 2
    pairs = 2 * head * g.heads * batch
    rows = 2 * g.layers * batch * g.width * g.key_heads / g.heads * 2
    return Figures(
        prefill=g.layers * (token * batch * past + pairs * past * past) + last,
        decode=g.layers * (token * batch + pairs * past) + last,
        cache=rows * past,
        moved=g.layers * 2 * past * head * batch * g.heads * 2 + rows,  # reads are those of all query heads
    )


def llm_analysis(g: Given, batch: int, past: int) -> Figures:
    """`get_num_flops_fwd_total`; a step is a forward pass of one token, and moves the whole cache twice."""
    groups = g.heads // g.key_heads

    def forward(tokens: int) -> float:
        attention = 4 * batch * tokens * g.width**2 * (1 + 1 / groups) + 4 * batch * tokens**2 * g.width
        return (
            (attention + 16 * batch * tokens * g.width**2) * g.layers + 2 * batch * tokens * g.width * g.vocabulary
        ) / 2

    cache = 2 * batch * past * g.width / g.heads * g.key_heads * 2 * g.layers
    return Figures(forward(past), forward(1), cache, 2 * cache)
