"""The overlay, read by Model Explorer's own code beside the graph that it draws of the same program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fxcost
from tests.support.commands import Ran, run

READER = pytest.importorskip(
    "model_explorer.node_data_builder", reason="pip install ai-edge-model-explorer, which brings 30 packages"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 4))
    path = tmp_path / "model.pt2"
    # With weights and without free sizes: the reader of programs takes no others.
    torch.export.save(torch.export.export(layers.eval(), (torch.zeros(2, 3, 16, 16),)), path)
    return path


def drawn(path: Path) -> list[Any]:
    """The nodes that Model Explorer draws."""
    from model_explorer.pytorch_exported_program_adapter_impl import PytorchExportedProgramAdapterImpl

    adapter = PytorchExportedProgramAdapterImpl(torch.export.load(path), {"const_element_count_limit": 16})
    (graph,) = adapter.convert()["graphs"]
    assert graph.id == "graph"
    return list(graph.nodes)


@pytest.mark.parametrize("metric", ["macs", "traffic", "live_memory"])
def test_the_reader_takes_the_overlay_and_finds_its_nodes(metric: str, program: Path, tmp_path: Path) -> None:
    import dacite
    from model_explorer.config import ModelExplorerConfig

    overlay = tmp_path / "overlay.json"
    line = ("export", program, "--to", "model-explorer", "--metric", metric, "-o", overlay)
    assert run(*line) == Ran(0, "", "")
    config = ModelExplorerConfig()
    config.add_model_from_path(str(program))
    config.add_node_data_from_path(str(overlay))
    (entry,) = json.loads(overlay.read_text()).items()
    read = dacite.from_dict(READER.GraphNodeData, entry[1], dacite.Config(strict=True))
    assert entry[0] == "graph"
    assert (
        json.loads(READER.ModelNodeData({"graph": read}).to_json_string())["graph"]["results"].keys()
        == read.results.keys()
    )
    ids = {node.id: node.label for node in drawn(program)}
    assert read.results.keys() <= ids.keys(), "every value finds its node"
    assert {"conv2d", "relu", "linear"} <= read.results.keys()


def test_values_are_those_of_the_analysis(program: Path) -> None:
    from fxcost.report.nodes import node_values

    cost = fxcost.analyze(program)
    assert (
        sum(node_values(cost.summary(), "macs").values()) == cost.macs() == 2 * (8 * 3 * 9 * 14 * 14 + 8 * 14 * 14 * 4)
    )
