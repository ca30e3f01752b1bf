"""The report for a terminal: it fits 80 columns, its levels add up, and names cannot break it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.query.breakdown import ModuleRow, flatten, readable_depth
from fxcost.report.formats import render
from fxcost.report.text import report_text
from tests.support.commands import DATA

NAMES = ("resnet18", "mobilenet_v2", "tiny_llama")
# The longest name, no fp32 peak, several levels with bandwidths, weights behind a cable, banks
MACHINES = ("jetson-orin-nano-8gb", "tpu-v4", "mi300x", "coral-edge-tpu", "stm32h743")
METRICS = ("params", "macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes")


@pytest.fixture(scope="module")
def costs() -> dict[str, Cost]:
    return {name: fxcost.analyze(DATA / f"{name}.mlir") for name in NAMES}


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize(("name", "by", "depth"), list(product(NAMES, ("module", "op", "node"), (0, 1, 9))))
def test_it_fits_80_columns(costs: dict[str, Cost], name: str, by: str, depth: int) -> None:
    text = render("text", costs[name].summary(targets=MACHINES, by=by, depth=depth))
    assert widest(text) <= 80
    assert not re.search(r" $", text, re.MULTILINE), "no blanks at the ends of lines"


def test_it_fits_80_columns_whatever_the_numbers_are(costs: dict[str, Cost]) -> None:
    huge = {"N": 10**17, "H": 10**17 + 1, "W": 10**18 - 1}
    text = render("text", costs["resnet18"].summary(huge, depth=3))
    assert widest(text) <= 80


def test_names_may_be_long_and_hold_anything(costs: dict[str, Cost]) -> None:
    summary = costs["tiny_llama"].summary(depth=2)
    name = "[bold]" + "a_name_that_goes_on" * 8
    renamed = replace(summary, model=name, modules=_renamed(summary.modules, name))
    text = render("text", renamed)
    assert widest(text) <= 80
    assert "[bold]" in text, "brackets are no markup"
    assert text.startswith("[bold]a_name")


def _renamed(row: ModuleRow, name: str) -> ModuleRow:
    return replace(row, path=row.path and f"{row.path}.{name}", children=tuple(_renamed(c, name) for c in row.children))


def test_numbers_first(costs: dict[str, Cost]) -> None:
    text = render("text", costs["resnet18"].summary({"N": 1, "H": 224, "W": 224}))
    lines = text.splitlines()
    assert lines[0] == "torchvision:resnet18  (f32[N, 3, H, W])"
    assert lines[3] == "At N=1, H=224, W=224"
    assert "1,814,073,344" in lines[5], "MACs, as torchvision publishes them"
    assert text.index("params") > text.index("parameters"), "totals stand before the modules"


def test_every_level_adds_up(costs: dict[str, Cost]) -> None:
    for cost in costs.values():
        for _, row in flatten(cost.modules, 99):
            for metric in METRICS:
                parts = [row.own[metric], *(child.metrics[metric] for child in row.children)]
                assert sum(parts) == row.metrics[metric], (row.path, metric)
    # Parameters of the whole tree are those of the model, and so on.
    for cost in costs.values():
        for metric in METRICS:
            assert cost.modules.metrics[metric] is cost.total(metric).value, metric


def test_what_is_shown_adds_up(costs: dict[str, Cost]) -> None:
    """The shares of the first level sum to a hundred, up to rounding."""
    for cost in costs.values():
        text = report_text(cost.summary(depth=1))
        table = text[text.index("By module") :].split("\n\n")[0].splitlines()[3:]
        rows = [re.split(r" {2,}| (?=\d+\.\d$)", row.strip()) for row in table]
        traffic = [float(row[-1]) for row in rows if re.fullmatch(r"\d+\.\d", row[-1])]
        assert sum(traffic) == pytest.approx(100, abs=0.05 * len(traffic))


def test_the_depth_is_chosen_to_be_readable(costs: dict[str, Cost]) -> None:
    for cost in costs.values():
        depth = readable_depth(cost.modules)
        assert depth >= 1
        shown, deeper = len(flatten(cost.modules, depth)), len(flatten(cost.modules, depth + 1))
        assert shown - 1 <= 24 or depth == 1
        assert deeper - 1 > 24 or deeper == shown
    assert readable_depth(ModuleRow("", 1, {})) == 0
    wide = ModuleRow("", 1, {}, tuple(ModuleRow(str(i), 1, {}) for i in range(100)))
    assert readable_depth(wide) == 1


def test_the_peak_and_its_owner(costs: dict[str, Cost]) -> None:
    text = render("text", costs["resnet18"].summary({"N": 1, "H": 224, "W": 224}))
    # Input and output of bn1: 64 channels of 112 x 112 in fp32, twice.
    assert 2 * 64 * 112 * 112 * 4 == 6_422_528
    assert "The peak, 6.42 MB, stands at bn1 (batch_norm); alive there:\n  3.21 MB  batch_norm of bn1\n" in text


def test_options_are_told() -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir", accounting="fused", inputs="held", weights={"fc*": "int8"})
    text = render("text", cost.summary())
    assert "inference, accounting fused, inputs held, weights fc*=int8; standing: exact" in text
    assert "inputs held by the caller throughout" in text.replace("\n", " ")


def test_caveats_come_first(costs: dict[str, Cost]) -> None:
    summary = replace(
        costs["resnet18"].summary(),
        unknown_ops={"my.op": 3},
        warnings=("the self-check failed",),
        fixed_dims={"H": "H=224: the model itself refuses other sizes"},
        domain=tuple(f"N != {i}" for i in range(2, 20)),
    )
    text = render("text", summary)
    head = text[: text.index("At N=1")]
    assert "Unknown operators, totals are lower bounds: my.op x3" in head
    assert "Warning: the self-check failed" in head
    assert "Pinned H=224: the model itself refuses other sizes" in head
    assert "Valid where N != 2; N != 3;" in text
    assert "and 10 more guards" in " ".join(text.split())
    assert "Unknown operators: none." not in text


def test_many_equal_inputs_are_counted(costs: dict[str, Cost]) -> None:
    summary = replace(costs["resnet18"].summary(), inputs=("i64[N]", *["f32[N, S]"] * 64))
    assert render("text", summary).startswith("torchvision:resnet18  (i64[N], f32[N, S] x64)\n")
