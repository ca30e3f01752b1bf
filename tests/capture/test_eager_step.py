"""Peaks of training steps are those of real ones to the byte, on networks that nobody chose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from torch import Tensor, nn

import fxcost
from fxcost.errors import CaptureError
from fxcost.ir.graph import as_program
from fxcost.ir.text import print_graph
from fxcost.ir.text_reader import parse_program
from fxcost.passes.peak import Peak
from fxcost.pipeline import Facts, Options
from tests.support.networks import DENSE, IMAGES, TOKENS, WIDTH, WORDS, Joined, networks
from tests.support.real_steps import allocated, real_peak

AGREES = "equal to that of eager torch's own step"


def branched() -> nn.Module:
    """Gradients meet three times: new, beside others of the same memory, and in a view."""
    inner = Joined(nn.Linear(WIDTH, WIDTH), nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)), "mixed")
    return nn.Sequential(nn.Linear(5, WIDTH), Joined(inner, nn.Tanh(), "residual"), nn.Linear(WIDTH, 3))


def rows() -> nn.Module:
    layers = [
        nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.Sigmoid()) for _ in range(3)
    ]
    return nn.Sequential(nn.Linear(5, WIDTH), *(Joined(layer, nn.Identity(), "sum") for layer in layers))


@pytest.mark.parametrize("build", [branched, rows])
def test_what_the_allocator_hands_out(build: Callable[[], nn.Module]) -> None:
    """These operators have no scratch memory, so that everything allocated is a value."""
    model, x = build(), torch.randn(64, 5)
    cost = fxcost.analyze(model, "N,5", mode="training", check=False)
    assert cost.peak_memory(N=64) == allocated(model, x) == real_peak(model, x)
    assert any(AGREES in note for note in cost.graph.notes)


def test_readers_alone_do_not_tell_it() -> None:
    """What only eager torch does is in the text of the graph, and is no part of it as a program."""
    cost = fxcost.analyze(branched(), "N,5", mode="training", check=False)
    assert any(node.holds for node in cost.graph.nodes)
    assert any(node.into is not None for node in cost.graph.nodes)
    assert parse_program(print_graph(cost.graph)).graph == cost.graph
    program = as_program(cost.graph)
    assert not any(node.holds or node.into is not None for node in program.nodes)
    assert as_program(program) is program
    assert Facts(program, Options())[Peak].peak is not cost.peak_memory.value


def test_a_run_that_is_unlike_the_graph_is_said() -> None:
    """A branch on whether it is traced: what eager torch runs is not what was captured."""

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Any:
            y = self.layer(x)
            return y if torch.compiler.is_exporting() else (y.exp().log().exp().log() + y).tanh()

    notes = fxcost.analyze(Other(), "N,8", mode="training", check=False).graph.notes
    assert any("bytes by the formula" in note and "in a run of eager torch" in note for note in notes)


def test_several_sizes_are_compared() -> None:
    notes = fxcost.analyze(rows(), "N,5", mode="training").graph.notes
    assert any(AGREES in note and note.count("at N=") == 2 for note in notes)


ENDS: Mapping[str, tuple[Any, Callable[[], nn.Module], Callable[[], nn.Module], str, dict[str, int]]] = {
    "dense": (DENSE, lambda: nn.Linear(5, WIDTH), lambda: nn.Linear(WIDTH, 3), "N,5", {"N": 9}),
    "words": (
        TOKENS,
        lambda: nn.Embedding(WORDS, WIDTH),
        lambda: nn.Linear(WIDTH, WORDS),
        "i64[N,S]",
        {"N": 3, "S": 6},
    ),
    "images": (
        IMAGES,
        lambda: nn.Conv2d(3, WIDTH, 3),
        lambda: nn.Conv2d(WIDTH, 2, 1),
        "N,3,H,W",
        {"N": 3, "H": 10, "W": 12},
    ),
}


def check(kind: str, inner: nn.Module) -> None:
    _, first, last, spec, at = ENDS[kind]
    model = nn.Sequential(first(), inner, last()).train()
    try:
        cost = fxcost.analyze(model, spec, mode="training", check=False)
    except CaptureError as error:
        assume("modified by an inplace operation" not in str(error))  # torch cannot train it either
        raise
    sizes = {"dense": (9, 5), "words": (3, 6), "images": (3, 3, 10, 12)}[kind]
    x = torch.randint(0, WORDS, sizes) if kind == "words" else torch.randn(sizes)
    assert cost.peak_memory(**at) == real_peak(model, x)
    assert any(AGREES in note for note in cost.graph.notes)


@given(networks(DENSE))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_perceptron(inner: nn.Module) -> None:
    check("dense", inner)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDS)
def test_any_network(kind: str) -> None:
    @given(networks(ENDS[kind][0]))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def check_one(inner: nn.Module) -> None:
        check(kind, inner)

    check_one()
