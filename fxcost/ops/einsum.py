"""einsum, read: the labels of its equation, and the pairs of operands along the contraction path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fxcost.errors import ModelError
from fxcost.ir.expr import Expr

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One pair along the path: the indices it runs over, and whether one of them is summed."""

    labels: Labels
    contracts: bool


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    """Labels of every operand and of the result; dimensions behind `...` are called `e0`, `e1` ... from the right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ModelError(f"einsum {equation!r} names {len(terms)} operands, found {len(ranks)}")
    operands = [_labels(term, rank) for term, rank in zip(terms, ranks, strict=True)]
    hidden = max((sum(len(label) > 1 for label in labels) for labels in operands), default=0)
    dots = tuple(f"e{hidden - 1 - i}" for i in range(hidden))
    if arrow:
        before, ellipsis, after = right.partition("...")
        return operands, (*before, *(dots if ellipsis else ()), *after)
    counts = [label for labels in operands for label in labels]
    return operands, (*dots, *sorted(label for label in set(counts) - set(dots) if counts.count(label) == 1))


def _labels(term: str, rank: int) -> Labels:
    before, ellipsis, after = term.partition("...")
    hidden = rank - len(before) - len(after)
    if hidden < 0 or (hidden and not ellipsis):
        raise ModelError(f"einsum term {term!r} does not fit an operand of {rank} dimensions")
    return (*before, *(f"e{hidden - 1 - i}" for i in range(hidden)), *after)


def sizes_of(operands: Sequence[Labels], shapes: Sequence[tuple[Expr, ...]]) -> dict[str, Expr]:
    """Size of every index; a size of one is broadcast by another operand's."""
    sizes: dict[str, Expr] = {}
    for labels, shape in zip(operands, shapes, strict=True):
        for label, size in zip(labels, shape, strict=True):
            if label not in sizes or sizes[label].constant == 1:
                sizes[label] = size
    return sizes


def steps(operands: Sequence[Labels], result: Labels, path: Sequence[int] | None) -> list[Step]:
    """The pairs in order: left to right, or along `path` (pairs of positions; what they give goes to the end).

    An index that one operand of a pair has alone, and that nothing later needs, is summed before the product.
    """
    waiting = [tuple(dict.fromkeys(labels)) for labels in operands]
    found: list[Step] = []
    order = list(path or ())
    while len(waiting) > 1:
        first, second = sorted(order[:2]) if len(order) > 1 else (0, 1)
        right, left = waiting.pop(second), waiting.pop(first)
        needed = {*result, *(label for labels in waiting for label in labels)}
        left = tuple(label for label in left if label in needed or label in right)
        right = tuple(label for label in right if label in needed or label in left)
        everything = tuple(dict.fromkeys((*left, *right)))
        kept = tuple(label for label in everything if label in needed)
        found.append(Step(everything, len(kept) < len(everything)))
        waiting.insert(len(waiting) if order else 0, kept)
        order = order[2:]
    return found
