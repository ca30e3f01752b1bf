"""A training step in less memory: which values to make again. A base of `Cost`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fxcost.errors import Infeasible, InternalError, SpecError
from fxcost.formulas import Formulas, one_left
from fxcost.ir.expr import ZERO, Expr, const, substitute
from fxcost.ir.graph import as_program
from fxcost.ir.predicate import symbols_of
from fxcost.ir.types import TensorType
from fxcost.passes.cost import Costs
from fxcost.passes.storage import Storage
from fxcost.query.quantity import Quantity

if TYPE_CHECKING:
    from fxcost.recomputing import Recomputation, Rulings


@dataclass(frozen=True)
class InTraining(Formulas):
    """Formulas, and what a training step keeps or makes again."""

    def recompute(
        self,
        budget: int | None = None,
        at: Mapping[str, int] | None = None,
        *,
        of: str = "saved_activations",
        progress: Callable[[str], None] = lambda _: None,
    ) -> Recomputation:
        """Which values to make again instead of keeping them, for the fewest MACs on top within so many bytes.

        `of` says what is bounded: `saved_activations`, what stays between forward and backward pass, or `peak_memory`,
        the peak of the whole step. Within the budget as it is, the step stays so; without a budget, the fewest bytes for
        no MACs on top. Raises SpecError for a graph
        that is no training step, an open size or another accounting than eager, Infeasible where no plan is within the
        budget.
        """
        from fxcost.passes.recompute_plan import plans_of
        from fxcost.recomputing import Recomputation, with_plan

        if budget is not None and budget < 0:
            raise SpecError(f"budget={budget}: expected zero bytes or more")
        here, point = self._within(self._point(at or {}))
        # Plans are about what torch keeps, and run as programs: values die after their last reader.
        here = replace(here, graph=as_program(here.graph), options=replace(here.options, rule="autograd"))
        plans = plans_of(here.graph, here.facts, point, of, progress)
        index = plans.free if budget is None else plans.within(budget)
        if index is None:
            raise Infeasible(
                f"no plan keeps {of} of {self.graph.name} within {budget:,} bytes: the least found is {plans.bytes[-1]:,}"
            )
        under = replace(here, graph=with_plan(here.graph, plans, index), variants=())
        plain = {name: _number(here, name, point) for name in ("saved_activations", "peak_memory", "macs")}
        kept, peak = _number(under, "saved_activations", point), _number(under, "peak_memory", point)
        if {"saved_activations": kept, "peak_memory": peak}[of] != plans.bytes[index]:
            raise InternalError(f"a plan of {plans.bytes[index]:,} bytes keeps {kept:,} and peaks at {peak:,}")
        macs = _number(under, "macs", point) - plain["macs"]
        return Recomputation(self.graph.name, point, budget, plans, index, here.graph, plain, kept, peak, macs, under)

    def recompute_over(
        self,
        budget: int,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        *,
        of: str = "saved_activations",
        most: int = 24,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Rulings:
        """The cheapest plan within a budget as a function of one size: which plan rules where, at most `most` of them.

        A plan that is optimal at one size rules until its bytes exceed the budget, since all bytes grow with the size
        and MACs of all operators grow in proportion; where they do not, that is said (`Rulings.proven`).
        """
        from fxcost.recomputing import Ruling, Rulings

        wrt = wrt or one_left("plans are", self._sizes, self._point(at or {}), {})
        info = self.symbols.get(wrt)
        if info is None:
            raise SpecError(f"there is no size {wrt!r}; sizes are {', '.join(self.symbols) or 'all fixed'}")
        given = {name: size for name, size in self._point(at or {}).items() if name != wrt}
        size: int | None = max(info.min, info.multiple_of)
        rows: list[Ruling] = []
        ends = None
        proven = self._grows_alike(wrt, given)
        while size is not None and len(rows) < most:
            progress(f"plans at {wrt}={size}")
            try:
                found = self.recompute(budget, {**given, wrt: size}, of=of)
            except Infeasible:
                ends = size
                break
            need, step = found.cost.total(of), info.multiple_of
            high = _last_within(lambda at_size: need.at({**given, wrt: at_size}) <= budget, size, step, info.max)  # noqa: B023
            plain, _ = self._within({**given, wrt: size})
            more = replace(
                need, name="macs", unit="MAC", value=found.cost.total("macs").value - plain.total("macs").value
            )
            rows.append(Ruling(size, high, _given(need, given), _given(more, given), found.again, found.optimal))
            size = None if high is None or (info.max is not None and high + step > info.max) else high + step
        return Rulings(wrt, budget, of, tuple(rows), ends, proven and all(row.optimal for row in rows))

    def _grows_alike(self, wrt: str, given: Mapping[str, int]) -> bool:
        """True where all bytes grow with a size, MACs of all operators in proportion, and no view depends on it."""
        if self.variants or any(wrt in symbols_of(each) for each in self.facts[Storage].conditions):
            return False
        macs = [substitute(row.macs, given) for row in self.facts[Costs].rows]
        counted = [each for each in macs if each is not ZERO]
        first = counted[0] if counted else ZERO
        at = {wrt: self.symbols[wrt].hint or self.symbols[wrt].min}
        number = substitute(first, at).constant or 0
        alike = all(each * const(number) is first * substitute(each, at) for each in counted)
        kinds = [value.type for value in self.graph.values()]
        return alike and all(_grows(substitute(kind.numel, given)) for kind in kinds if isinstance(kind, TensorType))


def _given(quantity: Quantity, sizes: Mapping[str, int]) -> Quantity:
    return replace(quantity, value=substitute(quantity.value, sizes))


def _grows(size: Expr) -> bool:
    """True for a polynomial of symbols without negative terms: it never falls while a symbol grows."""
    return all(factor >= 0 and all(atom.kind == "symbol" for atom, _ in term) for term, factor in size.terms.items())


def _number(cost: Formulas, name: str, point: Mapping[str, int]) -> int:
    found = cost.total(name).at(point)
    assert isinstance(found, int), "the point binds every symbol"
    return found


def _last_within(holds: Callable[[int], bool], low: int, step: int, limit: int | None) -> int | None:
    """The last size of a growing need that still holds; None where that is so without end."""
    high = low + step
    while holds(high) and high < low + step * (1 << 40):
        high = low + 2 * (high - low)
        if limit is not None and high > limit:
            return limit if holds(limit - limit % step) else _bisected(holds, low, limit, step)
    return None if holds(high) else _bisected(holds, low, high, step)


def _bisected(holds: Callable[[int], bool], low: int, high: int, step: int) -> int:
    while high - low > step:
        middle = low + (high - low) // step // 2 * step
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
