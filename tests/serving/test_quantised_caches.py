"""Caches that are stored quantised: against tensors that are really packed, with their scales."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fxcost.errors import SpecError
from fxcost.ir.caches import cache_bytes
from fxcost.ir.evaluate import evaluate
from fxcost.ir.widths import width
from fxcost.language import LanguageModel
from fxcost.ops.serving import ATTENTION, DEQUANTISE
from fxcost.service import check_formats, service
from fxcost.serving.answers import Load
from fxcost.target import load_target
from tests.support.language_models import captured

FORMATS = ["int8:row", "int8:4", "int4:4", "int4:3", "int4:64", "fp8:row"]


def packed(cache: torch.Tensor, name: str) -> list[torch.Tensor]:
    """Rows packed, two elements of four bits to a byte, with 16-bit scales and for int4 8-bit zero points in groups."""
    plain, _, text = name.partition(":")
    channels = cache.shape[-1]
    group = channels if text == "row" else min(int(text), channels)
    parts = cache.float().split(group, -1)
    least, most = (torch.stack([pick(part) for part in parts], -1) for pick in (_least, _most))
    if plain != "int4":
        scales = (torch.maximum(most.abs(), least.abs()) / (127 if plain == "int8" else 448)).half()
        levels = torch.cat([part / scales[..., i : i + 1] for i, part in enumerate(parts)], -1)
        return [levels.round().to(torch.int8) if plain == "int8" else levels.to(torch.float8_e4m3fn), scales]
    scales = ((most - least) / 15).half()
    zeros = (-least / scales).round().to(torch.int8)
    levels = torch.cat(
        [(part / scales[..., i : i + 1] + zeros[..., i : i + 1]).round() for i, part in enumerate(parts)], -1
    )
    nibbles = torch.nn.functional.pad(levels.clamp(0, 15).to(torch.uint8), (0, channels % 2))
    return [nibbles[..., ::2] | nibbles[..., 1::2] << 4, scales, zeros]


def _least(part: torch.Tensor) -> torch.Tensor:
    return part.amin(-1)


def _most(part: torch.Tensor) -> torch.Tensor:
    return part.amax(-1)


@pytest.fixture(scope="module", params=["llama", pytest.param("deepseek_v2", marks=pytest.mark.slow)])
def steps(request: pytest.FixtureRequest) -> tuple[Any, LanguageModel]:
    """A model with grouped queries, and one that compresses its cache."""
    return captured(request.param)


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_are_those_of_packed_tensors(steps: Any, name: str) -> None:
    """The cache of a real run, packed layer by layer."""
    model, found = steps
    with torch.no_grad():
        past = model(torch.randint(0, 90, (2, 11)), use_cache=True).past_key_values
    kept = [sum(t.nbytes for t in packed(half, name)) for each in past.layers for half in (each.keys, each.values)]
    assert evaluate(cache_bytes(found.layers, width(name)), {"N": 2, "S": 11}) == sum(kept)


@pytest.mark.parametrize("name", FORMATS)
def test_a_step_reads_packed_rows_and_writes_one(steps: Any, name: str) -> None:
    """A token more in the cache is a packed row more to read, for every sequence; the new one is written packed."""
    _, found = steps
    compressed = found.name == "deepseek_v2"
    decode, plain = (found.serving("decode", kept, (), compressed) for kept in (width(name), None))
    row = 0
    for layer in found.layers:
        for heads, channels in ((layer.key_heads, layer.key_channels), (layer.value_heads, layer.value_channels)):
            row += sum(t.nbytes for t in packed(torch.rand(heads, channels), name))
    known = {"experts": 2} if "experts" in decode.symbols else {}
    for n, s in ((2, 10), (4, 99)):
        grown = decode.read_bytes(N=n, S=s + 1, **known) - decode.read_bytes(N=n, S=s, **known)
        assert grown == row * n
        bare = 4 * sum(layer.row for layer in found.layers) * n
        written = [cost.write_bytes(N=n, S=s, **known) for cost in (plain, decode)]
        assert written[0] - written[1] == bare - row * n
    assert decode.macs.value is plain.macs.value
    assert not decode.unknown_ops
    assert not any(node.op == DEQUANTISE for node in decode.graph.nodes)


@pytest.mark.slow
def test_what_is_no_attention_gets_it_written_out() -> None:
    """DeepSeek's code multiplies the whole latent: a quantised one is written out before, and its bytes are counted."""
    found = captured("deepseek_v2")[1]
    decode = found.serving("decode", width("int8:row"))
    assert sum(node.op == DEQUANTISE for node in decode.graph.nodes) == 2 * len(found.layers)
    assert any("written out in the type to compute in" in note for note in decode.graph.notes)
    out = [row["write_bytes"] for row in decode.by_op() if row["op"] == DEQUANTISE]
    assert sum(q(N=2, S=9, experts=2) for q in out) == 4 * 2 * 10 * sum(layer.row for layer in found.layers)


def test_a_service_with_a_quantised_cache() -> None:
    """Bound and cache count rows and scales: 5 layers, 2 heads, keys and values of 8 channels, int4 in groups of 4."""
    found = captured("llama")[1]
    load = Load(prompt=30, generate=9, batch=3, cache="int4:4")
    machine = load_target("h100-sxm")
    bare = replace(machine, memory=machine.memory[-1:])
    answers = {
        cache: service(found, replace(load, cache=cache), [bare]) for cache in ("int4:4", "int8:row", "fp8", None)
    }
    row = {"int4:4": 4 + 2 * 3, "int8:row": 8 + 2, "fp8": 8, None: 32}
    for cache, each in answers.items():
        assert each.timeline[-1].cache == 5 * 2 * 2 * 3 * 38 * row[cache]
    bounds = {cache: each.machines[0].speeds[0].each_s or 0.0 for cache, each in answers.items()}
    assert bounds["fp8"] < bounds["int8:row"] == bounds["int4:4"] < bounds[None]
    decode = found.serving("decode", width("int4:4"))
    assert sum(len(node.operands) == 5 for node in decode.graph.nodes if node.op == ATTENTION) == 5


@pytest.mark.parametrize(
    ("cache", "complaint"),
    [("int2", "is not one of fp32, fp16, bf16, fp8, int4, int8"), ("int4:x", "is no group"), ("bf16:4", "only int4")],
)
def test_wrong_formats(cache: str, complaint: str) -> None:
    """One line that names what there is."""
    with pytest.raises(SpecError, match=complaint):
        check_formats(Load(cache=cache))
