"""torch.compile with our backend: measured memory falls to what was predicted, results and dynamic sizes stay."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import fxcost
from fxcost.compiler import CompiledGraph, inductor_pass
from fxcost.errors import SpecError
from fxcost.integrate.allocator import allocated_peak

torch.set_num_threads(1)

MAP = 4 * 4 * 64 * 64  # bytes of one channel for a batch of four, 64 x 64, fp32


class Branches(nn.Module):
    """Six branches 8 -> 64 -> 4, all of them widened before the first is narrowed."""

    def __init__(self, branches: int = 6) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Conv2d(8, 64, 1) for _ in range(branches))
        self.narrow = nn.ModuleList(nn.Conv2d(64, 4, 1) for _ in range(branches))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [torch.relu(wide(x)) for wide in self.wide]
        return torch.cat([narrow(m) for narrow, m in zip(self.narrow, maps, strict=True)], 1)


class Normed(nn.Module):
    """In training: running statistics are written, dropout draws, a view shares memory."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.BatchNorm1d(16), nn.Linear(16, 64), nn.Linear(16, 64)
        self.last = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        a, b = torch.relu(self.first(y)), torch.relu(self.second(y))
        halves: torch.Tensor = (self.last(a) + self.last(b)).view(2, -1, 4)
        return halves.mean(0)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(model: nn.Module, **options: Any) -> tuple[Callable[..., Any], list[CompiledGraph]]:
    seen: list[CompiledGraph] = []
    made = fxcost.backend(inner="aot_eager", report=seen.append, **options)
    return torch.compile(model, backend=made), seen


@torch.no_grad()
def test_measured_peak_falls_to_the_prediction() -> None:
    model, x = Branches().eval(), torch.randn(4, 8, 64, 64)
    traced = torch.compile(model, backend="aot_eager")
    traced(x)
    # six maps of 64 channels, then the first narrow ones beside them; a ReLU needs its operand and its result
    assert allocated_peak(lambda: traced(x)) == (6 * 64 + 64) * MAP
    torch._dynamo.reset()
    ours, seen = compiled(model)
    assert torch.equal(ours(x), model(x))
    (graph,) = seen
    assert graph.moved
    assert graph.stage == "inference"
    assert graph.order is not None
    assert allocated_peak(lambda: ours(x)) == graph.order.peak == (5 * 4 + 2 * 64) * MAP
    assert graph.order.traced_peak == (6 * 64 + 64) * MAP
    assert "19 ops, reordered; peak 29,360,128 bytes as traced, 9,699,328 best" in str(graph)


@torch.no_grad()
def test_without_reorder_it_only_reports() -> None:
    model, x = Branches().eval(), torch.randn(4, 8, 64, 64)
    ours, seen = compiled(model, reorder=False)
    assert torch.equal(ours(x), model(x))
    assert not seen[0].moved
    assert seen[0].order is not None
    assert allocated_peak(lambda: ours(x)) == seen[0].order.traced_peak > seen[0].order.peak


@torch.no_grad()
def test_sizes_stay_dynamic() -> None:
    model = Branches().eval()
    seen: list[CompiledGraph] = []
    made = fxcost.backend(inner="aot_eager", report=seen.append)
    ours = torch.compile(model, backend=made, dynamic=True)
    sizes = ((4, 64, 48), (2, 40, 30), (7, 16, 20))
    for batch, height, width in sizes:
        x = torch.randn(batch, 8, height, width)
        assert torch.equal(ours(x), model(x))
        assert allocated_peak(lambda: ours(x)) == (5 * 4 + 2 * 64) * 4 * batch * height * width  # noqa: B023
    assert len(seen) == 1, "one graph for all sizes"
    assert seen[0].moved
    assert seen[0].cost is not None
    assert len(seen[0].cost.symbols) == 3
    assert set(seen[0].at.values()) == {4, 64, 48}


def test_training_gives_the_same_gradients_and_statistics() -> None:
    torch.manual_seed(0)
    plain = Normed().train()
    ours_model = Normed().train()
    ours_model.load_state_dict(plain.state_dict())
    ours, seen = compiled(ours_model)
    for _ in range(2):
        x = torch.randn(8, 16)
        plain(x).sum().backward()
        ours(x).sum().backward()
    assert {graph.stage for graph in seen} == {"forward", "backward"}
    assert all(graph.problem == "" for graph in seen), [graph.problem for graph in seen]
    for (name, a), (_, b) in zip(plain.named_parameters(), ours_model.named_parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-6), name
    statistics = dict(ours_model.named_buffers())
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, statistics[name]), name


def test_a_graph_that_cannot_be_analysed_runs_as_it_is() -> None:
    def nothing(x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x,)

    seen: list[CompiledGraph] = []
    change = fxcost.backend(inner="aot_eager", report=seen.append)
    x = torch.randn(3)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        module = torch.fx.symbolic_trace(nothing)
        assert torch.equal(change(module, [x])(x)[0], x)
    assert any("left as it is: it has no operators with example values" in str(w.message) for w in told)
    assert "left as it is" in str(seen[0])


def test_identities_are_stable_and_tell_settings_apart() -> None:
    first, again, other = inductor_pass(), inductor_pass(), inductor_pass(reorder=False)
    assert first.uuid() == again.uuid() != other.uuid()
    assert len({first.uuid(), other.uuid(), inductor_pass(time_limit=1).uuid()}) == 3


def test_an_unknown_inner_is_said() -> None:
    with pytest.raises(SpecError, match="inner='inductr' is not one of inductor, aot_eager; did you mean 'inductor'"):
        fxcost.backend(inner="inductr")


@pytest.mark.slow
@torch.no_grad()
def test_inductor_takes_our_order_and_orders_by_itself() -> None:
    """Its default order is as good as ours; where its own reordering is off, ours makes the difference."""
    from torch._inductor import config

    model, x = Branches().eval(), torch.randn(4, 8, 64, 64)
    off = {"reorder_for_locality": False, "reorder_for_peak_memory": False}

    def peak(backend: Any, **patches: Any) -> int:
        torch._dynamo.reset()
        with config.patch(fx_graph_cache=False, **patches):
            run = torch.compile(model, backend=backend)
            assert torch.allclose(run(x), model(x), atol=1e-5)
            return allocated_peak(lambda: run(x))

    seen: list[CompiledGraph] = []
    default = peak("inductor")
    assert peak(fxcost.backend(report=seen.append)) == default
    unordered = peak("inductor", **off)
    assert peak(fxcost.backend(report=seen.append), **off) == default < unordered
    assert peak("inductor", **off, post_grad_custom_post_pass=inductor_pass(seen.append)) == default
    assert [graph.stage for graph in seen] == ["post_grad"] * 3
