"""Two revisions compared: totals, modules and formulas, as a table, JSON and Markdown; broken reports are refused."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxcost
from fxcost.errors import FileError, OutsideDomain, SpecError
from fxcost.query.constraint_text import Allowance
from fxcost.query.difference import Difference, difference
from fxcost.report.difference import difference_data, difference_markdown, difference_text
from fxcost.report.formats import render
from fxcost.report.stored import read_revision, revision_of
from tests.support.commands import DATA, run

POINT = {"N": 1, "H": 224, "W": 224}
AT = ("--at", "N=1,H=224,W=224")
GRAPH = DATA / "resnet18.mlir"
MACS = 1_814_073_344  # as torchvision publishes it


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found = json.loads(render("json", fxcost.analyze(GRAPH).summary(POINT)))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def wider(tmp_path: Path) -> Path:
    """The same network whose last layer has 2000 classes in place of 1000: what it adds can be counted by hand."""
    text = GRAPH.read_text()
    text = text.replace("tensor<1000x512xf32>", "tensor<2000x512xf32>").replace("tensor<1000xf32>", "tensor<2000xf32>")
    text = re.sub(r"tensor<\?x1000xf32([^>]*)\"\[N, 1000\]\"", r'tensor<?x2000xf32\1"[N, 2000]"', text)
    path = tmp_path / "wider.mlir"
    path.write_text(text)
    return path


def stored(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document))
    return path


def compared(tmp_path: Path, document: dict[str, Any], wider: Path, point: dict[str, int] = POINT) -> Difference:
    before, _ = read_revision(stored(tmp_path, document))
    return difference(before, revision_of(fxcost.analyze(wider).summary()), point)


def test_a_report_read_back_is_the_revision_it_was_written_from(tmp_path: Path, document: dict[str, Any]) -> None:
    for name in ("resnet18", "mobilenet_v2", "tiny_llama"):
        summary = fxcost.analyze(DATA / f"{name}.mlir").summary()
        path = stored(tmp_path, json.loads(render("json", summary)))
        before, point = read_revision(path)
        after = revision_of(summary)
        assert point == {}
        assert before.totals.keys() == after.totals.keys()
        assert all(before.totals[metric] is after.totals[metric] for metric in after.totals), "the same expressions"
        assert before.modules == after.modules
        assert before.settings == after.settings
        found = difference(before, after, {})
        assert not found.modules
        assert not any(change.formula_changed for change in found.totals)
    assert read_revision(stored(tmp_path, document))[1] == POINT


def test_what_a_wider_last_layer_adds(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    found = compared(tmp_path, document, wider)
    macs, params = found.total("macs"), found.total("params")
    assert (macs.old, macs.new, macs.delta) == (MACS, MACS + 512 * 1000, 512 * 1000)  # 512 products for each class
    assert str(macs.formula) == "512000*N"
    assert macs.growth == Fraction(512_000, MACS)
    assert params.delta == 512 * 1000 + 1000  # and a bias each
    assert {change.module for change in found.modules} == {"fc"}
    assert {change.metric: change.delta for change in found.modules} == {
        "params": 513_000,
        "macs": 512_000,
        "other_ops": 1000,  # a bias each
        "write_bytes": 4 * 1000,
        "weight_bytes": 4 * 513_000,
    }
    unchanged = [change.metric for change in found.totals if not change.formula_changed]
    assert "read_bytes" in unchanged


def test_totals_of_the_modules_are_the_totals(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    found = compared(tmp_path, document, wider)
    for metric in ("macs", "other_ops", "read_bytes", "write_bytes", "weight_bytes", "params"):
        parts = [change.delta or 0 for change in found.modules if change.metric == metric]
        assert sum(parts) == found.total(metric).delta, metric


def test_a_module_that_moved_is_new_and_gone(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    nodes = [node | {"module": "head"} if node["module"] == "fc" else node for node in document["nodes"]]
    found = compared(tmp_path, document | {"nodes": nodes}, wider)
    (gone,) = (c for c in found.modules if c.module == "head" and c.metric == "macs")
    (new,) = (c for c in found.modules if c.module == "fc" and c.metric == "macs")
    assert (gone.old, gone.new, gone.delta) == (512_000, None, -512_000)
    assert (new.old, new.new, new.delta) == (None, 1_024_000, 1_024_000)
    text = difference_text(found)
    # before: 512 x 1000 products and a bias each; now twice as many
    assert re.search(r"^head +-512 K +-513 K +-2\.06 M +-1,000 +gone$", text, re.MULTILINE), text
    assert re.search(r"^fc +\+1\.02 M +\+1\.03 M +\+4\.11 M +\+2,000 +new$", text, re.MULTILINE), text


def test_without_a_point_formulas_are_compared(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    found = compared(tmp_path, document, wider, {"N": 1})
    macs, params = found.total("macs"), found.total("params")
    assert (macs.old, macs.new, macs.delta, macs.formula_changed) == (None, None, None, True)
    assert params.new == 11_689_512 + 513_000
    assert re.search(r"^macs +a formula +a formula +formula changed$", difference_text(found), re.MULTILINE)


def test_formulas_that_agree_at_the_point_are_told_apart(tmp_path: Path, document: dict[str, Any]) -> None:
    changed = {"totals": {**document["totals"], "macs": {**document["totals"]["macs"], "expr": f"{MACS}*N"}}}
    found = compared(tmp_path, document | changed, GRAPH)
    assert (found.total("macs").delta, found.total("macs").formula_changed) == (0, True)
    assert "formula changed, same here" in difference_text(found)


def test_the_text_fits_80_columns_and_the_markdown_is_tables(
    tmp_path: Path, document: dict[str, Any], wider: Path
) -> None:
    found = compared(tmp_path, document, wider)
    text = difference_text(found)
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("torchvision:resnet18 against torchvision:resnet18\nAt N=1, H=224, W=224\n")
    assert "  macs +512000*N\n" in text
    markdown = difference_markdown(found)
    for table in markdown.split("\n\n"):
        if table.startswith("|"):
            assert len({line.count("|") for line in table.splitlines()}) == 1
    assert f"| macs | {MACS:,} | {MACS + 512_000:,} | +0.0282 % |" in markdown


def test_json_says_all_of_it(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    data = difference_data(compared(tmp_path, document, wider))
    assert data["totals"]["macs"]["before"]["value"] == MACS
    assert data["totals"]["macs"]["delta"] == 512_000
    assert len(data["modules"]) == 5


# -- the command ---------------------------------------------------------------------------------------------------
def test_check_against_an_earlier_report(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    old = stored(tmp_path, document)
    ran = run("check", wider, "--against", old, "--max-growth", "macs=1%", "--max-growth", "params=513K")
    assert (ran.code, ran.err) == (0, ""), "the point is that of the old report"
    assert f"ok       macs = {MACS + 512_000:,} MAC, {MACS:,} before, 1 % more allowed\n" in ran.out
    ran = run("check", wider, *AT, "--against", old, "--max-growth", "macs=0.02%", "--max-growth", "params=512999")
    assert (ran.code, ran.err) == (4, "fxcost: over budget: macs, params\n")
    assert "EXCEEDED params = 12,202,512 elements, 11,689,512 before, 512,999 more allowed" in ran.out
    ran = run("check", GRAPH, "--against", old, "--max-growth", "macs=0%")
    assert (ran.code, ran.err) == (0, "")
    assert "Nothing changed: every total is the same formula." in ran.out


def test_check_without_a_point_needs_one_only_for_what_changed(
    tmp_path: Path, document: dict[str, Any], wider: Path
) -> None:
    old = stored(tmp_path, document | {"at": None})
    ran = run("check", wider, "--against", old, "--max-growth", "read_bytes=0%", "--max-growth", "params=10%")
    assert (ran.code, ran.err) == (0, "")
    ran = run("check", wider, "--against", old, "--max-growth", "macs=5%")
    assert ran.code == 2
    assert "macs is a formula, and not the one it was: give sizes with --at" in ran.err


def test_check_as_json_and_markdown(tmp_path: Path, document: dict[str, Any], wider: Path) -> None:
    old = stored(tmp_path, document)
    ran = run("check", wider, "--against", old, "--max-growth", "macs=0%", "--json")
    found = json.loads(ran.out)
    assert ran.code == 4
    assert [(v["metric"], v["exceeded"], v["limit"]) for v in found["verdicts"]] == [("macs", True, MACS)]
    assert found["against"]["totals"]["macs"]["now"]["value"] == MACS + 512_000
    ran = run("check", wider, "--against", old, "--markdown", "--max", "macs=2G")
    assert ran.code == 0
    assert "\n- ok       macs = " in ran.out


@given(before=st.integers(0, 10**20), hundredths=st.integers(0, 30_000), amount=st.integers(0, 10**9))
def test_allowances_are_exact(before: int, hundredths: int, amount: int) -> None:
    share = Allowance(share=Fraction(hundredths, 10_000)).ceiling(before)
    assert share * 10_000 <= before * (10_000 + hundredths) < (share + 1) * 10_000
    assert Allowance(amount=amount).ceiling(before) == before + amount


# -- what cannot be compared ---------------------------------------------------------------------------------------
def test_revisions_that_were_not_counted_alike_are_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    before, _ = read_revision(stored(tmp_path, document))
    other = fxcost.analyze(GRAPH, accounting="fused", weights="int8").summary()
    with pytest.raises(
        SpecError, match=r"accounting: eager before, fused now, weights: as they are before, \*=int8 now"
    ):
        difference(before, revision_of(other), POINT)


def test_a_point_outside_the_old_formulas_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    after = revision_of(fxcost.analyze(GRAPH).summary())
    before, _ = read_revision(stored(tmp_path, document | {"domain": ["H >= 225"]}))
    with pytest.raises(OutsideDomain, match="its formulas hold where H >= 225"):
        difference(before, after, POINT)
    before, _ = read_revision(stored(tmp_path, document | {"fixed_dims": {"H": "H=192: the model refuses others"}}))
    with pytest.raises(OutsideDomain, match="asked for H=224, but H=192: the model refuses"):
        difference(before, after, POINT)
    symbols = {**document["symbols"], "N": {"min": 2, "max": 8, "multiple_of": 2}}
    before, _ = read_revision(stored(tmp_path, document | {"symbols": symbols}))
    with pytest.raises(SpecError, match="N=1 is outside its range: 2 <= N <= 8, a multiple of 2"):
        difference(before, after, POINT)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": "fxcost/9"}, "schema 'fxcost/9', expected 'fxcost/1'"),
        ({"schema": ["fxcost/1"]}, "schema ['fxcost/1'], expected"),
        ({"totals": {}}, "totals: found none"),
        ({"totals": [1]}, "totals: found a list, expected an object"),
        ({"totals": {"macs": {"unit": "MAC", "expr": "N +"}}}, "totals.macs.expr: "),
        ({"totals": {"macs": {"unit": "MAC", "expr": "__import__('os')"}}}, "totals.macs.expr: "),
        ({"totals": {"macs": {"unit": "MAC", "expr": 7}}}, "totals.macs.expr: found a number, expected text"),
        ({"totals": {"macs": {"expr": "7"}}}, "totals.macs.unit: found nothing, expected text"),
        ({"nodes": None}, "nodes: found nothing, expected a list"),
        ({"nodes": [{"module": "a"}]}, "nodes[0].params: found nothing, expected an object"),
        ({"domain": ["N"]}, "domain[0]: found a number, expected a comparison"),
        ({"symbols": {"N": {"min": "1"}}}, "symbols.N.min: found '1', expected an integer from 0 on"),
        ({"symbols": {"N": {"min": 1, "max": None, "multiple_of": 0}}}, "symbols.N.multiple_of: found 0"),
        ({"at": {"N": True}}, "at.N: found True"),
        ({"weights": 8}, "weights: found a number, expected an object"),
    ],
)
def test_broken_reports_are_refused(
    change: dict[str, Any], complaint: str, tmp_path: Path, document: dict[str, Any]
) -> None:
    path = stored(tmp_path, document | change)
    with pytest.raises(FileError) as caught:
        read_revision(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")
    ran = run("check", GRAPH, "--against", path)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "not JSON (line 1, column 1"),
        (b"[]", "the document: found a list, expected an object"),
        (b'{"at": NaN}', "not readable as JSON: NaN is no number"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"\xff\xfe", "not UTF-8 text (byte 0)"),
    ],
)
def test_what_is_no_report_is_refused(text: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_bytes(text)
    with pytest.raises(FileError) as caught:
        read_revision(path)
    assert complaint in str(caught.value)
