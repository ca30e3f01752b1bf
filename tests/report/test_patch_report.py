"""What a report says about patches, in every format: the figures are those of the plan itself."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import fxcost
from fxcost.cost import Cost
from fxcost.errors import SpecError
from fxcost.passes.patch_plan import PatchPlan
from fxcost.report.formats import render
from fxcost.report.html.document import Page
from fxcost.report.summary import Summary
from tests.support.commands import DATA, run, shell
from tests.support.pages import data_of

AT = {"N": 1, "H": 96, "W": 96}


@cache
def reported() -> tuple[Cost, Summary, PatchPlan]:
    cost = fxcost.analyze(DATA / "mobilenet_v2.mlir", activations="int8")
    summary = cost.in_patches(cost.summary(AT, targets=["stm32f412", "stm32h743"]))
    assert summary.patches is not None
    return cost, summary, summary.patches


def test_text_names_the_plan_and_what_fits() -> None:
    _, summary, found = reported()
    text = " ".join(render("text", summary).split())
    assert f"peak with patches {found.peak / 1000:.1f} KB {found.peak:,}" in text
    assert f"nothing is below {found.bound / 1000:.1f} KB {found.bound:,} {100 * found.gap:.1f} % less" in text
    fits = summary.patched_fits
    assert list(fits) == ["stm32f412"]  # the other one holds whole maps
    least = fits["stm32f412"].found
    assert least is not None
    assert least.peak <= fits["stm32f412"].bytes < found.plain_peak
    assert f"2 x 2 patches up to {least.stages[0].up_to}" in text
    assert all(len(line) <= 80 for line in render("text", summary).split("\n"))


def test_json_and_markdown_have_the_frontier() -> None:
    _, summary, found = reported()
    document = json.loads(render("json", summary))
    assert [(each["peak"], each["macs"]) for each in document["patches"]["frontier"]] == list(found.frontier)
    assert (document["patches"]["bound"], document["patches"]["gap"]) == (found.bound, found.gap)
    assert document["patched_fits"]["stm32f412"]["fits"] is True
    lines = render("markdown", summary).split("\n")
    assert [line for line in lines if line.startswith(f"| {found.peak:,} |")]
    plain = fxcost.analyze(DATA / "mobilenet_v2.mlir").summary(AT)
    assert "patches" not in json.loads(render("json", plain))
    assert "Patch by patch" not in render("markdown", plain)


def test_the_page_holds_every_plan(tmp_path: Path) -> None:
    cost, summary, found = reported()
    page = cost.to_html(at=AT, targets=["stm32f412", "stm32h743"], summary=summary)
    part = json.loads(data_of(page))["patches"]
    assert [(plan["peak"], plan["macs"]) for plan in part["plans"]] == list(found.frontier)
    assert [(room["name"], room["least"]) for room in part["rooms"]] == [
        ("stm32f412", "2 x 2 patches up to features.2.conv.3"),
        ("stm32h743", "none needed"),
    ]
    plain = cost.to_html(at=AT, targets=["stm32f412", "stm32h743"])
    assert json.loads(data_of(plain))["patches"] is None
    assert len(page.text) - len(plain.text) < 20_000
    out = tmp_path / "page.html"
    ran = run("report", DATA / "resnet18.mlir", "--at", "N=1,H=32,W=32", "--patches", "--html", out)
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(data_of(Page(out.read_text(encoding="utf-8"), "")))["patches"]["plans"]


def test_what_is_refused() -> None:
    ran = shell(f"report {DATA / 'resnet18.mlir'} --patches --csv")
    assert (ran.code, ran.out) == (2, "")
    assert "--csv is the breakdown alone" in ran.err
    cost, summary, _ = reported()
    with pytest.raises(SpecError, match="give a size for N, H, W"):
        cost.in_patches(replace(summary, point=None))
