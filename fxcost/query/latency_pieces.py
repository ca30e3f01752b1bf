"""The roofline latency along one symbol, piece by piece: in each, every op is known to be bound by the same side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fxcost.ir.expr import Expr
from fxcost.passes._rates import LatencyFormula, Term
from fxcost.passes.estimate import Sides
from fxcost.query.crossover import Crossover
from fxcost.query.spans import Span, contains


@dataclass(frozen=True)
class LatencyPiece:
    """Sizes between two crossovers: the sum of the sides that bind there, and which ops memory or compute binds.

    `unknown` are ops of which a figure is missing; of them the larger of what is known is in the sum.
    """

    where: Span
    formula: LatencyFormula
    memory: tuple[str, ...]
    compute: tuple[str, ...]
    unknown: tuple[str, ...]


def latency_pieces(ops: Sequence[Crossover], fixed: Mapping[str, Expr | int], step: int) -> tuple[LatencyPiece, ...]:
    """Pieces in the order of sizes; sizes at which some op's side is not known are in none."""
    known = [answer for answer in ops if not answer.unknown]
    spans = [span for answer in known for span in (*answer.memory, *answer.compute, *answer.ties)]
    edges = sorted({low for low, _ in spans} | {high + step for _, high in spans if high is not None})
    found: list[LatencyPiece] = []
    for place, low in enumerate(edges):
        sides = [_binding(answer, low) for answer in ops]
        if None in sides:
            continue
        high = edges[place + 1] - step if place + 1 < len(edges) else None
        if high is None and not all(_ends_open(answer) for answer in known):
            continue
        names = {
            kind: tuple(answer.name for side, answer in zip(sides, ops, strict=True) if side == kind)
            for kind in ("memory", "compute", "unknown")
        }
        if found and found[-1].where[1] == low - step and found[-1].memory == names["memory"]:
            found[-1] = replace(found[-1], where=(found[-1].where[0], high))  # only ties came or went
            continue
        terms = [_ruling(side, answer.sides) for side, answer in zip(sides, ops, strict=True)]
        found.append(LatencyPiece((low, high), LatencyFormula.of(terms).bind(fixed), **names))
    return tuple(found)


def _binding(answer: Crossover, size: int) -> str | None:
    """What binds at a size: memory, compute, or unknown for want of a figure; None where no answer was found."""
    if answer.unknown:
        return "unknown"
    side = answer.binds(size)
    return None if side == "unknown" else side


def _ends_open(answer: Crossover) -> bool:
    spans = (*answer.memory, *answer.compute, *answer.ties)
    return any(high is None for _, high in spans) and any(contains(span, 1 << 62) for span in spans)


def _ruling(side: str | None, given: Sides) -> Term:
    if side == "memory":
        return Term(memory=given.memory)
    if side == "compute":
        return Term(compute=given.compute)
    return Term(compute=given.compute, memory=given.memory)
