"""Latency and energy as columns of a sweep: the formulas of `passes.latency` and `passes.energy` over arrays.

Amounts of work are exact integers; the divisions and sums then follow the order in which a single point is estimated, so
that both give the same floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.ir.evaluate import over_arrays
from fxcost.ir.expr import Expr, substitute
from fxcost.ir.graph import Standing
from fxcost.ir.predicate import Predicate, replace_symbols, symbols_of
from fxcost.passes._rates import Loads, RateFormula, Term, amounts_of
from fxcost.passes.estimate import LATENCIES, Estimate
from fxcost.query.grid import Grid
from fxcost.query.quantity import mask_of
from fxcost.query.sweep import Columns, Metric, substituted_guards

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

KINDS = (*LATENCIES, "energy")
"""What a column `KIND:TARGET` may hold; `latency:TARGET` stands for all latencies that the machine's figures allow."""


@dataclass(frozen=True)
class Region:
    """An estimate as formulas, and the sizes for which it is the one that counts."""

    when: Predicate
    estimate: Estimate


def split_name(name: str) -> tuple[tuple[str, ...], str]:
    """`roofline:h100-sxm` -> (("roofline",), "h100-sxm"); raises UnknownName for an unknown kind."""
    kind, _, target = name.partition(":")
    if kind not in (*KINDS, "latency"):
        raise UnknownName(f"{name}: there is no {kind!r} of a target{nearest(kind, (*KINDS, 'latency'))}")
    return (LATENCIES if kind == "latency" else (kind,)), target


def target_metrics(
    kinds: Sequence[str], target: str, regions: Sequence[Region], domain: Iterable[Predicate], grid: Grid
) -> tuple[Metric, ...]:
    """A column for each kind that the machine states figures for; `regions` are disjoint.

    Raises SpecError where there is none at all.
    """
    found = []
    for kind in kinds:
        formulas = [(region.when, getattr(region.estimate, kind)) for region in regions]
        if all(formula is not None for _, formula in formulas):
            dropped = dict.fromkeys(reason for region in regions for reason in _dropped(kind, region.estimate))
            found.append(_metric(f"{kind}:{target}", kind, formulas, tuple(domain), tuple(dropped), grid))
    if not found:
        raise SpecError(
            f"{' and '.join(kinds)} on {target}: the machine states no figures for that; see fxcost targets"
        )
    return tuple(found)


def _dropped(kind: str, estimate: Estimate) -> tuple[str, ...]:
    """What a latency lacks, or what energy does; all of it where a formula without sizes cannot tell."""
    latencies = [getattr(estimate, name) for name in LATENCIES]
    if any(isinstance(latency, float) for latency in latencies):
        return estimate.dropped_terms
    lacking = {reason for latency in latencies if latency is not None for reason in latency.missing}
    return tuple(reason for reason in estimate.dropped_terms if (reason in lacking) == (kind != "energy"))


def _metric(
    name: str,
    kind: str,
    formulas: Sequence[tuple[Predicate, RateFormula | float]],
    domain: tuple[Predicate, ...],
    dropped: tuple[str, ...],
    grid: Grid,
) -> Metric:
    env = grid.substitution()
    parts = [(replace_symbols(when, env), _over_arrays(formula, env)) for when, formula in formulas]
    guards = substituted_guards(domain, grid)
    symbols = set().union(*(symbols_of(guard) for guard in guards))
    symbols |= set().union(*(symbols_of(when) | names for when, (names, _) in parts))

    def values(columns: Columns) -> Array:
        import numpy as np

        result = np.zeros(len(next(iter(columns.values()))))
        for when, (_, function) in parts:
            here = np.broadcast_to(np.asarray(mask_of(when)(columns), dtype=bool), result.shape)
            if here.any():
                result[here] = function({symbol: column[here] for symbol, column in columns.items()})
        return result

    # Figures that a machine does not state are left out: what is there can only be less than the whole.
    standing = Standing.LOWER if dropped else Standing.EXACT
    unit = "J" if kind == "energy" else "s"
    return Metric(name, unit, tuple(sorted(symbols)), values, guards, standing, is_float=True, notes=dropped)


def _over_arrays(
    formula: RateFormula | float, env: Mapping[str, Expr | int]
) -> tuple[frozenset[str], Callable[[Columns], Any]]:
    """Symbols of a formula, and the formula as a function of columns."""
    if not isinstance(formula, RateFormula):
        return frozenset(), lambda _: formula
    amounts = {amount: substitute(amount, env) for amount in amounts_of(formula.terms)}
    names = tuple(sorted(frozenset().union(*(amount.symbols for amount in amounts.values()))))
    functions = {amount: over_arrays(put_in, tuple(sorted(put_in.symbols))) for amount, put_in in amounts.items()}

    def value(columns: Columns) -> Any:
        known = {
            amount: function(*(columns[name] for name in sorted(amounts[amount].symbols)))
            for amount, function in functions.items()
        }
        return sum((_of_term(term, known) for term in formula.terms), 0.0)

    return frozenset(names), value


def _of_term(term: Term, known: Mapping[Expr, Array]) -> Any:
    import numpy as np

    return term.count * (np.maximum(_of_loads(term.compute, known), _of_loads(term.memory, known)) + term.fixed)


def _of_loads(parts: Loads, known: Mapping[Expr, Array]) -> Any:
    """Seconds or joules of the loads that count at each point."""
    import numpy as np

    total: Any = 0.0
    for part in parts:
        one = (known[part.amount] / part.rate).astype(float)
        for condition, wanted in ((part.inside, True), (part.outside, False)):
            if condition is not None:
                held = np.asarray(known[condition.need_bytes] <= condition.capacity_bytes, dtype=bool)
                one = np.where(held == wanted, one, 0.0)
        total = total + one
    return total
