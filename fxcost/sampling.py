"""Sizes that no trace keeps open, opened by captures at several of them: which, how many, and for how long.

`fxcost.query.fitted` says what is made of the captures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from fxcost.cost import Cost
from fxcost.errors import ModelError
from fxcost.ir.domain import is_thin
from fxcost.ir.expr import const, symbol
from fxcost.ir.graph import Graph, Standing
from fxcost.ir.predicate import Compare, symbols_of
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes.totals import Totals
from fxcost.pipeline import Options
from fxcost.query.fitted import Sampled, plans, sampled

SECONDS = 120.0
"""CPU time for the captures of one model."""


class OutOfTime(Exception):
    """The captures would take longer than they may."""


def sample(
    cost: Cost,
    takes: Mapping[str, SymbolInfo],
    roles: Mapping[str, str],
    capture: Callable[[Mapping[str, int]], Graph],
    progress: Callable[[str], None] = lambda _: None,
) -> Cost:
    """The cost with totals fitted in the sizes that the trace, not the model, pins; as it is where that fails.

    `takes` are the symbols of which the model itself takes several sizes, `roles` what each is (batch, spatial, time,
    sequence); `capture` gives the graph with some of them fixed, or raises ModelError.
    """
    closed = _closed(cost, takes)
    if not closed:
        return cost
    start, done = time.process_time(), 0
    known: dict[tuple[tuple[str, int], ...], Graph | None] = {_key(closed): cost.graph}

    def at(point: Mapping[str, int]) -> Graph | None:
        nonlocal done
        if _key(point) in known:
            return known[_key(point)]
        spent = time.process_time() - start
        if spent + spent / max(done, 1) > SECONDS:
            raise OutOfTime
        progress("capturing at " + ", ".join(f"{n}={v}" for n, v in point.items()))
        try:
            graph = capture(point)
        except ModelError:  # a size that the model refuses
            graph = None
        done += 1
        if graph is not None and (
            graph.fixed.keys() - (cost.graph.fixed.keys() - closed.keys())
            or graph.standing is not cost.graph.standing
            or any(is_thin(guard) for guard in graph.domain)
        ):
            graph = None
        known[_key(point)] = graph
        return graph

    info = {name: takes[name] for name in closed}
    try:
        for plan in plans(closed, info, roles):
            found = sampled(plan, info, at, far=cost.graph.standing is Standing.NUMERIC)
            if found is not None and "macs" in found.formulas(cost.options):
                return _opened(cost, closed, _from_further_below(found, at, cost.options, info))
    except OutOfTime:
        pass
    return cost


def _from_further_below(
    found: Sampled, at: Callable[[Mapping[str, int]], Graph | None], options: Options, info: Mapping[str, SymbolInfo]
) -> Sampled:
    """The samples with smaller and smaller ones, as long as the model takes them and every formula gives them, too.

    Small sizes come last: windows and blocks as large as a feature map make formulas of their own there.
    """
    names = found.formulas(options).keys()
    for point in found.below:
        if any(size < info[name].min for name, size in point.items()):
            break
        try:
            graph = at(point)
        except OutOfTime:
            break
        if graph is None or found.with_held_out(point, graph).formulas(options).keys() != names:
            break
        found = found.with_held_out(point, graph)
    return found


def _key(point: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(point.items()))


def _closed(cost: Cost, takes: Mapping[str, SymbolInfo]) -> dict[str, int]:
    """Symbols that are pinned, or that a guard holds at the traced size, although the model takes other sizes."""
    thin = frozenset[str]().union(*(symbols_of(guard) for guard in cost.graph.domain if is_thin(guard)))
    hints = {s.name: s.hint for s in cost.graph.symbols if s.name in thin and s.hint is not None}
    found = {**cost.graph.pinned, **hints}
    return {name: size for name, size in found.items() if name in takes}


def _opened(cost: Cost, closed: Mapping[str, int], found: Sampled) -> Cost:
    """The graph stays that of one size, which a guard says now; its symbols come back."""
    graph = cost.graph
    kept = {s.name for s in graph.symbols}
    info = {axis.name: symbol_info for axis, symbol_info in zip(found.axes, found.info, strict=True)}
    symbols = tuple(replace(info[name], hint=size) for name, size in closed.items() if name not in kept)
    guards = tuple(Compare("==", symbol(name), const(size)) for name, size in closed.items())
    fitted = found.formulas(cost.options)
    left = [name for name in cost.facts[Totals].values if name not in fitted]
    where = ", ".join(f"{n}={v}" for n, v in closed.items())
    note = f"totals in {', '.join(closed)} {found}; nodes and modules are those at {where}"
    if left:
        note += f", and so are {', '.join(left)}"
    fixed = {name: why for name, why in graph.fixed.items() if name not in closed}
    graph = replace(
        graph,
        symbols=(*symbols, *graph.symbols),
        fixed=fixed,
        domain=(*graph.domain, *guards),
        notes=(*graph.notes, note),
    )
    return replace(cost, graph=graph, samples=found)
