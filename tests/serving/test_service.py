"""Answers about a language model in service: each against a computation of its own."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import pytest

import fxcost
from fxcost.errors import SpecError
from fxcost.ir.types import TensorType
from fxcost.ir.widths import width
from fxcost.language import LanguageModel
from fxcost.service import check_formats, service
from fxcost.serving.answers import Experts, Load
from fxcost.target import load_target
from tests.support.language_models import captured

LOAD = Load(prompt=30, generate=9, batch=3)


@pytest.fixture(scope="module")
def llama() -> tuple[Any, LanguageModel]:
    """Five layers, four query heads on two key heads of eight channels, fp32."""
    return captured("llama")


# -- the serving view --------------------------------------------------------------------------------------------------
def test_a_step_reads_the_cache_once_and_writes_one_row(llama: Any) -> None:
    """2*L*N*Hkv*D*S elements read, 2*L*N*Hkv*D written, four bytes each."""
    decode = llama[1].serving("decode")
    row = 2 * 5 * 2 * 8 * 4
    for n, s in ((1, 10), (4, 500)):
        assert decode.read_bytes(N=n, S=s + 1) - decode.read_bytes(N=n, S=s) == row * n
        assert decode.write_bytes(N=n, S=s + 1) == decode.write_bytes(N=n, S=s)
        stored = [r["write_bytes"] for r in decode.by_op() if r["op"] == "serving.append"]
        assert sum(q(N=n, S=s) for q in stored) == row * n


def test_the_traced_step_copies_the_cache(llama: Any) -> None:
    """Concatenation reads and writes all of it; repeated heads are written twice as large and read again."""
    _, model = llama
    traced, served = model.decode, model.serving("decode")
    row = 2 * 5 * 2 * 8 * 4
    written = traced.write_bytes(N=1, S=101) - traced.write_bytes(N=1, S=100)
    mask = 8 + 8 + 1  # positions counted, shifted, compared
    assert written == row + 2 * row + mask  # concatenated, repeated
    assert served.write_bytes(N=1, S=101) == served.write_bytes(N=1, S=100)


@pytest.mark.parametrize("name", ["llama", pytest.param("gemma2", marks=pytest.mark.slow)])
def test_no_scores_are_written(name: str) -> None:
    """Nothing in the serving view of a prefill grows with the square of its tokens; as captured, masks do."""
    model = captured(name)[1]

    def squares(cost: fxcost.Cost) -> int:
        kinds = [v.type for node in cost.graph.nodes for v in node.results]
        return sum("S**2" in str(kind.numel) for kind in kinds if isinstance(kind, TensorType))

    assert squares(model.prefill) > 0
    assert squares(model.serving("prefill")) == 0


def test_a_narrow_cache_moves_less(llama: Any) -> None:
    """fp8 rows take a quarter of fp32 ones, read and written; products stay what they are."""
    _, model = llama
    plain, narrow = model.serving("decode"), model.serving("decode", width("fp8"))
    for n, s in ((1, 10), (2, 99)):
        grown = [c.read_bytes(N=n, S=s + 1) - c.read_bytes(N=n, S=s) for c in (plain, narrow)]
        assert grown[0] == 4 * grown[1]
    assert narrow.macs.value is plain.macs.value


# -- experts -----------------------------------------------------------------------------------------------------------
def test_expected_experts_equal_counting_all_choices() -> None:
    """Four experts, two for each of three tokens: the mean over all 6**3 choices."""
    choices = list(combinations(range(4), 2))
    sizes = [len({e for pick in picks for e in pick}) for picks in product(choices, repeat=3)]
    assert Experts(4, 2).touched(3) == Fraction(sum(sizes), len(sizes))
    assert Experts(8, 2).touched(1) == 2


@pytest.mark.slow
def test_expert_traffic_is_that_of_the_experts_read() -> None:
    """Three matrices of 32 x 48 in each of five layers, four bytes an element, for every expert more."""
    decode = captured("mixtral")[1].serving("decode")
    assert decode.weight_bytes(N=1, S=9, experts=3) - decode.weight_bytes(N=1, S=9, experts=2) == 5 * 3 * 32 * 48 * 4
    whole = captured("mixtral")[1].decode.weight_bytes(N=1, S=9)
    assert decode.weight_bytes(N=1, S=9, experts=4) == whole


# -- answers -----------------------------------------------------------------------------------------------------------
def test_weights_in_groups_are_counted_with_their_scales(llama: Any) -> None:
    """int4 in groups of 16: half a byte an element and three bytes a group in the blocks' matrices; all else fp32."""
    model, steps = llama
    expected = 0
    for name, p in model.named_parameters():
        in_block = name.startswith("model.layers.") and p.ndim == 2
        groups = p.shape[0] * -(-p.shape[-1] // 16) if in_block else 0
        expected += p.numel() // 2 + 3 * groups if in_block else 4 * p.numel()
    found = service(steps, replace(LOAD, weights="int4:16"))
    assert int(found.quantities["weights"]) == expected
    rows = service(steps, replace(LOAD, weights="int8"))
    blocks = [p for name, p in model.named_parameters() if name.startswith("model.layers.") and p.ndim == 2]
    narrow = sum(p.numel() + 2 * p.shape[0] for p in blocks)
    rest = 4 * (sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in blocks))
    assert int(rows.quantities["weights"]) == narrow + rest


