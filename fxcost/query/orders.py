"""The best order as a function of one size: a decision list, each entry with the sizes for which it is proven.

A search at one size gives an order and a proof whose comparisons are linear in the block sizes (`schedule_proof`). Here
they are evaluated for every value of the symbol (`query.growth`). What is left open is solved at one of its sizes, and
so on, until nothing is left or time is up. Symbols that multiply every block alike, as the batch mostly does, decide
nothing and stay free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fxcost.errors import SpecError, UnknownName, nearest
from fxcost.ir.evaluate import evaluate
from fxcost.ir.expr import Expr, const, maximum, minimum, substitute, symbol, total
from fxcost.ir.graph import Graph
from fxcost.ir.predicate import Compare, Predicate, all_of, any_of, indicator, negate, replace_symbols, symbols_of
from fxcost.ir.reader import parse_expr
from fxcost.ir.symbols import SymbolInfo, check_point
from fxcost.passes.schedule_hazards import truth_at
from fxcost.passes.schedule_problem import Problem, at_other_sizes, peak_of, problem_of
from fxcost.passes.schedule_proof import Row, prove, step_rows, with_counts
from fxcost.passes.schedule_search import best_order
from fxcost.passes.storage import Storage
from fxcost.pipeline import Facts
from fxcost.query.growth import Growth, Line, Mask
from fxcost.query.solve import range_guards, substitution
from fxcost.query.spans import Span, contains

FAILURES = 3
"""Sizes that may stay open before no more are tried."""


@dataclass(frozen=True)
class OrderPiece:
    """An order of all nodes that is proven best for the sizes in `where`, its peak there, and what the proofs are."""

    order: tuple[int, ...]
    peak: Expr
    where: tuple[Span, ...]
    proofs: tuple[str, ...]


@dataclass(frozen=True)
class Orders:
    """The best order as a function of `wrt`.

    pieces           which order is best where, in the order of sizes
    open             sizes for which no order is proven; `reasons` says why
    min_peak_memory  bytes of the best order, in closed form: exact wherever an order is proven; None where none is
    scales           symbols that multiply all blocks alike: any size of theirs has the same best orders
    """

    wrt: str
    pieces: tuple[OrderPiece, ...]
    open: tuple[Span, ...]
    reasons: tuple[str, ...]
    min_peak_memory: Expr | None
    scales: tuple[str, ...]
    seconds: float

    @property
    def proven(self) -> tuple[Predicate, ...]:
        """The sizes for which the formula is proven, as guards."""
        name = symbol(self.wrt)
        return tuple(
            any_of([Compare("<", name, const(low)), *([Compare(">", name, const(high))] if high is not None else [])])
            for low, high in self.open
        )

    @property
    def optimal(self) -> bool:
        """True when an order is proven best at every size."""
        return not self.open

    def piece_at(self, size: int) -> OrderPiece | None:
        """The piece whose order is proven best at a size, None where that is open."""
        for piece in self.pieces:
            if any(contains(span, size) for span in piece.where):
                return piece
        return None


def best_orders(
    graph: Graph,
    facts: Facts,
    wrt: str | None = None,
    at: Mapping[str, int] | None = None,
    tie: Mapping[str, str] | None = None,
    *,
    fold: bool = True,
    time_limit: float = 60.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Orders:
    """The best order for every size of `wrt`, the other symbols given, tied to it, or free where they only scale.

    Without `wrt` it is the one symbol that is left. Raises SpecError for a symbol that is unknown or has to be given.
    """
    started = time.perf_counter()
    known = {s.name: s for s in graph.symbols}
    if wrt is not None and wrt not in known:
        raise UnknownName(f"the model has no symbol {wrt!r}{nearest(wrt, known)}")
    point, ties = check_point(known.values(), at or {}), dict(tie or {})
    followed = frozenset().union(*(parse_expr(text, where=f"tie {name}={text}").symbols for name, text in ties.items()))
    scales = [n for n in _scales(graph, facts, fold=fold) if n not in point and n not in ties and n not in followed]
    left = [name for name in known if name not in point and name not in ties and name not in scales]
    if wrt is None:
        wrt = next(iter(left or scales), None)
    if wrt is None or [name for name in left if name != wrt]:
        raise SpecError(
            "the best order is followed along one size: "
            + (f"give or tie all but one of {', '.join(left)}" if wrt else "leave one of the symbols open")
        )
    scales = [name for name in scales if name != wrt]
    least = {name: -(-known[name].min // known[name].multiple_of) * known[name].multiple_of for name in scales}
    fixed = substitution(known, wrt, point | least, ties)
    search = _Search(graph, facts, known[wrt], fixed, fold, progress)
    search.run(started + time_limit)
    return search.answer(fixed | {name: symbol(name) for name in scales}, tuple(scales), started)


def _scales(graph: Graph, facts: Facts, *, fold: bool) -> list[str]:
    """Symbols that are a factor of every block's size, and of nothing else."""
    hints = {s.name: s.hint or s.min for s in graph.symbols}
    amounts, _ = with_counts(problem_of(graph, facts, hints, fold=fold))
    mentioned = frozenset().union(*(symbols_of(p) for p in (*facts[Storage].conditions, *graph.domain)))

    def scales(name: str) -> bool:
        return all(amount is symbol(name) * substitute(amount, {name: 1}) for amount in amounts)

    return [s.name for s in graph.symbols if s.name not in mentioned and scales(s.name)]


