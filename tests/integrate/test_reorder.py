"""Programs in their best order: peaks as measured, outputs as before, and what does not fit is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fxcost
from fxcost.errors import ModelError, SpecError
from fxcost.integrate.reorder import reordered
from fxcost.passes.totals import Totals
from fxcost.schedule import Schedule
from tests.support.reordered import assert_same, check_reordered, exported, outputs
from tests.support.wired import DartsCell, RandWire, WiredCell, WiredStage


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("seed", range(3))
def test_wired_cells_run_in_their_best_order(seed: int) -> None:
    """Nothing but sums and sigmoids: 16 nodes of 4 KB, fewer alive in the best order."""
    _, found, _ = check_reordered(exported(WiredCell(16, 4, seed), torch.randn(1, 1024)), (torch.randn(1, 1024),))
    assert found.optimal
    assert found.peak < found.traced_peak
    assert found.peak % 4096 == 0


def test_randwire_folds_its_mixing_weights() -> None:
    """Sigmoids of parameters, and what is taken from them, are constants of the program that runs."""
    program = exported(RandWire(1, channels=8, size=12), torch.randn(1, 3, 64, 64))
    cost, found, ordered = check_reordered(program, (torch.randn(1, 3, 64, 64),))
    names = [cost.graph.nodes[position].op for position in found.folded]
    assert {name.split(".")[1] for name in names} == {"sigmoid", "select"}
    sigmoids = [node for node in cost.graph.nodes if node.op.startswith("aten.sigmoid")]
    assert sum(name.startswith("aten.sigmoid") for name in names) == len(sigmoids) > 10
    left = {node.name for node in ordered.graph.nodes if node.op == "call_function"}
    assert not left & {cost.graph.nodes[position].name for position in found.folded}
    assert ordered.constants.keys() - program.constants.keys()
    assert fxcost.analyze(ordered).schedule({}).folded == ()


def test_a_darts_cell() -> None:
    """Cells read the two before; the reduction cell halves the resolution."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = DartsCell(8, 8, 8, reduce=True, reduced_before=False)
            self.second = DartsCell(8, 32, 8, reduce=False, reduced_before=True)

        def forward(self, x: Tensor) -> Tensor:
            last = self.first(x, x)
            return self.second(x, last)  # type: ignore[no-any-return]

    check_reordered(exported(Two(), torch.randn(1, 8, 16, 16)), (torch.randn(1, 8, 16, 16),))


class Everything(nn.Module):
    """Views, writes in place, a buffer that is updated, random numbers, tuples, and branches worth reordering."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(4))
        self.scale = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide, other = torch.cat([x] * 6, 1), torch.cat([x] * 8, 1)
        noise = torch.rand_like(x)
        narrow, second = wide.mean(1, keepdim=True), other.sum(1, keepdim=True)
        noise = noise + torch.randn_like(x)
        rows = x.t().contiguous()
        rows[0] = 1.0
        rows.relu_()
        self.count.add_(rows.sum(1))
        values, places = torch.max(rows, 0)
        left, right = (rows * 2).chunk(2, 0)
        left.mul_(2)
        seen = self.count * torch.sigmoid(self.scale)
        self.count.mul_(0.5)
        return narrow + second + noise + F.pad(left + right, (0, 0, 0, 2)).t() * seen, values + places


def test_effects_keep_their_order() -> None:
    """Outputs, the buffer's new value and the random numbers are those of the traced order."""
    x = torch.randn(32, 4)
    program = exported(Everything(), x)
    _, found, ordered = check_reordered(program, (x,))
    assert found.peak < found.traced_peak
    first, second = copy.deepcopy(program), copy.deepcopy(ordered)
    for each in (first, second):
        torch.manual_seed(1)
        module = each.module()
        module(x)
        module(x)
        each.updated = module.get_buffer("count")
    assert torch.equal(first.updated, second.updated)
    assert first.updated.abs().sum() > 0


def test_the_original_stays_as_it_is_and_parameters_are_shared() -> None:
    program = exported(RandWire(0, channels=4, size=6), torch.randn(1, 3, 32, 32))
    before = [node.name for node in program.graph.nodes]
    code = program.graph_module.code
    ordered = fxcost.analyze(program).schedule({}).apply(program)
    assert [node.name for node in program.graph.nodes] == before
    assert program.graph_module.code == code
    assert ordered.state_dict["classifier.weight"] is program.state_dict["classifier.weight"]


def test_a_graph_module_runs_in_its_best_order() -> None:
    """The program's own module, with parameters as attributes: found from the program or from the module itself."""
    x = torch.randn(1, 4, 16, 16)
    program = exported(WiredStage(10, 4, 6, 3), x)
    module = program.module()
    for cost in (fxcost.analyze(program), fxcost.analyze(module, (x,))):
        found = cost.schedule({})
        assert found.folded
        ordered = found.apply(module)
        assert isinstance(ordered, torch.fx.GraphModule)
        assert fxcost.measure_peak(ordered, (x,)).values == found.peak
        assert_same([module(x)], [ordered(x)])
        assert ordered.get_parameter("nodes.0.convolution.0.weight") is module.get_parameter(
            "nodes.0.convolution.0.weight"
        )


