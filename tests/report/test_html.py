"""Pages: their JavaScript gives Python's integers at every size, and no name of a model ever becomes markup."""

from __future__ import annotations

import json
import random
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fxcost
from fxcost.cost import Cost
from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.expr import symbol
from fxcost.ir.predicate import Predicate, holds
from fxcost.report.html.document import Page
from fxcost.report.html.javascript import Conditions, Table
from tests.strategies import SYMBOLS, Shadowed, points, predicates, shadowed
from tests.support.commands import DATA, run
from tests.support.pages import QUANTITIES, Node, data_of, node, scripts_of
from tests.support.small_graphs import graph_of, random_graph, value
from tests.support.small_graphs import node as call

MODELS = ("resnet18", "tiny_llama")
TARGETS = ("t4", "stm32h743")


@pytest.fixture(scope="module")
def nodejs() -> Iterator[Node]:
    with node() as running:
        yield running


@cache
def page_of(name: str, **options: Any) -> tuple[Cost, Page]:
    cost = fxcost.analyze(DATA / f"{name}.mlir", **options)
    return cost, cost.to_html(targets=TARGETS)


def some_points(cost: Cost, count: int = 10) -> list[dict[str, int]]:
    """Small sizes, usual ones, and some at which totals pass 2**53."""
    rng = random.Random(7)
    sizes = [*range(1, 9), 31, 32, 33, 97, 224, 225, 1000, 12_345]
    found = [{name: rng.choice(sizes) for name in cost.symbols} for _ in range(count - 3)]
    return [*found, *(dict.fromkeys(cost.symbols, size) for size in (99_991, 10**7, 10**12 + 39))]


# -- the functions ---------------------------------------------------------------------------------------------------
@settings(max_examples=60)
@given(
    parts=st.lists(shadowed(size=10), min_size=1, max_size=5), ats=st.lists(points(high=10**9), min_size=1, max_size=4)
)
def test_expressions_are_pythons_integers(nodejs: Node, parts: list[Shadowed], ats: list[dict[str, int]]) -> None:
    table = Table(SYMBOLS)
    numbers = [table(part.value) for part in parts]
    source = f"{_exact()}const f = {table.function()}; const answer = (sizes) => f(...sizes.map(BigInt));"
    answers = nodejs.ask(source, None, [[str(at[name]) for name in SYMBOLS] for at in ats])
    for at, values in zip(ats, answers, strict=True):
        assert [int(values[number]) for number in numbers] == [part.shadow(at) for part in parts]


@settings(max_examples=40)
@given(conditions=st.lists(predicates(), min_size=1, max_size=4), at=points())
def test_conditions_are_pythons(nodejs: Node, conditions: list[Predicate], at: dict[str, int]) -> None:
    made = Conditions(SYMBOLS)
    numbers = [made(condition) for condition in conditions]
    source = (
        f"{_exact()}const fs = {made.functions()}; const answer = (sizes) => fs.map((f) => f(...sizes.map(BigInt)));"
    )
    [values] = nodejs.ask(source, None, [[str(at[name]) for name in SYMBOLS]])
    assert [values[number] for number in numbers] == [holds(condition, at) for condition in conditions]