def test_the_cache_exceeds_the_weights_from_there_on(llama: Any) -> None:
    """Both sides computed at the threshold and before it."""
    model, steps = llama
    found = service(steps, LOAD)
    weights = 4 * sum(p.numel() for p in model.parameters())
    first = found.exceeds.min
    row = 2 * 5 * 2 * 8 * 4 * LOAD.batch
    assert first is not None
    assert row * (first - 1) <= weights < row * first


def test_the_largest_batch_fits_and_the_next_does_not(llama: Any) -> None:
    """Weights, cache at the end, and the larger of both steps' activations, in 3 MB."""
    _, steps = llama
    machine = load_target("h100-sxm")
    *near, main = machine.memory
    small = replace(machine, memory=(*near, replace(main, capacity_bytes=3_000_000)))
    (found,) = service(steps, LOAD, [small]).machines
    decode, prefill = steps.serving("decode"), steps.serving("prefill")

    def need(batch: int, prompt: int, tokens: int) -> int:
        kept = 2 * 5 * 2 * 8 * 4 * batch * tokens
        peaks = [prefill.peak_memory(N=batch, S=prompt)]
        if tokens > prompt:
            peaks.append(decode.peak_memory(N=batch, S=tokens - 1))
        return int(int(decode.model_bytes) + kept + max(peaks))

    batch, prompt = found.largest_batch, found.largest_prompt
    assert batch is not None
    assert prompt is not None
    assert need(batch.max or 0, 30, 38) <= 3_000_000 < need((batch.max or 0) + 1, 30, 38)
    assert (
        need(3, prompt.max or 0, prompt.max or 0) <= 3_000_000 < need(3, (prompt.max or 0) + 1, (prompt.max or 0) + 1)
    )
    assert found.fits is True


def test_times_are_those_of_the_steps(llama: Any) -> None:
    """The first token is the prefill, every further one a step with one more token behind it."""
    _, steps = llama
    (found,) = service(steps, LOAD, [load_target("h100-sxm")]).machines
    for speed in found.speeds:
        first = getattr(steps.serving("prefill").on("h100-sxm", at={"N": 3, "S": 30}), speed.kind)
        later = [
            getattr(steps.serving("decode").on("h100-sxm", at={"N": 3, "S": s}), speed.kind) for s in range(30, 38)
        ]
        assert speed.first_s == pytest.approx(first)
        assert speed.each_s == pytest.approx(sum(later) / 8)
        assert speed.whole_s == pytest.approx(first + sum(later))
        assert speed.tokens_per_s == pytest.approx(3 * 8 / sum(later))
    assert [speed.kind for speed in found.speeds] == ["bound", "roofline", "calibrated"]


def test_decoding_turns_compute_bound_where_the_sides_cross(llama: Any) -> None:
    """2*MACs / peak against weights, cache, tokens and logits over bandwidth, in fractions, before and after."""
    _, steps = llama
    machine = load_target("h100-sxm")
    bare = replace(machine, memory=machine.memory[-1:])  # of so small a model all would stay in a cache
    (found,) = service(steps, Load(prompt=1, generate=2, batch=1), [bare]).machines
    decode = steps.serving("decode")
    used = int(decode.model_bytes) - 97 * 32 * 4  # of the embedding, rows are read
    for n in (1, 5, 10, 17, 18, 19, 20, 21, 50, 1000):
        logits, tokens, rows = 97 * 4 * n, 8 * n, 2 * 5 * 2 * 8 * 4 * n * 2
        moved = used + min(32 * 4 * n, 97 * 32 * 4) + rows + logits + tokens
        slow = Fraction(2 * decode.macs(N=n, S=2), int(67e12))
        fast = Fraction(moved, int(3350e9))
        assert found.compute_bound.binds(n) == ("compute" if slow >= fast else "memory"), n
    assert found.compute_bound.thresholds, "it crosses"


def test_memory_grows_by_what_is_generated(llama: Any) -> None:
    """The timeline begins with the prompt and ends with all but the last token in the cache."""
    moments = service(llama[1], LOAD).timeline
    assert [m.tokens for m in moments] == [30, 32, 34, 36, 38]
    row = 2 * 5 * 2 * 8 * 4 * 3
    assert [m.cache for m in moments] == [row * m.tokens for m in moments]
    assert all(m.total == m.weights + m.cache + m.activations for m in moments)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"weights": "int3"}, "unknown width 'int3'"),
        ({"weights": "int4:0"}, "'0' is no group"),
        ({"weights": "bf16:64"}, "only int4, int8 and fp8"),
        ({"cache": "fp7"}, "cache format 'fp7' is not one of"),
        ({"prompt": 0}, "prompt=0"),
    ],
)
def test_wrong_loads_are_refused(given: dict[str, Any], complaint: str) -> None:
    """One line that says what was expected."""
    with pytest.raises(SpecError, match=complaint):
        check_formats(Load(**given))


@pytest.mark.slow
def test_bounds_fetch_the_experts_that_are_read() -> None:
    """Expert matrices are read through views; three of 32 x 48 in five layers for every expert more, at 3350 GB/s."""
    machine = load_target("h100-sxm")
    bare = replace(machine, memory=machine.memory[-1:])
    decode = captured("mixtral")[1].serving("decode")
    two, three = (decode.on(bare, at={"N": 1, "S": 9, "experts": n}).bound for n in (2, 3))
    assert isinstance(two, float)
    assert isinstance(three, float)
    assert three - two == pytest.approx(5 * 3 * 32 * 48 * 4 / 3350e9)
