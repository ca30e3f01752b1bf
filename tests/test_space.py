"""Design spaces: composed costs are those of the whole model captured by itself, and what cannot be composed is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fxcost
from benchmarks._inverted import Family, whole
from fxcost.errors import CaptureError, OutsideDomain, SpecError, UnknownName
from fxcost.query.chain import COMPOSED
from fxcost.space import Block, Candidate, Space, capture_blocks

SMALL = Family(kernels=(3, 5), expansions=(1, 4), depths=(1, 2), widths=(0.5,), resolutions=(64, 81, 96, 127))
OPTIONS: list[dict[str, Any]] = [
    {"accounting": "fused", "weights": "int8", "activations": "int8"},
    {"accounting": "eager"},
    {"accounting": "inplace", "activations": "fp16"},
    {"accounting": "fused", "inputs": "excluded"},
    {"accounting": "eager", "inputs": "held"},
]


def differences(
    space: Space, candidate: Candidate, model: nn.Module, spec: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Quantities in which the composition, its formulas and a capture of the whole are not all the same."""
    cost = fxcost.analyze(model, spec, check=False, **options)
    totals, formulas = space.totals(candidate.blocks, candidate.at), space.quantities(candidate.blocks)
    found: dict[str, tuple[Any, ...]] = {}
    for name in COMPOSED:
        found[name] = (totals[name], formulas[name].at(candidate.at), cost.total(name).at(candidate.at))
    other = {name: 2 * size + 1 for name, size in candidate.at.items()}
    found |= {f"{name} elsewhere": (formulas[name].at(other), cost.total(name).at(other)) for name in COMPOSED}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


# -- blocks of every kind ------------------------------------------------------------------------------------------
class Residual(nn.Module):
    """Ends with a ReLU behind the addition, as in ResNet."""

    def __init__(self, width: int, inplace: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.relu(self.conv(x)))  # type: ignore[no-any-return]


class Dense(nn.Module):
    """Concatenates its input with something new."""

    def __init__(self, width: int, more: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, more, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], 1)


