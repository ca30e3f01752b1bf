"""Language models as published: closed forms of prefill and decode beside torch's count and two calculators.

Every model is built from its configuration without weights and captured as `fxcost llm` does it. The formulas are checked
at sizes that were not traced against torch's own counter on the whole model, run with transformers' own cache on the meta
device; beside them stand LLM-Viewer's and llm-analysis' figures as ratios to ours.

    python benchmarks/language_models.py [--json] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, from anywhere

from torch.utils.flop_counter import FlopCounterMode

from benchmarks._common import Result
from benchmarks._language_peers import Figures, Given, llm_analysis, llm_viewer
from fxcost.capture.count import _blind_spots
from fxcost.capture.eager import as_traced
from fxcost.capture.shim import prepare_torchvision

prepare_torchvision()
COLUMNS = ("model", "figure", "formula", "torch", "LLM-Viewer", "llm-analysis")
BATCH, PAST = 4, 3000
SIZES = ((1, 57), (BATCH, PAST))


def _transformers() -> Any:
    import transformers

    return transformers


def llama_3_8b() -> Any:
    """32 layers, 32 query heads on 8 key heads."""
    return _transformers().LlamaConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, architectures=["LlamaForCausalLM"], dtype="bfloat16",
    )  # fmt: skip


def llama_3_70b() -> Any:
    """80 layers, 64 query heads on 8 key heads."""
    return _transformers().LlamaConfig(
        vocab_size=128_256, hidden_size=8192, intermediate_size=28_672, num_hidden_layers=80, num_attention_heads=64,
        num_key_value_heads=8, architectures=["LlamaForCausalLM"], dtype="bfloat16",
    )  # fmt: skip


def qwen2_7b() -> Any:
    """28 layers, 28 query heads on 4 key heads, biases on queries, keys and values."""
    return _transformers().Qwen2Config(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28, num_attention_heads=28,
        num_key_value_heads=4, use_sliding_window=False, architectures=["Qwen2ForCausalLM"], dtype="bfloat16",
    )  # fmt: skip


def mixtral_8x7b() -> Any:
    """Eight experts in each of 32 layers, two for a token."""
    return _transformers().MixtralConfig(architectures=["MixtralForCausalLM"], sliding_window=None, dtype="bfloat16")


def deepseek_v2() -> Any:
    """Compressed keys and values; 160 experts, six for a token, two for all; the first layer dense."""
    return _transformers().DeepseekV2Config(
        vocab_size=102_400, hidden_size=5120, intermediate_size=12_288, moe_intermediate_size=1536, num_hidden_layers=60,
        num_attention_heads=128, num_key_value_heads=128, q_lora_rank=1536, kv_lora_rank=512, qk_rope_head_dim=64,
        qk_nope_head_dim=128, v_head_dim=128, n_routed_experts=160, num_experts_per_tok=6, n_shared_experts=2, n_group=8,
        topk_group=3, topk_method="group_limited_greedy", first_k_dense_replace=1,
        architectures=["DeepseekV2ForCausalLM"], dtype="bfloat16",
    )  # fmt: skip


def gemma_2_9b() -> Any:
    """42 layers, every other one with a window of 4096; heads of 256 channels, wider together than the model."""
    return _transformers().Gemma2Config(
        vocab_size=256_000, hidden_size=3584, intermediate_size=14_336, num_hidden_layers=42, num_attention_heads=16,
        num_key_value_heads=8, head_dim=256, sliding_window=4096, architectures=["Gemma2ForCausalLM"], dtype="bfloat16",
    )  # fmt: skip


MODELS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (llama_3_8b, llama_3_70b, qwen2_7b, mixtral_8x7b, deepseek_v2, gemma_2_9b)
}


def built(config: Any) -> Any:
    """The model of a configuration on the meta device, in bf16."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return getattr(_transformers(), config.architectures[0])(config).eval()
    finally:
        torch.set_default_dtype(before)


