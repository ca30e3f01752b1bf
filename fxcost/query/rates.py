"""Constraints on latency and energy, solved exactly.

Rates are fractions, so a sum of max(work / rate, bytes / rate) is an integer expression over one denominator. Which
memory level serves a load may depend on the sizes: each truth of these conditions is a question of its own, on the sizes
for which it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, lcm

from fxcost.ir.expr import Expr, const, maximum, total
from fxcost.ir.graph import Standing
from fxcost.passes._rates import Loads, RateConstraint, RateFormula, Residence
from fxcost.query.crossover import Answer, Question, condition_text, regions
from fxcost.query.solve import Solution
from fxcost.query.spans import Span, intersection, union


def solve_rate(constraint: RateConstraint, question: Question) -> Solution:
    """All sizes of the question's symbol that satisfy the constraint, with the proof; `lower` where figures are missing."""
    formula = constraint.formula
    spans: list[Span] = []
    said: list[str] = []
    methods: list[str] = []
    for held, region in regions([load for term in formula.terms for load in term.loads], question):
        answer = _where(constraint, held, question)
        spans += intersection(answer.spans, region)
        # Steps in the unit of the common denominator say little to people; the neighbours are given in seconds instead.
        steps = [step for step in answer.proof.split("; ") if not step.startswith(f"at {question.wrt} = ")]
        where = " and ".join(condition_text(c, holds) for c, holds in held.items())
        said.append((f"where {where}: " if where else "") + ", ".join(steps))
        methods.append(answer.method)
    step = question.info.multiple_of
    found = tuple((low * step, None if high is None else high * step) for low, high in union(spans))
    lines = [_neighbours(constraint, found, question), *dict.fromkeys(said)]
    if formula.missing:
        lines.append(f"a lower bound of {formula.name}, without: {', '.join(formula.missing)}")
    standing = question.standing.combine(Standing.LOWER) if formula.missing else question.standing
    return Solution(
        question.wrt,
        found[-1][1] if found else None,
        found[0][0] if found else None,
        found,
        ", ".join(dict.fromkeys(methods)),
        "; ".join(line for line in lines if line),
        standing,
    )


def exact(formula: RateFormula, held: Mapping[Residence, bool]) -> tuple[Expr, int]:
    """The formula as an integer expression over a denominator, where the conditions are as in `held`."""
    return _exact(formula, tuple(held.items()))


@lru_cache(maxsize=64)  # the same formula is asked many questions
def _exact(formula: RateFormula, conditions: tuple[tuple[Residence, bool], ...]) -> tuple[Expr, int]:
    held = dict(conditions)
    terms = [
        (_counting(term.compute, held), _counting(term.memory, held), Fraction(term.fixed), term.count)
        for term in formula.terms
    ]
    paces = [1 / Fraction(load.rate) for compute, memory, _, _ in terms for load in (*compute, *memory)]
    common = lcm(*(pace.denominator for pace in paces), *(fixed.denominator for _, _, fixed, _ in terms))

    def summed(parts: Loads) -> Expr:
        return total(load.amount * int(common / Fraction(load.rate)) for load in parts)

    value = total(
        (maximum(summed(compute), summed(memory)) + int(fixed * common)) * count
        for compute, memory, fixed, count in terms
    )
    return value, common


def _counting(parts: Loads, held: Mapping[Residence, bool]) -> Loads:
    return tuple(load for load in parts if load.counts(held))


def _where(constraint: RateConstraint, held: Mapping[Residence, bool], question: Question) -> Answer:
    value, common = exact(constraint.formula, held)
    limit = constraint.limit * common
    named = (constraint.formula.name, f"{float(constraint.limit):g} {constraint.formula.unit}")
    if constraint.op == "<=":
        return question.where(value, const(floor(limit)), named)
    if constraint.op == "<":
        return question.where(value, const(ceil(limit) - 1), named)
    if constraint.op == ">=":
        return question.where(const(ceil(limit)), value, named[::-1])
    return question.where(const(floor(limit) + 1), value, named[::-1])


def _neighbours(constraint: RateConstraint, spans: Sequence[Span], question: Question) -> str:
    """The last size that satisfies and the one behind it, with their values."""
    if not spans or spans[-1][1] is None:
        return ""
    formula, last, step = constraint.formula, spans[-1][1], question.info.multiple_of
    sizes = [size for size in (last, last + step) if question.info.max is None or size <= question.info.max]
    return "; ".join(
        f"at {question.wrt} = {size:,} {formula.name} = {question.value(formula, size):.6g} {formula.unit}"
        for size in sizes
    )


def combined(solutions: Iterable[Solution]) -> Solution:
    """Sizes that are in every one of some solutions for the same symbol."""
    parts = list(solutions)
    spans = parts[0].set
    for part in parts[1:]:
        spans = intersection(spans, part.set)
    standing = parts[0].standing
    for part in parts[1:]:
        standing = standing.combine(part.standing)
    return Solution(
        parts[0].wrt,
        spans[-1][1] if spans else None,
        spans[0][0] if spans else None,
        tuple(spans),
        ", ".join(dict.fromkeys(part.method for part in parts)),
        "; ".join(dict.fromkeys(part.proof for part in parts)),
        standing,
    )
