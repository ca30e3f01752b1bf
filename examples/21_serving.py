"""A language model in service: Mixtral's experts and cache, what a step moves, batch and speed on an H100.

No weights are needed: both steps of the model, reading a prompt and adding a token behind a cache, are captured from its
configuration. The cache's length is a size like any other, so that all answers are formulas, solved with a proof.

    python examples/21_serving.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import fill

import fxcost
from fxcost.language import language_model
from fxcost.service import service
from fxcost.serving.answers import Load


def formula(label: str, quantity: fxcost.Quantity) -> None:
    """A formula, wrapped."""
    print(fill(f"  {label:<18}{quantity}", 79, subsequent_indent=" " * 20, break_long_words=False))


def main() -> None:
    """Capture once, then ask."""
    model = language_model(str(Path(__file__).parent / "mixtral-8x7b"), name="Mixtral 8x7B")
    load = Load(prompt=2048, generate=256, batch=16, weights="int4:128", cache="fp8")
    machine = fxcost.load_target("h100-sxm")
    found = service(model, load, [machine])
    print(f"{found.model}: {found.params:,} parameters, {found.params_active:,} for a token")
    print(fill("; ".join(model.notes), 79, initial_indent="  ", subsequent_indent="  "))

    print("\nOne token behind S others, N sequences; weights int4 in groups of 128, cache fp8")
    for label, name in (
        ("MACs", "decode.macs"),
        ("cache, bytes", "cache"),
        ("read, bytes", "decode.read_bytes"),
        ("as captured", "decode.traced.read_bytes"),
        ("weights, bytes", "decode.weight_bytes"),
    ):
        formula(label, found.quantities[name])
    print("  Captured, the cache is concatenated and its heads repeated: no engine does.")

    assert found.experts is not None
    print("\nHow many of the 8 experts do N tokens read in a layer?")
    expected = ", ".join(f"{n}: {float(found.experts.touched(n)):.2f}" for n in (1, 2, 4, 8, 16, 32))
    print(f"  expected {expected}")

    print("\nFrom which length on does the cache outweigh the weights?")
    for batch in (1, 16, 64):
        exceeds = service(model, replace(load, batch=batch)).exceeds
        print(f"  {batch:>2} sequences: S >= {exceeds.min:,}")

    (answer,) = found.machines
    print(f"\nOn {answer.target}, {load.batch} sequences, prompts of {load.prompt:,}, {load.generate} generated")
    print(f"  {'latency':<12}{'first token':>12}{'each further':>14}{'tokens/s':>10}")
    for speed in answer.speeds:
        each = "" if speed.each_s is None else f"{speed.each_s * 1e3:.2f} ms"
        print(f"  {speed.kind:<12}{speed.first_s * 1e3:>9.0f} ms{each:>14}{speed.tokens_per_s or 0:>10,.0f}")
    assert answer.largest_batch is not None
    print(f"  largest batch: {answer.largest_batch.max}")
    for step in answer.largest_batch.proof.split("; "):
        print(f"    {step}")
    print(fill(f"  a decoding step is {answer.compute_bound}", 79, subsequent_indent="    "))

    print("\nMemory over the generation, GB")
    for moment in found.timeline:
        total = moment.total / fxcost.GB
        print(
            f"  {moment.tokens:>6,} tokens  cache {moment.cache / fxcost.GB:>6.2f}  in all {total:>6.2f}  {moment.what}"
        )


if __name__ == "__main__":
    main()