def counted(model: Any, batch: int, past: int) -> tuple[int, int]:
    """MACs that torch counts in a prefill and in the step after it, with transformers' own cache."""
    tokens = torch.zeros(batch, past, dtype=torch.int64, device="meta")
    found, cache = [], None
    with torch.no_grad(), as_traced():
        for step in (tokens, tokens[:, :1]):
            with FlopCounterMode(display=False, custom_mapping=_blind_spots()) as counter:
                cache = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values
            found.append(int(counter.get_total_flops()) // 2)
    return found[0], found[1]


def measured(name: str) -> dict[str, Any]:
    """One model: seconds and memory of its capture, formulas, torch's counts and both calculators' figures."""
    from fxcost.ir.caches import cache_bytes
    from fxcost.ir.evaluate import evaluate
    from fxcost.language import language_model

    config = MODELS[name]()
    start = time.process_time()
    model = built(config)
    found = language_model(model, name=name)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    agree = {"prefill": True, "decode": True}
    counts = (0, 0)
    for batch, past in SIZES:
        counts = counted(model, batch, past)
        agree["prefill"] &= found.prefill.macs(N=batch, S=past) == counts[0]
        agree["decode"] &= found.decode.macs(N=batch, S=past) == counts[1]
    served, point = found.serving("decode"), {"N": BATCH, "S": PAST}
    row = sum(layer.row * layer.dtype.bytes for layer in found.layers) * BATCH
    cache = evaluate(cache_bytes(found.layers), point)
    ours = Figures(found.prefill.macs(**point), found.decode.macs(**point), cache, cache + row)
    given = Given.of(config)
    return {
        "params": int(found.decode.params),
        "params_active": int(found.decode.params_active),
        "seconds": round(seconds, 1),
        "rss_bytes": memory,
        "blocks": found.notes[-1] if found.notes else "captured whole",
        "standing": str(found.decode.standing),
        "formulas": {
            "prefill": str(found.prefill.macs),
            "decode": str(found.decode.macs),
            "cache": str(cache_bytes(found.layers)),
            "moved": f"cache + {row // BATCH}*N",
        },
        "torch": agree,
        "traced_over_served": (found.decode.read_bytes(**point) + found.decode.write_bytes(**point))
        / sum(
            served.total(n)(**point, **({"experts": 1} if "experts" in served.symbols else {}))
            for n in ("read_bytes", "write_bytes")
        ),
        "ours": asdict(ours),
        "LLM-Viewer": asdict(llm_viewer(given, BATCH, PAST)),
        "llm-analysis": asdict(llm_analysis(given, BATCH, PAST)),
    }


def rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """The table's lines of a model: ratios of the calculators' figures to ours."""
    lines = []
    for figure, formula in found["formulas"].items():
        peers = [f"{found[peer][figure] / found['ours'][figure]:.3f}" for peer in ("LLM-Viewer", "llm-analysis")]
        torch_says = {True: "equal", False: "DIFFERS"}.get(found["torch"].get(figure), "")
        lines.append([name, figure, formula, torch_says, *peers])
    return lines


def alone(name: str) -> dict[str, Any]:
    """A model in a process of its own, so that memory is its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--json", "--model", name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure all models, or print the figures of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")
    parser.add_argument("--model", choices=MODELS, help="this model alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.model and given.json:
        print(json.dumps(measured(given.model), indent=1))
        return
    names = [given.model] if given.model else list(MODELS)
    found = {name: alone(name) for name in names}
    notes = [
        f"{name}: {each['params']:,} parameters ({each['params_active']:,} active), {each['seconds']} CPU s, peak RSS "
        f"{each['rss_bytes'] / 1e9:.2f} GB, {each['standing']}; {each['blocks']}; decode as captured moves "
        f"{each['traced_over_served']:.1f} times the activations and cache of the serving view"
        for name, each in found.items()
    ]
    notes += [
        f"figures at N = {BATCH}, S = {PAST:,}: MACs of a prefill and of a decoding step, bytes of the cache, bytes of it "
        "read and written by a step; peers as ratios to ours, bf16",
        "torch: FlopCounterMode over the whole model with transformers' cache on the meta device, at "
        + " and ".join(f"N={n}, S={s:,}" for n, s in SIZES),
        "LLM-Viewer reads the cache of all query heads where key heads are fewer, counts the last layer's products once "
        "instead of twice, attends to S tokens instead of S + 1, takes heads to be hidden/heads wide, knows neither "
        "windows nor experts nor compressed caches",
        "llm-analysis counts no attention to the cache when decoding, a feed-forward of 8*hidden^2 whatever its size, "
        "logits of all positions in a prefill, and moves the whole cache twice in every step",
    ]
    lines = [line for name, each in found.items() for line in rows(name, each)]
    title = "Language models: closed forms, and what two calculators give"
    Result(title, COLUMNS, lines, notes, {"models": found}).show(given.json)


if __name__ == "__main__":
    main()
