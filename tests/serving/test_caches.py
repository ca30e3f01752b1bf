"""A cache given as pairs of tensors, and a static one: the same step in other clothes."""

from __future__ import annotations

import pytest
import torch

import fxcost
from fxcost.errors import OutsideDomain, SpecError
from fxcost.language import language_model
from tests.support.commands import shell
from tests.support.language_models import MODELS, captured

PAIRS = "[(f32[N,2,S,8],f32[N,2,S,8])*5]"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_pairs_of_tensors_are_a_cache(name: str) -> None:
    """Typed as a nested spec, the cache gives the step that the language model has; logits of all tokens are one's."""
    with torch.device("meta"):
        model = MODELS["llama"]().eval()
    cost = fxcost.analyze(model, "i64[N,1]", kwargs={name: PAIRS})
    decode = captured("llama")[1].decode
    assert cost.macs.value is decode.macs.value
    assert cost.peak_memory(N=2, S=9) == decode.peak_memory(N=2, S=9)
    assert not any("use_cache was switched off" in note for note in cost.graph.notes)


@pytest.mark.slow
def test_a_static_cache_is_written_in_place() -> None:
    """Its S is the length of the buffer: attention meets all of it; only new rows are written, nothing is copied."""
    with torch.device("meta"):
        model = MODELS["llama"]().eval()
    static = language_model(model, cache="static", name="static").decode
    dynamic = captured("llama")[1].decode
    assert static.macs(N=2, S=11) == dynamic.macs(N=2, S=10)
    stored = {row["op"]: row["write_bytes"] for row in static.by_op()}
    assert stored["aten.index_copy_"](N=2, S=11) == 2 * 5 * 2 * 8 * 4 * 2
    assert "aten.cat" in stored, "rotary embeddings concatenate, too"
    assert stored["aten.cat"](N=2, S=11) == stored["aten.cat"](N=2, S=12)


@pytest.mark.slow
def test_a_static_cache_with_windows_is_refused() -> None:
    """Once full it runs other code: one line that says so."""
    with torch.device("meta"):
        model = MODELS["mistral"]().eval()
    with pytest.raises(SpecError, match="take cache='dynamic'"):
        language_model(model, cache="static")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("llm nowhere/at-all", "no such file or folder, and transformers has no such class"),
        ("llm LlamaForCausalLMM", "did you mean 'LlamaForCausalLM'"),
        ("llm ViTModel", "takes no key-value cache"),
        ("llm T5ForConditionalGeneration", "has an encoder as well"),
        ("llm LlamaForCausalLM --kv-cache int2", "cache format 'int2' is not one of"),
        ("llm LlamaForCausalLM --weights int4:x", "'x' is no group"),
        ("llm LlamaForCausalLM --batch 0", "batch=0"),
        ("llm LlamaForCausalLM --target h100-smx", "h100-sxm"),
    ],
)
def test_wrong_input_is_one_line(line: str, complaint: str) -> None:
    """Exit code 2, no traceback, what to do."""
    ran = shell(line)
    assert ran.code == 2
    assert complaint in ran.err
    assert ran.err.count("\n") <= 3
    assert "Traceback" not in ran.err


def test_what_does_not_hold_is_said_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types a command cannot capture anew: other sizes are what there is to choose, by the command's own names."""

    def outside(*_: object) -> None:
        raise OutsideDomain("macs at N=1: the formula holds where N >= 2", "call with recapture=True")

    monkeypatch.setattr("fxcost.language.language_model", lambda *_, **__: None)
    monkeypatch.setattr("fxcost.service.service", outside)
    ran = shell("llm LlamaForCausalLM")
    assert (ran.code, ran.err) == (
        2,
        "fxcost: macs at N=1: the formula holds where N >= 2; choose another --prompt, --generate or --batch\n",
    )


@pytest.mark.slow
def test_the_table_fits_80_columns() -> None:
    """A model with experts, formats, and a machine; every line."""
    ran = shell("llm DATA/tiny_mixtral --target h100-sxm --target t4 --prompt 16 --generate 4 --batch 2 --proof")
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "largest batch N = " in ran.out
    assert "With choices equally likely and" in ran.out
