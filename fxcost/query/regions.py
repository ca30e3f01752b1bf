"""Formulas by region: what a model costs where a symbol is one, although its code branches there.

Code such as `if batch != 1` puts a guard on the trace. Where the guard only keeps symbols from being one, the model is
captured again with them fixed to one. If every total agrees, the guard was harmless and is dropped; else the special
graph is kept as a *variant*, and totals become one expression over all regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from fxcost.ir.domain import is_one_excluded
from fxcost.ir.expr import Expr, const, substitute, symbol
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare, Predicate, all_of, any_of
from fxcost.passes.peak import by_case


def excluded_ones(graph: Graph) -> tuple[str, ...]:
    """Symbols that a guard of the domain keeps from being one."""
    found = (is_one_excluded(guard) for guard in graph.domain)
    return tuple(dict.fromkeys(name for name in found if name is not None))


def slices(names: Iterable[str]) -> list[frozenset[str]]:
    """The sets of symbols to be fixed to one, single ones first."""
    known = list(names)
    return [frozenset(chosen) for count in range(1, len(known) + 1) for chosen in combinations(known, count)]


def region(ones: frozenset[str], excluded: Iterable[str]) -> Predicate:
    """Exactly the symbols `ones` are one among the excluded ones."""
    return all_of(Compare("==" if n in ones else ">=", symbol(n), const(1 if n in ones else 2)) for n in excluded)


def agrees(generic: Mapping[str, Expr], special: Mapping[str, Expr], ones: frozenset[str]) -> bool:
    """Every total of the slice is the generic formula with the symbols put to one."""
    at = dict.fromkeys(ones, 1)
    return all(substitute(value, at) is special[name] for name, value in generic.items())


def domain_without(graph: Graph, done: Iterable[frozenset[str]], excluded: tuple[str, ...]) -> tuple[Predicate, ...]:
    """The domain once the slices `done` are known: their guards go, slices that were not captured stay excluded."""
    known = set(done)
    kept = [guard for guard in graph.domain if is_one_excluded(guard) not in excluded]
    open_slices = [s for s in slices(excluded) if s not in known]
    for ones in open_slices:
        if not any(ones > other for other in open_slices):  # a smaller open slice already excludes the larger
            kept.append(any_of(Compare(">=", symbol(n), const(2)) for n in sorted(ones)))
    return tuple(kept)


def total_over_regions(
    generic: Expr, special: Iterable[tuple[frozenset[str], Expr]], excluded: tuple[str, ...]
) -> Expr:
    """One expression for a total over all captured regions."""
    return by_case([(all_of(()), generic), *((region(ones, excluded), value) for ones, value in special)])
