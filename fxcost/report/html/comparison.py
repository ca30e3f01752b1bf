"""A comparison page's data: the formulas of several models, on several machines, as functions of the same symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.cost import Costs
from fxcost.passes.energy import EnergyUse
from fxcost.passes.estimate import LATENCIES
from fxcost.passes.latency import Latency
from fxcost.passes.totals import Totals
from fxcost.report.html.data import quantities_data, setting_data, symbol_data
from fxcost.report.html.javascript import Conditions, Table
from fxcost.report.html.machines import facts_on
from fxcost.report.html.packing import Rates
from fxcost.report.html.subject import Machine, Region, Setting


@dataclass(frozen=True)
class Compared:
    """One model on the page: what it is called there, its regions and its formulas."""

    name: str
    regions: tuple[Region, ...]
    setting: Setting


@dataclass(frozen=True)
class ComparisonSubject:
    """Everything on a comparison page; it opens along `wrt` at `start`, showing `metric`.

    `proven` says in words what was proven about that metric when the page was made.
    """

    models: tuple[Compared, ...]
    machines: tuple[Machine, ...]
    symbols: tuple[SymbolInfo, ...]
    wrt: str
    metric: str
    start: Mapping[str, int]
    ties: Mapping[str, str] = field(default_factory=dict)
    proven: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def comparison_data(subject: ComparisonSubject) -> tuple[dict[str, Any], str]:
    """Data and functions of the page: `{conditions, tables}` as a JavaScript object."""
    names = tuple(s.name for s in subject.symbols)
    conditions, tables = Conditions(names), list[Table]()

    def new_table() -> tuple[int, Table]:
        tables.append(Table(names))
        return len(tables) - 1, tables[-1]

    def on(model: Compared, number: int, region: Region, machine: Machine) -> dict[str, Any]:
        facts = facts_on(machine, region.graph, model.setting.facts[number])
        guards = (*region.graph.domain, *facts[Totals].guards)
        place, table = new_table()
        rates = Rates(table)
        formulas = {name: rates.formula(getattr(facts[Latency], name)) for name in LATENCIES}
        return {
            "table": place,
            "when": None if region.when is None else conditions(region.when),
            "guards": [conditions(guard) for guard in guards],
            "formulas": formulas | {"energy": rates.formula(facts[EnergyUse].total)},
            "dropped": list(dict.fromkeys([*facts[Latency].dropped, *facts[EnergyUse].dropped])),
            **rates.data(),
        }

    first, *others = (model.setting.quantities for model in subject.models)
    shared = [name for name in first if all(name in each for each in others)]
    models = []
    for model in subject.models:
        place, table = new_table()
        machines = [[on(model, i, r, machine) for i, r in enumerate(model.regions)] for machine in subject.machines]
        models.append(
            {
                "name": model.name,
                "table": place,
                "unknown": dict(model.setting.facts[-1][Costs].unknown),
                "machines": machines,
                **setting_data(model.setting, shared, conditions, table),
            }
        )
    data = {
        "command": subject.command,
        "versions": dict(subject.versions),
        "symbols": [symbol_data(s, subject.start, subject.ties) for s in subject.symbols],
        "quantities": quantities_data(first[name] for name in shared),
        "rates": [*LATENCIES, "energy"] if subject.machines else [],
        "models": models,
        "machines": [{"name": machine.name} for machine in subject.machines],
        "wrt": subject.wrt,
        "metric": subject.metric,
        "proven": list(subject.proven),
        "conditions": conditions.texts,
        "strings": [],
        "columns": [],
    }
    functions = ",\n".join(table.function() for table in tables)
    return data, f"{{\nconditions: {conditions.functions()},\ntables: [\n{functions}\n]}}"
