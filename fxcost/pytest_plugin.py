"""A pytest plugin: a test that fails when a model outgrows its budget.

    def test_it_still_fits(fxcost_budget):
        fxcost_budget(MyModel(), "N,3,H,W", at="N=1,H=224,W=224", max={"macs": "2G", "peak_memory": "8MB"})

    @pytest.mark.fxcost_budget(at="N=1,H=224,W=224", baseline="mymodel.json", max_growth={"macs": "5%"})
    def test_it_grows_slowly(fxcost_budget):
        fxcost_budget(MyModel(), "N,3,H,W")

A baseline is what `fxcost report MODEL --json` writes, beside the test; `pytest --fxcost-update` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from fxcost.cost import Cost
    from fxcost.report.budget import Verdict

KEYWORDS = ("at", "max", "baseline", "max_growth")


class Budget(Protocol):
    """What the fixture `fxcost_budget` is."""

    def __call__(
        self,
        model: Any,
        specs: Any = (),
        *,
        at: Mapping[str, int] | str | None = None,
        max: Mapping[str, int | str] | None = None,
        baseline: str | Path | None = None,
        max_growth: Mapping[str, int | str] | None = None,
        **options: Any,
    ) -> Cost:
        """Analyse a model as `fxcost.analyze(model, specs, **options)` does, and fail the test when it is over budget.

        Args:
            model: what `fxcost.analyze` takes: a module, an exported program, `torchvision:resnet18`, a file ...
            specs: its inputs, "N,3,H,W".
            at: the sizes for numbers, {"N": 1} or "N=1"; without them those of the baseline.
            max: budgets by quantity: {"macs": "2G", "peak_memory": 320_000}.
            baseline: a report as JSON, relative to the test's folder, written by `pytest --fxcost-update`.
            max_growth: how much may be added to the baseline, by quantity: {"macs": "5%", "params": "10K"}.
            **options: `accounting`, `weights`, `mode` and so on, for `fxcost.analyze`.

        Returns:
            the cost, for assertions of your own.

        Raises:
            ModelError: the model cannot be captured, or a budget cannot be read.
        """
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fxcost-update."""
    parser.getgroup("fxcost").addoption(
        "--fxcost-update", action="store_true", help="write the baselines of fxcost_budget anew"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is."""
    config.addinivalue_line(
        "markers", "fxcost_budget(at, max, baseline, max_growth): what the fixture fxcost_budget holds a model to"
    )


@pytest.fixture
def fxcost_budget(request: pytest.FixtureRequest) -> Budget:
    """A function that fails the test when a model is over budget; the marker of the same name gives defaults."""
    marked: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fxcost_budget"))):  # the one nearest to the test rules
        unknown = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in KEYWORDS)]
        if unknown:
            pytest.fail(f"fxcost_budget takes {', '.join(KEYWORDS)} by name; found {', '.join(unknown)}", pytrace=False)
        marked |= marker.kwargs

    def budget(model: Any, specs: Any = (), **given: Any) -> Cost:
        asked = {name: marked.get(name) for name in KEYWORDS} | {k: v for k, v in given.items() if k in KEYWORDS}
        options = {name: value for name, value in given.items() if name not in KEYWORDS}
        baseline = None if asked["baseline"] is None else request.path.parent / asked["baseline"]
        update = bool(request.config.getoption("--fxcost-update"))
        return _hold(model, specs, asked, baseline, options, update=update)

    return budget


def _hold(
    model: Any, specs: Any, asked: Mapping[str, Any], baseline: Path | None, options: Mapping[str, Any], *, update: bool
) -> Cost:
    from fxcost.api import analyze
    from fxcost.errors import SpecError, UnknownOps
    from fxcost.query.constraint_text import parse_budget, parse_growth
    from fxcost.query.difference import difference
    from fxcost.report.budget import check_counted, judge, judge_growth
    from fxcost.report.difference import difference_text
    from fxcost.report.formats import render
    from fxcost.report.stored import read_revision, revision_of

    if not asked["max"] and baseline is None:
        raise SpecError(
            'fxcost_budget has nothing to hold the model to: give max={"macs": "2G"} or baseline="old.json"'
        )
    if asked["max_growth"] and baseline is None:
        raise SpecError('max_growth needs the revision to grow from: baseline="old.json"')
    point = _point(asked["at"])
    cost = analyze(model, specs, **options)
    quantities = cost.quantities
    limits = [parse_budget(f"{name}={amount}", quantities) for name, amount in (asked["max"] or {}).items()]
    allowances = [parse_growth(f"{name}={most}", quantities) for name, most in (asked["max_growth"] or {}).items()]
    if baseline is not None and update:
        _write(baseline, render("json", cost.summary(point)))
    verdicts: list[Verdict] = []
    changes = ""
    if baseline is not None:
        if not baseline.exists():
            pytest.fail(f"there is no baseline {baseline}; write it with pytest --fxcost-update", pytrace=False)
        before, stored_at = read_revision(baseline)
        point = stored_at or None if point is None else point
        found = difference(before, revision_of(cost.summary(point)), point or {})
        verdicts += judge_growth(found, allowances)
        changes = difference_text(found)
    verdicts = judge(quantities, limits, point) + verdicts
    try:
        check_counted(cost.unknown_ops)
    except UnknownOps as error:
        pytest.fail(str(error), pytrace=False)
    over = [str(verdict) for verdict in verdicts if verdict.exceeded]
    if over:
        pytest.fail(
            "\n".join([f"{cost.graph.name} is over budget", *over, *filter(None, ["", changes])]), pytrace=False
        )
    return cost


def _point(at: Mapping[str, int] | str | None) -> dict[str, int] | None:
    from fxcost.ir.specs import parse_point

    return parse_point(at) if isinstance(at, str) else None if at is None else dict(at)


def _write(path: Path, text: str) -> None:
    from fxcost.report.files import whole

    with whole(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
