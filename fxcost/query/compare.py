"""Where one cost is less than another: exact intervals of one symbol, or a map over two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm
from typing import TYPE_CHECKING, Any

from fxcost.errors import SpecError
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr
from fxcost.ir.graph import Standing
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo
from fxcost.passes._rates import RateFormula
from fxcost.query.crossover import Question, regions
from fxcost.query.quantity import Quantity, without_pinned
from fxcost.query.rates import exact
from fxcost.query.shown import Shown
from fxcost.query.spans import Span, contains, intersection, spans_text, union

if TYPE_CHECKING:
    import numpy as np

Side = Quantity | RateFormula


@dataclass(frozen=True)
class Comparison(Shown):
    """For which sizes of `wrt` the first cost is less, for which the second, for which they are equal.

    Spans are closed intervals; sizes in none of them lie outside a domain, or beyond what was looked at. `standing` is
    `lower` where a side is a lower bound only: then nothing is proven about the true costs.
    """

    metric: str
    names: tuple[str, str]
    wrt: str
    less: tuple[Span, ...]
    more: tuple[Span, ...]
    equal: tuple[Span, ...]
    given: Mapping[str, int | str] = field(default_factory=dict)
    method: str = ""
    proof: str = ""
    standing: Standing = Standing.EXACT
    step: int = 1
    sides: tuple[Side, ...] = field(default=(), repr=False, compare=False)

    @property
    def what(self) -> str:
        """What is needed: the metric, or where the sides have one each, its unit."""
        return self.metric if ", " not in self.metric else self.sides[0].unit

    @property
    def crossings(self) -> tuple[int, ...]:
        """Sizes at which the answer changes: the first size of each interval but the first."""
        starts = sorted(span[0] for spans in (self.less, self.more, self.equal) for span in spans)
        return tuple(starts[1:])

    def cheaper_at(self, size: int) -> str | None:
        """The name of the cheaper one at a size, "equal", or None where nothing is known."""
        for answer, spans in ((self.names[0], self.less), (self.names[1], self.more), ("equal", self.equal)):
            if any(contains(span, size) for span in spans):
                return answer
        return None

    def __str__(self) -> str:
        parts = [
            f"{what} for {spans_text(self.wrt, spans)}"
            for what, spans in (
                (f"{self.names[0]} needs less {self.what}", self.less),
                (f"{self.names[1]} needs less {self.what}", self.more),
                (f"both need the same {self.what}", self.equal),
            )
            if spans
        ]
        return "\n".join(parts) or f"no {self.wrt} lies in the domains of both"


def compare(
    first: Side,
    second: Side,
    question: Question,
    names: tuple[str, str],
    metric: str,
) -> Comparison:
    """Compare two costs for every size of the question's symbol.

    Raises SpecError where their units differ or a symbol is left open.
    """
    if first.unit != second.unit:
        raise SpecError(f"{names[0]} is in {first.unit}, {names[1]} in {second.unit}: they cannot be compared")
    spans: dict[str, list[Span]] = {"less": [], "more": [], "equal": []}
    said: list[str] = []
    methods: list[str] = []
    loads = [load for side in (first, second) if isinstance(side, RateFormula) for t in side.terms for load in t.loads]
    for held, region in regions(loads, question):
        left, right = _on_one_scale(first, second, held)
        # Each answer is proven by itself: where one is not known, the others must not be taken for it.
        less = question.where(left + 1, right, names)
        more = question.where(right + 1, left, names[::-1])
        no_more, no_less = question.where(left, right, names), question.where(right, left, names[::-1])
        spans["less"] += intersection(less.spans, region)
        spans["more"] += intersection(more.spans, region)
        spans["equal"] += intersection(intersection(no_more.spans, no_less.spans), region)
        said += [no_more.proof, no_less.proof]
        methods += [no_more.method, no_less.method]
    step = question.info.multiple_of
    sizes = {
        side: tuple((low * step, None if high is None else high * step) for low, high in union(found))
        for side, found in spans.items()
    }
    standing = question.standing
    for side in (first, second):
        partial = bool(side.missing) if isinstance(side, RateFormula) else False
        standing = standing.combine(Standing.LOWER if partial else getattr(side, "standing", Standing.EXACT))
    return Comparison(
        metric,
        names,
        question.wrt,
        **sizes,
        given=question.given,
        method=", ".join(dict.fromkeys(methods)),
        proof="; ".join(dict.fromkeys(said)),
        standing=standing,
        step=step,
        sides=(first, second),
    )


def _on_one_scale(first: Side, second: Side, held: Mapping[Any, bool]) -> tuple[Expr, Expr]:
    """Both costs as integer expressions in the same unit."""
    (left, over), (right, under) = (
        exact(side, held) if isinstance(side, RateFormula) else (side.value, 1) for side in (first, second)
    )
    common = lcm(over, under)
    return left * (common // over), right * (common // under)


@dataclass(frozen=True)
class ComparisonMap(Shown):
    """Which of two costs is less over two symbols: `signs[i, j]` is -1 where the first is, at rows[i] and columns[j].

    0 where they are equal, 1 where the second is less, and masked where a formula does not hold.
    """

    metric: str
    names: tuple[str, str]
    wrt: tuple[str, str]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    signs: np.ma.MaskedArray[Any, Any]

    def __str__(self) -> str:
        """A map of characters, at most 24 rows of 60: `<` the first is less, `>` the second, `=` equal, `.` unknown."""
        import numpy as np

        down, across = self.wrt
        chosen_rows, chosen = _spread(len(self.rows), 24), _spread(len(self.columns), 60)
        mask = np.ma.getmaskarray(self.signs)
        lines = [f"< {self.names[0]} needs less {self.metric}, > {self.names[1]}, = the same, . outside a domain"]
        lines.append(f"{down} down, {across} across from {self.columns[0]:,} to {self.columns[-1]:,}")
        for i in reversed(chosen_rows):
            marks = "".join("." if mask[i, j] else "<=>"[int(self.signs.data[i, j]) + 1] for j in chosen)
            lines.append(f"{self.rows[i]:>9,} {marks}")
        return "\n".join(lines)


def compare_over(
    first: Quantity,
    second: Quantity,
    over: Mapping[str, Sequence[int]],
    at: Mapping[str, int],
    names: tuple[str, str],
    metric: str,
) -> ComparisonMap:
    """Compare two costs at every pair of sizes of two symbols; the others are given.

    Raises SpecError where it is not two symbols, or another is left open.
    """
    import numpy as np

    if len(over) != 2:
        raise SpecError(f"a map is over two symbols, found {len(over)}: {', '.join(over)}")
    (down, rows), (across, columns) = over.items()
    grid = np.meshgrid(np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64), indexing="ij")
    values = []
    for side in (first, second):
        bound = side.substituted(without_pinned({n: v for n, v in at.items() if n not in over}, side.pinned))
        open_names = bound.value.symbols - {down, across}
        if open_names:
            raise SpecError(f"also give {', '.join(sorted(open_names))}: a map is over {down} and {across} only")
        known = {down: grid[0], across: grid[1]}
        needed = {s.name for s in bound.symbols}
        values.append(np.ma.masked_array(bound.compile()(**{n: known[n] for n in known if n in needed})))
    difference_ = np.ma.masked_array(np.broadcast_to(values[0] - values[1], grid[0].shape))
    signs = np.ma.masked_array(np.sign(difference_.data).astype(np.int8), mask=np.ma.getmaskarray(difference_))
    return ComparisonMap(metric, names, (down, across), tuple(rows), tuple(columns), signs)


def _spread(count: int, most: int) -> list[int]:
    return list(range(count)) if count <= most else [i * (count - 1) // (most - 1) for i in range(most)]


def joint_symbols(first: Iterable[SymbolInfo], second: Iterable[SymbolInfo]) -> tuple[SymbolInfo, ...]:
    """The symbols of two models; one that both have lies in both ranges."""
    found = {s.name: s for s in first}
    for other in second:
        known = found.get(other.name)
        if known is None:
            found[other.name] = other
            continue
        ends = [end for end in (known.max, other.max) if end is not None]
        found[other.name] = replace(
            known,
            min=max(known.min, other.min),
            max=min(ends, default=None),
            multiple_of=lcm(known.multiple_of, other.multiple_of),
        )
    return tuple(found.values())


def settled_of(
    symbols: Iterable[SymbolInfo], wrt: str, point: Mapping[str, int], ties: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, str]]:
    """What of a point and of ties is about these symbols; a tie to sizes that only others have becomes its number.

    Raises SpecError where such a tie follows a size that is not given.
    """
    names = {s.name for s in symbols}
    given, follows = {name: size for name, size in point.items() if name in names}, dict[str, str]()
    for name, text in ties.items():
        if name not in names:
            continue
        value = parse_expr(text, where=f"tie {name}={text}")
        if value.symbols <= names | {wrt}:
            follows[name] = text
        elif value.symbols <= point.keys():
            given[name] = evaluate(value, dict(point))
        else:
            raise SpecError(f"tie {name}={text}: give {', '.join(sorted(value.symbols - names - point.keys()))}, too")
    return given, follows