def test_a_reordered_program_can_be_saved(tmp_path: Any) -> None:
    """Folded results are constants of the file."""
    x = torch.randn(1, 3, 32, 32)
    program = exported(RandWire(0, channels=4, size=6), x)
    ordered = fxcost.analyze(program).schedule({}).apply(program)
    torch.export.save(ordered, tmp_path / "ordered.pt2")
    loaded = torch.export.load(tmp_path / "ordered.pt2")
    assert [node.name for node in loaded.graph.nodes if node.op == "call_function"] == [
        node.name for node in ordered.graph.nodes if node.op == "call_function"
    ]
    assert_same(outputs(program, (x,)), outputs(loaded, (x,)))


# -- scratch of the best order ----------------------------------------------------------------------------------------


def test_scratch_moves_with_the_order() -> None:
    """Indices of max pooling live inside one op: what is alive beside them depends on the order."""

    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled = F.max_pool2d(x, 2)
            wide = torch.cat([x, x], 1)
            return F.max_pool2d(wide, 2).mean(1, keepdim=True) + pooled.mean(1, keepdim=True)

    x = torch.randn(1, 8, 32, 32)
    program = exported(Branches(), x)
    cost, found, ordered = check_reordered(program, (x,))
    measured = fxcost.measure_peak(ordered, (x,))
    assert measured.everything > measured.values
    assert (
        cost.facts.under(order=found.order)[Totals].values["peak_memory_with_scratch"].constant == measured.everything
    )


# -- what does not fit ------------------------------------------------------------------------------------------------


def schedule_of(model: nn.Module, *inputs: Tensor) -> tuple[Any, Schedule]:
    program = exported(model, *inputs)
    return program, fxcost.analyze(program).schedule({})


def test_another_program_is_refused() -> None:
    x = torch.randn(1, 64)
    _, found = schedule_of(WiredCell(8, 4, 0), x)
    smaller, larger = exported(WiredCell(6, 4, 0), x), exported(WiredCell(12, 4, 0), x)
    with pytest.raises(ModelError, match=r"has no node \w+: it is not the program that was analysed"):
        found.apply(smaller)
    with pytest.raises(ModelError, match=r"has the node \w+, which was not analysed|before \w+, which it needs"):
        found.apply(larger)


@pytest.mark.parametrize("thing", [None, 3, "program", WiredCell(6, 4, 0)])
def test_a_wrong_type_is_refused(thing: object) -> None:
    _, found = schedule_of(WiredCell(6, 4, 0), torch.randn(1, 64))
    with pytest.raises(ModelError, match=f"ExportedProgram or a GraphModule, found {type(thing).__name__}"):
        found.apply(thing)


def test_a_graph_with_lifted_parameters_is_refused() -> None:
    """What the program's graph takes as inputs are its parameters: folding them needs their values."""
    program, found = schedule_of(WiredStage(6, 3, 4, 0), torch.randn(1, 3, 8, 8))
    assert found.folded
    with pytest.raises(ModelError, match="is an input here, the analysis knows it as a parameter"):
        found.apply(program.graph_module)


def test_an_order_that_runs_a_node_too_early_is_refused() -> None:
    program, found = schedule_of(WiredCell(6, 4, 0), torch.randn(1, 64))
    with pytest.raises(ModelError, match=r"runs \w+ before \w+, which it needs"):
        reordered(program, tuple(reversed(found.names)))


class Written(nn.Module):
    """A sum before and after a write in place: data edges alone would let the second go first."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        before = y.sum()
        y.relu_()
        return before - y.sum()


def moved(found: Schedule, *names: str) -> Schedule:
    """The schedule with another order."""
    position = {node.name: i for i, node in enumerate(found.graph.nodes)}
    return replace(found, order=tuple(position[name] for name in names))


def test_an_order_that_breaks_a_hazard_is_refused() -> None:
    """The nodes can run in these orders, but a read would find what is written later, or not yet."""
    program, found = schedule_of(Written(), torch.randn(8))
    assert found.names == ("mul", "sum_1", "relu_", "sum_2", "sub")
    too_late = moved(found, "mul", "relu_", "sum_1", "sum_2", "sub")
    with pytest.raises(
        SpecError, match=r"sum_1 \(aten.sum\) finds mul after 1 writes; in the traced order it is after 0"
    ):
        too_late.apply(program)
    too_early = moved(found, "mul", "sum_2", "sum_1", "relu_", "sub")
    with pytest.raises(SpecError, match=r"sum_2 .* runs before relu_ is there"):
        too_early.apply(program)


def test_draws_of_random_numbers_are_not_swapped() -> None:
    class Draws(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.rand_like(x) - torch.rand_like(x)

    program, found = schedule_of(Draws(), torch.randn(8))
    first, second, last = found.names
    with pytest.raises(SpecError, match="random generator"):
        moved(found, second, first, last).apply(program)
