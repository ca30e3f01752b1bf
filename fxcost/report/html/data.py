"""A page's data: what its JavaScript needs besides the literal functions, as plain lists and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group

from fxcost.ir.graph import Graph
from fxcost.ir.predicate import holds
from fxcost.ir.printing import name_parts, python
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.buffers import Buffers, Case
from fxcost.passes.latency import Latency
from fxcost.passes.totals import IN_MEMORY, Totals
from fxcost.passes.workload import Workload
from fxcost.pipeline import Facts
from fxcost.query.breakdown import ModuleRow, module_tree, node_rows
from fxcost.query.fit import FitAnswer
from fxcost.query.quantity import Quantity
from fxcost.report.fit import largest_lines
from fxcost.report.html.javascript import Conditions, Table
from fxcost.report.html.machines import ceilings, facts_on, machine_data
from fxcost.report.html.packing import Pool, Rates, case_data
from fxcost.report.html.patches import patches_data
from fxcost.report.html.subject import Machine, Order, Region, Setting, Subject
from fxcost.report.terminal import plain
from fxcost.report.text import HEADLINES

TRAFFIC = ("read_bytes", "write_bytes", "weight_bytes")


def report_data(subject: Subject) -> tuple[dict[str, Any], str]:
    """Data and functions of a page about one model: `{conditions, totals, regions}` as a JavaScript object."""
    summary = subject.summary
    symbols, names = symbol_names(subject.regions), list(summary.quantities)
    pool, conditions, totals = Pool(), Conditions(symbols), Table(symbols)
    tables = [Table(symbols) for _ in subject.regions]
    data: dict[str, Any] = {
        "model": summary.model,
        "mode": summary.mode,
        "inputs": list(summary.inputs),
        "command": subject.command,
        "versions": dict(summary.versions),
        "accountedInputs": summary.options.inputs,
        "fixed": dict(summary.fixed_dims),
        "unknown": dict(summary.unknown_ops),
        "notes": [*summary.notes],
        "warnings": [*summary.warnings],
        "symbols": symbols_data(subject),
        "quantities": quantities_data(summary.quantities.values()),
        "headlines": [names.index(name) for name in HEADLINES if name in names],
        "settings": [setting_data(setting, names, conditions, totals) for setting in subject.settings],
        "chosen": subject.chosen,
        "definitions": [],
        "machines": [_machine_head(subject, machine) for machine in subject.machines],
        "patches": patches_data(subject, tables, conditions, pool),
        "regions": [
            _region_data(subject, number, region, table, pool, conditions)
            for number, (region, table) in enumerate(zip(subject.regions, tables, strict=True))
        ],
    }
    _typeset(data, subject.settings, names, pool)
    data |= {"strings": pool.text.things, "columns": pool.columns.things, "conditions": conditions.texts}
    regions = ",\n".join(table.function() for table in tables)
    return data, (
        f"{{\nconditions: {conditions.functions()},\ntotals: {totals.function()},\nregions: [\n{regions}\n]}}"
    )


def symbol_names(regions: Iterable[Region]) -> tuple[str, ...]:
    """Names of the symbols of all regions, those of the general one first."""
    general, *others = reversed(list(regions))
    return tuple(dict.fromkeys(s.name for region in (general, *others) for s in region.graph.symbols))


def symbols_data(subject: Subject) -> list[dict[str, Any]]:
    """Every symbol of the page."""
    known = {s.name: s for region in subject.regions for s in region.graph.symbols}
    known |= {s.name: s for s in subject.summary.symbols}
    return [symbol_data(known[name], subject.start, subject.ties) for name in symbol_names(subject.regions)]


def symbol_data(symbol: SymbolInfo, start: Mapping[str, int], ties: Mapping[str, str]) -> dict[str, Any]:
    """A symbol with its range, what it begins with, and what it follows."""
    return {
        "name": symbol.name,
        "min": symbol.min,
        "max": _integer(symbol.max),
        "step": symbol.multiple_of,
        "kind": symbol.kind,
        "start": start.get(symbol.name, max(symbol.min, symbol.multiple_of)),
        "tie": ties.get(symbol.name, ""),
    }


def quantities_data(quantities: Iterable[Quantity]) -> list[dict[str, str]]:
    """Every quantity with its name for people and its unit."""
    return [
        {"name": q.name, "label": HEADLINES.get(q.name, "").strip() or q.name.replace("_", " "), "unit": q.unit}
        for q in quantities
    ]


def _integer(value: int | None) -> int | str | None:
    """A number that JSON readers keep exact, else its digits."""
    return value if value is None or value < 2**53 else str(value)


def setting_data(setting: Setting, names: Iterable[str], conditions: Conditions, totals: Table) -> dict[str, Any]:
    """Numbers of the named quantities' formulas and guards, their standing, and the answers in words."""
    quantities = [setting.quantities[name] for name in names]
    guards = {quantity.name in IN_MEMORY: quantity.domain for quantity in quantities}
    return {
        "accounting": setting.options.accounting,
        "widths": setting.widths,
        "values": [totals(quantity.value) for quantity in quantities],
        "standings": [str(quantity.standing) for quantity in quantities],
        "guards": [conditions(guard) for guard in guards.get(False, ())],
        "memoryGuards": [conditions(guard) for guard in guards.get(True, ())],
        "inMemory": [int(quantity.name in IN_MEMORY) for quantity in quantities],
        "largest": {name: _lines(answer) for name, answer in setting.largest.items()},
    }


