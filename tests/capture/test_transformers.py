"""Small language models with random configurations: the S^2 term, grouped queries, tied weights, S = 1 and N = 1."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import fxcost
from fxcost.capture.shim import prepare_torchvision
from tests.support.counter import count

prepare_torchvision()
transformers = pytest.importorskip("transformers")

SIZES = [(1, 17), (3, 33), (5, 64), (1, 1), (2, 1)]


def llama() -> Any:
    """Two layers, eight query heads on two key heads."""
    config = transformers.LlamaConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=96,
        vocab_size=300,
        use_cache=False,
    )
    return transformers.LlamaForCausalLM(config)


def bert() -> Any:
    """Two layers; a pooler over the first token."""
    config = transformers.BertConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, vocab_size=300
    )
    return transformers.BertModel(config)


def gpt2() -> Any:
    """Two layers; the output matrix is the embedding."""
    config = transformers.GPT2Config(n_embd=48, n_layer=2, n_head=4, vocab_size=300, use_cache=False)
    return transformers.GPT2LMHeadModel(config)


MODELS = [llama, pytest.param(bert, marks=pytest.mark.slow), pytest.param(gpt2, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=MODELS)
def captured(request: pytest.FixtureRequest) -> tuple[Any, fxcost.Cost]:
    """A model on the CPU with random weights, and its costs."""
    model = request.param().eval()
    return model, fxcost.analyze(model, "i64[N,S]")


@pytest.mark.parametrize(("batch", "length"), SIZES)
def test_macs_equal_a_dispatch_count(captured: Any, batch: int, length: int) -> None:
    """One capture, then other sizes: what a real run dispatches, counted by hand."""
    model, cost = captured
    assert cost.macs(N=batch, S=length) == count(model, torch.zeros(batch, length, dtype=torch.int64))


@pytest.mark.parametrize(("batch", "length"), SIZES)
def test_peak_memory_is_what_a_run_takes(captured: Any, batch: int, length: int) -> None:
    """At S = 1 and N = 1, too, where copies become views and the model's code branches."""
    model, cost = captured
    inputs = (torch.zeros(batch, length, dtype=torch.int64),)
    with torch.no_grad():
        program = torch.export.export(model, inputs, strict=False)
    measured = fxcost.measure_peak(program, inputs)
    assert cost.peak_memory(N=batch, S=length) == measured.values
    assert cost.peak_memory_with_scratch(N=batch, S=length) == measured.everything


def test_attention_is_quadratic(captured: Any) -> None:
    """Second differences in S are those of the S^2 term: two layers, 2 * hidden per pair of tokens."""
    model, cost = captured
    at = [cost.macs(N=1, S=s) for s in (10, 11, 12)]
    hidden = model.config.hidden_size
    assert at[2] - 2 * at[1] + at[0] == 2 * (2 * 2 * hidden)


def test_tied_weights_count_once(captured: Any) -> None:
    """Distinct parameters, as `parameters()` gives them."""
    model, cost = captured
    assert int(cost.params) == sum(p.numel() for p in model.parameters())


@pytest.mark.slow
def test_grad_mode_does_not_matter() -> None:
    """The same formulas under no_grad, where torch would take fused fast paths."""
    model = bert().eval()
    with torch.no_grad():
        without = fxcost.analyze(model, "i64[N,S]", check=False)
    assert without.macs.value is fxcost.analyze(model, "i64[N,S]", check=False).macs.value


@pytest.mark.parametrize("point", [{"N": 1, "S": 24}, {"N": 1, "S": 1}])
def test_a_capture_at_sizes_of_one_says_what_the_formulas_say(captured: Any, point: dict[str, int]) -> None:
    """Nobody can tell whether an answer came from a region's formulas or from a capture at that size."""
    _, cost = captured
    again = cost.recapture(point)
    for name in ("macs", "peak_memory", "activation_bytes", "read_bytes", "write_bytes"):
        assert again.total(name).at(point) == cost.total(name).at(point), name
