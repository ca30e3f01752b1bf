"""A language model in N and S: Llama 3 8B as closed forms, and when attention costs more than everything else.

No weights are needed: the model is built on the meta device from the numbers of its configuration. First a small model,
GPT-2, whose embedding and last layer are one tensor, which must be counted once.

    python examples/04_language_model.py [--layers 32]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from textwrap import fill

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fxcost

# Token ids, and which of them are padding. Without a mask transformers asks in the forward pass whether the batch is 1:
# that case would be captured apart, which takes as long again.
TOKENS = "i64[N,S]"
MASK = {"attention_mask": "i64[N,S]"}
ATTENTION = "aten.scaled_dot_product_attention"


def llama_3_8b(layers: int) -> nn.Module:
    """Llama 3 8B from its published configuration, in bf16, without weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128_256,
        hidden_size=4_096,
        intermediate_size=14_336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,  # grouped-query attention: four query heads share keys and values
        max_position_embeddings=8_192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        tie_word_embeddings=False,
        use_cache=False,
    )
    with torch.device("meta"):
        model: nn.Module = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    return model


def counted_by_torch(model: nn.Module, n: int, s: int) -> int:
    """MACs that torch counts in a run at one size; nothing is computed on the meta device."""
    tokens = torch.zeros(n, s, dtype=torch.int64, device="meta")
    mask = torch.zeros(n, 1, s, s, dtype=torch.bool, device="meta")  # whole: of a smaller one values would be read
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens, attention_mask=mask)
    return int(counter.get_total_flops()) // 2


def formula(label: str, quantity: fxcost.Quantity) -> None:
    """A formula, wrapped."""
    print(fill(f"  {label:<15}{quantity}", 79, subsequent_indent=" " * 17, break_long_words=False))


def tied() -> None:
    """GPT-2: its vocabulary is embedded, and scored at the end, by one tensor."""
    cost = fxcost.analyze("hf:GPT2LMHeadModel", TOKENS, kwargs=MASK)
    vocabulary, width = 50_257, 768
    print(
        f"GPT-2: {cost.params():,} parameters; {cost.params() + vocabulary * width:,} if the tied tensor counted twice"
    )
    formula("MACs", cost.macs)


def main() -> None:
    """Capture two models, then ask."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--layers", type=int, default=32, help="fewer are captured faster; parameters and MACs shrink")
    layers = parser.parse_args().layers

    tied()

    model = llama_3_8b(layers)
    cost = fxcost.analyze(model, TOKENS, kwargs=MASK)
    by_op = {row["op"]: row["macs"] for row in cost.by_op()}
    by_module = {row["module"]: row["macs"] for row in cost.by_module(depth=1)}
    linear, attention = replace(by_op["aten.linear"], name="linear"), replace(by_op[ATTENTION], name="attention")

    print(
        f"\nLlama 3 8B, {layers} layers: {cost.params():,} parameters, {cost.model_bytes() / fxcost.GB:.2f} GB in bf16"
    )
    print("MACs for N sequences of S tokens")
    formula("all", cost.macs)
    formula("linear", linear)
    formula("of which last", by_module["lm_head"])
    formula("attention", attention)
    n, s = 2, 1_000
    print(f"  At N={n}, S={s:,}: {cost.macs(N=n, S=s):,}; torch counts {counted_by_torch(model, n, s):,}")

    print("\nFrom which length on does attention cost more than all linear layers?")
    crossing = cost.solve(attention > linear, wrt="S", at={"N": 1})
    print(f"  S >= {crossing.min:,}")
    print(fill(crossing.proof, 78, initial_indent="  ", subsequent_indent="  "))

    print("\nPeak memory of activations in bytes, without a cache for later tokens")
    formula("peak", cost.peak_memory)
    print(f"\n{'S':>9} {'PMAC':>9} {'attention':>10} {'peak, GB':>10}  owner of the peak")
    for s in (1_024, 8_192, 32_768, 131_072):
        owner = cost.peak_owner(N=1, S=s)
        share = attention(N=1, S=s) / cost.macs(N=1, S=s)
        peak = cost.peak_memory(N=1, S=s) / fxcost.GB
        print(f"{s:>9,} {cost.macs(N=1, S=s) / 1e15:>9.3f} {share:>10.1%} {peak:>10.2f}  {owner.module}: {owner.node}")
    print("  Of a long sequence the mask is the peak: S x S elements of one byte.")


if __name__ == "__main__":
    main()