@dataclass
class _Found:
    """An order of operators under one truth of the storage conditions, and where it is proven."""

    problem: Problem
    truth: tuple[bool, ...]
    order: tuple[int, ...]
    where: Mask
    proofs: dict[str, None] = field(default_factory=dict)


class _Search:
    """Solves one open size after the other."""

    def __init__(
        self,
        graph: Graph,
        facts: Facts,
        info: SymbolInfo,
        fixed: Mapping[str, Expr | int],
        fold: bool,
        progress: Callable[[str], None],
    ) -> None:
        self.graph, self.facts, self.info, self.fixed, self.fold = graph, facts, info, fixed, fold
        self.progress = progress
        self.conditions = facts[Storage].conditions
        self.known: dict[tuple[bool, ...], Problem] = {}
        self.found: list[_Found] = []
        self.reasons: list[str] = []
        first = self.problem(info.hint or max(info.min, info.multiple_of))
        self.line = Line.of(info, self.along(with_counts(first)[0]))
        self.inside = self.line.mask(True, True)
        followers = [s for s in graph.symbols if isinstance(fixed.get(s.name), Expr)]
        for guard in (*graph.domain, *(g for s in followers for g in range_guards(s))):
            self.inside &= ~self.line.where(negate(replace_symbols(guard, fixed)))  # beyond the limit: may hold
        self.open = self.inside

    def point(self, size: int) -> dict[str, int]:
        """All symbols where `wrt` has a size."""
        here = {self.info.name: size}
        return here | {n: v if isinstance(v, int) else evaluate(v, here) for n, v in self.fixed.items()}

    def problem(self, size: int) -> Problem:
        """The scheduling problem at a size; its structure depends on the storage conditions alone."""
        point, truth = self.point(size), self.truth(size)
        if truth not in self.known:
            self.known[truth] = problem_of(self.graph, self.facts, point, fold=self.fold)
        return at_other_sizes(self.known[truth], point)

    def along(self, amounts: Iterable[Expr]) -> tuple[Expr, ...]:
        """The amounts as functions of `wrt` alone."""
        return tuple(substitute(amount, self.fixed) for amount in amounts)

    def truth(self, size: int) -> tuple[bool, ...]:
        """Which storage conditions hold at a size."""
        known = truth_at(self.facts[Storage], self.point(size))
        return tuple(known[condition] for condition in self.conditions)

    def like(self, truth: tuple[bool, ...]) -> Mask:
        """Where the storage conditions hold, or do not, as they do in `truth`."""
        found = self.line.mask(True, True)
        for condition, holds in zip(self.conditions, truth, strict=True):
            wanted = condition if holds else negate(condition)
            found &= self.line.where(replace_symbols(wanted, self.fixed))
        return found

    def run(self, deadline: float) -> None:
        """Close what is open; what cannot be closed stays so."""
        skipped, failures = self.line.mask(False, False), 0
        while waiting := self.open & ~skipped:
            size = self.line.example(waiting)
            left = deadline - time.perf_counter()
            if left <= 0 or failures >= FAILURES:
                self.reasons.append("time limit" if left <= 0 else f"{failures} sizes could not be proven")
                return
            self.progress(f"best order at {self.info.name}={size}, {len(waiting)} sizes and classes left")
            if not self.solve(size, left):
                failures += 1
                skipped |= self.line.only(size)

    def solve(self, size: int, seconds: float) -> bool:
        """Find the best order at a size, and every size where its proof holds; False where there is no proof."""
        problem, truth = self.problem(size), self.truth(size)
        before = [f for f in self.found if f.truth == truth]
        outcome = best_order(problem, seconds)
        name = self.info.name
        if outcome.peak > outcome.lower_bound:
            self.reasons.append(
                f"{name}={size}: between {outcome.lower_bound:,} and {outcome.peak:,} bytes ({outcome.stopped})"
            )
            return False
        same = next((f for f in before if peak_of(problem, f.order) == outcome.peak), None)
        proof = prove(problem, same.order if same is not None else outcome.order, seconds)
        if proof is None:
            self.reasons.append(
                f"{name}={size}: best at {outcome.peak:,} bytes, but its proof is too long to carry over"
            )
            return False
        growth = Growth(self.line, self.along(proof.amounts))
        where = growth.holds(proof.at_least, proof.above) & self.like(truth) & self.inside
        if not self.line.contains(where, size):  # beyond the limit a proof may hold at a size and not for its class
            self.reasons.append(f"{name}={size}: best at {outcome.peak:,} bytes, not proven for the sizes like it")
            return False
        if same is None:
            same = _Found(problem, truth, proof.order, where)
            self.found.append(same)
        same.where |= where
        same.proofs[f"{proof.kind} ({proof.states:,} states)" if proof.states else proof.kind] = None
        self.open &= ~where
        return True

    # -- the answer --------------------------------------------------------------------------------------------------
    def answer(self, free: Mapping[str, Expr | int], scales: tuple[str, ...], started: float) -> Orders:
        """The decision list; `free` is what each symbol stands for in formulas."""
        kept = self.needed()
        peaks = [self.peak(found, free) for found in kept]
        by_order: dict[tuple[int, ...], list[int]] = {}
        for i, found in enumerate(kept):
            nodes = (*found.problem.folded, *(found.problem.positions[op] for op in found.order))
            by_order.setdefault(nodes, []).append(i)
        pieces = []
        for order, places in by_order.items():
            where = self.line.mask(False, False)
            for i in places:
                where |= kept[i].where
            proofs = tuple(dict.fromkeys(proof for i in places for proof in kept[i].proofs))
            peak = self.formula([kept[i] for i in places], [peaks[i] for i in places], free)
            pieces.append(OrderPiece(order, peak, self.line.intervals(where), proofs))
        return Orders(
            self.info.name,
            tuple(sorted(pieces, key=lambda piece: piece.where[:1])),
            self.line.intervals(self.left_open(kept)),
            tuple(dict.fromkeys(self.reasons)),
            self.formula(kept, peaks, free) if kept else None,
            scales,
            time.perf_counter() - started,
        )

    def left_open(self, kept: list[_Found]) -> Mask:
        """What no order is proven for; beyond the limit, what no single order is proven for in all classes."""
        if self.open.far.any() or not any(found.where.far.all() for found in kept):
            return Mask(self.open.near, self.inside.far)
        return self.open

    def needed(self) -> list[_Found]:
        """The orders of most sizes, without those whose sizes all have another one."""
        kept: list[_Found] = []
        covered = self.line.mask(False, False)
        for found in sorted(self.found, key=lambda f: -len(f.where)):
            if found.where & ~covered:
                kept.append(found)
                covered |= found.where
        return kept

    def peak(self, found: _Found, free: Mapping[str, Expr | int]) -> Expr:
        """The peak of an order as a formula, wherever the storage conditions are as they were."""
        amounts, _ = with_counts(found.problem)
        rows = step_rows(found.problem, found.order)
        growth = Growth(self.line, self.along(amounts))
        chosen = growth.largest(rows, self.like(found.truth))
        return maximum(*(substitute(_sum(amounts, rows[i]), free) for i in chosen))

    def formula(self, orders: list[_Found], peaks: list[Expr], free: Mapping[str, Expr | int]) -> Expr:
        """The least peak of the orders: one formula where that of most sizes is right elsewhere, too."""
        truths = dict.fromkeys(found.truth for found in orders)
        least = {
            truth: minimum(*(peak for found, peak in zip(orders, peaks, strict=True) if found.truth == truth))
            for truth in truths
        }
        most = max(truths, key=lambda truth: len(self.like(truth)))
        kept = [truth for truth in truths if truth != most and not self.agree(least[truth], least[most], truth)]
        others = [self.indicator(truth, free) for truth in kept]
        special = total(least[truth] * inside for truth, inside in zip(kept, others, strict=True))
        return special + least[most] * (1 - total(others))

    def agree(self, one: Expr, other: Expr, truth: tuple[bool, ...]) -> bool:
        """Two formulas are equal wherever the storage conditions are as in `truth`: a few sizes, looked at one by one."""
        where = self.like(truth)
        here = self.line.near[where.near].tolist()
        name = self.info.name
        return (
            not where.far.any()
            and all(substitute(one, {name: size}) is substitute(other, {name: size}) for size in here[:64])
            and len(here) <= 64
        )

    def indicator(self, truth: tuple[bool, ...], free: Mapping[str, Expr | int]) -> Expr:
        """One where the storage conditions are as in `truth`, else zero."""
        signed = (c if holds else negate(c) for c, holds in zip(self.conditions, truth, strict=True))
        return indicator(all_of(replace_symbols(condition, free) for condition in signed))


def _sum(amounts: tuple[Expr, ...], row: Row) -> Expr:
    return total(amount * count for amount, count in zip(amounts, row, strict=True) if count)
