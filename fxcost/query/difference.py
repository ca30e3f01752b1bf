"""What changed between two revisions of a model: totals and modules, before and after, at a point and as formulas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from fxcost.errors import OutsideDomain, SpecError
from fxcost.ir.evaluate import where_known
from fxcost.ir.expr import ZERO, Expr, total
from fxcost.ir.predicate import Predicate, decide, replace_symbols
from fxcost.ir.symbols import SymbolInfo, check_point, ranges_of
from fxcost.query.breakdown import METRICS, NodeRow


@dataclass(frozen=True)
class Revision:
    """What one revision of a model costs: totals by name, and by module what its own nodes add up to.

    `settings` is how it was counted (mode, accounting, widths), `fixed` the reasons for dimensions that the model pins.
    """

    name: str
    symbols: tuple[SymbolInfo, ...]
    domain: tuple[Predicate, ...]
    totals: Mapping[str, Expr]
    units: Mapping[str, str]
    standing: str
    modules: Mapping[str, Mapping[str, Expr]]
    settings: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    version: str = ""

    def known(self, point: Mapping[str, int]) -> dict[str, int]:
        """The sizes of a point that this revision has symbols for.

        Raises SpecError for a size outside its range, OutsideDomain where a formula does not hold or a dimension is
        pinned to another size.
        """
        for name, reason in self.fixed.items():
            if name in point and not reason.startswith(f"{name}={point[name]}:"):
                raise OutsideDomain(f"{self.name}: asked for {name}={point[name]}, but {reason}")
        names = {s.name for s in self.symbols}
        found = check_point(self.symbols, {name: size for name, size in point.items() if name in names})
        for guard in self.domain:
            if decide(replace_symbols(guard, found), ranges_of(self.symbols)) is False:
                raise OutsideDomain(
                    f"{self.name}: its formulas hold where {guard}, which is false at the point asked for"
                )
        return found


@dataclass(frozen=True)
class Change:
    """One metric of the whole model, or of a module, in two revisions; None where the revision has no such thing.

    `before` and `after` are formulas, `old` and `new` numbers at the point, None where it leaves a size open.
    """

    metric: str
    unit: str
    before: Expr | None
    after: Expr | None
    old: int | None
    new: int | None
    module: str | None = None

    @property
    def formula_changed(self) -> bool:
        """Whether the two formulas are not the same; expressions are canonical, so this is no matter of spelling."""
        return self.before is not self.after

    @property
    def delta(self) -> int | None:
        """After minus before; what is not there counts as zero. None where a number is unknown."""
        old, new = 0 if self.before is None else self.old, 0 if self.after is None else self.new
        return None if old is None or new is None else new - old

    @property
    def growth(self) -> Fraction | None:
        """The difference as a share of before; None where that is unknown or zero."""
        return None if self.delta is None or not self.old else Fraction(self.delta, self.old)

    @property
    def formula(self) -> Expr | None:
        """After minus before as a formula."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Difference:
    """All totals, changed or not, and the modules that changed, those first that moved the totals most."""

    before: Revision
    after: Revision
    point: Mapping[str, int]
    totals: tuple[Change, ...]
    modules: tuple[Change, ...]

    def total(self, metric: str) -> Change:
        """The change of a total."""
        return next(change for change in self.totals if change.metric == metric)


def modules_of(rows: Iterable[NodeRow]) -> dict[str, dict[str, Expr]]:
    """What the nodes of each module add up to, in execution order; parameters count at their first reader."""
    gathered: dict[str, list[Mapping[str, Expr]]] = {}
    for row in rows:
        gathered.setdefault(row.module, []).append(row.metrics)
    return {module: {m: total(each[m] for each in found) for m in METRICS} for module, found in gathered.items()}


def difference(before: Revision, after: Revision, point: Mapping[str, int]) -> Difference:
    """Compare two revisions at a point, each taking the sizes that it has.

    Raises SpecError where they were not counted alike, or a size is outside a range, OutsideDomain where one of them says
    nothing about the point.
    """
    differing = [name for name in after.settings if before.settings.get(name) != after.settings[name]]
    if differing:
        listed = ", ".join(f"{n}: {before.settings.get(n)} before, {after.settings[n]} now" for n in differing)
        raise SpecError(f"{before.name} and {after.name} were not counted alike ({listed}): give both the same options")
    sizes = before.known(point), after.known(point)
    names = [name for name in after.totals if name in before.totals]
    totals = _changes([(None, n, after.units[n], before.totals[n], after.totals[n]) for n in names], sizes)
    paths = dict.fromkeys([*after.modules, *before.modules])
    pairs = [
        (path, m, after.units[m], before.modules.get(path, {}).get(m), after.modules.get(path, {}).get(m))
        for path in paths
        for m in METRICS
    ]
    moved = _changes([pair for pair in pairs if (pair[3] or ZERO) is not (pair[4] or ZERO)], sizes)
    whole = {change.metric: max(change.old or 0, change.new or 0) for change in totals}
    shares = {id(c): Fraction(abs(c.delta or 0), whole.get(c.metric) or 1) for c in moved}
    ranked = sorted(moved, key=lambda change: -shares[id(change)])
    return Difference(before, after, dict(point), tuple(totals), tuple(ranked))


Pair = tuple[str | None, str, str, Expr | None, Expr | None]


def _changes(pairs: Iterable[Pair], sizes: tuple[Mapping[str, int], Mapping[str, int]]) -> list[Change]:
    found = list(pairs)
    old = iter(where_known([pair[3] for pair in found if pair[3] is not None], sizes[0]))
    new = iter(where_known([pair[4] for pair in found if pair[4] is not None], sizes[1]))
    return [
        Change(
            metric,
            unit,
            before,
            after,
            None if before is None else next(old),
            None if after is None else next(new),
            module,
        )
        for module, metric, unit, before, after in found
    ]
