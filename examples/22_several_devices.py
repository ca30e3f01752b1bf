"""Several devices: one layer of Llama-3-70B on one to eight H100, and Mixtral's.

The plan is the model's own, applied with torch's parallel styles in a process
group that sends nothing. Numbers are those of one device; what it sends to the
others is counted, and timed on the machine's interconnect.

python examples/22_several_devices.py
"""

from __future__ import annotations

import torch

from fxcost.capture.shim import prepare_torchvision
from fxcost.devices import degrees, on_devices, table_of
from fxcost.passes._interconnect import best_by_size
from fxcost.target import load_target

AT = {"N": 1, "S": 2048}


def llama() -> torch.nn.Module:
    """One layer with the sizes of Llama-3-70B, without weights."""
    from transformers import LlamaConfig, LlamaModel

    sizes = {"hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 256}
    heads = {"num_attention_heads": 64, "num_key_value_heads": 8}
    config = LlamaConfig(**sizes, **heads, num_hidden_layers=1)
    with torch.device("meta"):
        model: torch.nn.Module = LlamaModel(config)
    return model.to(torch.bfloat16)


def mixtral() -> torch.nn.Module:
    """One layer with the sizes of Mixtral-8x7B, without weights."""
    from transformers import MixtralConfig, MixtralForCausalLM

    with torch.device("meta"):
        config = MixtralConfig(num_hidden_layers=1, vocab_size=256)
        model: torch.nn.Module = MixtralForCausalLM(config)
    return model.to(torch.bfloat16)


def main() -> None:
    """Print the table, the best numbers of devices, and what experts send."""
    torch.set_num_threads(1)
    prepare_torchvision()
    found = degrees(llama(), "i64[N,S]", AT, devices=(1, 8), target="h100-sxm")
    for row in table_of(found).rows:
        sent = row.values.get("wire_bytes") or 0
        time, sending = 1e6 * (row.roofline_s or 0), 1e6 * (row.wire_s or 0)
        print(f"{row.devices} devices: {row.values['params']:>13,} parameters")
        print(f"  {row.values['macs']:,} MACs, {sent:,} bytes sent")
        print(f"  {time:,.0f} us, of which {sending:,.0f} us of sending")
    eight = found.rows[-1].cost
    if eight is not None:
        print(f"one of 8 sends {eight.wire_bytes} bytes")
    print(f"fewest that fit: {found.best('memory').devices}")
    print(f"fastest: {found.best('latency').devices}")

    link = load_target("h100-sxm").interconnect
    if link is not None:
        print("an all-reduce among 8 over", link.name)
        for piece in best_by_size("all_reduce", 8, link):
            print(f"  from {float(piece.from_bytes):,.0f} bytes on: {piece.algorithm}")

    pins = {"N": 1}
    experts = on_devices(mixtral(), "i64[N,S]", 8, plan="expert", pins=pins)
    even = next(guard for guard in experts.domain if "%" in guard)
    sent = experts.wire_bytes(S=2048)
    print(f"experts on 8 devices: one sends {sent:,} bytes of its own 2,048 tokens")
    print(f"  routed uniformly, where {even}")


if __name__ == "__main__":
    main()
