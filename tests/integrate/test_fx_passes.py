"""Inside torch.fx: costs in `node.meta`, steps as passes of a PassManager, costs that survive decompositions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.fx.passes.infra.pass_base import PassBase
from torch.fx.passes.infra.pass_manager import PassManager

import fxcost
from fxcost.compiler import annotate_stored, torch_pass
from fxcost.errors import FileError, SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.pipeline import passes
from fxcost.steps import STEPS

torch.set_num_threads(1)


class Branches(nn.Module):
    """Two branches 8 -> 64 -> 8, both widened first, and a normalisation that decomposes."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.ModuleList(nn.Linear(8, 64) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Linear(64, 8) for _ in range(2))
        self.norm = nn.LayerNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [torch.relu(wide(x)) for wide in self.wide]
        found = [narrow(m) for narrow, m in zip(self.narrow, maps, strict=True)]
        result: torch.Tensor = self.norm(found[0] + found[1])
        return result


@pytest.fixture
def program() -> Any:
    return torch.export.export(Branches().eval(), (torch.randn(4, 8),), dynamic_shapes=({0: Dim("N", min=1, max=64)},))


def meta(program: Any, name: str) -> dict[str, Any]:
    """What is known of a node by its name."""
    module = getattr(program, "graph_module", program)
    return next(node.meta["fxcost"] for node in module.graph.nodes if node.name == name)


# -- annotate ------------------------------------------------------------------------------------------------------
def test_nodes_of_a_program_carry_formulas(program: Any) -> None:
    cost = fxcost.annotate(program)
    (batch,) = cost.symbols
    assert str(meta(program, "linear")["macs"]) == f"512*{batch}"
    assert meta(program, "linear")["macs"](**{batch: 4}) == 4 * 8 * 64
    assert meta(program, "linear")["params"]() == 8 * 64 + 64
    whole = program.graph_module.meta["fxcost"]
    nodes = [node.meta["fxcost"]["macs"].value for node in program.graph.nodes if "fxcost" in node.meta]
    assert whole["macs"].value is sum(nodes[1:], nodes[0]) is cost.macs.value
    assert whole["params"]() == sum(p.numel() for p in Branches().parameters())


def test_a_module_of_a_program_is_taken_as_it_is(program: Any) -> None:
    module = program.module()
    cost = fxcost.annotate(module)
    assert cost.params() == sum(p.numel() for p in Branches().parameters())
    assert str(meta(module, "linear")["macs"]) == str(fxcost.annotate(program).nodes[0].metrics["macs"])


def test_a_symbolically_traced_module_is_captured() -> None:
    module = torch.fx.symbolic_trace(Branches().eval())
    fxcost.annotate(module, "N,8")
    assert str(meta(module, "wide_0")["macs"]) == "512*N"
    assert str(meta(module, "relu")["other_ops"]) == "64*N"


def test_parameters_that_nobody_names_are_warned_of(program: Any) -> None:
    with pytest.warns(UserWarning, match="p_wide_0_weight.* look like parameters .* give the ExportedProgram"):
        fxcost.annotate(program.graph_module)


# -- passes --------------------------------------------------------------------------------------------------------
def test_steps_run_in_a_pass_manager(program: Any) -> None:
    x = torch.randn(4, 8)
    expected = program.module()(x)
    before = fxcost.measure_peak(program, (x,)).values
    found = PassManager(
        [
            torch_pass("cost", program=program),
            torch_pass("schedule", program=program),
            torch_pass("liveness", program=program),
        ]
    )(program.graph_module)
    assert found.modified
    program.validate()
    whole = program.graph_module.meta["fxcost"]
    assert whole["schedule.traced_peak"] == before
    assert whole["schedule.peak"] == fxcost.measure_peak(program, (x,)).values < before
    assert torch.equal(program.module()(x), expected)
    order = [node.name for node in program.graph.nodes if node.op == "call_function"]
    assert order == list(whole["schedule.order"])
    batch = fxcost.annotate(program).graph.symbols[0].name
    alive = [meta(program, name)["liveness.bytes"] for name in order]
    assert max(evaluate(value, {batch: 4}) for value in alive) == whole["schedule.peak"]


@pytest.mark.parametrize("name", sorted({step.name for step in STEPS} | set(passes())))
def test_every_pass_is_a_pass_of_torch(program: Any, name: str) -> None:
    one = torch_pass(name, program=program, target="t4")
    assert isinstance(one, PassBase)
    result = PassManager([one])(program.graph_module)
    assert result.modified == (name == "schedule")
    told = program.graph_module.meta["fxcost"]
    nodes = [node.meta["fxcost"] for node in program.graph.nodes if "fxcost" in node.meta]
    if name in {step.name for step in STEPS}:
        found = {key for values in (told, *nodes) for key in values}
        assert any(key.startswith(f"{name}.") for key in found) or name == "storage", "nothing shares memory here"
    else:
        assert isinstance(told[name], passes()[name].provides)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.export.export(program.module(), (torch.randn(4, 8),)), "it is a program still"


def test_an_unknown_pass_is_said() -> None:
    with pytest.raises(SpecError, match="there is no pass 'livenes'; did you mean 'liveness'"):
        torch_pass("livenes")


# -- .pt2 ----------------------------------------------------------------------------------------------------------
def test_stored_costs_find_their_nodes_after_decompositions(tmp_path: Path) -> None:
    cost = fxcost.analyze(Branches().eval(), "N=1..64,8")
    path = tmp_path / "branches.pt2"
    found = cost.schedule({"N": 4})
    cost.save(path, {"N": 4}, found)
    assert not any("custom" in node.meta for node in cost.origin.program.graph.nodes), "the program is left as it was"

    loaded = torch.export.load(path)
    decomposed = loaded.run_decompositions().run_decompositions()
    names = {node.name for node in loaded.graph.nodes}
    moved = [node for node in decomposed.graph.nodes if node.op == "call_function" and node.name not in names]
    assert moved, "decomposing renames nodes"
    assert annotate_stored(decomposed, path) == ()
    by_origin: dict[str, Any] = {}
    for node in decomposed.graph.nodes:
        if "fxcost" in node.meta:
            by_origin.setdefault(node.meta["fxcost"]["origin"], node.meta["fxcost"])
    assert list(by_origin) == list(found.names), "in the order of the schedule"
    assert {name: str(values["macs"]) for name, values in by_origin.items()} == {
        row.name: str(row.metrics["macs"]) for row in (cost.nodes[i] for i in found.order)
    }
    assert by_origin["linear"]["macs"](N=4) == 4 * 8 * 64
    assert decomposed.graph_module.meta["fxcost"]["macs"](N=4) == cost.macs(N=4)
    # a linear layer with a bias becomes permute and addmm: two nodes share what is known of it
    assert {v["shared"] for n, v in by_origin.items() if n.startswith("linear")} == {2}


def test_a_file_without_costs_says_so(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "plain.pt2"
    torch.export.save(program, path)
    with pytest.raises(FileError, match=r"plain\.pt2: holds no fxcost\.json; expected a \.pt2 that fxcost wrote"):
        annotate_stored(program, path)