def test_floor_division_by_numbers_is_exact(nodejs: Node) -> None:
    """Where float division goes wrong: one H in seven for a divisor of three."""
    H = symbol("H")
    table = Table(("H",))
    divisors = (3, 6, 7, 9, 11, 14)
    for divisor in divisors:
        table((H - 1) // divisor)
    source = f"{_exact()}const f = {table.function()}; const answer = (size) => f(BigInt(size));"
    sizes = [*range(1, 2000), 2**53 + 1, 2**80 - 1]
    answers = nodejs.ask(source, None, [str(size) for size in sizes])
    assert [[int(v) for v in values] for values in answers] == [[(size - 1) // d for d in divisors] for size in sizes]


def _exact() -> str:
    return (files("fxcost.report.html") / "exact.js").read_text(encoding="utf-8")


@settings(max_examples=40)
@given(part=shadowed(size=8), at=points(high=10**6))
def test_formulas_typed_by_a_user_are_read_as_python_reads_them(
    nodejs: Node, part: Shadowed, at: dict[str, int]
) -> None:
    source = _exact() + (files("fxcost.report.html") / "formula.js").read_text(encoding="utf-8")
    source += "const answer = ({ text, at }) => valueOf(read(text), (name) => BigInt(at[name]));"
    [found] = nodejs.ask(source, None, [{"text": str(part.value), "at": at}])
    assert int(found) == part.shadow(at)


# -- whole pages -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {}), ("tiny_llama", {"weights": "int8", "activations": "int8"})]
)
def test_totals_are_pythons_under_every_setting(nodejs: Node, name: str, options: dict[str, Any]) -> None:
    _, page = page_of(name, **options)
    entries = json.loads(data_of(page))["settings"]
    assert len(entries) == (6 if options else 3)
    large = 0
    for number, entry in enumerate(entries):
        widths = {} if entry["widths"] == "as captured" else options
        cost = fxcost.analyze(DATA / f"{name}.mlir", accounting=entry["accounting"], **widths)
        ats = some_points(cost)
        for at, found in zip(ats, nodejs.at(page, ats, number), strict=True):
            expected = {quantity: cost.total(quantity).at(at) for quantity in QUANTITIES}
            assert {quantity: int(value) for quantity, value in found["totals"].items()} == expected
            large += expected["macs"] > 2**53
            assert int(found["traced"]["peak"]) == expected["peak_memory"]
    assert large >= 3


@pytest.mark.parametrize("name", MODELS)
def test_machines_and_the_owner_of_the_peak_are_pythons(nodejs: Node, name: str) -> None:
    cost, page = page_of(name)
    ats = [dict.fromkeys(cost.symbols, size) for size in (1, 7, 96, 224, 3001)]
    for at, found in zip(ats, nodejs.at(page, ats), strict=True):
        owner = cost.peak_owner(**at)
        assert found["names"][found["traced"]["node"]] == owner.node
        assert {(b, int(size)) for b, size in found["traced"]["alive"]} == {pair for pair in owner.alive if pair[1]}
        for target, shown in zip(TARGETS, found["machines"], strict=True):
            estimate = cost.on(target, at=at)
            for kind, seconds in shown["latencies"].items():
                assert seconds == getattr(estimate, kind), (target, kind)
            assert shown["energy"] == estimate.energy
            assert shown["verdict"] == estimate.fits.verdict
            assert [(row["what"], int(row["need"]), row["verdict"]) for row in shown["fits"]] == [
                (row.what, row.need_bytes.constant, estimate.fits.verdict_of(row)) for row in estimate.fits.rows
            ]
            assert tuple(shown["dropped"]) == tuple(dict.fromkeys(estimate.dropped_terms))
            rows = estimate.by_node()
            assert [found["names"][group["node"]] for group in shown["groups"]] == [row.name for row in rows]
            for group, row in zip(shown["groups"], rows, strict=True):
                sides = [t for t in (row.t_compute_s, row.t_memory_s) if isinstance(t, float)]
                assert group["seconds"] == pytest.approx(max(sides, default=0.0), rel=1e-12)
                assert (row.binds == "unknown") == (group["binds"] == "unknown")


def test_a_type_to_compute_in_narrows_what_is_stored(nodejs: Node) -> None:
    cost = fxcost.analyze(DATA / "resnet18.mlir")
    page = cost.to_html(targets=["h100-sxm"], dtype="bf16", accountings=["eager"])
    at = {"N": 8, "H": 224, "W": 224}
    [found] = nodejs.at(page, [at])
    assert found["machines"][0]["latencies"]["roofline"] == cost.on("h100-sxm", dtype="bf16", at=at).roofline


@pytest.mark.parametrize("accounting", ["eager", "inplace", "fused"])
def test_best_orders_have_the_bytes_of_their_schedule(nodejs: Node, accounting: str) -> None:
    """On random graphs of views, in-place writes and branches, step by step."""
    better = 0
    for seed in range(25):
        cost = fxcost.analyze(random_graph(seed), accounting=accounting)
        schedule = cost.schedule({})
        lines = schedule.timelines()
        page = cost.to_html(schedule=schedule)
        chosen = json.loads(data_of(page))["chosen"]
        [found] = nodejs.at(page, [{}], chosen)
        assert int(found["best"]["peak"]) == schedule.peak == lines["best"].peak
        assert [int(b) for b in found["best"]["bytes"]] == [step.bytes for step in lines["best"].steps]
        better += schedule.peak < schedule.traced_peak
    assert better


def test_sizes_follow_others_and_mistakes_are_named(nodejs: Node) -> None:
    cost, page = page_of("resnet18")
    asked = [
        {"N": "1", "H": "2*W - 1", "W": "113"},
        {"N": "1", "H": "W", "W": "H"},
        {"N": "0", "H": "7", "W": "7"},
        {"N": "1", "H": "7.5", "W": "7"},
        {"N": "1", "H": "", "W": "7"},
        {"N": "1_000", "H": "1,024", "W": "max(H, 5)//2"},
        {"N": "1", "H": "alert(1)", "W": "2**99999999"},
    ]
    found = nodejs.at(page, asked)
    assert int(found[0]["totals"]["macs"]) == cost.macs(N=1, H=225, W=113)
    assert "follows itself" in found[1]["problems"]["H"]
    assert found[2]["problems"] == {"N": "is to be at least 1"}
    assert int(found[5]["totals"]["macs"]) == cost.macs(N=1000, H=1024, W=512)
    assert set(found[6]["problems"]) == {"H", "W"}
    for answer in (found[1], found[2], found[3], found[4], found[6]):
        assert set(answer["totals"].values()) == {None}
        assert answer["masked"]


def test_outside_the_domain_totals_are_masked_and_the_guard_is_named(nodejs: Node) -> None:
    text = (DATA / "resnet18.mlir").read_text(encoding="utf-8")
    graph = fxcost.analyze(text).graph
    cost = Cost(replace(graph, domain=(_at_least(symbol("H"), symbol("W")),)))
    page = cost.to_html(at={"N": 1, "H": 64, "W": 32})
    inside, outside = nodejs.at(page, [{"N": 1, "H": 64, "W": 32}, {"N": 1, "H": 32, "W": 64}])
    assert int(inside["totals"]["macs"]) == cost.macs(N=1, H=64, W=32)
    assert outside["guards"] == ["H >= W"]
    assert set(outside["totals"].values()) == {None}
    assert "traced" not in outside
    with pytest.raises(OutsideDomain):
        cost.macs(N=1, H=32, W=64)


def _at_least(left: Any, right: Any) -> Predicate:
    from fxcost.ir.predicate import Compare

    return Compare(">=", left, right)


def test_a_model_without_sizes_has_a_page(nodejs: Node) -> None:
    page = fxcost.analyze(random_graph(3)).to_html()
    [found] = nodejs.at(page, [{}])
    assert int(found["totals"]["peak_memory"]) == int(found["traced"]["peak"]) > 0


# -- the document ----------------------------------------------------------------------------------------------------
HOSTILE = "</script><script>alert(1)</script><!--\"'&\u2028<img src=x onerror=alert(2)>"


def hostile_cost() -> Cost:
    graph = random_graph(3)
    nodes = tuple(replace(n, module=f"{HOSTILE}.block{i}", source=HOSTILE) for i, n in enumerate(graph.nodes))
    named = replace(graph, name=HOSTILE, nodes=nodes, notes=(HOSTILE,), fixed={"H": f"H=3: {HOSTILE}"})
    return Cost(named, warnings=(HOSTILE,))


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_of_the_model_never_become_markup() -> None:
    page = hostile_cost().to_html(command=f"fxcost report '{HOSTILE}'", targets=["t4"])
    plain = fxcost.analyze(random_graph(3)).to_html(targets=["t4"])
    assert [tag for tag, _ in Elements(page).found] == [tag for tag, _ in Elements(plain).found]
    assert HOSTILE not in page.text
    assert json.loads(data_of(page))["model"] == HOSTILE
    assert "<" not in data_of(page)


def test_the_policy_lets_nothing_in_but_what_the_page_holds() -> None:
    _, page = page_of("resnet18")
    elements = Elements(page).found
    (policy,) = (a["content"] or "" for tag, a in elements if tag == "meta" and "http-equiv" in a)
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    for kind, contents in (
        ("script-src", scripts_of(page)),
        ("style-src", re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)),
    ):
        hashes = {f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in contents}
        assert set(rules[kind].split()) == hashes
    assert not [a for _, a in elements if any(name in {"src", "style"} or name.startswith("on") for name in a)]
    links = [a["href"] for _, a in elements if "href" in a]
    assert all((link or "").startswith(("#", "data:")) for link in links)


def test_vendored_code_is_what_the_table_says() -> None:
    folder = files("fxcost.report") / "vendor"
    rows = re.findall(
        r"^\| (\S+) \| \S+ \S+ \| MIT, (\S+) \| ([0-9a-f]{64}) \|", (folder / "README.md").read_text(), re.M
    )
    assert {name for name, *_ in rows} == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, licence, checksum in rows:
        assert sha256((folder / name).read_bytes()).hexdigest() == checksum
        assert "MIT" in (folder / licence).read_text(encoding="utf-8")


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    page = fxcost.analyze(random_graph(3)).to_html()
    [(tag, attributes)] = Elements(Page(page._repr_html_(), "")).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == page.text
    assert attributes["sandbox"] == "allow-scripts"


def test_pages_are_small() -> None:
    _, page = page_of("resnet18")
    assert len(page.text.encode()) < 250_000


# -- from the command line -------------------------------------------------------------------------------------------
def test_report_writes_a_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    model = str(DATA / "mobilenet_v2.mlir")
    ran = run("report", model, "--at", "N=1,H=96,W=96", "--target", "t4", "--tie", "W=H", "--best-order", "--html", out)
    assert (ran.code, ran.err) == (0, "")
    assert "mobilenet_v2" in ran.out
    data = json.loads(data_of(Page(out.read_text(encoding="utf-8"), "")))
    assert data["command"].startswith("fxcost report ")
    assert {s["name"]: (s["start"], s["tie"]) for s in data["symbols"]} == {"N": (1, ""), "H": (96, ""), "W": (96, "H")}
    part = data["regions"][-1]["parts"][data["chosen"]]
    assert part["best"]["at"] == "N=1, H=96, W=96"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--best-order"], "give --html FILE"),
        (["--tie", "W=H"], "give --html FILE"),
        (["--html", "/no/such/folder/page.html"], "there is no folder"),
        (["--html", "{out}", "--tie", "W=Q"], "no symbol 'Q'"),
        (["--html", "{out}", "--best-order"], "give a size to"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: list[str], complaint: str) -> None:
    out = tmp_path / "page.html"
    ran = run("report", DATA / "resnet18.mlir", *(option.replace("{out}", str(out)) for option in options))
    assert ran.code == 2
    assert complaint in ran.err
    assert not out.exists()


def test_a_schedule_of_another_model_is_refused() -> None:
    other = fxcost.analyze(random_graph(4)).schedule({})
    with pytest.raises(SpecError, match="not one of this model"):
        fxcost.analyze(random_graph(3)).to_html(schedule=other)


def test_unknown_operators_make_lower_bounds(nodejs: Node) -> None:
    graph = graph_of([value("x", 64)], [call("mystery.op", ["x"], [value("y", 64)])], ["y"])
    cost = fxcost.analyze(graph)
    page = cost.to_html()
    data: Mapping[str, Any] = json.loads(data_of(page))
    assert data["unknown"] == {"mystery.op": 1}
    index = QUANTITIES.index("macs")
    assert data["settings"][0]["standings"][index] == "lower"
