"""Pages: what one or several costs show as one HTML file, settings and machines included. Made by `Cost.to_html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from typing import TypeVar

from fxcost.errors import SpecError
from fxcost.ir.graph import Standing
from fxcost.on_machines import OnMachines
from fxcost.passes.estimate import compute_name
from fxcost.pipeline import ACCOUNTINGS, Options
from fxcost.query.compare import Comparison, joint_symbols
from fxcost.query.constraint_text import RATE_UNITS
from fxcost.query.regions import excluded_ones, region
from fxcost.report.html.comparison import Compared, ComparisonSubject, comparison_data
from fxcost.report.html.data import report_data
from fxcost.report.html.document import Page, document
from fxcost.report.html.subject import Machine, Order, Region, Setting, Subject
from fxcost.report.summary import Summary
from fxcost.schedule import Schedule
from fxcost.target import Target, load_target

C = TypeVar("C", bound=OnMachines)


def report_page(
    cost: OnMachines,
    summary: Summary,
    tie: Mapping[str, str] | None,
    targets: Iterable[str | Target],
    dtype: str | None,
    accountings: Iterable[str] | None,
    schedule: Schedule | None,
    command: str,
) -> Page:
    """The page of one model: its formulas under several accountings and widths, on several machines."""
    machines = machines_of(targets, dtype)
    every = [name for name in ACCOUNTINGS if cost.mode == "inference" or name != "fused"]
    options = settings_of(cost.options, every if accountings is None else accountings)
    start = dict(summary.point or summary.at or {})
    settings = tuple(_setting(replace(cost, options=each), machines, start, tie) for each in options)
    regions = regions_of(cost)
    subject = Subject(
        summary=summary,
        regions=regions,
        settings=settings,
        machines=machines,
        start=start,
        ties=check_ties(cost, tie),
        chosen=options.index(cost.options),
        order=None if schedule is None else _order(schedule, regions, options),
        command=command,
    )
    data, functions = report_data(subject)
    return document("report", f"{summary.model}: what it costs", data, functions)


def machines_of(targets: Iterable[str | Target], dtype: str | None) -> tuple[Machine, ...]:
    """The machines asked for, each once."""
    name = None if dtype is None else compute_name(dtype)
    found = {(t := load_target(each) if isinstance(each, str) else each).name: Machine(t, name) for each in targets}
    return tuple(found.values())


def settings_of(options: Options, accountings: Iterable[str]) -> list[Options]:
    """The accountings with the widths asked for, and with those of the model itself; what was asked for is among them."""
    names = dict.fromkeys([options.accounting, *accountings])
    widths = dict.fromkeys([(options.weights, options.activations), ((), None)])
    ordered = sorted(names, key=lambda name: ACCOUNTINGS.index(name) if name in ACCOUNTINGS else -1)
    return [
        replace(options, accounting=name, weights=weights, activations=activations)
        for (weights, activations), name in product(widths, ordered)
    ]


def regions_of(cost: OnMachines) -> tuple[Region, ...]:
    """The graphs of a cost, those of special sizes first."""
    excluded = excluded_ones(cost.graph)
    special = (Region(region(v.ones, excluded), v.graph) for v in cost.variants)
    return (*special, Region(None, cost.graph))


def _setting(
    cost: OnMachines, machines: tuple[Machine, ...], start: Mapping[str, int], tie: Mapping[str, str] | None
) -> Setting:
    facts = tuple(replace(cost, graph=each.graph, variants=()).facts for each in regions_of(cost))
    complete = all(s.name in start for s in cost.graph.symbols)
    largest = {m.name: cost.fit(m.target, start, tie=tie, dtype=m.dtype) for m in machines} if complete else {}
    return Setting(cost.options, cost.quantities, facts, largest)


def _order(schedule: Schedule, regions: tuple[Region, ...], options: list[Options]) -> Order:
    """Where a schedule belongs; raises SpecError where it is that of another model or of other settings."""
    graphs = [each.graph for each in regions]
    setting = replace(schedule.facts.options, order=None, target=None)
    if schedule.graph not in graphs or setting not in options:
        raise SpecError("the schedule is not one of this model under one of the settings on the page")
    return Order(schedule, schedule.point, options.index(setting), graphs.index(schedule.graph))


def check_ties(cost: OnMachines, tie: Mapping[str, str] | None) -> dict[str, str]:
    """The ties as text; raises SpecError for a symbol that the model does not have, or a formula that cannot be read."""
    from fxcost.ir.reader import parse_expr

    known = {s.name for s in cost.graph.symbols}
    found = {}
    for name, text in (tie or {}).items():
        value = parse_expr(text, where=f"--tie {name}={text}")
        strange = [each for each in (name, *sorted(value.symbols)) if each not in known]
        if strange:
            raise SpecError(f"--tie {name}={text}: the model has no symbol {strange[0]!r}")
        found[name] = str(value)
    return found


# -- several models --------------------------------------------------------------------------------------------------
def comparison_page(
    costs: Sequence[OnMachines],
    metric: str,
    wrt: str,
    at: Mapping[str, int],
    tie: Mapping[str, str],
    machines: tuple[Machine, ...],
    proven: Sequence[str],
    versions: Mapping[str, str],
    command: str,
) -> Page:
    """The page of several models as functions of one symbol, `wrt`; `at` and `tie` settle the others at first."""
    symbols = reduce(joint_symbols, (cost.graph.symbols for cost in costs))
    least = {s.name: max(s.min, s.multiple_of) for s in symbols}
    names = apart([cost.graph.name for cost in costs])
    subject = ComparisonSubject(
        models=tuple(
            Compared(name, regions_of(cost), _setting(cost, (), {}, None))
            for name, cost in zip(names, costs, strict=True)
        ),
        machines=machines,
        symbols=symbols,
        wrt=wrt,
        metric=metric,
        start=least | {s.name: s.hint for s in symbols if s.name == wrt and s.hint is not None} | dict(at),
        ties=tie,
        proven=proven,
        versions=versions,
        command=command,
    )
    data, functions = comparison_data(subject)
    return document("compare", f"{', '.join(names)}: which costs what", data, functions)


def check_drawn(metric: str, machines: tuple[Machine, ...], costs: Sequence[OnMachines]) -> None:
    """Raise SpecError for a metric that takes a machine where there is none, or that is no formula of all models."""
    if metric in RATE_UNITS and not machines:
        raise SpecError(f"{metric} is that on a machine: say on which (targets=..., --target NAME)")
    if metric not in RATE_UNITS and not all(metric in cost.quantities for cost in costs):
        raise SpecError(f"a page draws no {metric!r}: it is no quantity with a formula in every model")


def lines_of(costs: Sequence[C], machines: Sequence[Machine]) -> list[tuple[str, C, Target | None]]:
    """The lines that a page draws, each with its name: every cost, on every machine where there are any."""
    named = zip(apart([cost.graph.name for cost in costs]), costs, strict=True)
    if not machines:
        return [(name, cost, None) for name, cost in named]
    several = len(machines) > 1 or len(costs) == 1
    return [
        (" on ".join([name] * (len(costs) > 1) + [machine.name] * several), cost, machine.target)
        for name, cost in named
        for machine in machines
    ]


def comparison_lines(found: Comparison) -> list[str]:
    """What a comparison proves, a line for each answer."""
    given = ", ".join(f"{name}={value}" for name, value in found.given.items())
    aside = f" ({given})" if given else ""
    lower = "lower, as figures are missing: nothing is proven about the true costs"
    standing = {Standing.EXACT: "", Standing.LOWER: f"; standing {lower}"}.get(found.standing, f"; {found.standing}")
    return [f"{' beside '.join(found.names)}{aside}: {line}{standing}" for line in str(found).split("\n")]


def apart(names: Sequence[str]) -> list[str]:
    """The names, with a number where one occurs again."""
    return [name if names.index(name) == i else f"{name} ({names[:i].count(name) + 1})" for i, name in enumerate(names)]
