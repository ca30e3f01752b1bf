"""Budgets judged: what a model may cost at a point, and how much it may grow over an earlier revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fxcost.errors import SpecError, UnknownOps
from fxcost.query.constraint_text import Allowance
from fxcost.query.difference import Difference
from fxcost.query.quantity import Quantity
from fxcost.report.query import value_at


@dataclass(frozen=True)
class Verdict:
    """One quantity against its limit, both in its unit; `reason` says where the limit comes from."""

    metric: str
    unit: str
    value: int
    limit: int
    reason: str

    @property
    def exceeded(self) -> bool:
        """Whether the value is above the limit."""
        return self.value > self.limit

    def __str__(self) -> str:
        verdict = "EXCEEDED" if self.exceeded else "ok"
        return f"{verdict:<9}{self.metric} = {self.value:,} {self.unit}, {self.reason}"


def judge(
    quantities: Mapping[str, Quantity], limits: Iterable[tuple[str, int]], point: Mapping[str, int] | None
) -> list[Verdict]:
    """One verdict a limit; raises SpecError where the point leaves a size open that a quantity depends on."""
    verdicts = []
    for name, limit in limits:
        quantity = quantities[name]
        value = value_at(quantity, point)
        if not isinstance(value, int):
            raise SpecError(f"{name} is a formula in {', '.join(sorted(value.value.symbols))}; give sizes with --at")
        share = f"{100 * value / limit:.1f} % of" if limit else "against"
        verdicts.append(Verdict(name, quantity.unit, value, limit, f"{share} the budget of {limit:,}"))
    return verdicts


def judge_growth(found: Difference, allowances: Iterable[tuple[str, Allowance]]) -> list[Verdict]:
    """One verdict an allowance.

    Raises SpecError where the earlier revision does not say, or the point leaves a size open and the formulas differ.
    """
    verdicts = []
    for name, allowance in allowances:
        change = next((c for c in found.totals if c.metric == name), None)
        if change is None:
            raise SpecError(f"the report of {found.before.name} has no {name}: write it anew with this fxcost")
        if not change.formula_changed and change.new is None:
            continue  # the same at every size
        if change.old is None or change.new is None:
            raise SpecError(f"{name} is a formula, and not the one it was: give sizes with --at")
        reason = f"{change.old:,} before, {allowance} more allowed"
        verdicts.append(Verdict(name, change.unit, change.new, allowance.ceiling(change.old), reason))
    return verdicts


def check_counted(unknown_ops: Mapping[str, int]) -> None:
    """Raise UnknownOps where an operator has no rule: a lower bound below a budget proves nothing."""
    if unknown_ops:
        raise UnknownOps(
            f"no cost rule for {', '.join(unknown_ops)}: the totals are lower bounds, a budget proves nothing"
        )
