"""The pytest plugin, tried on projects of its users: tests pass within a budget and fail beyond it, saying why."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.support.commands import DATA, answer

pytest_plugins = ["pytester"]

RESNET, MACS = DATA / "resnet18.mlir", 1_814_073_344  # as torchvision publishes it


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other plugins stay out of the way, and their start-up takes no time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    """Run a test file in which MODEL is ResNet-18 and AT its published size, in a process of its own as a user would."""
    head = f"import pytest\nMODEL = {str(RESNET)!r}\nAT = 'N=1,H=224,W=224'\n"
    pytester.makepyfile(head + body)
    return pytester.runpytest_subprocess("-p", "fxcost.pytest_plugin", "--strict-markers", *arguments)


def test_it_is_declared_as_a_plugin() -> None:
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["entry-points"]["pytest11"] == {"fxcost": "fxcost.pytest_plugin"}


def test_budgets(pytester: pytest.Pytester) -> None:
    body = """
def test_fits(fxcost_budget):
    cost = fxcost_budget(MODEL, at=AT, max={"macs": 1_814_073_344, "peak_memory": "6.5MB"})
    assert cost.params() == 11_689_512

def test_too_large(fxcost_budget):
    fxcost_budget(MODEL, at={"N": 1, "H": 224, "W": 224}, max={"macs": 1_814_073_343, "params": "1G"})
"""
    ran = run(pytester, body)
    ran.assert_outcomes(passed=1, failed=1)
    ran.stdout.fnmatch_lines(
        ["torchvision:resnet18 is over budget", f"EXCEEDED macs = {MACS:,} MAC, 100.0 % of the budget of {MACS - 1:,}"]
    )
    assert "params" not in ran.stdout.str(), "what is within its budget is not in the way"
    assert "Traceback" not in ran.stdout.str()


def test_the_marker_gives_defaults_and_the_call_has_the_last_word(pytester: pytest.Pytester) -> None:
    body = """
@pytest.mark.fxcost_budget(at=AT, max={"macs": "1G"})
class TestIt:
    def test_over(self, fxcost_budget):
        fxcost_budget(MODEL)

    def test_call(self, fxcost_budget):
        fxcost_budget(MODEL, max={"macs": "2G"})

    @pytest.mark.fxcost_budget(max={"macs": "2G"})
    def test_nearer(self, fxcost_budget):
        fxcost_budget(MODEL)

    def test_options(self, fxcost_budget):
        cost = fxcost_budget(MODEL, max={"model_bytes": "12MB"}, weights="int8")
        assert cost.options.weights == (("*", "int8"),)
"""
    run(pytester, body).assert_outcomes(passed=3, failed=1)


def test_growth_over_a_baseline(pytester: pytest.Pytester) -> None:
    old = json.loads(answer("report DATA/resnet18.mlir --at N=1,H=224,W=224 --json"))
    old["totals"]["macs"]["expr"] = f"({old['totals']['macs']['expr']}) - 100000000*N"
    (pytester.path / "old.json").write_text(json.dumps(old))
    body = """
def test_little(fxcost_budget):
    fxcost_budget(MODEL, baseline="old.json", max_growth={"macs": "6%", "params": 0})

def test_much(fxcost_budget):
    fxcost_budget(MODEL, baseline="old.json", max_growth={"macs": "5%"})
"""
    ran = run(pytester, body)
    ran.assert_outcomes(passed=1, failed=1)  # 100 M of 1714 M are 5.83 %
    ran.stdout.fnmatch_lines(
        [f"EXCEEDED macs = {MACS:,} MAC, {MACS - 10**8:,} before, 5 % more allowed", "*macs +100000000?N"]
    )


def test_a_baseline_is_written_on_request_alone(pytester: pytest.Pytester) -> None:
    body = """
def test_growth(fxcost_budget):
    fxcost_budget(MODEL, at=AT, baseline="base.json", max_growth={"macs": "0%"})
"""
    ran = run(pytester, body)
    ran.assert_outcomes(failed=1)
    ran.stdout.fnmatch_lines(["there is no baseline *base.json; write it with pytest --fxcost-update"])
    assert not (pytester.path / "base.json").exists()
    run(pytester, body, "--fxcost-update").assert_outcomes(passed=1)
    assert json.loads((pytester.path / "base.json").read_text())["totals"]["macs"]["value"] == MACS


COMPLAINTS = {
    "fxcost_budget(MODEL)": "*nothing to hold the model to*",
    "fxcost_budget(MODEL, max={'macs': '1G'}, max_growth={'macs': '1%'})": "*max_growth needs the revision*",
    "fxcost_budget(MODEL, max={'mac': '1G'})": "*did you mean 'macs'*",
    "fxcost_budget(MODEL, max={'macs': 'many'})": "*is not an amount*",
    "fxcost_budget(MODEL, max={'macs': '1G'})": "*macs is a formula in H, N, W*",
    "fxcost_budget(ODD, at=AT, max={'macs': '2G'})": "*no cost rule for my.own_pool: *",  # a lower bound proves nothing
}


def test_budgets_that_say_nothing_are_errors(pytester: pytest.Pytester) -> None:
    (pytester.path / "odd.mlir").write_text(RESNET.read_text().replace("aten.adaptive_avg_pool2d", "my.own_pool"))
    tests = [f"def test_{i}(fxcost_budget):\n    {call}\n" for i, call in enumerate(COMPLAINTS)]
    marked = "@pytest.mark.fxcost_budget(macs='1G')\ndef test_words(fxcost_budget):\n    pass\n"
    ran = run(pytester, "\n".join(["ODD = 'odd.mlir'", *tests, marked]))
    ran.assert_outcomes(failed=len(COMPLAINTS), errors=1)
    for complaint in COMPLAINTS.values():
        ran.stdout.fnmatch_lines([complaint])
    ran.stdout.fnmatch_lines(["*fxcost_budget takes at, max, baseline, max_growth by name; found macs*"])