class Squeeze(nn.Module):
    """Channels weighted by what is in the image; the input lives long."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)  # type: ignore[no-any-return]


def pooled(_: int) -> nn.Module:
    return nn.MaxPool2d(3, 2, 1)


def flat(width: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))


def active(inplace: bool) -> nn.Module:
    return nn.ReLU(inplace=inplace)


def mixed() -> tuple[Block, ...]:
    spec = "N,6,H,W"
    return (
        Block(nn.Conv2d, (3, 6, 3, 2), "N,3,H,W"),
        Block(Residual, (6, True), spec),
        Block(Residual, (6, False), spec),
        Block(pooled, (0,), spec),
        Block(Squeeze, (6,), spec),
        Block(Dense, (6, 4), spec),
        Block(Squeeze, (10,), "N,10,H,W"),
        Block(flat, (10,), "N,10,H,W"),
    )


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options.values()))
def test_blocks_of_every_kind(options: dict[str, Any]) -> None:
    candidate = Candidate(mixed(), {"N": 2, "H": 33, "W": 40})
    space = capture_blocks([mixed()], **options)
    assert differences(space, candidate, whole(candidate), "N,3,H,W", options) == {}


@pytest.mark.parametrize("inplace", [True, False])
def test_a_block_that_is_one_pointwise_operator(inplace: bool) -> None:
    """Its output may live in its input: the same memory on both sides of the seam, once."""
    blocks = (
        Block(nn.Conv2d, (3, 6, 3), "N,3,H,W"),
        Block(active, (inplace,), "N,6,H,W"),
        Block(flat, (6,), "N,6,H,W"),
    )
    candidate = Candidate(blocks, {"N": 2, "H": 33, "W": 40})
    for accounting in ("eager", "inplace"):
        space = capture_blocks(blocks, accounting=accounting)
        assert differences(space, candidate, whole(candidate), "N,3,H,W", {"accounting": accounting}) == {}


def test_language_models_compose_as_well() -> None:
    def chain() -> tuple[Block, ...]:
        layer = Block(nn.TransformerEncoderLayer, (16, 2, 32, 0.1, "relu", 1e-5, True), "N,S,16")
        return (Block(nn.Embedding, (50, 16), "i64[N,S]"), layer, layer, Block(nn.Linear, (16, 50), "N,S,16"))

    candidate = Candidate(chain(), {"N": 3, "S": 21})
    space = capture_blocks([chain()])
    assert len(space.blocks) == 3
    assert differences(space, candidate, whole(candidate), "i64[N,S]", {}) == {}


# -- a family ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def space() -> Space:
    return capture_blocks(SMALL.blocks(), **OPTIONS[0])


@pytest.mark.slow
def test_networks_at_random_against_captures_of_the_whole(space: Space) -> None:
    for candidate in SMALL.draw(20, seed=7):
        assert differences(space, candidate, whole(candidate), "N,3,H,W", OPTIONS[0]) == {}, candidate.label


@pytest.mark.slow
def test_ranking_is_a_sort_of_all_totals(space: Space) -> None:
    candidates = SMALL.draw(300, seed=3)
    within = {"peak_memory": 100_000, "model_bytes": 900_000}
    totals = [space.totals(c.blocks, c.at, ["macs", *within]) for c in candidates]
    fitting = [t for t in totals if all(t[name] <= most for name, most in within.items())]
    assert 10 < len(fitting) < 300
    ranking = space.rank(candidates, within, "macs", largest=True, best=7)
    assert [row.totals for row in ranking] == sorted(fitting, key=lambda t: -t["macs"])[:7]
    assert (ranking.counted, ranking.feasible, ranking.errors) == (300, len(fitting), {})
    assert space.rank(candidates, within, "macs").best[0].totals["macs"] == min(t["macs"] for t in fitting)
    assert len(ranking.table()) == 7


@pytest.mark.slow
def test_executors_agree(space: Space) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    candidates = [*SMALL.draw(2500, seed=4), Candidate(SMALL.draw(1)[0].blocks, {"N": 1})]
    here = space.evaluate(candidates)
    assert "needs a size for H, W" in str(here[-1])
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        assert space.evaluate(candidates, executor=pool) == here
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert space.evaluate(candidates, executor=client.get_executor()) == here


# -- what is refused -----------------------------------------------------------------------------------------------
class Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2)[:, :3]


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).transpose(2, 3)


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x + 2


def activated_first(width: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3))


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (Half, "part of a larger tensor"),
        (Turned, "not dense"),
        (Two, "takes one tensor and gives one, found 1 inputs and 2 outputs"),
    ],
)
def test_ends_that_cannot_be_composed(make: Callable[[], nn.Module], part: str) -> None:
    with pytest.raises(SpecError, match=part):
        capture_blocks([Block(make, (), "N,6,H,W")])


def test_fusing_over_a_seam_is_refused() -> None:
    """A runtime that fuses would run the ReLU in the convolution before it; as the first block it stands alone."""
    first, second = Block(nn.Conv2d, (3, 6, 1), "N,3,H,W"), Block(activated_first, (6,), "N,6,H,W")
    space = capture_blocks([first, second], accounting="fused")
    with pytest.raises(SpecError, match="relu would fuse with the block before it"):
        space.totals((first, second), {"N": 1, "H": 8, "W": 8})
    with pytest.raises(SpecError, match="relu would fuse with the block before it"):
        space.quantities((first, second))
    candidate = Candidate((second,), {"N": 1, "H": 8, "W": 8})
    assert differences(space, candidate, whole(candidate), "N,6,H,W", {"accounting": "fused"}) == {}
    with pytest.raises(SpecError, match="relu would fuse if it were no output"):
        capture_blocks([Block(active, (False,), "N,6,H,W")], accounting="fused")


def test_an_input_that_stays_may_not_become_an_output() -> None:
    with pytest.raises(SpecError, match="lives in its input, which is held"):
        capture_blocks([Block(active, (True,), "N,6,H,W")], inputs="held")


def test_blocks_that_do_not_fit() -> None:
    first, second = Block(nn.Conv2d, (3, 6, 3), "N,3,H,W"), Block(nn.Conv2d, (5, 6, 3), "N,5,H,W")
    space = capture_blocks([first, second])
    with pytest.raises(SpecError, match=r"takes f32\[N, 5, H, W\], found f32\[1, 6, 6, 6\]"):
        space.totals((first, second), {"N": 1, "H": 8, "W": 8})
    with pytest.raises(SpecError, match="takes f32"):
        space.quantities((first, second))
    with pytest.raises(SpecError, match="was not captured"):
        space.totals((Block(nn.Conv2d, (7, 6, 3), "N,7,H,W"),), {})
    with pytest.raises(SpecError, match="no blocks"):
        space.totals((), {})
    with pytest.raises(SpecError, match="needs a size for W"):
        space.totals((first,), {"N": 1, "H": 8})
    with pytest.raises(UnknownName, match="'total_activations' is not composed"):
        space.totals((first,), {"N": 1, "H": 8, "W": 8}, ["total_activations"])


def test_sizes_outside_a_block_s_range() -> None:
    first, second = Block(nn.Conv2d, (3, 6, 3, 2), "N,3,H,W"), Block(nn.Conv2d, (6, 6, 3), "N,6,H=5..9,W")
    space = capture_blocks([first, second])
    point = {"N": 1, "H": 20, "W": 30}
    assert space.totals((first, second), point, ["macs"])["macs"] == 27 * 6 * 9 * 14 + 54 * 6 * 7 * 12
    with pytest.raises(OutsideDomain, match="H=10 is outside its range"):
        space.totals((first, second), {**point, "H": 21})
    formula = space.quantities((first, second))["macs"]
    assert formula.at(point) == 27 * 6 * 9 * 14 + 54 * 6 * 7 * 12
    with pytest.raises(OutsideDomain):
        formula.at({**point, "H": 21})


def test_a_block_that_cannot_be_built() -> None:
    with pytest.raises(CaptureError, match=r"block Conv2d\(3, 6\): "):
        capture_blocks([Block(nn.Conv2d, (3, 6), "N,3,H,W")])


def test_arguments_that_cannot_be_compared() -> None:
    with pytest.raises(SpecError, match="give tuples instead of lists"):
        Block(nn.Conv2d, ([3], 6), "N,3,H,W")