def _lines(answer: FitAnswer) -> list[str]:
    """The largest size that fits, and why, line by line."""
    return plain(Group(*largest_lines(answer)), 1000).split("\n")


def _typeset(data: dict[str, Any], settings: Iterable[Setting], quantities: Iterable[str], pool: Pool) -> None:
    """Formulas of every setting as text, with the divisions that occur again defined apart."""
    settings, quantities = list(settings), list(quantities)
    names = name_parts(dict.fromkeys(setting.quantities[name].value for setting in settings for name in quantities))
    for setting, entry in zip(settings, data["settings"], strict=True):
        entry["formulas"] = [pool.text(python(setting.quantities[name].value, names)) for name in quantities]
    for atom, name in names.items():
        inner = {other: short for other, short in names.items() if other is not atom}
        left, right = (f"({python(arg, inner)})" for arg in atom.args)
        data["definitions"].append([name, f"{left}{'//' if atom.kind == 'floordiv' else '%'}{right}"])


# -- one region ------------------------------------------------------------------------------------------------------
def _region_data(
    subject: Subject, number: int, region: Region, table: Table, pool: Pool, conditions: Conditions
) -> dict[str, Any]:
    graph = region.graph
    rows = node_rows(graph, subject.settings[0].facts[number])
    modules = list(_modules(module_tree(graph, rows), 0))
    place = {row.path: i for i, (_, row) in enumerate(modules)}
    rates = Rates(table)
    parts = [_part(subject, s, number, table, pool, conditions, rates) for s in range(len(subject.settings))]
    own_params = [row.own["params"] for _, row in modules]
    return {
        "when": None if region.when is None else conditions(region.when),
        "guards": [conditions(guard) for guard in graph.domain],
        "nodes": {
            "name": pool.words(row.name for row in rows),
            "op": pool.words(row.op for row in rows),
            "module": pool.column(place[row.module] for row in rows),
            "shape": pool.words(" x ".join(map(str, row.shape)) for row in rows),
            "dtype": pool.words(row.dtype for row in rows),
            "formula": pool.words(python(row.metrics["macs"]) for row in rows),
            "known": pool.column(int(row.known) for row in rows),
            "params": pool.column(table(row.metrics["params"]) for row in rows),
            "macs": pool.column(table(row.metrics["macs"]) for row in rows),
            "other_ops": pool.column(table(row.metrics["other_ops"]) for row in rows),
        },
        "modules": {
            "path": pool.words(row.path for _, row in modules),
            "level": pool.column(level for level, _ in modules),
            "calls": pool.column(row.calls for _, row in modules),
            "params": pool.column(table(value) for value in own_params),
        },
        "parts": parts,
        **rates.data(),
    }


def _modules(row: ModuleRow, level: int) -> Iterator[tuple[int, ModuleRow]]:
    yield level, row
    for child in row.children:
        yield from _modules(child, level + 1)


def _part(
    subject: Subject, setting: int, number: int, table: Table, pool: Pool, conditions: Conditions, rates: Rates
) -> dict[str, Any]:
    """What depends on the setting: traffic of the nodes, blocks of memory, machines."""
    graph, facts = subject.regions[number].graph, subject.settings[setting].facts[number]
    rows = node_rows(graph, facts)
    order = subject.order
    here = order is not None and (order.setting, order.region) == (setting, number)
    return {
        **{name: pool.column(table(row.metrics[name]) for row in rows) for name in TRAFFIC},
        "guards": [conditions(guard) for guard in facts[Totals].guards],
        "cases": [case_data(case, table, pool, conditions) for case in facts[Buffers].cases],
        "best": _best(order, graph, facts, table, pool, conditions) if here and order is not None else None,
        "machines": [machine_data(machine, graph, facts, pool, rates) for machine in subject.machines],
    }


def _best(order: Order, graph: Graph, facts: Facts, table: Table, pool: Pool, conditions: Conditions) -> dict[str, Any]:
    """The best order's blocks where the storage conditions are those of its point: elsewhere it may not even run."""
    found = order.found
    under = facts.under(order=found.order)[Buffers]
    case = next(c for c in under.cases if holds(c.when, order.point))
    made_before = {value.id for i in found.folded for value in graph.nodes[i].results}
    kept = tuple(buffer for buffer in case.buffers if buffer.id not in made_before)
    return {
        "order": pool.column(found.order),
        "folded": len(found.folded),
        "case": case_data(Case(case.when, kept), table, pool, conditions),
        "at": ", ".join(f"{name}={size}" for name, size in order.point.items()),
        "optimal": found.optimal,
        "certificate": found.certificate,
        "peak": found.peak,
        "lowerBound": found.lower_bound,
    }


def _machine_head(subject: Subject, machine: Machine) -> dict[str, Any]:
    """What does not depend on the sizes: names, ceilings of the roofline."""
    works = []
    for number, region in enumerate(subject.regions):
        facts = facts_on(machine, region.graph, subject.settings[subject.chosen].facts[number])
        rows = zip(facts[Workload].rows, facts[Latency].rows, strict=True)
        works += [(work, row.dtype) for work, row in rows]
    return {"name": machine.name, "runtime": machine.target.runtime, **ceilings(machine, works)}
