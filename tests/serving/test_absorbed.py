"""Latent attention in absorbed form: against an implementation of it, run on what a real model attends to."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fxcost.errors import SpecError
from fxcost.service import service
from fxcost.serving.answers import Load
from tests.support.language_models import captured
from tests.support.traffic import traffic_of

BATCH, PAST = 3, 21


def absorbed(query: Tensor, latent: Tensor, rope: Tensor, matrix: Tensor, scale: float) -> Tensor:
    """Queries N x H x 1 x (A + R), latents N x T x L, rotated keys N x T x R, matrix H*(A + B) x L; gives N x H x 1 x B."""
    heads, rotated = query.shape[1], rope.shape[-1]
    nope = query.shape[-1] - rotated
    up = matrix.view(heads, -1, latent.shape[-1])
    inside = torch.einsum("nhsa,hal->nhsl", query[..., :nope], up[:, :nope])
    scores = torch.einsum("nhsl,ntl->nhst", inside, latent) + torch.einsum("nhsr,ntr->nhst", query[..., nope:], rope)
    sums = torch.einsum("nhst,ntl->nhsl", torch.softmax(scores * scale, -1), latent)
    return torch.einsum("nhsl,hbl->nhsb", sums, up[:, nope:])


def expanded(query: Tensor, latent: Tensor, rope: Tensor, matrix: Tensor, scale: float) -> Tensor:
    """The same as the model's code has it: every latent becomes the keys and values of all heads."""
    heads, rotated = query.shape[1], rope.shape[-1]
    nope = query.shape[-1] - rotated
    both = F.linear(latent, matrix).view(*latent.shape[:2], heads, -1).transpose(1, 2)
    keys = torch.cat([both[..., :nope], rope[:, None].expand(-1, heads, -1, -1)], -1)
    return torch.softmax(query @ keys.transpose(-1, -2) * scale, -1) @ both[..., nope:]


@pytest.fixture(scope="module")
def attended() -> tuple[Any, Any, list[tuple[Any, ...]]]:
    """A model with its steps, and of every layer of a real decoding step: query, result, latents, rotated keys, matrix."""
    model, found = captured("deepseek_v2")
    calls: list[tuple[Tensor, Tensor, float]] = []
    real = F.scaled_dot_product_attention

    def noted(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        result = real(query, *args, **kwargs)
        calls.append((query, result, kwargs["scale"]))
        return result

    with torch.no_grad(), patch.object(F, "scaled_dot_product_attention", noted):
        past = model(torch.randint(0, 90, (BATCH, PAST)), use_cache=True).past_key_values
        calls.clear()
        model(torch.randint(0, 90, (BATCH, 1)), past_key_values=past, use_cache=True)
    pieces = [
        (query, result, cache.keys[:, 0], cache.values[:, 0], layer.self_attn.kv_b_proj.weight.detach(), scale)
        for (query, result, scale), cache, layer in zip(calls, past.layers, model.model.layers, strict=True)
    ]
    return model, found, pieces


@pytest.mark.slow
def test_products_are_those_of_an_implementation(attended: Any) -> None:
    """It gives what the model's attention gives; torch's counter sees as many products as the formula has."""
    _, found, pieces = attended
    counts = []
    for form in (absorbed, expanded):
        with FlopCounterMode(display=False) as counter:
            for query, result, latent, rope, matrix, scale in pieces:
                torch.testing.assert_close(form(query, latent, rope, matrix, scale), result, rtol=1e-4, atol=1e-5)
        counts.append(counter.get_total_flops() // 2)
    plain, short = (found.serving("decode", None, (), form) for form in (False, True))
    at = {"N": BATCH, "S": PAST}
    assert len(pieces) == len(found.layers)
    assert plain.macs.at(at) - short.macs.at(at) == counts[1] - counts[0]
    by_hand = BATCH * 4 * (16 * (8 + 8) + (PAST + 1) * (16 + 8 + 16)) * len(pieces)
    assert counts[0] == by_hand
    assert found.serving("prefill", None, (), True).macs.value is found.prefill.macs.value


@pytest.mark.slow
def test_bytes_are_those_of_three_operators(attended: Any) -> None:
    """Into the latents' space, attention there, and back: what each reads and writes, with scores on chip."""
    model, found, pieces = attended
    short, plain = (found.serving("decode", None, (), form) for form in (True, False))
    point = {"N": BATCH, "S": PAST, "experts": 2}
    ours = [
        sum(row[name].at(point) for row in short.by_op() if row["op"] in ("serving.absorb", "serving.latent_attention"))
        for name in ("weight_bytes", "read_bytes", "write_bytes")
    ]
    with traffic_of(model) as moved:
        for query, result, latent, rope, matrix, _ in pieces:
            inside = torch.empty(*query.shape[:-1], latent.shape[-1])
            moved.call("in", [query[..., :8].clone(), matrix[: matrix.shape[0] // 2]], [inside])
            moved.call("attend", [inside, query[..., 8:].clone(), latent, rope], [inside])
            moved.call("back", [inside, matrix[matrix.shape[0] // 2 :]], [result])
    by_hand = {kind: sum(moved.by_operator[kind, name] for name in ("in", "attend", "back")) for kind in KINDS}
    assert ours == list(by_hand.values())
    grown = [cost.read_bytes.at({**point, "S": PAST + 1}) - cost.read_bytes.at(point) for cost in (short, plain)]
    assert grown[0] == 4 * BATCH * (16 + 8) * len(pieces)  # of every token L + R elements, and nothing else
    assert grown[1] > 4 * grown[0]
    assert plain.weight_bytes.at(point) == short.weight_bytes.at(point)


KINDS = ("weights", "read", "written")


@pytest.mark.slow
def test_a_service_decodes_on_the_compressed_cache(attended: Any) -> None:
    """The load says so; the first token is as before, what is cached as well."""
    _, found, _ = attended
    plain, short = (service(found, Load(40, 8, 2, absorbed=form)) for form in (False, True))
    assert plain.quantities["prefill.macs"].value is short.quantities["prefill.macs"].value
    assert plain.timeline[-1].cache == short.timeline[-1].cache
    assert plain.timeline[-1].activations > short.timeline[-1].activations
    assert any("absorbed" in note for note in short.notes)


def test_there_must_be_something_to_absorb() -> None:
    """Llama caches keys and values: one line that says so."""
    with pytest.raises(SpecError, match="nothing to absorb"):
        captured("llama")[1].serving("decode", None, (), True)
