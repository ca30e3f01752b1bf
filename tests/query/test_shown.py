"""What answers look like in a notebook: IPython's own formatter shows them as they print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fxcost

COST = fxcost.analyze(Path(__file__).parents[1] / "data" / "resnet18.mlir")
ONE: dict[str, Any] = {"at": {"N": 1}, "tie": {"W": "H"}}
ANSWERS = {
    "1 <= H <= ": COST.solve(COST.macs <= 10**9, wrt="H", **ONE),
    "epyc-9654 needs less roofline for H >= 1": COST.compare(COST, "roofline", target=("t4", "epyc-9654"), **ONE),
    "< torchvision:resnet18 needs less macs": COST.compare_over(COST, {"H": [64, 128], "W": [64, 128]}, at={"N": 1}),
    "compute-bound for H >= 29": COST.crossover("t4", "layer1.0.conv1", **ONE),
    "rule": COST.explain("layer1.0.conv1"),
    "N = ": COST.frontier(COST.peak_memory <= 10**7, ("N", "H"), at={"W": 64}),
    "H >= 7: 512": COST.pieces("peak_memory", **ONE),
    "peak of the traced order": COST.schedule({"N": 1, "H": 64, "W": 64}),
    "2304*((H + 3)//4)": COST.share("layer1"),
}


@pytest.mark.parametrize("part", ANSWERS)
def test_answers_are_shown_as_they_print(part: str) -> None:
    answer = ANSWERS[part]
    assert part in str(answer)
    assert "object at" not in str(answer)
    shown = answer._repr_markdown_()
    assert shown.startswith("```text\n")
    assert str(answer) in shown
