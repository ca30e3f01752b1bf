"""map_models: many models in worker processes, with the same costs as here; over a dask cluster as well."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import fxcost
from fxcost.errors import SpecError
from fxcost.models import Outcomes
from fxcost.parallel import DIED, map_items
from tests.support.candidates import Narrow, dies, narrow, one_thread, refuses, wide
from tests.support.commands import DATA, MODELS
from tests.support.work import mishap

IMAGE = {"N": 1, "H": 10, "W": 7}
CANDIDATES: list[Any] = [
    narrow,
    refuses,
    Narrow(6),
    (f"{MODELS}:mlp", "N,8"),
    f"{MODELS}:nothing",
    str(DATA / "resnet18.mlir"),
    wide,
]


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def outcomes(pool: Executor) -> Outcomes:
    return fxcost.map_models(CANDIDATES, "N,3,H,W", executor=pool, check=False)


def test_order_and_errors(outcomes: Outcomes) -> None:
    assert [row.cost is None for row in outcomes] == [False, True, False, False, True, False, False]
    assert list(outcomes.errors) == ["refuses", f"{MODELS}:nothing"]
    assert "deliberate" in outcomes.errors["refuses"]
    assert "has no 'nothing'" in outcomes.errors[f"{MODELS}:nothing"]


def test_costs_are_those_of_analyze(outcomes: Outcomes) -> None:
    """3 -> 4 channels by 1 x 1 kernels: 12 MACs a pixel, 70 pixels."""
    cost = outcomes[0].cost
    assert cost is not None
    here = fxcost.analyze(narrow(), "N,3,H,W", check=False)
    assert cost.quantities == here.quantities
    assert cost.macs(**IMAGE) == 12 * 70
    assert cost.graph == here.graph
    assert outcomes[2].cost is not None
    assert outcomes[2].cost.macs(**IMAGE) == 18 * 70


def test_a_cost_from_a_worker_can_be_captured_again(outcomes: Outcomes) -> None:
    cost = outcomes[0].cost
    assert cost is not None
    assert cost.recapture({"N": 2, "H": 5, "W": 5}).macs(N=2, H=5, W=5) == 12 * 50


def test_the_table_has_a_row_a_candidate(outcomes: Outcomes) -> None:
    table = outcomes.table(["macs", "params"], IMAGE)
    assert [row["macs"] for row in table] == [
        840,
        None,
        1260,
        192,
        None,
        outcomes[5].cost and outcomes[5].cost.macs(**IMAGE),
        1680,
    ]
    assert [bool(row["error"]) for row in table] == [False, True, False, False, True, False, False]


@pytest.mark.slow
def test_the_default_executor_survives_a_candidate_that_kills_its_worker() -> None:
    found = fxcost.map_models([narrow, dies, one_thread], "N,3,H,W", jobs=2, check=False)
    assert [row.error for row in found] == [None, DIED, None]
    assert found[2].cost is not None
    assert found[2].cost.macs(**IMAGE) == 3 * 70  # as wide as torch has threads: one


# -- dask ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


@pytest.mark.slow
def test_dask_gives_the_same(client: Any, outcomes: Outcomes) -> None:
    found = fxcost.map_models(CANDIDATES, "N,3,H,W", executor=client.get_executor(), check=False)
    assert [(row.name, row.cost, row.error) for row in found] == [(row.name, row.cost, row.error) for row in outcomes]


@pytest.mark.slow
def test_dask_survives_a_lost_worker(client: Any) -> None:
    found = map_items(mishap, [1, 7, 2], client.get_executor(), chunk=1)
    assert [each.value for each in found] == [1, None, 2]
    assert "KilledWorker" in (found[1].error or "")


def test_what_analyze_refuses_is_an_error_of_every_candidate(pool: Executor) -> None:
    found = fxcost.map_models([narrow], "N,3,H,W", executor=pool, accounting="other")
    assert "accounting='other'" in (found[0].error or "")
    with pytest.raises(SpecError, match="jobs=0"):
        fxcost.map_models([narrow], "N,3,H,W", jobs=0)
    with pytest.raises(SpecError, match="put it into a list"):
        fxcost.map_models("torchvision:resnet18", "N,3,H,W")
