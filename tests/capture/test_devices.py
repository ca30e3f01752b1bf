"""One device of several: counts against hand derivations (Megatron's two all-reduces a layer), and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import _functional_collectives as collectives
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

import fxcost
from fxcost.capture.devices import world
from fxcost.devices import Degrees, degrees, on_devices, plan_from, table_of
from fxcost.errors import CaptureError, Infeasible, SpecError
from fxcost.ir.graph import Graph
from fxcost.ir.verify import problems
from fxcost.passes.fits import Check
from fxcost.passes.totals import Totals
from fxcost.pipeline import ACCOUNTINGS, Facts, Options
from tests.support.shared_models import make

MEGATRON = {"up": "colwise", "down": "rowwise"}


class Block(nn.Module):
    """f32[N, S, 16] -> 64 -> 16."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        """A block's second half."""
        made: Tensor = self.down(torch.relu(self.up(x)))
        return x + made


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_a_block_in_megatrons_way(devices: int) -> None:
    """Shoeybi et al. 2019, figure 3: both matrices are shared out, one all-reduce of N*S*D elements follows."""
    cost = on_devices(Block(), "N,S,16", devices, plan=MEGATRON)
    share = 64 // devices
    assert cost.params.value.constant == 16 * share + share + share * 16 + 16  # the last bias is everybody's
    for n, s in ((1, 1), (1, 7), (3, 1), (2, 5)):
        assert cost.macs(N=n, S=s) == n * s * 2 * 16 * share
        if devices > 1:
            assert cost.wire_bytes(N=n, S=s) == 2 * (devices - 1) * n * s * 16 * 4 // devices
    assert not cost.unknown_ops
    assert cost.graph.standing == "exact"


def test_torchs_own_styles_are_a_plan() -> None:
    given = {"up": ColwiseParallel(), "down": RowwiseParallel()}
    theirs, ours = (on_devices(Block(), "N,S,16", 2, plan=plan) for plan in (given, MEGATRON))
    assert theirs.wire_bytes.value is ours.wire_bytes.value
    assert theirs.macs.value is ours.macs.value


def test_nothing_stays_behind() -> None:
    model = Block()
    before = {name: (tensor.data_ptr(), type(tensor)) for name, tensor in model.named_parameters()}
    on_devices(model, "N,S,16", 2, plan=MEGATRON)
    assert {name: (tensor.data_ptr(), type(tensor)) for name, tensor in model.named_parameters()} == before
    assert not dist.is_initialized()
    assert not model._forward_pre_hooks
    assert not model.up._forward_hooks


