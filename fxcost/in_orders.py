"""A model in other execution orders: the best one, its proof, its peak as a formula. A base of `Cost`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from fxcost.errors import Infeasible
from fxcost.formulas import Formulas
from fxcost.ir.expr import const
from fxcost.query.quantity import Quantity, inside

if TYPE_CHECKING:
    from fxcost.passes.schedule import BestOrder, Verdict
    from fxcost.query.orders import Orders
    from fxcost.schedule import Schedule


@dataclass(frozen=True)
class InOrders(Formulas):
    """Formulas, and what the execution order makes of the peak."""

    def schedule(self, at: Mapping[str, int] | None = None, time_limit: float = 60.0, *, fold: bool = True) -> Schedule:
        """The execution order with the least peak memory at a point, with its proof or the gap that is left.

        With `fold`, nodes that depend on parameters alone count as computed before the run.
        """
        from fxcost.passes.schedule import schedule
        from fxcost.schedule import Schedule

        here, within = self._within(self._point(at or {}))
        found = schedule(here.graph, here.facts, within, time_limit, fold=fold)
        return Schedule(**vars(found), graph=here.graph, facts=here.facts, point=within, origins=self.origin.nodes)

    def best_orders(
        self,
        wrt: str | None = None,
        at: Mapping[str, int] | None = None,
        tie: Mapping[str, str] | None = None,
        time_limit: float = 60.0,
        *,
        fold: bool = True,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Orders:
        """The best order as a function of `wrt`: which order for which sizes, each proven; see `fxcost.query.orders`."""
        from fxcost.query.orders import best_orders

        here, point = self._within(self._point(at or {}))
        return best_orders(here.graph, here.facts, wrt, point, tie, fold=fold, time_limit=time_limit, progress=progress)

    def min_peak_memory(
        self,
        at: Mapping[str, int] | None = None,
        wrt: str | None = None,
        tie: Mapping[str, str] | None = None,
        time_limit: float = 60.0,
        **sizes: int,
    ) -> int | Quantity:
        """Bytes of the best order found: a number where all sizes are given, else a formula where it is proven best.

        Sizes may be given in `at` or by name. Raises SpecError where more than one size is left that decides the order,
        Infeasible where nothing could be proven in the time limit.
        """
        here, point = self._within(self._point({**(at or {}), **sizes}))
        if all(s.name in point for s in here._sizes):
            return here.schedule(point, time_limit).peak
        orders = here.best_orders(wrt, point, tie, time_limit)
        if orders.min_peak_memory is None:
            raise Infeasible(f"no order could be proven best: {'; '.join(orders.reasons)}")
        domain = (*here.graph.domain, *orders.proven)
        open_symbols = tuple(s for s in self.graph.symbols if s.name in orders.min_peak_memory.symbols)
        return Quantity("min_peak_memory", "bytes", orders.min_peak_memory, self.graph.standing, domain, open_symbols)

    def in_order(self, order: Sequence[int]) -> Self:
        """This cost with its nodes in another execution order, as `Schedule.order` has it: its peak is that order's.

        Nodes of parameters alone are run like any other here, and their results counted. Raises SpecError where it is no
        order of all nodes, or runs one before what it needs.
        """
        from fxcost.passes.schedule_check import check_schedule

        generic = replace(self, variants=())
        for point in (
            {s.name: s.hint or s.min for s in self.graph.symbols},
            {s.name: s.min for s in self.graph.symbols},
        ):
            if inside(generic.quantities["peak_memory"].domain, point):
                check_schedule(self.graph, self.facts, point, order)
        return replace(generic, options=replace(self.options, order=tuple(order)))

    def judge_order(self, found: BestOrder, at: Mapping[str, int], time_limit: float = 60.0) -> Verdict:
        """Whether an order found at one point is best at another one, too."""
        from fxcost.passes.schedule import judge

        here, point = self._within(self._point(at))
        return judge(here.graph, here.facts, point, found, time_limit)

    def total(self, name: str) -> Quantity:
        """The quantity called `name`, `min_peak_memory` among them; raises UnknownName with the nearest names."""
        if name == "min_peak_memory":
            return self._best_peak()
        return super().total(name)

    def _best_peak(
        self, at: Mapping[str, int] | None = None, wrt: str | None = None, tie: Mapping[str, str] | None = None
    ) -> Quantity:
        """`min_peak_memory` as a quantity in any case, of no symbol where all sizes are given."""
        found = self.min_peak_memory(at, wrt, tie)
        if isinstance(found, Quantity):
            return found
        return Quantity("min_peak_memory", "bytes", const(found), self.graph.standing)
