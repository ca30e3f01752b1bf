"""`torch.vmap`: the operators on whole batches are counted, none is left unknown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import fxcost


class Ensemble(nn.Module):
    """Several models that differ in their weights, run at once."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(4, 8, 8))
        self.biases = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = torch.vmap(lambda w, b: functional.linear(x, w, b).relu() @ w)(self.weights, self.biases)
        return made


class ByItem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        def one(item: Tensor) -> Tensor:
            mixed = functional.scaled_dot_product_attention(item[None], item[None], item[None])[0]
            made: Tensor = self.layer(mixed)
            return made

        made: Tensor = torch.vmap(one)(x)
        return made


class Masked(nn.Module):
    """A mask by its four indices, as masks of attention are written; it also reads another input."""

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        def at(batch: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return kept[batch, key] & (query >= key)

        batches, places = torch.arange(x.shape[0]), torch.arange(x.shape[1])
        spread: Callable[..., Tensor] = at
        for dims in ((None, None, 0), (None, 0, None), (0, None, None)):
            spread = torch.vmap(spread, in_dims=dims)
        mask = spread(batches, places, places)
        return (x @ x.transpose(1, 2)).masked_fill(~mask, 0.0) @ x


@pytest.mark.parametrize(
    ("model", "specs"), [(Ensemble(), ("S,8",)), (ByItem(), ("N,S,8",)), (Masked(), ("N,S,8", "bool[N,S]"))]
)
def test_counts_are_those_of_a_run(model: nn.Module, specs: tuple[str, ...]) -> None:
    cost = fxcost.analyze(model, specs)
    assert not cost.unknown_ops
    assert str(cost.standing) == "exact"
    for sizes in ({"N": 2, "S": 7}, {"N": 6, "S": 19}):
        at = {name: size for name, size in sizes.items() if name in cost.symbols}
        inputs = [torch.zeros(*((at["N"],) if "N" in at else ()), at["S"], 8)]
        if len(specs) == 2:
            inputs.append(torch.ones(at["N"], at["S"], dtype=torch.bool))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            result = model(*inputs)
        assert cost.macs(**at) == counter.get_total_flops() // 2
        assert cost.output_bytes(**at) == result.numel() * 4


def test_what_is_patched_for_a_trace_is_as_it_was_afterwards() -> None:
    from fxcost.capture.batched import apis

    before, linear, attention = apis.vmap_impl, functional.linear, functional.scaled_dot_product_attention
    fxcost.analyze(Ensemble(), "S,8")
    assert (apis.vmap_impl, functional.linear) == (before, linear)
    assert functional.scaled_dot_product_attention is attention