def test_nodes_belong_to_their_modules() -> None:
    cost = on_devices(Block(), "N,S,16", 2, plan=MEGATRON)
    rows = {row["module"]: row for row in cost.by_module().rows}
    assert str(rows["down"]["wire_bytes"]) == "64*N*S"
    assert str(rows["up"]["wire_bytes"]) == "0"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"upp": "colwise"}, "no module is called so"),
        ({"up": "colwize"}, "is no style of a plan"),
        ("tensor", "carries no plan for tensor parallelism"),
        ("pipeline", "is not one of tensor, expert"),
    ],
)
def test_wrong_plans(plan: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        on_devices(Block(), "N,S,16", 2, plan=plan)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_style_that_does_not_apply() -> None:
    with pytest.raises(CaptureError, match="cannot be shared out colwise"):
        on_devices(nn.Sequential(nn.ReLU()), "N,16", 2, plan={"0": "colwise"})


def test_a_process_group_of_the_users_own_is_left_alone() -> None:
    with world(2), pytest.raises(SpecError, match="has a process group already"):
        on_devices(Block(), "N,S,16", 2, plan=MEGATRON)


@pytest.mark.parametrize("devices", [0, -1, True, "2"])
def test_how_many_is_a_number(devices: object) -> None:
    with pytest.raises(SpecError, match="expected a whole number"):
        on_devices(Block(), "N,S,16", devices, plan=MEGATRON)  # type: ignore[arg-type]


def test_plans_as_they_are_typed() -> None:
    assert plan_from(["tensor"]) == "tensor"
    assert plan_from(["up=colwise", "down=rowwise"]) == MEGATRON
    with pytest.raises(SpecError, match="expected tensor or expert"):
        plan_from(["up=colwise", "down"])


# -- the best number of devices ----------------------------------------------------------------------------------------
def test_the_fewest_and_the_fastest() -> None:
    """Brute force over the rows: the least latency of those that fit, the first that does."""
    found = degrees(Block(), "N,S,16", {"N": 1, "S": 512}, devices=[1, 2, 4], target="h100-sxm", plan=MEGATRON)
    times = {row.devices: row.latency_s() for row in found.rows}
    assert found.best("latency").devices == min(times, key=lambda d: times[d] or 0.0) == 1  # tiny: sending costs more
    assert found.best("memory").devices == 1
    rows = table_of(found).rows
    assert [row.values["wire_bytes"] for row in rows[1:]] == [512 * 16 * 4, 512 * 16 * 4 * 3 // 2]
    assert rows[0].wire_s == 0.0
    assert all((row.wire_s or 0.0) > 3.4e-6 for row in rows[1:])


def test_sizes_below_the_number_of_devices() -> None:
    """Torch considers a layout only where a size has a part for every device: the trace is taken at the point then."""
    model = nn.Sequential(nn.Embedding(64, 16), nn.Linear(16, 32), nn.Linear(32, 16))
    plan = {"0": "embedding_rowwise", "1": "colwise", "2": "rowwise"}
    found = degrees(model, "i64[N,S]", {"N": 2, "S": 3}, devices=[2, 4], target="h100-sxm", plan=plan)
    sent = [row.values["wire_bytes"] for row in table_of(found).rows]
    assert sent == [2 * 2 * (p - 1) * (2 * 3 * 16 * 4) // p for p in (2, 4)]  # after the embedding, after the rows


def test_none_that_fits_is_said() -> None:
    found = degrees(Block(), "N,S,16", {"N": 1, "S": 512}, devices=[2], target="h100-sxm", plan=MEGATRON)
    estimate = found.rows[0].estimate
    assert estimate is not None
    full = Check("weights", "hbm3", estimate.fits.rows[0].need_bytes, 1)
    small = replace(estimate, fits=replace(estimate.fits, rows=(full,)))
    nowhere = Degrees(found.model, found.plan, found.at, (replace(found.rows[0], estimate=small),), found.target)
    for goal in ("memory", "latency"):
        with pytest.raises(Infeasible):
            nowhere.best(goal)
    with pytest.raises(SpecError, match="is not one of latency, memory"):
        found.best("energy")


# -- collectives in programs that are given ----------------------------------------------------------------------------
class Summed(nn.Module):
    """A collective in a model's own code."""

    def __init__(self, group: Any) -> None:
        super().__init__()
        self.fc, self.group = nn.Linear(16, 8), group

    def forward(self, x: Tensor) -> Tensor:
        """Sum of all devices."""
        total = collectives.all_reduce(self.fc(x), "sum", self.group)
        return torch.relu(total)


def test_an_exported_program_with_a_collective() -> None:
    """The group says how many devices while it exists; afterwards their number is a size of its own."""
    with world(4) as mesh:
        model = Summed(mesh.get_group())
        program = torch.export.export(model, (torch.rand(5, 16),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
        alive = fxcost.analyze(program, "N,16")
    gone = fxcost.analyze(program, "N,16")
    assert alive.wire_bytes(N=3) == 2 * 3 * (3 * 8 * 4) // 4
    assert [gone.wire_bytes(N=3, P=p) for p in (1, 2, 4, 8)] == [2 * (p - 1) * 96 // p for p in (1, 2, 4, 8)]
    assert any("number of devices of process group" in note for note in gone.graph.notes)
    assert gone.macs(N=3) == alive.macs(N=3) == 3 * 16 * 8


def test_without_collectives_there_is_no_such_quantity() -> None:
    cost = fxcost.analyze(nn.Linear(4, 4), "N,4", check=False)
    assert "wire_bytes" not in cost.quantities
    with pytest.raises(fxcost.errors.UnknownName, match="holds no collective"):
        cost.total("wire_bytes")


# -- language models ---------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_llama_in_tensor_parallel(devices: int) -> None:
    """Two all-reduces of N*S*D a layer, one for the embedding, and the logits gathered; matrices shared out evenly."""
    cost = on_devices(make("llama"), "i64[N,S]", devices)
    whole = fxcost.analyze(make("llama"), "i64[N,S]")
    for n, s in ((4, 8), (4, 16), (7, 33)):  # from 4 on: which layouts torch considers depends on N >= devices
        reduced = 2 * (devices - 1) * (n * s * 64 * 4) // devices
        gathered = (devices - 1) * (n * s * 128 * 4) // devices
        assert cost.wire_bytes(N=n, S=s) == 5 * reduced + gathered
        assert cost.macs(N=n, S=s) * devices == whole.macs(N=n, S=s)
    norms = 5 * 64
    assert (cost.params() - norms) * devices == whole.params() - norms


@pytest.mark.slow
def test_mixtral_in_expert_parallel() -> None:
    """Two all-to-alls a layer of a device's N*S tokens, k = 2 experts each, D = 64: half of them leave it."""
    cost = on_devices(make("mixtral"), "i64[N,S]", 2, plan="expert")
    whole = fxcost.analyze(make("mixtral"), "i64[N,S]")
    for n, s in ((2, 8), (2, 33)):
        assert cost.wire_bytes(N=n, S=s) == 2 * 2 * (n * s * 2 * 64 * 4) // 2
        assert cost.macs(N=n, S=s) == whole.macs(N=n, S=s)  # of its own tokens
    experts = 2 * 4 * (2 * 96 * 64 + 64 * 96)
    assert cost.params() == whole.params() - experts // 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plan", "layers"),
    [("llama", "tensor", 3), ("llama", "tensor", 4), ("mixtral", "tensor", 3), ("mixtral", "expert", 4)],
)
def test_blocks_that_repeat_are_traced_once(name: str, plan: str, layers: int) -> None:
    """Two blocks put together as three or four give every total of a trace of all, bytes on the wire among them."""
    few, all_of_them = (
        on_devices(make(name, layers=layers), "i64[N,S]", 2, plan=plan, whole=whole) for whole in (False, True)
    )
    assert f"2 of {layers} blocks were captured" in few.graph.notes[-1]
    assert not any("blocks were captured" in note for note in all_of_them.graph.notes)
    assert [v.ones for v in few.variants] == [v.ones for v in all_of_them.variants]
    for ours, theirs in zip(graphs(few), graphs(all_of_them), strict=True):
        assert problems(ours) == []
        assert set(ours.domain) == set(theirs.domain)
        for accounting in ACCOUNTINGS:
            found, expected = (Facts(g, Options(accounting=accounting))[Totals].values for g in (ours, theirs))
            assert found == expected
            assert found["wire_bytes"].symbols == {"N", "S"} or len(ours.symbols) < 2


@pytest.mark.slow
def test_experts_give_back_the_type_they_were_given() -> None:
    """Routing weights are fp32 in a bf16 model: what the next layer gets, and sends, is bf16 again; two bytes an element."""
    cost = on_devices(make("mixtral", layers=3).to(torch.bfloat16), "i64[N,S]", 2, plan="expert", pins={"N": 2})
    assert "2 of 3 blocks were captured" in cost.graph.notes[-1]
    assert cost.wire_bytes(S=8) == 3 * 2 * (2 * 8 * 2 * 64 * 2) // 2


def graphs(cost: fxcost.Cost) -> list[Graph]:
    """The graph and its slices."""
    return [cost.graph, *(variant.graph for variant in cost.variants)]


@pytest.mark.slow
def test_a_plan_for_one_block_alone_makes_it_another_kind() -> None:
    """A block that is shared out differently stands for no other, and no other for it."""
    plan = {"model.layers.*.mlp.up_proj": "colwise", "model.layers.*.mlp.gate_proj": "colwise"}
    plan |= {"model.layers.*.mlp.down_proj": "rowwise", "model.layers.1.self_attn.q_proj": "colwise_rep"}
    few, all_of_them = (
        on_devices(make("llama", layers=4), "i64[N,S]", 2, plan=plan, pins={"N": 4}, whole=whole)
        for whole in (False, True)
    )
    assert "4 of 4" not in few.graph.notes[-1]
    assert few.wire_bytes.value is all_of_them.wire_bytes.value
    assert few.params() == all_of_them.params()
